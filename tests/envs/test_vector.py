"""The two fronts around a simulation: seeds, limits, resets within a step, refusals."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import envs
from envs.errors import ActionError, SnapshotError
from envs.simulation import ColumnRandom
from envs.single import SingleEnv
from envs.vector import BatchedVectorEnv

RANDOM = "envs.worlds.random_mdp:random_mdp"
CHAIN = "envs.worlds.chains:goal_chain"


def test_that_columns_get_consecutive_seeds_or_their_own():
    vector = BatchedVectorEnv(RANDOM, 3)
    first, _ = vector.reset(seed=10)
    second, _ = vector.reset(seed=[10, 11, 12])
    assert np.array_equal(first, second)
    third, _ = vector.reset(seed=[12, None, 10])
    assert (third[0], third[2]) == (first[2], first[0])


def test_that_none_goes_on_with_the_numbers():
    vector, twin = BatchedVectorEnv(RANDOM, 4), BatchedVectorEnv(RANDOM, 4)
    starts = []
    for env in (vector, twin):
        env.reset(seed=3)
        starts.append(np.stack([env.reset()[0] for _ in range(20)]))
    assert np.array_equal(*starts)
    assert len(np.unique(starts[0][:, 0])) > 5


def test_that_the_first_reset_without_a_seed_is_a_different_one_every_time():
    starts = {tuple(BatchedVectorEnv(RANDOM, 8).reset()[0].tolist()) for _ in range(5)}
    assert len(starts) == 5


def test_that_a_wrong_number_of_seeds_is_named():
    with pytest.raises(ValueError, match="Expected 3 seeds, one per column, got 2"):
        BatchedVectorEnv(RANDOM, 3).reset(seed=[1, 2])


def test_that_an_ended_column_begins_anew_within_the_step():
    vector = BatchedVectorEnv(CHAIN, 2, length=2, max_episode_steps=3)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    observation, infos = vector.reset(seed=0)
    assert observation.tolist() == [0, 0]
    assert "final_obs" not in infos
    seen = []
    for actions in ([1, 0], [1, 0], [1, 1], [0, 0]):
        observation, reward, terminated, truncated, infos = vector.step(np.array(actions))
        final = infos["final_obs"].tolist() if "final_obs" in infos else None
        seen.append(
            (
                observation.tolist(),
                reward.tolist(),
                terminated.tolist(),
                truncated.tolist(),
                final,
                infos.get("_final_obs", np.array([])).tolist(),
                infos["position"].tolist(),
            )
        )
    assert seen == [
        ([1, 0], [0, 0], [False, False], [False, False], None, [], [1, 0]),
        ([0, 0], [1, 0], [True, False], [False, False], [2, 0], [True, False], [2, 0]),
        ([1, 0], [0, 0], [False, False], [False, True], [1, 1], [False, True], [1, 1]),
        ([0, 0], [0, 0], [False, False], [False, False], None, [], [0, 0]),
    ]


def test_that_an_end_at_the_limit_is_both():
    vector = BatchedVectorEnv(CHAIN, 1, length=2, max_episode_steps=2)
    single = gymnasium.wrappers.TimeLimit(SingleEnv(CHAIN, length=2), 2)
    vector.reset(seed=0)
    single.reset(seed=0)
    for _ in range(2):
        _, _, terminated, truncated, _ = vector.step(np.array([1]))
        assert (terminated[0], truncated[0]) == single.step(1)[2:4]
    assert terminated[0]
    assert truncated[0]


def test_that_without_a_limit_nothing_is_truncated():
    vector = BatchedVectorEnv(CHAIN, 1)
    vector.reset(seed=0)
    assert not any(vector.step(np.array([0]))[3][0] for _ in range(3000))


def test_that_a_step_before_the_first_reset_is_refused():
    for env in (BatchedVectorEnv(CHAIN, 2), SingleEnv(CHAIN)):
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step(env.action_space.sample())


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0], r"shape \(2,\)"),
        ([[0], [1]], r"shape \(2,\)"),
        ([0, 2], "column 1 is 2"),
        ([-1, 0], "column 0 is -1"),
        ([0.0, 1.0], "whole numbers"),
        ([0, float("nan")], "whole numbers"),
    ],
)
def test_that_bad_actions_change_nothing(actions, message):
    vector = BatchedVectorEnv(CHAIN, 2)
    vector.reset(seed=0)
    vector.step(np.array([1, 1]))
    before = vector.snapshot()
    with pytest.raises(ActionError, match=message):
        vector.step(np.array(actions))
    assert np.array_equal(vector.snapshot()["state"]["state"], before["state"]["state"])
    assert vector.snapshot()["elapsed"].tolist() == [1, 1]


def test_that_a_snapshot_of_another_shape_is_refused():
    vector = BatchedVectorEnv(CHAIN, 2)
    vector.reset(seed=0)
    saved = vector.snapshot()
    with pytest.raises(SnapshotError, match="2 columns, there are 3"):
        BatchedVectorEnv(CHAIN, 3).restore(saved)
    maze = BatchedVectorEnv("envs.worlds.tracker_maze:TrackerMaze", 2)
    with pytest.raises(SnapshotError, match="expected"):
        maze.restore(saved)
    with pytest.raises(SnapshotError, match="expected"):
        SingleEnv("envs.worlds.tracker_maze:TrackerMaze").restore(SingleEnv(CHAIN).snapshot())


def test_that_refused_options_name_themselves_and_leave_nothing_behind():
    with pytest.raises(ValueError, match="Did you mean 'one_hot'"):
        BatchedVectorEnv(CHAIN, 2, observation="onehot")
    with pytest.raises(ValueError, match="Did you mean 'one_hot'"):
        envs.make("GoalChain-v0", observation="onehot")


def test_that_pictures_come_only_when_they_are_asked_for():
    for name in (
        "LavaGrid-v0",
        "TrackerMaze-v0",
        "GridRegions-v0",
        "CorridorTV-v0",
        "QuestChain-v0",
        "Arms-v0",
    ):
        env = envs.make(name, render_mode="rgb_array")
        env.reset(seed=0)
        first = env.render()
        assert first.dtype == np.uint8
        assert first.shape[2] == 3
        while np.array_equal(first, env.render()):
            env.step(env.action_space.sample())
        silent = envs.make(name)
        silent.reset(seed=0)
        assert silent.render() is None
        vector = envs.make_vec(name, 2, render_mode="rgb_array")
        vector.reset(seed=0)
        assert np.array_equal(vector.render(), first)


def test_that_a_vector_equals_its_columns_when_they_end_at_different_times():
    """Ends are out of step, so blocks of random numbers are too."""
    name, count = "LureCorridor-v0", 5
    vector = envs.make_vec(name, count, flip=0.5)
    singles = [envs.make(name, flip=0.5) for _ in range(count)]
    vector.reset(seed=0)
    for i, env in enumerate(singles):
        env.reset(seed=i)
    vector.action_space.seed(0)
    ends = np.zeros(count, dtype=int)
    for _ in range(700):  # more than two blocks
        actions = vector.action_space.sample()
        _, _, terminated, truncated, infos = vector.step(actions)
        for i, env in enumerate(singles):
            _, _, ended, cut, info = env.step(int(actions[i]))
            assert (ended, cut, info["position"]) == (
                terminated[i],
                truncated[i],
                infos["position"][i],
            )
            if ended or cut:
                env.reset()
                ends[i] += 1
    assert len(set(ends.tolist())) > 1


def test_that_blocks_serve_every_column():
    random = ColumnRandom(3)
    for column in range(3):
        random.seed(column, column)
    draws = np.concatenate([random.uniform(1) for _ in range(600)], axis=1)
    for column in range(3):
        assert np.array_equal(draws[column], np.random.default_rng(column).random(600))
