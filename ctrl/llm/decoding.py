"""Sampling turns of many episodes at once with one growing cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from ctrl.llm.policy import LanguagePolicy
from reward_models.errors import TrainingError

_GROWTH = 2
"""The cache is made anew when it is longer than so many contexts."""


@dataclass(frozen=True)
class Turn:
    """One turn of the policy, n tokens.

    Attributes:
        tokens: what was sampled, the end token included where there is one.
        log_prob: of each, float32 ``[n]``.
        entropy: of the whole distribution before each, in nats, ``[n]``.
        value: of the critic before each, ``[n]``, or None.
        hidden: last hidden state before each, ``[n, D]``, or None when nobody asked for it.
        ended: an end token was sampled before the limit.
    """

    tokens: list[int]
    log_prob: Tensor
    entropy: Tensor
    value: Tensor | None
    hidden: Tensor | None
    ended: bool


@final
class Decoder:
    """Continues the sequences of numbered slots, turn by turn.

    All slots that take part in a call are one batch. Their cache holds the texts one behind the
    other, each as wide as the longest of its call; what is padding, or of an episode that has left
    its slot, is masked, so a row attends to its own tokens alone. Log-probabilities, entropies and
    hidden states come from the sampling pass itself.

    Args:
        policy: the transformer.
        max_new_tokens: of one turn.
        stops: tokens that end a turn.
        generator: of the sampling; on the policy's device.
        greedy: take the likeliest token instead.
        keep_hidden: return hidden states.
    """

    def __init__(
        self, policy: LanguagePolicy, *, max_new_tokens: int, stops: frozenset[int],
        generator: torch.Generator, greedy: bool = False, keep_hidden: bool = False,
    ) -> None:  # fmt: skip
        self.policy, self.max_new_tokens = policy, max_new_tokens
        self.generator, self.greedy, self.keep_hidden = generator, greedy, keep_hidden
        self._stops = torch.tensor(sorted(stops), device=policy.device)
        self._contexts: dict[int, list[int]] = {}
        # The last token of a turn was sampled, not yet run through the transformer.
        self._waiting: dict[int, list[int]] = {}
        self._rows: list[int] = []
        self._cache: Any = None
        self._mask = torch.zeros(0, 0, dtype=torch.int64)
        self._length = 0
        self._position = torch.zeros(0, dtype=torch.int64)

    def length(self, slot: int) -> int:
        """Return how many tokens the sequence in a slot has."""
        return len(self._contexts.get(slot, ()))

    def free(self, slot: int) -> None:
        """Forget the sequence in a slot; the next text there begins a new one."""
        self._contexts.pop(slot, None)
        self._waiting.pop(slot, None)

    @torch.no_grad()
    def turn(self, blocks: Mapping[int, list[int]]) -> dict[int, Turn]:
        """Append a text to each slot and sample the turn behind it.

        Args:
            blocks: at least one token by slot. A slot that was freed begins a sequence. Slots that
                are left out here lose their cache, but not their sequence.

        Raises:
            TrainingError: the policy's distribution is not finite.
        """
        slots = list(blocks)
        feeds = self._feeds(blocks)
        for slot, block in blocks.items():
            self._contexts.setdefault(slot, []).extend(block)
        logits, hidden = self._feed([feeds[slot] for slot in slots])
        return dict(zip(slots, self._sample(slots, logits, hidden), strict=True))

    # -- the cache --------------------------------------------------------------------------

    def _feeds(self, blocks: Mapping[int, list[int]]) -> dict[int, list[int]]:
        """Give every slot a row of the cache; return what has to be run through for each."""
        slots = list(blocks)
        cached = {slot: row for row, slot in enumerate(self._rows)}
        begun = [slot for slot in slots if slot not in self._contexts]
        idle = [row for slot, row in cached.items() if slot not in blocks or slot in begun]
        lost = any(slot not in cached and slot not in begun for slot in slots)
        longest = max(len(block) for block in blocks.values()) + 1 + self.max_new_tokens
        full = self._length + longest > self._mask.shape[1]
        if self._cache is None or lost or full or len(begun) > len(idle):
            feeds = {slot: [*self._contexts.get(slot, ()), *blocks[slot]] for slot in slots}
            self._begin(slots, max(map(len, feeds.values())) + self.max_new_tokens)
            return feeds
        order = [idle.pop() if slot in begun else cached[slot] for slot in slots]
        if order != list(range(len(self._rows))):
            index = torch.tensor(order, device=self._mask.device)
            self._cache.batch_select_indices(index)
            self._mask, self._position = self._mask[index], self._position[index]
        self._rows = slots
        for row, slot in enumerate(slots):
            if slot in begun:
                self._mask[row] = 0
                self._position[row] = 0
        return {slot: [*self._waiting.pop(slot, ()), *blocks[slot]] for slot in slots}

    def _begin(self, slots: list[int], longest: int) -> None:
        from transformers import DynamicCache

        device = self.policy.device
        width = max(longest, _GROWTH * self.policy.context)
        self._cache = DynamicCache(config=self.policy.causal.config)
        self._mask = torch.zeros(len(slots), width, dtype=torch.int64, device=device)
        self._position = torch.zeros(len(slots), dtype=torch.int64, device=device)
        self._rows, self._length = slots, 0
        self._waiting.clear()

    def _feed(self, feeds: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Run texts through; return logits ``[R, V]`` and hidden states behind the last token."""
        longest = max(map(len, feeds))
        device = self.policy.device
        ids = torch.tensor([feed + [0] * (longest - len(feed)) for feed in feeds], device=device)
        count = torch.tensor([len(feed) for feed in feeds], device=device)
        steps = torch.arange(longest, device=device)
        return self._pass(ids, (steps < count.unsqueeze(1)).long(), count)

    def _pass(self, ids: Tensor, real: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        start, stop = self._length, self._length + ids.shape[1]
        self._mask[:, start:stop] = real
        positions = self._position.unsqueeze(1) + torch.arange(ids.shape[1], device=ids.device)
        last = (count - 1).clamp_min(0).unsqueeze(1)
        logits, hidden = self.policy(ids, self._mask[:, :stop], positions, last, self._cache)
        self._length = stop
        self._position = self._position + count
        return logits.squeeze(1), hidden.squeeze(1)

    # -- sampling ---------------------------------------------------------------------------

    def _sample(self, slots: list[int], logits: Tensor, hidden: Tensor) -> list[Turn]:
        rows = len(slots)
        alive = torch.ones(rows, dtype=torch.bool, device=logits.device)
        tokens, log_probs, entropies, values, states, lives = [], [], [], [], [], []
        for step in range(self.max_new_tokens):
            log_p = torch.log_softmax(logits.float() / self.policy.temperature, dim=-1)
            p = log_p.exp()
            token = self._choose(log_p, p)
            tokens.append(token)
            lives.append(alive)
            log_probs.append(log_p.gather(1, token.unsqueeze(1)).squeeze(1))
            entropies.append(-torch.where(p > 0, p * log_p, 0.0).sum(-1))
            if self.policy.value_head is not None:
                values.append(self.policy.value(hidden))
            if self.keep_hidden:
                states.append(hidden)
            still = alive & ~torch.isin(token, self._stops)
            if step + 1 == self.max_new_tokens or not bool(still.any()):
                break
            # A row that has just ended waits with its end token for the next text.
            real = still.long().unsqueeze(1)
            logits, hidden = self._pass(token.unsqueeze(1), real, still.long())
            alive = still
        count = torch.stack(lives).sum(0).tolist()
        columns = torch.stack(tokens).T.tolist()
        ended = (~still).tolist()
        living, log_prob = torch.stack(lives), torch.stack(log_probs)
        if not bool(torch.isfinite(torch.where(living, log_prob, 0.0)).all()):
            raise TrainingError(
                "The policy has diverged: the log-probability of a token it sampled is not finite. "
                "Try a smaller algo.learning_rate, or scale large reward terms (scale: return_std)."
            )
        entropy = torch.stack(entropies)
        value = torch.stack(values) if values else None
        state = torch.stack(states) if states else None
        turns = []
        for row, slot in enumerate(slots):
            chosen = columns[row][: count[row]]
            self._contexts[slot].extend(chosen)
            self._waiting[slot] = chosen[-1:]
            n = count[row]
            turns.append(
                Turn(
                    tokens=chosen,
                    log_prob=log_prob[:n, row],
                    entropy=entropy[:n, row],
                    value=None if value is None else value[:n, row],
                    hidden=None if state is None else state[:n, row],
                    ended=ended[row],
                )
            )
        return turns

    def _choose(self, log_p: Tensor, p: Tensor) -> Tensor:
        if self.greedy:
            return log_p.argmax(-1)
        if not bool(p.isfinite().all()):
            raise TrainingError(
                "The policy has diverged: its distribution over tokens is not finite. Try a "
                "smaller algo.learning_rate."
            )
        return torch.multinomial(p, 1, generator=self.generator).squeeze(1)
