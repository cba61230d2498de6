"""The discriminator on sequences of a language model: records with tokens and hidden states."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.encoders import HiddenEncoder
from reward_models.imitation import AdversarialImitation
from reward_models.rollout import Rollout

transformers = pytest.importorskip("transformers")

VOCABULARY, LENGTH, SIZE = 24, 16, 16
TOKENS = spaces.Discrete(VOCABULARY)


@pytest.fixture(scope="module")
def policy():
    """Return a transformer of two layers with random weights."""
    config = transformers.Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=SIZE,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=LENGTH + 1,
        attn_implementation="eager",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.Qwen3Model(config).eval()


def _tokens(kind, columns, seed):
    """Return ``[T + 1, B]``: an expert that mostly counts, or tokens at random."""
    random = np.random.default_rng(seed)
    tokens = random.integers(VOCABULARY, size=(LENGTH + 1, columns))
    if kind == "expert":
        for t in range(1, LENGTH + 1):
            counted = (tokens[t - 1] + 1) % VOCABULARY
            tokens[t] = np.where(random.random(columns) < 0.9, counted, tokens[t])
    return torch.as_tensor(tokens)


@torch.no_grad()
def _record(policy, kind, *, columns=32, seed):
    """Return the record of a generation loop: step t reads tokens up to t and emits the next."""
    tokens = _tokens(kind, columns, seed)
    found = policy(input_ids=tokens[:-1].T)  # transformers put the batch first
    ends = torch.zeros(LENGTH, columns, dtype=torch.bool)
    last = ends.clone()
    last[-1] = True
    # The second half of the columns stops early, so that there is padding.
    mask = torch.ones_like(ends)
    mask[LENGTH - 4 :, columns // 2 :] = False
    last[LENGTH - 5, columns // 2 :] = True
    return Rollout(
        observation=tokens[:-1],
        action=tokens[1:],
        next_observation=tokens[1:],
        reward=torch.full((LENGTH, columns), float("nan")),
        terminated=last,
        truncated=ends,
        mask=mask,
        hidden=found.last_hidden_state.transpose(0, 1),
    )


# Two states in a row show by themselves what a state and the next token show together only.
@pytest.mark.parametrize(("state_only", "least"), [(True, 0.8), (False, 0.65)])
def test_a_few_updates_tell_an_expert_from_random_text(policy, state_only, least):
    model = AdversarialImitation(
        demonstrations=_record(policy, "expert", seed=0),
        observation_space=TOKENS,
        action_space=TOKENS,
        state_only=state_only,
        one_hot_actions=not state_only,
        encoder=HiddenEncoder(hidden_size=SIZE, size=32),
        steps=60,
    )
    assert model.requires == {"hidden"}
    for seed in range(4):
        metrics = model.update(_record(policy, "random", seed=100 + seed))
    assert all(math.isfinite(value) for value in metrics.values())
    # On text that it has never seen: -log(1 - sigmoid) is above log 2 where the logit is above 0.
    shares = {}
    for kind in ("expert", "random"):
        record = _record(policy, kind, seed=1000)
        output = model(record)
        reward, real = output, record.mask
        if state_only:
            # What follows the last step is not known, nor whom it looks like.
            reward, real = output[0], record.mask & output[1]["defined"]
        shares[kind] = float((reward[real] > math.log(2)).float().mean())
    # 900 steps of either kind: chance stays within 0.5 +- 0.05.
    accuracy = (shares["expert"] + 1 - shares["random"]) / 2
    assert accuracy > least, shares
