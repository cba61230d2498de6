"""RLGym's own simulator and components, as columns of a vector environment."""

import random

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import ResetNeeded

pytest.importorskip("rlgym.rocket_league")

from rlgym.api import (
    ActionParser,
    DoneCondition,
    ObsBuilder,
    RewardFunction,
    SharedInfoProvider,
    StateMutator,
)
from rlgym.rocket_league.action_parsers import LookupTableAction, RepeatAction
from rlgym.rocket_league.done_conditions import GoalCondition
from rlgym.rocket_league.state_mutators import (
    FixedTeamSizeMutator,
    KickoffMutator,
    MutatorSequence,
)

from envs.errors import ActionError, VectorizationError
from envs.rocket_league.rlgym_components import ComponentError, build_match
from envs.rocket_league.rlgym_environment import (
    RLGymEnv,
    from_rlgym,
    make_single,
    make_vector,
)

STEPS = 12


def actions(env, steps=STEPS, seed=0):
    return np.random.default_rng(seed).integers(90, size=(steps, env.num_envs))


class After(DoneCondition):
    """Done for some agents after a number of steps."""

    def __init__(self, steps, *agents):
        self.steps, self.agents, self.count = steps, agents, 0

    def reset(self, agents, initial_state, shared_info):
        self.count = 0

    def is_done(self, agents, state, shared_info):
        self.count += 1
        over = self.count >= self.steps
        return {agent: over and (not self.agents or agent in self.agents) for agent in agents}


class OneBuffer(ObsBuilder):
    """Writes every observation into the same array, as some builders do for speed."""

    def __init__(self):
        self.buffer = np.zeros(4, dtype=np.float32)

    def get_obs_space(self, agent):
        return "real", 4

    def reset(self, agents, initial_state, shared_info):
        pass

    def build_obs(self, agents, state, shared_info):
        self.buffer[:3] = state.ball.position
        self.buffer[3] = state.tick_count
        return dict.fromkeys(agents, self.buffer)


def test_that_every_car_is_a_column_in_rlgyms_order():
    env = make_vector(4, team_size=2)
    observation, info = env.reset(seed=0)
    assert observation.shape == (4, 172)
    assert env.single_action_space == spaces.Discrete(90)
    assert env.matches[0].agents == ["blue-0", "blue-1", "orange-0", "orange-1"]
    assert info["team"].tolist() == [0, 0, 1, 1]
    env.close()


def test_that_info_has_the_same_documented_names_at_every_step():
    env = make_vector(2)
    _, info = env.reset(seed=0)
    assert set(info) == set(env.info_keys)
    for row in actions(env):
        *_, step_info = env.step(row)
        assert set(step_info) == set(env.info_keys)
        for name, values in step_info.items():
            assert values.shape == info[name].shape, name
            assert values.dtype == info[name].dtype, name
            assert values.shape[0] == 2


def test_that_it_is_rlgym_step_for_step():
    env = make_vector(2)
    observation, _ = env.reset(seed=5)
    plain = build_match()
    random.seed(5)
    expected = plain.reset()
    agents = plain.agents
    for row in actions(env, 40):
        assert np.array_equal(observation, [expected[a].astype(np.float32) for a in agents])
        expected, rewards, terminated, truncated = plain.step(
            {agent: np.array([action]) for agent, action in zip(agents, row, strict=True)}
        )
        observation, reward, ended, cut, _ = env.step(row)
        assert np.array_equal(reward, [rewards[agent] for agent in agents])
        assert np.array_equal(ended, [terminated[agent] for agent in agents])
        assert np.array_equal(cut, [truncated[agent] for agent in agents])


def test_that_the_final_observation_survives_a_builder_with_one_buffer():
    env = make_vector(2, obs_builder=OneBuffer, truncation_cond=After(3))
    first, _ = env.reset(seed=0)
    kept = first.copy()
    for _ in range(2):
        observation, _, _, truncated, info = env.step([8, 8])
        assert "final_obs" not in info
        assert not truncated.any()
    observation, _, terminated, truncated, info = env.step([8, 8])
    assert truncated.all()
    assert not terminated.any()
    assert info["_final_obs"].all()
    assert np.array_equal(info["final_obs"][:, 3], [24, 24])
    assert np.array_equal(observation[:, 3], [0, 0])
    assert np.array_equal(first, kept)


