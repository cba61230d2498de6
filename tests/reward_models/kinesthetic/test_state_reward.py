from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from gymnasium import spaces

from reward_models.check import check_reward
from reward_models.errors import UnknownNameError, UserError
from reward_models.kinesthetic import shapes
from reward_models.kinesthetic.state_reward import KinestheticReward
from reward_models.rollout import Rollout

BOX = spaces.Box(-1.0, 1.0, (1,))


def test_weights_options_and_own_names(make_play: Callable[..., Rollout]) -> None:
    rollout = make_play()
    state = rollout["state"]
    model = KinestheticReward(
        terms={
            "align": 0.5,
            "near": {"use": "player_to_ball", "weight": 2.0, "density": 1.1},
            "player_to_ball": {},
        }
    )
    car, ball, team = state["car_position"], state["ball_position"], state["team"].float()
    expected = (
        0.5 * shapes.align(car, ball, team)
        + 2 * shapes.player_to_ball(car, ball, density=1.1)
        + shapes.player_to_ball(car, ball)
    )
    assert torch.allclose(model(rollout), expected, atol=1e-6)
    assert model.requires == {"state.car_position", "state.ball_position", "state.team"}


def test_default_is_the_potential_of_lucy(make_play: Callable[..., Rollout]) -> None:
    rollout = make_play()
    state = rollout["state"]
    car, ball, team = state["car_position"], state["ball_position"], state["team"].float()
    speed = state["car_velocity"]
    expected = (
        2 * (
            shapes.ball_to_goal(ball, team, dispersion=0.6)
            - shapes.ball_to_goal(ball, team, own_goal=True, dispersion=0.4)
        )
        + 0.8 * shapes.velocity_ball_to_goal(ball, state["ball_velocity"], team)
        + 0.5 * (state["boost"] / 100).sqrt()
        + 0.6 * shapes.distance_weighted_align(car, ball, team, dispersion=1.1)
        + shapes.offensive_potential(car, speed, ball, team, density=1.1)
    )  # fmt: skip
    assert torch.allclose(KinestheticReward()(rollout), expected, atol=1e-5)


@pytest.mark.parametrize("how", ["krc", "sum", "mean", "product"])
def test_combinations(make_play: Callable[..., Rollout], how: str) -> None:
    rollout = make_play()
    one = KinestheticReward(terms={"align": {}})(rollout)
    two = KinestheticReward(terms={"player_to_ball": {"density": 1.1}})(rollout)
    model = KinestheticReward(
        terms={"all": {"weight": 3.0, how: {"align": {}, "player_to_ball": {"density": 1.1}}}}
    )
    expected = {
        "krc": one.sign() * (one * two).abs().sqrt(),
        "sum": one + two,
        "mean": (one + two) / 2,
        "product": one * two,
    }[how]
    assert torch.allclose(model(rollout), 3 * expected, atol=1e-6)


def test_other_names_and_another_field(make_play: Callable[..., Rollout]) -> None:
    """A planar game with its own names: the same formulas on its own measures."""
    puck = torch.rand(6, 4, 2)
    rollout = make_play(state={"puck": puck})
    model = KinestheticReward(
        terms={"ball_to_goal": 1.0}, names={"ball_position": "puck"},
        field={"goal_y": 1.2, "back_wall_y": 1.0, "ball_radius": 0.1, "ball_max_speed": 3.0},
    )  # fmt: skip
    assert model.requires == {"state.puck", "state.team"}
    team = rollout["state.team"].float()
    goal = torch.stack([torch.zeros_like(team), 1.2 - 2.4 * team], -1)
    expected = torch.exp(-0.5 * ((puck - goal).norm(dim=-1) - 0.3) / 3.0)
    assert torch.allclose(model(rollout), expected, atol=1e-6)


class TestBoost:
    terms: dict[str, Any] = {"save_boost": 1.0}  # noqa: RUF012

    def test_units(self, make_play: Callable[..., Rollout]) -> None:
        percent = make_play()
        fraction = make_play(state={"boost": percent["state.boost"] / 100})
        one = KinestheticReward(terms=self.terms)(percent)
        two = KinestheticReward(terms=self.terms, boost_unit="fraction")(fraction)
        assert torch.allclose(one, two)

    def test_percent_where_a_fraction_is_expected(self, make_play: Callable[..., Rollout]) -> None:
        model = KinestheticReward(terms=self.terms, boost_unit="fraction")
        with pytest.raises(UserError, match=r"state.boost must lie in 0 to 1 .*boost_unit: perc"):
            model(make_play())

    def test_fraction_where_percent_is_expected(self, make_play: Callable[..., Rollout]) -> None:
        rollout = make_play(16, 4, state={"boost": torch.rand(16, 4)})
        with pytest.warns(UserWarning, match="say boost_unit: fraction"):
            KinestheticReward(terms=self.terms)(rollout)
        empty = make_play(16, 4, state={"boost": torch.zeros(16, 4)})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert bool((KinestheticReward(terms=self.terms)(empty) == 0).all())

    def test_more_than_full(self, make_play: Callable[..., Rollout]) -> None:
        with pytest.raises(UserError, match="0 to 100"):
            KinestheticReward(terms=self.terms)(make_play(state={"boost": torch.full((6, 4), 101)}))


def test_missing_quantity_is_named(make_play: Callable[..., Rollout]) -> None:
    model = KinestheticReward(names={"ball_position": "ball_positions"})
    with pytest.raises(UnknownNameError, match=r"state.ball_positions.*state.ball_position'"):
        model(make_play())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"terms": {}}, "at least one term"),
        ({"terms": {"aligned": 1.0}}, "align"),
        ({"terms": {"align": {"dispersions": 1.0}}}, "defence_factor"),
        ({"terms": {"player_to_ball": {"density": -1.0}}}, "density must be positive"),
        ({"terms": {"player_to_ball": {"density": "big"}}}, "finite number"),
        ({"terms": {"a": {"krc": {"align": 0.5}}}}, "weights mean nothing"),
        ({"terms": {"a": {"krc": {"align": {}}, "sum": {"align": 1}}}}, "one combination"),
        ({"terms": {"a": {"krc": {}}}}, "at least one term"),
        ({"terms": {"align": [1]}}, "weight or a mapping"),
        ({"names": {"puck": "ball"}}, "quantity"),
        ({"boost_unit": "litres"}, "fraction, percent"),
        ({"field": {"goal_y": -1.0}}, "positive"),
    ],
)
def test_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        KinestheticReward(**options)


def test_wrong_shapes_and_teams(make_play: Callable[..., Rollout]) -> None:
    with pytest.raises(UserError, match=r"state.car_position must be.*\[6, 4, 4\]"):
        KinestheticReward()(make_play(state={"car_position": torch.zeros(6, 4, 4)}))
    with pytest.raises(UserError, match="must be 0 or 1, got 2"):
        KinestheticReward()(make_play(state={"team": torch.full((6, 4), 2)}))


def test_keeps_the_contract(make_play: Callable[..., Rollout]) -> None:
    rollouts = [make_play(seed=k) for k in range(2)]
    report = check_reward(
        KinestheticReward(), observation_space=BOX, action_space=BOX, rollouts=rollouts
    )
    assert report.ok, report
