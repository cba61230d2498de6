from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces

from reward_models.base import Scope
from reward_models.check import check_reward
from reward_models.errors import UserError
from reward_models.kinesthetic.team_spirit import TeamSpirit, team_spirit
from reward_models.refusals import transition_refusal
from reward_models.rollout import Rollout

BOX = spaces.Box(-1.0, 1.0, (1,))


def goals(goal: torch.Tensor) -> torch.Tensor:
    """A reward to share."""
    return goal


def test_oracle() -> None:
    value = team_spirit(torch.tensor([1.0, 0, -0.5, 0.5]), torch.tensor([0, 0, 1, 1]), spirit=0.3)
    assert value.tolist() == pytest.approx([0.85, 0.15, -0.85, -0.15])
    assert float(value.sum()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("spirit", [0.0, 0.3, 1.0])
def test_zero_sum_for_equal_teams(spirit: float) -> None:
    """In every match, whatever the order of its columns."""
    random = torch.Generator().manual_seed(0)
    side = torch.arange(8).repeat_interleave(3)[torch.randperm(24, generator=random)]
    reward = torch.randn(50, 24, generator=random)
    value = team_spirit(reward, side, spirit=spirit)
    for match in range(4):
        assert torch.allclose(value[:, side // 2 == match].sum(1), torch.zeros(50), atol=1e-5)
    if spirit == 1.0:
        assert torch.allclose(value[:, side == 0], value[:, side == 0][:, :1].expand(-1, 3))


def test_alone_there_are_no_opponents() -> None:
    value = team_spirit(torch.tensor([2.0]), torch.tensor([0]), spirit=0.3)
    assert float(value) == 2.0


def pairs(make: Any, **state: Any) -> Rollout:
    columns = torch.arange(8)
    placed = {
        "match": columns // 4 + 7, "team": columns % 4 // 2, "cars_in_match": 0 * columns + 4,
    }  # fmt: skip
    expanded = {name: value.expand(6, 8) for name, value in placed.items()}
    return make(6, 8, state={**expanded, **state})


def test_shares_any_reward(make_play: Callable[..., Rollout]) -> None:
    rollout = pairs(make_play)
    model = TeamSpirit(model=goals, spirit=0.3)
    value, extras = model(rollout)
    own = rollout["state.goal"]
    assert torch.equal(extras["own"], own)
    match = own.reshape(6, 2, 2, 2)
    mean = match.mean(-1, keepdim=True)
    expected = 0.3 * mean + 0.7 * match - mean.flip(2)
    assert torch.allclose(value, expected.reshape(6, 8))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    shuffled = Rollout(**{key: item[:, order] for key, item in rollout.data.items()})
    assert torch.allclose(model(shuffled)[0], value[:, order])


def test_undefined_for_the_whole_match(make_play: Callable[..., Rollout]) -> None:
    rollout = pairs(make_play)
    somewhere = torch.ones(6, 8, dtype=torch.bool)
    somewhere[2, 5] = False
    model = TeamSpirit(model=lambda rollout: (rollout["state.goal"], {"defined": somewhere}))
    value, extras = model(rollout)
    assert extras["defined"][2].tolist() == [True] * 4 + [False] * 4
    assert bool(extras["defined"][[0, 1, 3, 4, 5]].all())
    assert bool((value[2, 4:] == 0).all())


def test_by_name(make_play: Callable[..., Rollout]) -> None:
    model = TeamSpirit(
        model={"use": "match_events", "weights": {"goal": 10.0}}, observation_space=BOX,
        action_space=BOX,
    )  # fmt: skip
    rollout = pairs(make_play)
    assert torch.allclose(model(rollout)[0], 10 * TeamSpirit(model=goals)(rollout)[0])
    assert {"state.goal", "state.match", "state.team", "state.cars_in_match"} == model.requires
    potential = TeamSpirit(
        model="kinesthetic_potential", observation_space=BOX, action_space=BOX, gamma=0.9
    )
    with pytest.raises(UserError, match="gamma"):
        potential.bind_discount(0.95)


def test_refuses(make_play: Callable[..., Rollout]) -> None:
    model = TeamSpirit(model=goals)
    with pytest.raises(UserError, match=r"match of column 0 has 6 cars and 4 columns.*opponent"):
        model(pairs(make_play, cars_in_match=torch.full((6, 8), 6)))
    moving = torch.arange(6)[:, None].expand(6, 8) % 2
    with pytest.raises(UserError, match="changes within a rollout"):
        model(pairs(make_play, team=moving))
    with pytest.raises(UserError, match="spirit must lie"):
        TeamSpirit(model=goals, spirit=1.5)
    with pytest.raises(UserError, match="observation_space"):
        TeamSpirit(model="match_events")
    assert model.scope is Scope.GROUP
    assert "whole group" in (transition_refusal(model) or "")


def test_keeps_the_contract(make_play: Callable[..., Rollout]) -> None:
    rollouts = [pairs(make_play), pairs(make_play)]
    report = check_reward(
        TeamSpirit(model=goals), observation_space=BOX, action_space=BOX, rollouts=rollouts
    )
    assert report.ok, report
    assert {"edges", "padding"} <= set(report.passed)


def test_keeps_the_contract_on_real_matches() -> None:
    pytest.importorskip("RocketSim")
    from ctrl.checking import check_on_env

    report = check_on_env(
        "team_spirit", env="RocketLeague2v2-v0", steps=64, options=["model=match_events"]
    )
    assert report.ok, report
