"""The fast matches are RLGym's matches: same physics, same game states, same numbers."""

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

pytest.importorskip("rlgym.rocket_league")

import RocketSim
from rlgym.api import RewardFunction, SharedInfoProvider, StateMutator
from rlgym.rocket_league.done_conditions import GoalCondition, TimeoutCondition
from rlgym.rocket_league.obs_builders import DefaultObs
from rlgym.rocket_league.reward_functions import CombinedReward, GoalReward, TouchReward
from rlgym.rocket_league.state_mutators import FixedTeamSizeMutator, MutatorSequence

from envs.errors import ActionError, VectorizationError
from envs.rocket_league.matches import Matches
from envs.rocket_league.rlgym_components import ComponentError, build_match
from envs.rocket_league.rlgym_environment import make_vector
from envs.rocket_league.rlgym_fast import with_rlgym
from envs.rocket_league.rlgym_game_state import GameStates
from envs.rocket_league.vector import RocketLeagueVectorEnv


class Copied(StateMutator):
    """Begins RLGym's matches in the state in which a fast one began.

    Args:
        start: that state.
    """

    def __init__(self, start):
        self.start = start

    def apply(self, state, shared_info):
        start = self.start
        state.ball.position = start.ball_position.astype(np.float32)
        state.ball.linear_velocity = start.ball_velocity.astype(np.float32)
        state.ball.angular_velocity = start.ball_angular_velocity.astype(np.float32)
        for place, car in enumerate(state.cars.values()):
            car.physics.position = start.car_position[place].astype(np.float32)
            car.physics.linear_velocity = start.car_velocity[place].astype(np.float32)
            car.physics.angular_velocity = start.car_angular_velocity[place].astype(np.float32)
            axes = RocketSim.Angle(*start.car_rotation[place].tolist()).as_rot_mat().as_numpy()
            car.physics.rotation_mtx = axes.reshape(3, 3).T
            car.boost_amount = float(start.boost[place])
            car.on_ground = bool(start.on_ground[place])


def same_start(team, start):
    """Return a state mutator for RLGym that gives the start of the fast matches."""
    return MutatorSequence(FixedTeamSizeMutator(team, team), Copied(start))


def fields(state):
    """Return everything that a GameState says, by name."""
    found = {
        "tick_count": state.tick_count,
        "goal_scored": state.goal_scored,
        "pads": state.boost_pad_timers,
    }
    bodies = {"ball": state.ball, **{name: car.physics for name, car in state.cars.items()}}
    for name, body in bodies.items():
        for part in ("position", "linear_velocity", "angular_velocity", "rotation_mtx"):
            found[f"{name}.{part}"] = getattr(body, part)
    for name, car in state.cars.items():
        for part in car.__slots__:
            if "physics" not in part:
                found[f"{name}.{part}"] = getattr(car, part)
    return found


@pytest.mark.parametrize("team", [1, 2, 3])
def test_that_physics_and_game_states_are_those_of_rlgym_bit_for_bit(team):
    drawn = []
    matches = Matches(
        1, team, team, np.arange(2 * team), start=lambda start, random: drawn.append(start)
    )
    games = GameStates(matches.arenas)
    matches.seed(0, team)
    matches.reset(np.array([0]))
    mutator = same_start(team, drawn[0])
    plain = build_match(state_mutator=mutator, termination_cond=None, truncation_cond=None)
    plain.reset()
    random = np.random.default_rng(team)
    first = fields(games.begin(0))
    for name, value in fields(plain.state).items():
        assert np.array_equal(first[name], value), name
    for step in range(200):
        if step % 4 == 0:
            actions = random.integers(90, size=2 * team)
        matches.step(actions)
        plain.step({name: actions[i : i + 1] for i, name in enumerate(games.agents)})
        mine = fields(games.read(0))
        for name, value in fields(plain.state).items():
            assert np.array_equal(mine[name], value), (step, name)


