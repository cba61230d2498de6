from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces

from reward_models.check import check_reward
from reward_models.errors import UserError
from reward_models.kinesthetic.pressure import Pressure, pressure_release
from reward_models.rollout import Rollout

BOX = spaces.Box(-1.0, 1.0, (1,))
FAR, NEAR_ORANGE, NEAR_BLUE = (0.0, 0.0, 100.0), (0.0, 4500.0, 100.0), (0.0, -4500.0, 100.0)
Cutter = Callable[[Rollout, list[int]], list[Rollout]]


def test_release_oracle() -> None:
    mean, steps = torch.full((4,), 0.75), torch.tensor([30.0, 1.0, 95.0, 0.0])
    assert pressure_release(mean, steps).tolist() == pytest.approx([0.571245, 0.75, 0, 0], abs=1e-6)
    factor = pressure_release(torch.ones(1), torch.tensor([30.0]))
    assert float(factor) == pytest.approx(0.761660, abs=1e-6)


def siege(
    make: Any, steps: int, *, team: int = 0, own: Any = FAR, mate: Any = FAR, others: Any = None,
    ball: Any = NEAR_ORANGE, **events: torch.Tensor,
) -> Rollout:  # fmt: skip
    """Return steps in which ball and cars stand still, of one column in a match of two pairs."""

    def still(place: Any) -> torch.Tensor:
        return torch.tensor(place).expand(steps, 1, *torch.tensor(place).shape)

    none = torch.zeros(steps, 1)
    state = {
        "ball_position": still(ball), "car_position": still(own),
        "teammate_positions": still([mate]), "opponent_positions": still(others or [FAR, FAR]),
        "team": torch.full((steps, 1), team), "team_goal": none, "conceded": none, **events,
    }  # fmt: skip
    return make(steps, 1, mates=1, state=state)


def at_end(steps: int) -> torch.Tensor:
    flags = torch.zeros(steps, 1)
    flags[-1] = 1.0
    return flags


@pytest.mark.parametrize(
    ("own", "mate", "others", "mean"),
    [
        (NEAR_ORANGE, NEAR_ORANGE, [FAR, FAR], 1.0),  # all attackers, no defender
        (NEAR_ORANGE, FAR, [NEAR_ORANGE, FAR], 0.5),  # half and half
        (NEAR_ORANGE, FAR, [FAR, FAR], 0.75),
        (FAR, FAR, [NEAR_ORANGE, NEAR_ORANGE], 0.0),
    ],
)
def test_goals_pay_the_mean_pressure(
    make_play: Callable[..., Rollout], own: Any, mate: Any, others: Any, mean: float
) -> None:
    """Only the step of the goal pays: + to the scorers, the same with - to those who concede."""
    factor = float(pressure_release(torch.ones(1), torch.tensor([30.0])))
    places = {"own": own, "mate": mate, "others": others}
    value = Pressure()(siege(make_play, 30, **places, team_goal=at_end(30)))
    assert bool((value[:-1] == 0).all())
    assert float(value[-1]) == pytest.approx(factor * mean, abs=1e-6)
    # The same siege seen by a defender: its own team is `others`.
    seen = siege(
        make_play, 30, team=1, own=others[0], mate=others[1], others=[own, mate],
        conceded=at_end(30),
    )  # fmt: skip
    assert float(Pressure()(seen)[-1]) == pytest.approx(-factor * mean, abs=1e-6)


def leaving(make: Any, steps: int) -> Rollout:
    """Return a siege of one blue goal by one of two attackers, which ends by a clearance."""
    rollout = siege(make, steps + 1, others=[NEAR_BLUE, FAR], ball=NEAR_BLUE)
    ball = rollout["state.ball_position"].clone()
    ball[-1] = torch.tensor(FAR)
    return rollout.replace(state={**dict(rollout["state"].items()), "ball_position": ball})


def test_clearances_pay_the_defenders(make_play: Callable[..., Rollout]) -> None:
    value = Pressure()(leaving(make_play, 30))
    expected = float(pressure_release(torch.tensor([0.25]), torch.tensor([30.0])))
    assert float(value[-1]) == pytest.approx(expected, abs=1e-6)
    assert bool((value[:-1] == 0).all())
    assert float(Pressure()(leaving(make_play, 3))[-1]) > 0
    assert float(Pressure()(leaving(make_play, 2))[-1]) == 0  # too short
    assert float(Pressure(counter=0.0)(leaving(make_play, 30))[-1]) == 0