def test_that_a_car_that_is_not_done_when_the_match_ends_is_truncated():
    env = make_vector(2, termination_cond=After(2, "blue-0"), truncation_cond=None)
    env.reset(seed=0)
    _, _, terminated, truncated, _ = env.step([8, 8])
    assert not (terminated | truncated).any()
    _, _, terminated, truncated, _ = env.step([8, 8])
    assert terminated.tolist() == [True, False]
    assert truncated.tolist() == [False, True]


def test_that_terminated_and_truncated_stay_apart():
    env = make_vector(4, termination_cond=After(3), truncation_cond=After(2), max_episode_steps=100)
    env.reset(seed=0)
    env.step([8] * 4)
    _, _, terminated, truncated, _ = env.step([8] * 4)
    assert truncated.all()
    assert not terminated.any()
    env = make_vector(2, termination_cond=After(3), truncation_cond=None, max_episode_steps=2)
    env.reset(seed=0)
    env.step([8, 8])
    _, _, terminated, truncated, info = env.step([8, 8])
    assert truncated.all()
    assert not terminated.any()
    assert info["_final_obs"].all()


def test_that_only_the_match_that_ended_is_reset():
    class Once(After):
        made = 0

        def __init__(self):
            Once.made += 1
            super().__init__(2 if Once.made == 2 else 100)

    env = make_vector(6, truncation_cond=Once, obs_builder=OneBuffer)
    env.reset(seed=0)
    env.step([8] * 6)
    observation, _, _, truncated, info = env.step([8] * 6)
    assert truncated.tolist() == [False, False, True, True, False, False]
    assert np.array_equal(info["_final_obs"], truncated)
    assert observation[:, 3].tolist() == [16, 16, 0, 0, 16, 16]


def trajectory(env, seed, rows):
    observations = [env.reset(seed=seed)[0]]
    for row in rows:
        observation, reward, *_ = env.step(row)
        observations += [observation, reward]
    return observations


def test_that_a_seed_is_a_match_and_a_match_alone_is_the_match_in_a_batch():
    batch = make_vector(4, truncation_cond=After(4))
    rows = actions(batch)
    first, again = trajectory(batch, 7, rows), trajectory(batch, 7, rows)
    other = trajectory(batch, 8, rows)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    alone = trajectory(make_vector(2, truncation_cond=After(4)), 9, rows[:, 2:])
    assert all(np.array_equal(a[2:], b) for a, b in zip(first, alone, strict=True))


def test_that_a_reset_without_a_seed_goes_on_with_the_numbers():
    env = make_vector(2)
    starts = [env.reset(seed=3)[0]] + [env.reset()[0] for _ in range(6)]
    again = [env.reset(seed=3)[0]] + [env.reset()[0] for _ in range(6)]
    assert np.array_equal(starts, again)
    assert len({start.tobytes() for start in starts}) > 1


class Noisy(RewardFunction):
    """Draws from both global generators in every step."""

    def reset(self, agents, initial_state, shared_info):
        pass

    def get_rewards(self, agents, state, is_terminated, is_truncated, shared_info):
        return {agent: random.random() + np.random.rand() for agent in agents}  # noqa: NPY002


