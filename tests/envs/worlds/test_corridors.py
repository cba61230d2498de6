"""Televisions and the lure."""

import numpy as np
import pytest

import envs
from envs.worlds.corridors import corridor_tv, lure_corridor, ring_tv
from envs.worlds.solve import finite_horizon, finite_horizon_value

LEFT, RIGHT, TV = range(3)


def test_that_the_television_shows_one_of_eight_patterns_and_only_on_demand():
    env = envs.make("CorridorTV-v0")
    observation, info = env.reset(seed=0)
    assert observation.shape == (56,)
    assert observation[0] == 1
    assert not observation[1:].any()
    shown = set()
    for _ in range(90):
        observation, reward, terminated, _, info = env.step(TV)
        assert (reward, terminated, info["position"], info["tv"]) == (0, False, 0, 1)
        assert observation[:40].tolist() == np.eye(40)[0].tolist()
        shown.add(tuple(observation[40:].tolist()))
        assert 1 <= info["screen"] <= 8
    assert len(shown) == 8
    observation, _, _, truncated, info = env.step(RIGHT)
    assert (info["tv"], info["position"], info["screen"], truncated) == (0, 1, 0, False)
    assert not observation[40:].any()
    patterns = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
    assert shown == {tuple(row) for row in patterns.tolist()}
    other = envs.make("CorridorTV-v0", pattern_seed=1)
    other.reset(seed=0)
    assert tuple(other.step(TV)[0][40:].tolist()) not in shown


def test_that_the_corridor_has_ends_and_the_ring_has_none():
    corridor, ring = envs.make("CorridorTV-v0"), envs.make("RingTV-v0")
    for env in (corridor, ring):
        env.reset(seed=0)
    assert corridor.step(LEFT)[4]["position"] == 0
    assert ring.step(LEFT)[4]["position"] == 9
    assert ring.step(RIGHT)[4]["position"] == 0
    for _ in range(60):
        last = corridor.step(RIGHT)[4]["position"]
    assert last == 39
    steps = [corridor.step(RIGHT)[2:4] for _ in range(39)]
    assert steps[-2:] == [(False, False), (False, True)]


@pytest.mark.parametrize("make", [corridor_tv, ring_tv])
def test_that_kinds_differ_in_what_can_follow(make):
    size = 9
    for tv, blank, other in (("on_demand", 8, 8), ("iid", 8, 8), ("brownian", 8, 2)):
        rows = make(1, length=4, tv=tv).mdp.transition
        assert (rows[0, TV] > 0).sum() == blank
        assert (rows[5, TV] > 0).sum() == other
        moved = (rows[5, RIGHT] > 0).sum()
        assert moved == (1 if tv == "on_demand" else other)
    walk = make(1, length=4, tv="brownian").mdp.transition[size + 1, TV]
    assert np.flatnonzero(walk).tolist() == [size + 2, size + 8]  # the ring's neighbours of 1
    off = make(1, length=4, tv="off")
    assert off.mdp.num_states == 4
    assert np.array_equal(off.mdp.transition[:, TV], np.eye(4))
    with pytest.raises(ValueError, match="Did you mean 'on_demand'"):
        make(1, tv="ondemand")
    with pytest.raises(ValueError, match="at least 2 positions"):
        make(1, length=1)


def test_that_noise_free_views_exist():
    for observation, size in (("index", 40), ("state_index", 360)):
        assert envs.make("CorridorTV-v0", observation=observation).observation_space.n == size
    env = envs.make("CorridorTV-v0", observation="one_hot")
    env.reset(seed=0)
    assert env.step(TV)[0].tolist() == np.eye(40)[0].tolist()


def test_that_the_lure_pays_more_than_the_goal():
    simulation = lure_corridor(1)
    mdp, bad = simulation.mdp, simulation.transition_info["auxiliary_reward_bad"]
    good = simulation.transition_info["auxiliary_reward_good"]
    left, right = np.zeros(9, dtype=int), np.ones(9, dtype=int)
    naive = mdp.with_reward(mdp.reward + bad)
    best = finite_horizon(naive, 20)
    assert (best.policy[0][:8] == 0).sum() >= 5
    assert best.policy[0][4] == 0
    # Left for ever is as good as optimal for the sum, and never sees the goal.
    lured = finite_horizon_value(naive, left, 20)[4]
    assert lured == pytest.approx(best.value[0][4], rel=0.01)
    assert 7 < lured < 8.5
    assert finite_horizon_value(mdp, left, 20)[4] < 1e-3
    assert finite_horizon_value(mdp, right, 20)[4] > 0.999
    helped = mdp.with_reward(mdp.reward + good)
    # The good one is worth a few detours, but never the goal.
    assert finite_horizon_value(mdp, finite_horizon(helped, 20).policy, 20)[4] > 0.9
    assert finite_horizon_value(helped, right, 20)[4] > finite_horizon_value(helped, left, 20)[4]


def test_that_auxiliary_rewards_are_of_the_step_and_never_part_of_the_task():
    env = envs.make("LureCorridor-v0", flip=0.0)
    env.reset(seed=0)
    steps = [env.step(0) for _ in range(6)]
    assert [step[4]["auxiliary_reward_bad"] for step in steps] == [0, 0, 0, 0.5, 0.5, 0.5]
    assert [step[4]["auxiliary_reward_good"] for step in steps] == [0] * 6
    assert all(step[1] == 0 for step in steps)
    steps = [env.step(1) for _ in range(8)]
    assert [step[4]["auxiliary_reward_good"] for step in steps] == [0.05] * 8
    assert [step[1] for step in steps] == [0] * 7 + [1]
    assert (steps[-1][2], steps[-1][4]["is_success"]) == (True, True)
    # A flipped move is paid for where it went.
    env = envs.make("LureCorridor-v0", flip=1.0)
    env.reset(seed=0)
    assert env.step(0)[4]["auxiliary_reward_good"] == 0.05
    with pytest.raises(ValueError, match="flip must be a probability"):
        lure_corridor(1, flip=2.0)