def test_after_a_goal_nothing_is_left(make_play: Callable[..., Rollout]) -> None:
    """The kick-off takes the ball out of the zone; that is no clearance."""
    rollout = leaving(make_play, 10)
    conceded = torch.zeros(11, 1)
    conceded[-2] = 1.0
    rollout = rollout.replace(state={**dict(rollout["state"].items()), "conceded": conceded})
    value = Pressure()(rollout)
    assert float(value[-2]) < 0
    assert float(value[-1]) == 0


def test_agrees_with_a_loop(make_play: Callable[..., Rollout]) -> None:
    """Against the description step by step, over random play with ends, padding and goals."""
    random = torch.Generator().manual_seed(5)
    steps, columns, zone = 60, 6, 4500.0
    truncated = torch.rand(steps, columns, generator=random) < 0.05
    mask = torch.rand(steps, columns, generator=random) > 0.03
    rollout = make_play(steps, columns, mates=1, truncated=truncated, mask=mask)
    rare = {
        name: rollout[f"state.{name}"] * (torch.rand(steps, columns, generator=random) < 0.3)
        for name in ("team_goal", "conceded")
    }
    rollout = rollout.replace(state={**dict(rollout["state"].items()), **rare})
    value = Pressure(zone=zone)(rollout)
    state = rollout["state"]
    back = torch.tensor([0.0, 6000.0, 321.3875])
    for column in range(columns):
        team = int(state["team"][0, column])
        runs: dict[int, list[float]] = {0: [], 1: []}
        for t in range(steps):
            if t and (not mask[t - 1, column] or truncated[t - 1, column]):
                runs = {0: [], 1: []}
            if not mask[t, column]:
                runs = {0: [], 1: []}
                continue
            here = {name: item[t, column] for name, item in state.items()}
            own = [here["car_position"], *here["teammate_positions"]]
            cars = {team: own, 1 - team: list(here["opponent_positions"])}
            goal = bool(here["team_goal"] > 0) or bool(here["conceded"] > 0)
            expected = 0.0
            for attackers, record in runs.items():
                target = back * torch.tensor([1.0, 1.0 - 2.0 * attackers, 1.0])

                def inside(place: torch.Tensor, target: torch.Tensor = target) -> float:
                    return float((place - target).norm() - 972.75 < zone)

                def share(side: int, inside: Any = inside) -> float:
                    return sum(map(inside, cars[side])) / len(cars[side])

                if inside(here["ball_position"]):
                    record.append(0.5 + 0.5 * (share(attackers) - share(1 - attackers)))
                elif attackers != team and len(record) >= 3 and not goal:
                    expected += (1 - min(len(record) - 1, 90) / 90) ** 0.7 * (
                        1 - sum(record) / len(record)
                    )
                if record and inside(here["ball_position"]):
                    paid = (1 - min(len(record) - 1, 90) / 90) ** 0.7 * sum(record) / len(record)
                    if attackers == team and here["team_goal"] > 0:
                        expected += paid
                    if attackers != team and here["conceded"] > 0:
                        expected -= paid
                if goal or not inside(here["ball_position"]):
                    runs[attackers] = []
            assert float(value[t, column]) == pytest.approx(expected, abs=1e-5), (t, column)
    assert int((value != 0).sum()) > 20


@pytest.mark.parametrize("at", [[1], [7, 20, 21], list(range(1, 30))])
def test_cut_rollouts_pay_the_same(
    make_play: Callable[..., Rollout], cut_rollout: Cutter, at: list[int]
) -> None:
    random = torch.Generator().manual_seed(6)
    truncated = torch.rand(30, 8, generator=random) < 0.05
    goals = (torch.rand(30, 8, generator=random) < 0.1).float()
    rollout = make_play(30, 8, mates=1, truncated=truncated, state={"team_goal": goals})
    whole = Pressure(zone=4500.0)(rollout)
    model, pieces = Pressure(zone=4500.0), []
    for piece in cut_rollout(rollout, at):
        pieces.append(model(piece))
        model.update(piece)
    assert torch.allclose(whole, torch.cat(pieces), atol=1e-6)


def test_refuses() -> None:
    for options in ({"zone": 0.0}, {"horizon": -1.0}, {"counter_steps": 0},
                    {"offensive": float("inf")}):  # fmt: skip
        with pytest.raises(UserError, match=next(iter(options))):
            Pressure(**options)


def test_keeps_the_contract(make_play: Callable[..., Rollout]) -> None:
    rollouts = [make_play(seed=k, mates=1) for k in range(2)]
    report = check_reward(
        Pressure(zone=4500.0), observation_space=BOX, action_space=BOX, rollouts=rollouts
    )
    assert report.ok, report