def test_that_code_drawing_from_global_generators_is_seeded_and_leaves_them_alone():
    env = make_vector(2, reward_fn=Noisy())
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    rows = actions(env)
    first = trajectory(env, 1, rows)
    random.random()
    np.random.rand()  # noqa: NPY002
    again = trajectory(env, 1, rows)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len(set(np.ravel(first[2::2]))) > STEPS
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    make_vector(2, reward_fn=Noisy()).reset(seed=2)
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_that_every_interface_of_rlgym_can_be_handed_in():
    class Shared(SharedInfoProvider):
        def create(self, shared_info):
            return {"steps": 0}

        def set_state(self, agents, initial_state, shared_info):
            return {**shared_info, "cars": len(agents)}

        def step(self, agents, state, shared_info):
            return {**shared_info, "steps": shared_info["steps"] + 1}

    class HighBall(StateMutator):
        def apply(self, state, shared_info):
            state.ball.position = np.array([0, 0, 1500], dtype=np.float32)

    class BallHeight(ObsBuilder):
        def get_obs_space(self, agent):
            return "real", 1

        def reset(self, agents, initial_state, shared_info):
            assert shared_info["cars"] == 2

        def build_obs(self, agents, state, shared_info):
            return dict.fromkeys(agents, state.ball.position[2:])

    class Steer(ActionParser):
        def get_action_space(self, agent):
            return "real", 1

        def reset(self, agents, initial_state, shared_info):
            pass

        def parse_actions(self, actions, state, shared_info):
            controls = {agent: np.zeros((4, 8)) for agent in actions}
            for agent, action in actions.items():
                controls[agent][:, 0] = 1
                controls[agent][:, 1] = action
            return controls

    class Steps(RewardFunction):
        def reset(self, agents, initial_state, shared_info):
            pass

        def get_rewards(self, agents, state, is_terminated, is_truncated, shared_info):
            return dict.fromkeys(agents, shared_info["steps"])

    mutator = MutatorSequence(FixedTeamSizeMutator(1, 1), KickoffMutator(), HighBall())
    env = make_vector(
        4, state_mutator=mutator, obs_builder=BallHeight(), action_parser=Steer(),
        reward_fn=Steps(), termination_cond=After(3), truncation_cond=None,
        shared_info_provider=Shared(),
    )  # fmt: skip
    observation, info = env.reset(seed=0)
    assert observation.tolist() == [[1500.0]] * 4
    assert env.single_action_space == spaces.Box(-1, 1, (1,), np.float32)
    rewards = []
    for _ in range(3):
        _, reward, terminated, _, step_info = env.step(np.zeros((4, 1), dtype=np.float32))
        rewards.append(reward.tolist())
    assert rewards == [[1.0] * 4, [2.0] * 4, [3.0] * 4]
    assert terminated.all()
    forwards = (step_info["car_position"] - info["car_position"])[:, 1] * [1, -1, 1, -1]
    assert (forwards > 1).all()


def test_that_matches_share_no_component():
    env = make_vector(4, termination_cond=After(5), obs_builder=OneBuffer())
    conditions = [match.game.termination_cond for match in env.matches]
    assert conditions[0] is not conditions[1]
    assert env.matches[0].game.obs_builder is not env.matches[1].game.obs_builder


def test_that_one_rlgym_object_is_one_match():
    env = from_rlgym(build_match(team_size=2))
    assert env.num_envs == 4
    with pytest.raises(VectorizationError, match="Give a function that makes one"):
        from_rlgym(build_match(), num_envs=4)
    game = build_match()
    with pytest.raises(VectorizationError, match="same RLGym object twice"):
        from_rlgym(lambda: game, num_envs=4)
    assert from_rlgym(build_match, num_envs=6).num_envs == 6


def test_that_impossible_numbers_of_columns_are_refused_with_the_next_ones():
    with pytest.raises(VectorizationError, match="take 4 or 8"):
        make_vector(6, team_size=2)


def test_that_one_column_plays_against_a_standing_car():
    env = make_vector(1, truncation_cond=None)
    start, info = env.reset(seed=0)
    assert start.shape == (1, 172)
    for _ in range(STEPS):
        _, _, _, _, info_after = env.step([18])  # full throttle and boost
    game = env.matches[0].game
    assert np.abs(info_after["car_velocity"]).max() > 100
    assert np.abs(game.state.cars["orange-0"].physics.linear_velocity).max() < 1
    assert info_after["touch"].shape == info["touch"].shape == (1,)


def test_that_an_opponent_sees_its_own_observations_and_the_starts_of_episodes():
    calls, begun = [], []

    class Opponent:
        def __call__(self, observations):
            calls.append(observations)
            return np.full(len(observations), 8)

        def begin(self, rows):
            begun.append(rows.tolist())

    env = make_vector(4, team_size=2, opponent=Opponent(), truncation_cond=After(2))
    assert len(env.matches) == 2
    env.reset(seed=0)
    assert begun == [[True, True, False, False], [False, False, True, True]]
    env.step([8] * 4)
    env.step([8] * 4)
    both = make_vector(8, team_size=2)
    seen, _ = both.reset(seed=[0, 0, 0, 0, 2, 0, 0, 0])
    assert np.array_equal(calls[0], seen[[2, 3, 6, 7]])
    assert len(calls) == 2
    assert len(begun) == 4
    with pytest.raises(ComponentError, match="'idle' or a function"):
        make_vector(2, opponent="runs/first")


@pytest.mark.filterwarnings("ignore:.*infinity")
def test_that_the_single_environment_is_one_column():
    from gymnasium.utils.env_checker import check_env

    env = make_single(truncation_cond=After(30))
    check_env(env, skip_render_check=True)
    vector = make_vector(1)
    single, _ = env.reset(seed=4)
    batch, _ = vector.reset(seed=4)
    for action in (22, 3, 40):
        assert np.array_equal(single, batch[0])
        single, reward, terminated, truncated, info = env.step(action)
        batch, rewards, *_ = vector.step([action])
        assert reward == rewards[0]
    assert isinstance(reward, float)
    assert (terminated, truncated) == (False, False)
    assert info["car_position"].shape == (3,)
    assert isinstance(info["touch"], float)


