"""Rewards are the same numbers whether RLGym calls them or a mix does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

pytest.importorskip("rlgym.rocket_league")

from rlgym.api import StateMutator
from rlgym.rocket_league.reward_functions import CombinedReward, GoalReward, TouchReward
from rlgym.rocket_league.state_mutators import (
    FixedTeamSizeMutator,
    KickoffMutator,
    MutatorSequence,
)

from ctrl.rlgym_rewards import ModelReward
from envs.rocket_league.actions import ACTION_TABLE
from envs.rocket_league.rlgym_components import ComponentError
from envs.rocket_league.rlgym_environment import make_single, make_vector
from envs.rocket_league.rlgym_fast import with_rlgym
from reward_models.base import RewardModel, as_reward_model, split_output
from reward_models.curiosity.rnd import RND
from reward_models.errors import UnknownNameError, UserError
from reward_models.kinesthetic.match_events import EVENTS, MatchEvents
from reward_models.kinesthetic.pressure import Pressure
from reward_models.kinesthetic.state_potential import KinestheticPotential
from reward_models.kinesthetic.state_reward import KinestheticReward
from reward_models.kinesthetic.team_spirit import TeamSpirit
from reward_models.mix import RewardMix, Term
from reward_models.quantity import Quantity
from reward_models.rollout import Rollout

GAMMA, STEPS = 0.995, 26
FORWARDS = int(np.flatnonzero((ACTION_TABLE == [1, 0, 0, 0, 0, 0, 1, 0]).all(1))[0])
MODELS: dict[str, Callable[[], RewardModel]] = {
    "moment": KinestheticReward,
    "invariant": lambda: KinestheticPotential(gamma=GAMMA),
    "published": lambda: KinestheticPotential(gamma=GAMMA, setting="published", slope=0.5),
    "events": lambda: MatchEvents(weights=dict.fromkeys(EVENTS, 1.0)),
    "pressure": Pressure,
    "shared": lambda: TeamSpirit(model=KinestheticPotential(gamma=GAMMA), spirit=0.3),
    "function": lambda: as_reward_model(lambda car_velocity: car_velocity.norm(dim=-1)),
}
LIMIT = {"TimeoutCondition": 1.25}


def places(team: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions ``[C, 3]`` and yaw ``[C]`` of cars that look at the ball."""
    side = 1.0 - 2.0 * team
    aside = np.array([60.0 * (-1) ** place for place in range(len(team))])
    position = np.stack([aside, -900.0 * side, np.full(len(team), 17.0)], axis=-1)
    return position, 0.5 * np.pi * side


