from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces

from reward_models.check import check_reward
from reward_models.errors import UnknownNameError, UserError
from reward_models.kinesthetic.match_events import EVENTS, LUCY, MatchEvents
from reward_models.kinesthetic.shapes import speed_to_goal
from reward_models.rollout import Rollout

BOX = spaces.Box(-1.0, 1.0, (1,))
Cutter = Callable[[Rollout, list[int]], list[Rollout]]


def run(model: MatchEvents, rollouts: list[Rollout]) -> torch.Tensor:
    values = []
    for rollout in rollouts:
        values.append(model(rollout))
        model.update(rollout)
    return torch.cat(values)


def test_counted_events_pay_their_weights(make_play: Callable[..., Rollout]) -> None:
    rollout = make_play()
    counted = {name: weight for name, weight in LUCY.items() if "acceleration" not in name}
    state = rollout["state"]
    expected = sum(weight * state[name] for name, weight in counted.items())
    assert torch.allclose(MatchEvents(weights=counted)(rollout), expected)
    assert MatchEvents(weights={"goal": 1.0}).requires == {"state.goal"}
    assert MatchEvents(weights={"goal": 1.0}).replayable


def test_height_of_touches(make_play: Callable[..., Rollout]) -> None:
    rollout = make_play()
    height = rollout["state.touch"] * rollout["state.ball_position"][..., 2] / 2044.0
    assert torch.allclose(MatchEvents(weights={"touch_height": 2.0})(rollout), 2.0 * height)


def test_acceleration_by_hand(make_play: Callable[..., Rollout]) -> None:
    """U of the step before is carried through the episode and is 0 before its first step."""
    ball = torch.zeros(4, 1, 3)
    velocity = torch.zeros(4, 1, 3)
    velocity[:, 0, 1] = torch.tensor([230.0, 690.0, -460.0, 1150.0])
    goal_height = torch.tensor([0.0, 0.0, 321.3875])
    flags = torch.tensor([[False], [False], [True], [False]])
    touch = torch.tensor([[1.0], [0.0], [1.0], [1.0]])
    model = MatchEvents(weights={"touch_to_goal_acceleration": 1.0})
    for team, sign in ((0, 1.0), (1, -1.0)):
        rollout = make_play(
            4, 1, truncated=flags,
            state={"ball_position": ball + goal_height, "ball_velocity": velocity, "touch": touch,
                   "team": torch.full((4, 1), team)},
        )  # fmt: skip
        value = model(rollout).flatten().tolist()
        assert value == pytest.approx([sign * x for x in (0.1, 0.0, -0.5, 0.5)], abs=1e-6)


@pytest.mark.parametrize("counters", [False, True])
@pytest.mark.parametrize("at", [[1], [2, 5, 6], list(range(1, 12))])
def test_cut_rollouts_pay_the_same(
    make_play: Callable[..., Rollout], cut_rollout: Cutter, counters: bool, at: list[int]
) -> None:
    random = torch.Generator().manual_seed(3)
    truncated = torch.rand(12, 5, generator=random) < 0.2
    rollout = make_play(12, 5, truncated=truncated)
    options: dict[str, Any] = {"weights": dict.fromkeys(EVENTS, 1.0), "counters": counters}
    whole = MatchEvents(**options)(rollout)
    assert torch.allclose(whole, run(MatchEvents(**options), cut_rollout(rollout, at)), atol=1e-6)


def test_running_totals(make_play: Callable[..., Rollout]) -> None:
    """Totals that begin anew with an episode pay what they grew by, and never less than 0."""
    total = torch.tensor([[1.0], [1.0], [3.0], [1.0], [0.0]])
    ends = torch.tensor([[False], [False], [True], [False], [False]])
    rollout = make_play(5, 1, truncated=ends, state={"goal": total})
    model = MatchEvents(weights={"goal": 10.0}, counters=True)
    assert model(rollout).flatten().tolist() == [10.0, 0.0, 20.0, 10.0, 0.0]
    assert not model.replayable


def test_speed_is_remembered(make_play: Callable[..., Rollout], cut_rollout: Cutter) -> None:
    first, second = cut_rollout(make_play(8, 3), [4])
    model = MatchEvents()
    model.update(first)
    state = first["state"][-1]
    speed = speed_to_goal(state["ball_position"], state["ball_velocity"], state["team"].float())
    assert torch.allclose(model.state_dict()["memory.speed"], speed)
    other = MatchEvents()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(second), model(second))


def test_refuses() -> None:
    with pytest.raises(UnknownNameError, match="conceded"):
        MatchEvents(weights={"concede": -3.0})
    with pytest.raises(UserError, match="at least one weight"):
        MatchEvents(weights={"goal": 0.0})
    with pytest.raises(UserError, match="weight of goal must be finite"):
        MatchEvents(weights={"goal": float("nan")})


@pytest.mark.parametrize("options", [{}, {"weights": {"goal": 1.0}}, {"counters": True}])
def test_keeps_the_contract(make_play: Callable[..., Rollout], options: dict[str, Any]) -> None:
    rollouts = [make_play(seed=k) for k in range(2)]
    report = check_reward(
        MatchEvents(**options), observation_space=BOX, action_space=BOX, rollouts=rollouts
    )
    assert report.ok, report
