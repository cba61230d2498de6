"""Sampling with a cache says what a plain pass over the whole sequence says."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from ctrl.llm.policy import LanguagePolicy
from ctrl.llm.sequences import ENVIRONMENT, POLICY, PROMPT, Sequences
from tests.ctrl.llm.conftest import small_decoder, small_policy


class Talk:
    """Sequences of slots as they grow, to be evaluated in one pass at the end."""

    def __init__(self) -> None:
        self.columns: dict[int, tuple[list[int], list[int], list[int]]] = {}
        self.turns: dict[int, list] = {}

    def text(self, slot: int, tokens: list[int]) -> None:
        new = slot not in self.columns
        ids, kinds, numbers = self.columns.setdefault(slot, ([], [], []))
        ids.extend(tokens)
        kinds.extend([PROMPT if new else ENVIRONMENT] * len(tokens))
        numbers.extend([0] * len(tokens))

    def turn(self, slot: int, turn) -> None:
        ids, kinds, numbers = self.columns[slot]
        ids.extend(turn.tokens)
        kinds.extend([POLICY] * len(turn.tokens))
        numbers.extend([len(self.turns.setdefault(slot, []))] * len(turn.tokens))
        self.turns[slot].append(turn)


def random_block(generator: torch.Generator, low: int = 1, high: int = 9) -> list[int]:
    count = int(torch.randint(low, high, (), generator=generator))
    return torch.randint(3, 259, (count,), generator=generator).tolist()


def check(policy: LanguagePolicy, talk: Talk) -> None:
    """Every number of the sampling pass equals that of one pass over the whole sequences."""
    slots = sorted(talk.columns)
    sequences = Sequences.of([talk.columns[slot] for slot in slots], padding=0)
    with torch.no_grad():
        whole = policy.evaluate(sequences)
    for column, slot in enumerate(slots):
        turns = talk.turns[slot]
        count = sum(len(turn.tokens) for turn in turns)
        assert int(sequences.mask[:, column].sum()) == count
        for name in ("log_prob", "entropy", "value", "hidden"):
            if getattr(turns[0], name) is None:
                continue
            sampled = torch.cat([getattr(turn, name) for turn in turns])
            passed = getattr(whole, name)[:count, column]
            assert torch.allclose(sampled, passed, atol=2e-4), (name, slot)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_one_turn_of_texts_of_many_lengths(temperature: float) -> None:
    policy = small_policy(critic=True, temperature=temperature)
    decoder = small_decoder(policy, keep_hidden=True)
    blocks, talk = {}, Talk()
    generator = torch.Generator().manual_seed(1)
    for slot in range(6):
        blocks[slot] = random_block(generator, 1, 30)
        talk.text(slot, blocks[slot])
    for slot, turn in decoder.turn(blocks).items():
        talk.turn(slot, turn)
    check(policy, talk)


def test_many_turns_with_columns_that_leave_and_are_filled_again() -> None:
    policy = small_policy(critic=True, context=64)
    decoder = small_decoder(policy, keep_hidden=True)
    generator = torch.Generator().manual_seed(2)
    finished: list[tuple[tuple, list]] = []
    talk = Talk()
    rebuilt = 0
    for step in range(14):
        blocks = {}
        for slot in range(4):
            if slot in talk.columns and len(talk.columns[slot][0]) > 40:
                finished.append((talk.columns.pop(slot), talk.turns.pop(slot)))
                decoder.free(slot)
            # Slot 3 pauses sometimes: it loses its cache, not its sequence.
            if slot == 3 and step % 4 == 2:
                continue
            blocks[slot] = random_block(generator)
            talk.text(slot, blocks[slot])
        before = decoder._cache
        for slot, turn in decoder.turn(blocks).items():
            talk.turn(slot, turn)
        rebuilt += decoder._cache is not before
        for slot, (ids, _, _) in talk.columns.items():
            assert decoder.length(slot) == len(ids)
    assert len(finished) >= 3
    assert 2 <= rebuilt <= 10
    whole = Talk()
    for number, (column, turns) in enumerate([*finished]):
        whole.columns[number], whole.turns[number] = column, turns
    check(policy, whole)
    check(policy, talk)


def test_the_same_seed_samples_the_same_and_another_does_not(policy: LanguagePolicy) -> None:
    blocks = {slot: [70 + slot, 80] for slot in range(8)}

    def tokens(seed: int) -> list[list[int]]:
        return [turn.tokens for turn in small_decoder(policy, seed=seed).turn(blocks).values()]

    assert tokens(3) == tokens(3) != tokens(4)


def test_tokens_follow_the_distribution() -> None:
    policy = small_policy()
    decoder = small_decoder(policy, max_new_tokens=1)
    blocks = {slot: [70, 80, 90] for slot in range(4000)}
    drawn = torch.tensor([turn.tokens[0] for turn in decoder.turn(blocks).values()])
    ids = torch.tensor([[70, 80, 90]])
    with torch.no_grad():
        logits = policy.model(input_ids=ids).logits[0, -1]
    expected = torch.softmax(logits.double(), -1) * len(drawn)
    likely = expected > 20
    counts = torch.bincount(drawn, minlength=policy.vocabulary)
    observed = [*counts[likely].tolist(), int(counts[~likely].sum())]
    wanted = [*expected[likely].tolist(), float(expected[~likely].sum())]
    assert likely.sum() > 5
    assert stats.chisquare(observed, wanted).pvalue > 1e-3


def test_greedy_takes_the_likeliest(policy: LanguagePolicy) -> None:
    decoder = small_decoder(policy, greedy=True)
    turn = decoder.turn({0: [70, 80, 90]})[0]
    ids = torch.tensor([[70, 80, 90, *turn.tokens]])
    with torch.no_grad():
        best = policy.model(input_ids=ids).logits[0, 2:-1].argmax(-1)
    assert turn.tokens == best.tolist()


def test_an_end_token_ends_a_turn_and_the_rest_go_on(policy: LanguagePolicy) -> None:
    free = small_decoder(policy, seed=1, max_new_tokens=8)
    blocks = {slot: [70 + 3 * slot] for slot in range(5)}
    first = {slot: turn.tokens for slot, turn in free.turn(blocks).items()}
    stop = first[2][3]
    from ctrl.llm.decoding import Decoder

    stopped = Decoder(
        policy, max_new_tokens=8, stops=frozenset({stop}),
        generator=torch.Generator().manual_seed(1),
    ).turn(blocks)  # fmt: skip
    for slot, turn in stopped.items():
        expected = first[slot]
        if stop in expected:
            expected = expected[: expected.index(stop) + 1]
        assert turn.tokens == expected
        assert turn.ended == (stop in turn.tokens)
        assert len(turn.log_prob) == len(turn.tokens)
    assert stopped[2].ended
    assert len(stopped[2].tokens) <= 4
