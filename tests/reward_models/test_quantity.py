from __future__ import annotations

import pytest
import torch

from reward_models.errors import UnknownNameError, UserError
from reward_models.quantity import Quantity
from reward_models.rollout import Rollout


def rollout(**state: torch.Tensor) -> Rollout:
    flags = torch.zeros(2, 3, dtype=torch.bool)
    zeros = torch.zeros(2, 3)
    return Rollout(
        observation=zeros, action=zeros, next_observation=zeros, reward=zeros, terminated=flags,
        truncated=flags, state=state,
    )  # fmt: skip


def test_pays_the_quantity() -> None:
    counts = torch.arange(6).reshape(2, 3)
    model = Quantity(name="coins")
    assert model.requires == {"state.coins"}
    value = model(rollout(coins=counts))
    assert value.dtype == torch.float32
    assert torch.equal(value, counts.float())


def test_refuses() -> None:
    with pytest.raises(UserError, match="name must be"):
        Quantity(name="")
    with pytest.raises(UnknownNameError, match=r"state\.coin'.*state\.coins"):
        Quantity(name="coin")(rollout(coins=torch.zeros(2, 3)))
    with pytest.raises(UserError, match=r"\[2, 3, 4\]"):
        Quantity(name="coins")(rollout(coins=torch.zeros(2, 3, 4)))
