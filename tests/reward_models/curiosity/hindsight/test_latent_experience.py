from __future__ import annotations

import torch
from tensordict import TensorDict

from reward_models.curiosity.hindsight.latent_experience import (
    Experience,
    shuffled_minibatches,
    without_padding,
)
from reward_models.curiosity.training import MinibatchTrainer


def _experience(steps: int = 5, columns: int = 3) -> Experience:
    number = torch.arange(steps * columns).reshape(steps, columns)
    known = torch.ones(steps, columns, dtype=torch.bool)
    known[-1, 0] = False
    return Experience(
        before=number.unsqueeze(-1).float(),
        after=TensorDict({"x": number.float() + 100}, batch_size=(steps, columns)),
        action=number.unsqueeze(-1).float(),
        episode=torch.zeros_like(number),
        known=known,
    )


def _trainer(batch_size: int) -> MinibatchTrainer:
    return MinibatchTrainer(
        torch.nn.Linear(1, 1).parameters(), learning_rate=1e-3, batch_size=batch_size, seed=0
    )


def test_every_known_step_comes_once():
    parts = list(shuffled_minibatches(_experience(), _trainer(8)))
    assert [tuple(part.known.shape) for part in parts] == [(1, 8), (1, 6)]
    assert all(bool(part.known.all()) for part in parts)
    seen = torch.cat([part.before.flatten() for part in parts])
    assert sorted(seen.tolist()) == sorted(set(range(15)) - {12})
    assert seen.tolist() != sorted(seen.tolist())
    for part in parts:
        assert torch.equal(part.after["x"], part.before[..., 0] + 100)


def test_shuffling_goes_on_from_its_state():
    trainer = _trainer(14)
    first, second = (next(shuffled_minibatches(_experience(), trainer)).before for _ in range(2))
    again = next(shuffled_minibatches(_experience(), _trainer(14))).before
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_padding_is_replaced_by_what_is_real():
    real = torch.tensor([[True, False], [True, True]])
    inputs = torch.tensor([[1.0, float("nan")], [2.0, 3.0]])
    assert without_padding(inputs, real).tolist() == [[1.0, 1.0], [2.0, 3.0]]
    assert inputs[0, 1].isnan()
    nested = TensorDict({"x": inputs}, batch_size=(2, 2))
    assert without_padding(nested, real)["x"].tolist() == [[1.0, 1.0], [2.0, 3.0]]
    whole = torch.ones_like(real)
    assert without_padding(inputs, whole) is inputs