def test_that_the_single_environment_ends_with_its_own_last_observation():
    env = RLGymEnv(lambda: build_match(obs_builder=OneBuffer(), truncation_cond=After(2)))
    env.reset(seed=0)
    env.step(8)
    observation, _, _, truncated, _ = env.step(8)
    assert truncated
    assert observation[3] == 16


class RandomTeams(StateMutator):
    """One or two cars per team."""

    def apply(self, state, shared_info):
        size = random.choice([1, 2])
        FixedTeamSizeMutator(size, size).apply(state, shared_info)
        KickoffMutator().apply(state, shared_info)


def test_that_a_changing_number_of_cars_is_refused():
    def some_resets():
        env = make_vector(1, state_mutator=RandomTeams())
        for seed in range(20):
            env.reset(seed=seed)

    with pytest.raises(VectorizationError, match="same cars"):
        some_resets()


def test_that_actions_are_checked_before_they_reach_the_simulator():
    env = make_vector(2)
    with pytest.raises(ResetNeeded):
        env.step([0, 0])
    env.reset(seed=0)
    with pytest.raises(ActionError, match="outside"):
        env.step([0, 90])
    with pytest.raises(ActionError, match="shape"):
        env.step([0])


def test_that_other_spaces_of_actions_and_observations_work():
    class Parser(LookupTableAction):
        def get_action_space(self, agent):
            return spaces.MultiDiscrete([3, 3])

        def parse_actions(self, actions, state, shared_info):
            chosen = {agent: np.array([a[0] * 3 + a[1]]) for agent, a in actions.items()}
            return super().parse_actions(chosen, state, shared_info)

    class Parts(OneBuffer):
        def get_obs_space(self, agent):
            box = spaces.Box(-np.inf, np.inf, (3,), np.float32)
            return spaces.Dict({"ball": box, "tick": spaces.Box(0, np.inf, (1,), np.float32)})

        def build_obs(self, agents, state, shared_info):
            part = super().build_obs(agents, state, shared_info)
            return {a: {"ball": part[a][:3], "tick": part[a][3:]} for a in agents}

    env = make_vector(4, action_parser=RepeatAction(Parser(), 4), obs_builder=Parts())
    first, _ = env.reset(seed=0)
    second, *_ = env.step(np.ones((4, 2), dtype=np.int64))
    assert first["tick"].tolist() == [[0.0]] * 4
    assert second["tick"].tolist() == [[4.0]] * 4


def test_that_an_unknown_description_of_a_space_is_refused_with_the_cure():
    class Odd(OneBuffer):
        def get_obs_space(self, agent):
            return "strange", "things"

    with pytest.raises(ComponentError, match="observation_space="):
        make_vector(2, obs_builder=Odd())
    box = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    assert make_vector(2, obs_builder=Odd(), observation_space=box).reset(seed=0)[0].shape == (2, 4)
    wrong = spaces.Box(-np.inf, np.inf, (5,), np.float32)
    with pytest.raises(ComponentError, match="promised"):
        make_vector(2, obs_builder=Odd(), observation_space=wrong).reset(seed=0)


def test_that_a_goal_terminates_and_is_reported():
    class Shot(StateMutator):
        def apply(self, state, shared_info):
            FixedTeamSizeMutator().apply(state, shared_info)
            KickoffMutator().apply(state, shared_info)
            state.ball.position = np.array([0, 4900, 200], dtype=np.float32)
            state.ball.linear_velocity = np.array([0, 4000, 0], dtype=np.float32)

    env = make_vector(2, state_mutator=Shot, termination_cond=GoalCondition())
    env.reset(seed=0)
    for _ in range(20):
        _, reward, terminated, truncated, info = env.step([8, 8])
        if terminated.any():
            break
    assert terminated.all()
    assert not truncated.any()
    assert reward.tolist() == [10.0, -10.0]
    assert info["team_goal"].tolist() == [1, 0]
    assert info["conceded"].tolist() == [0, 1]
    assert info["is_success"].tolist() == [True, False]
    assert info["goal"].tolist() == [0, 0]  # nobody touched the ball
