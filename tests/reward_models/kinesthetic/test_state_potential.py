from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces

from reward_models.check import check_reward
from reward_models.errors import UnknownNameError, UserError
from reward_models.kinesthetic.state_potential import KinestheticPotential
from reward_models.mix import RewardMix
from reward_models.rollout import Rollout

GAMMA = 0.995
Cutter = Callable[[Rollout, list[int]], list[Rollout]]
ONE = {"save_boost": 1.0}  # a potential that is known: sqrt of the boost


def of_potentials(make: Any, phi: torch.Tensor, **entries: Any) -> Rollout:
    """Return a rollout in which `ONE` is worth phi after each step."""
    steps, columns = phi.shape
    return make(steps, columns, state={"boost": 100 * phi.square()}, **entries)


def run(model: KinestheticPotential, rollouts: list[Rollout]) -> torch.Tensor:
    values = []
    for rollout in rollouts:
        values.append(model(rollout))
        model.update(rollout)
    return torch.cat(values)


def test_published_oracle(make_play: Callable[..., Rollout]) -> None:
    phi = torch.tensor([[0.2], [0.5], [0.1]])
    rollout = of_potentials(make_play, phi)
    model = KinestheticPotential(terms=ONE, setting="published", gamma=GAMMA)
    assert model(rollout).flatten().tolist() == pytest.approx([0.0, 0.2975, -0.4005], abs=1e-6)
    model = KinestheticPotential(terms=ONE, setting="published", slope=0.5, gamma=GAMMA)
    assert model(rollout).flatten().tolist() == pytest.approx([0.0, 0.2975, -0.20025], abs=1e-6)


@pytest.mark.parametrize("ends", ["terminated", "truncated"])
def test_sums_over_an_episode(make_play: Callable[..., Rollout], ends: str) -> None:
    """Invariant: 0 where the task ends it, gamma^n Phi where cut; published: Phi either way."""
    phi = torch.rand(7, 3, generator=torch.Generator().manual_seed(2))
    flags = torch.zeros(7, 3, dtype=torch.bool)
    flags[-1] = True
    rollout = of_potentials(make_play, phi, **{ends: flags})
    weights = GAMMA ** torch.arange(7.0)[:, None]
    last = GAMMA**7 * phi[-1]
    model = KinestheticPotential(terms=ONE, gamma=GAMMA)
    total = (weights * model(rollout)).sum(0)
    assert torch.allclose(total, torch.zeros(3) if ends == "terminated" else last, atol=1e-6)
    model = KinestheticPotential(terms=ONE, setting="published", gamma=GAMMA)
    total = (weights * model(rollout)).sum(0)
    assert torch.allclose(total, last - GAMMA * phi[0], atol=1e-6)


@pytest.mark.parametrize("setting", ["invariant", "published"])
@pytest.mark.parametrize("at", [[1], [3], [2, 5, 6], list(range(1, 12))])
def test_cut_rollouts_pay_the_same(
    make_play: Callable[..., Rollout], cut_rollout: Cutter, setting: str, at: list[int]
) -> None:
    """Phi of the step before is remembered; episodes end inside, at and after borders."""
    random = torch.Generator().manual_seed(1)
    terminated = torch.rand(12, 5, generator=random) < 0.15
    truncated = (torch.rand(12, 5, generator=random) < 0.15) & ~terminated
    rollout = make_play(12, 5, terminated=terminated, truncated=truncated)
    whole = KinestheticPotential(setting=setting, gamma=GAMMA)(rollout)
    cut = run(KinestheticPotential(setting=setting, gamma=GAMMA), cut_rollout(rollout, at))
    assert torch.allclose(whole, cut, atol=1e-6)
    begins = torch.cat([torch.ones(1, 5, dtype=torch.bool), rollout.done[:-1]])
    assert bool((whole[begins] == 0).all()) == (setting == "published")


def test_state_survives_saving(make_play: Callable[..., Rollout], cut_rollout: Cutter) -> None:
    first, second = cut_rollout(make_play(8, 3), [4])
    model, other = (KinestheticPotential(gamma=GAMMA) for _ in range(2))
    model.update(first)
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(second), other(second))
    assert not torch.allclose(KinestheticPotential(gamma=GAMMA)(second)[0], other(second)[0])


def test_reports_what_terminal_states_keep(make_play: Callable[..., Rollout]) -> None:
    flags = torch.zeros(3, 1, dtype=torch.bool)
    flags[-1] = True
    rollout = of_potentials(make_play, torch.tensor([[0.2], [0.4], [0.6]]), terminated=flags)
    model = KinestheticPotential(terms=ONE, setting="published", gamma=0.5)
    assert model.update(rollout) == pytest.approx({"potential": 0.4, "kept_terminal": 0.3})
    model = KinestheticPotential(terms=ONE, gamma=0.5)
    assert model.update(rollout) == pytest.approx({"potential": 0.4})
    assert not model.learns


def test_discount_is_the_learners(make_play: Callable[..., Rollout]) -> None:
    with pytest.raises(UserError, match=r"built with gamma=0.9.*gamma=0.99"):
        RewardMix({"p": KinestheticPotential(gamma=0.9)}, gamma=0.99)
    with pytest.raises(UserError, match="has no gamma"):
        KinestheticPotential()(make_play())


def test_refuses_options() -> None:
    with pytest.raises(UnknownNameError, match="invariant"):
        KinestheticPotential(setting="invariants")
    with pytest.raises(UserError, match="setting: published"):
        KinestheticPotential(slope=0.5)
    with pytest.raises(UserError, match="slope must be positive"):
        KinestheticPotential(slope=0.0, setting="published")
    with pytest.raises(UserError, match="gamma must lie"):
        KinestheticPotential(gamma=1.5)


@pytest.mark.parametrize("setting", ["invariant", "published"])
def test_keeps_the_contract(make_play: Callable[..., Rollout], setting: str) -> None:
    rollouts = [make_play(seed=k, columns=4) for k in range(2)]
    box = spaces.Box(-1.0, 1.0, (1,))
    report = check_reward(
        KinestheticPotential(setting=setting), observation_space=box, action_space=box,
        rollouts=rollouts,
    )  # fmt: skip
    assert report.ok, report
