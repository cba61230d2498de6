from __future__ import annotations

import pytest
import torch

from reward_models.errors import UserError
from reward_models.kinesthetic import shapes
from reward_models.kinesthetic.combination import (
    KinestheticCombination,
    kinesthetic_combination,
)
from reward_models.rollout import Rollout


def draw(n: int, count: int = 20_000, seed: int = 0) -> torch.Tensor:
    return 2 * torch.rand(n, count, generator=torch.Generator().manual_seed(seed)) - 1


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_size_lies_between_the_components(n: int) -> None:
    parts = draw(n)
    value = kinesthetic_combination(parts)
    sizes = parts.abs()
    assert bool((value.abs() <= sizes.amax(0) + 1e-6).all())
    assert bool((value.abs() >= sizes.amin(0) - 1e-6).all())
    assert torch.equal(value > 0, (parts > 0).all(0))


def test_two_negatives_stay_negative_and_zero_silences() -> None:
    parts = torch.tensor([[-0.5, -0.5, 0.5, 0.0, 0.0], [-0.5, 0.5, 0.5, -0.5, 0.5]])
    assert kinesthetic_combination(parts).tolist() == pytest.approx([-0.5, -0.5, 0.5, 0.0, 0.0])


def test_sign_follows_alignment_only_while_driving_towards_the_ball() -> None:
    """KRC(-align) flips with a closeness; with a negative speed the whole stays negative."""
    parts = draw(3, seed=1)
    align, speed, near = parts[0], parts[1], parts[2].abs()
    pair = kinesthetic_combination([align, near])
    assert torch.allclose(kinesthetic_combination([-align, near]), -pair)
    whole = kinesthetic_combination([align, speed, near])
    turned = kinesthetic_combination([-align, speed, near])
    forwards = speed > 0
    assert torch.allclose(turned[forwards], -whole[forwards])
    assert torch.allclose(turned[~forwards], whole[~forwards])
    assert bool((whole[~forwards] <= 0).all())


def test_gate_over_random_states() -> None:
    """Of states not aligned or driving away, KRC pays none; mean and product pay many."""
    random = torch.Generator().manual_seed(0)
    count = 20_000
    size = torch.tensor([4096.0, 5120.0, 1022.0])
    middle = torch.tensor([0.0, 0.0, 1022.0])
    ball, car = ((2 * torch.rand(2, count, 3, generator=random) - 1) * size + middle).unbind()
    way = torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=-1)
    velocity = way * 2300 * torch.rand(count, 1, generator=random)
    blue = torch.zeros(count)
    parts = torch.stack(
        [
            shapes.align(car, ball, blue),
            shapes.velocity_player_to_ball(car, velocity, ball),
            shapes.player_to_ball(car, ball, density=1.1).clamp_max(1.0),
        ]
    )
    wrong = (parts[:2] < 0).any(0)
    assert float(wrong.float().mean()) == pytest.approx(0.75, abs=0.02)

    def paid(value: torch.Tensor) -> float:
        return float((value[wrong] > 0).float().mean())

    assert 0.56 <= paid(parts.mean(0)) <= 0.59
    assert paid(parts.prod(0)) == pytest.approx(0.33, abs=0.015)
    assert paid(kinesthetic_combination(parts)) == 0.0
    potential = shapes.offensive_potential(car, velocity, ball, blue, density=1.1)
    assert torch.equal(kinesthetic_combination(parts), potential)


def test_clips_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"is 1.5 in size.*clipped"):
        value = kinesthetic_combination(torch.tensor([[1.5], [0.25]]))
    assert float(value) == 0.5
    assert float(kinesthetic_combination(torch.tensor([[1.0005], [0.25]]))) == 0.5


def test_needs_components() -> None:
    with pytest.raises(UserError, match="at least one component"):
        kinesthetic_combination([])


def test_of_any_rewards() -> None:
    flags = torch.zeros(1, 3, dtype=torch.bool)
    zeros = torch.zeros(1, 3, 1)
    rollout = Rollout(
        observation=zeros, action=zeros, next_observation=zeros, reward=torch.zeros(1, 3),
        terminated=flags, truncated=flags,
        state={"a": torch.tensor([[0.25, -0.25, -0.25]]), "b": torch.tensor([[1.0, 1.0, -1.0]])},
    )  # fmt: skip
    model = KinestheticCombination(models={"a": lambda a: a, "b": lambda b: b})
    value, extras = model(rollout)
    assert value.tolist() == [[0.5, -0.5, -0.5]]
    assert bool(extras["defined"].all())
    assert model.requires == {"state.a", "state.b"}