def near_ball(start: Any, random: np.random.Generator) -> None:
    """Begin the fast matches there."""
    count = len(start.boost)
    team = np.repeat([0, 1], count // 2)
    start.car_position[:], start.car_rotation[:, 0] = places(team)


class NearBall(StateMutator[Any]):
    """Begin RLGym's matches there."""

    def apply(self, state: Any, shared_info: dict[str, Any]) -> None:
        """Move the cars of a kick-off."""
        cars = list(state.cars.values())
        team = np.array([car.team_num for car in cars])
        for car, position, yaw in zip(cars, *places(team), strict=True):
            car.physics.position = position.astype(np.float32)
            car.physics.euler_angles = np.array([0.0, yaw, 0.0], dtype=np.float32)


def rlgym(size: int, **options: Any) -> Any:
    """Return RLGym's own matches of two teams near the ball, cut after 1.25 seconds."""
    begin = MutatorSequence(FixedTeamSizeMutator(size, size), KickoffMutator(), NearBall())
    return make_vector(2 * size, state_mutator=begin, truncation_cond=LIMIT, **options)


def play(env: Any, seed: int = 0) -> tuple[Rollout, np.ndarray]:
    """Drive to the ball, every other car not always; return the record and rewards."""
    env.reset(seed=seed)
    draw = np.random.default_rng(seed)
    flags, rewards, states = [], [], []
    for _ in range(STEPS):
        wild = (draw.random(env.num_envs) < 0.3) & (np.arange(env.num_envs) % 2 == 1)
        actions = np.where(wild, draw.integers(90, size=env.num_envs), FORWARDS)
        _, reward, terminated, truncated, infos = env.step(actions)
        flags.append((terminated.copy(), truncated.copy()))
        rewards.append(reward.copy())
        states.append({k: v for k, v in infos.items() if not k.endswith("final_obs")})
    env.close()
    terminated, truncated = (np.array(flag) for flag in zip(*flags, strict=True))
    nothing = torch.zeros(STEPS, env.num_envs, 0)
    rollout = Rollout(
        observation=nothing, action=nothing, next_observation=nothing,
        reward=torch.zeros(STEPS, env.num_envs), terminated=torch.as_tensor(terminated),
        truncated=torch.as_tensor(truncated),
        state={name: np.array([state[name] for state in states]) for name in states[0]},
    )  # fmt: skip
    return rollout, np.array(rewards)


@pytest.mark.parametrize(("make", "size"), [("rlgym", 1), ("rlgym", 2), ("fast", 2)])
def test_models_as_reward_functions(make: str, size: int) -> None:
    """Called by RLGym step by step, every model pays what it pays for the whole record at once."""
    paying = ModelReward(MODELS["published"]())
    terms = {name: ModelReward(build()) for name, build in MODELS.items()}
    if make == "rlgym":
        env: Any = rlgym(size, reward_fn=paying, reward_terms=terms)
    else:
        env = with_rlgym(
            2 * size, blue=size, orange=size, reward_fn=paying, reward_terms=terms,
            max_episode_steps=18, start=near_ball,
        )  # fmt: skip
    rollout, paid = play(env)
    assert bool(rollout.done[:-1].any())
    assert float(rollout["state.touch"].sum()) > 0
    for name, build in MODELS.items():
        with torch.no_grad():
            expected = split_output(build()(rollout))[0]
        if name != "pressure":  # which pays at goals and clearances only
            assert float(expected.abs().max()) > 0.02, name
        assert np.allclose(rollout[f"state.rlgym_{name}"], expected, atol=1e-5, rtol=1e-5), name
        if name == "published":
            assert np.allclose(paid, expected, atol=1e-5, rtol=1e-5)


def test_combined_with_rlgyms_own() -> None:
    both = CombinedReward((ModelReward(KinestheticReward()), 0.5), (TouchReward(), 2.0))
    rollout, paid = play(rlgym(1, reward_fn=both))
    expected = 0.5 * KinestheticReward()(rollout) + 2 * (rollout["state.touch"] > 0)
    assert np.allclose(paid, expected.detach(), atol=1e-5)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("make", ["rlgym", "fast"])
def test_rlgym_functions_as_terms(make: str, size: int) -> None:
    """What a mix pays for two reward functions equals what RLGym's CombinedReward pays."""
    terms = {"goal": GoalReward, "touch": TouchReward()}
    paid = CombinedReward((GoalReward(), 10.0), (TouchReward(), 0.5))
    if make == "rlgym":
        env: Any = rlgym(size, reward_fn=paid, reward_terms=terms)
    else:
        env = with_rlgym(
            2 * size, blue=size, orange=size, reward_fn=paid, reward_terms=terms,
            max_episode_steps=18, start=near_ball,
        )  # fmt: skip
    assert {"rlgym_goal", "rlgym_touch"} <= set(env.info_keys)
    rollout, expected = play(env, seed=3)
    mix = RewardMix(
        {
            "task": 0.0,
            "goal": Term(Quantity(name="rlgym_goal"), weight=10.0),
            "touch": Term(Quantity(name="rlgym_touch"), weight=0.5),
        },
        gamma=GAMMA,
    )
    assert mix.requires == {"state.rlgym_goal", "state.rlgym_touch"}
    mixed, _ = mix.collect(rollout, steps=0)
    assert float(rollout["state.rlgym_touch"].sum()) > 0
    assert np.allclose(mixed.total, expected, atol=1e-6)


def test_terms_without_a_paying_function_leave_the_reward() -> None:
    env = with_rlgym(2, reward_terms={"touch": TouchReward}, start=near_ball)
    plain = with_rlgym(2, start=near_ball)
    (one, paid), (two, expected) = play(env), play(plain)
    assert np.array_equal(paid, expected)
    assert float(one["state.touch"].sum()) > 0
    assert np.array_equal(one["state.touch"] > 0, one["state.rlgym_touch"] > 0)
    assert "state.rlgym_touch" not in two


def test_terms_of_one_car() -> None:
    env = make_single(reward_terms={"touch": "TouchReward"})
    _, info = env.reset(seed=0)
    assert info["rlgym_touch"] == 0.0
    *_, info = env.step(0)
    assert set(info) == set(env.info_keys)
    env.close()


def test_refuses() -> None:
    with pytest.raises(UnknownNameError, match=r"state\.car_uq.*Did you mean 'state.car_up'"):
        ModelReward(lambda car_uq: car_uq)
    with pytest.raises(UserError, match="reads the task reward"):
        ModelReward(lambda reward: reward)
    box = spaces.Box(-1.0, 1.0, (3,))
    with pytest.raises(UserError, match="learns from rollouts"):
        ModelReward(RND(observation_space=box))
    with pytest.raises(UserError, match=r"gamma=0\.9"):
        ModelReward(KinestheticPotential(gamma=0.9), gamma=0.99)
    with pytest.raises(ComponentError, match="reward_terms must be a mapping"):
        make_vector(2, reward_terms={"two words": TouchReward})
    with pytest.raises(ComponentError, match="reward_fn must be"):
        make_vector(2, reward_terms={"a": 3})
    with pytest.raises(UserError, match="Call reset"):
        ModelReward(KinestheticReward()).get_rewards([], None, {}, {}, {})