def test_that_components_give_the_same_numbers_on_both_paths():
    def reward():
        return CombinedReward((GoalReward(), 10.0), (TouchReward(), 0.5))

    drawn = []

    def roll_in(start, random):
        start.ball_position[:] = [0, 4300, 150]
        start.ball_velocity[:] = [0, -300, 0]
        start.car_position[0, :2] = [0, 3800]
        start.car_position[1, :2] = [2000, 0]
        start.car_rotation[0, 0] = np.pi / 2
        drawn.append(start)

    components = {
        "obs_builder": DefaultObs,
        "reward_fn": reward,
        "termination_cond": GoalCondition,
        "truncation_cond": lambda: TimeoutCondition(5.0),
    }
    fast = with_rlgym(2, start=roll_in, **components)
    seen, _ = fast.reset(seed=3)
    plain = make_vector(2, state_mutator=same_start(1, drawn[0]), **components)
    expected, _ = plain.reset(seed=3)
    assert np.array_equal(seen, expected)
    rewards = []
    for _ in range(75):
        actions = np.array([18, 8])
        seen, reward_now, ended, cut, info = fast.step(actions)
        expected, reward_then, ended_then, cut_then, info_then = plain.step(actions)
        rewards.append(reward_now.tolist())
        assert np.array_equal(reward_now, reward_then)
        assert np.array_equal(ended, ended_then)
        assert np.array_equal(cut, cut_then)
        if "final_obs" in info:
            assert np.array_equal(info["final_obs"], info_then["final_obs"])
            break
        assert np.array_equal(seen, expected)
        for name in ("ball_position", "car_velocity", "boost", "touch", "has_flip", "boost_pads"):
            assert np.array_equal(info[name], info_then[name]), name
    assert ended.all()
    assert rewards[-1] == [10.0, -10.0]
    assert [0.5, 0.0] in rewards


def test_that_only_what_is_given_replaces_the_fast_environment():
    plain = RocketLeagueVectorEnv(4, no_touch_seconds=2.0)
    same = with_rlgym(4, no_touch_seconds=2.0)
    first, again = plain.reset(seed=1), same.reset(seed=1)
    assert np.array_equal(first[0], again[0])
    random = np.random.default_rng(0)
    for _ in range(40):
        actions = random.integers(90, size=4)
        for mine, theirs in zip(same.step(actions)[:4], plain.step(actions)[:4], strict=True):
            assert np.array_equal(mine, theirs)


class Steps(RewardFunction):
    def reset(self, agents, initial_state, shared_info):
        assert shared_info["cars"] == 2

    def get_rewards(self, agents, state, is_terminated, is_truncated, shared_info):
        return {agent: shared_info["steps"] + 100 * is_truncated[agent] for agent in agents}


class Shared(SharedInfoProvider):
    def create(self, shared_info):
        return {"steps": 0}

    def set_state(self, agents, initial_state, shared_info):
        return {**shared_info, "cars": len(agents)}

    def step(self, agents, state, shared_info):
        return {**shared_info, "steps": shared_info["steps"] + 1}


def test_that_shared_information_and_ends_reach_the_reward():
    env = with_rlgym(
        4, reward_fn=Steps(), shared_info_provider=Shared(),
        truncation_cond=lambda: TimeoutCondition(3 * 8 / 120),
    )  # fmt: skip
    env.reset(seed=0)
    paid = [env.step([8] * 4)[1].tolist() for _ in range(4)]
    assert paid == [[1.0] * 4, [2.0] * 4, [103.0] * 4, [1.0] * 4]


def test_that_a_time_limit_truncates_with_the_true_last_observation():
    env = with_rlgym(2, obs_builder=DefaultObs(), max_episode_steps=2)
    start, _ = env.reset(seed=0)
    env.step([18, 18])
    observation, _, terminated, truncated, info = env.step([18, 18])
    assert truncated.all()
    assert not terminated.any()
    assert not np.array_equal(info["final_obs"], observation)
    assert np.abs(info["final_obs"] - start).max() > 0.001


def test_that_mistakes_are_refused():
    with pytest.raises(VectorizationError, match="multiple of 4"):
        with_rlgym(6, blue=2, orange=2)
    with pytest.raises(ComponentError, match=r"rlgym\.api\.RewardFunction"):
        with_rlgym(2, reward_fn="DefaultObs")
    with pytest.raises(ComponentError, match="zero_padding"):
        with_rlgym(2, obs_builder={"DefaultObs": {"zero_padding": None}})
    env = with_rlgym(2)
    with pytest.raises(ResetNeeded):
        env.step([0, 0])
    env.reset(seed=0)
    with pytest.raises(ActionError):
        env.step([0, 90])
