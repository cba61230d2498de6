"""The point mass obeys its two lines, and its expert is one."""

import numpy as np
import pytest
from scipy import stats

import envs
from envs.registry import make_vec
from envs.worlds.point_mass import expert


def test_the_dynamics_are_two_lines():
    env = envs.make("PointMass-v0")
    observation, info = env.reset(seed=0)
    p, v = np.array(info["position"]), np.zeros(2)
    assert (np.abs(p) <= 1.0).all()
    for action in [(1.0, -0.5), (7.0, -7.0), (0.0, 0.25)]:
        observation, reward, terminated, _, info = env.step(np.array(action, np.float32))
        v = 0.9 * v + 0.1 * np.clip(action, -1.0, 1.0)
        p = p + 0.2 * v
        assert observation == pytest.approx(np.concatenate([p, v]), abs=1e-6)
        assert reward == pytest.approx(-np.linalg.norm(p))
        assert info["distance"] == -reward
        assert terminated is False


def test_sixty_steps_truncate():
    env = envs.make("PointMass-v0")
    env.reset(seed=0)
    ends = [env.step(np.zeros(2, np.float32))[2:4] for _ in range(60)]
    assert ends == [(False, False)] * 59 + [(False, True)]


def test_the_velocity_is_bounded_by_one():
    venv = make_vec("PointMass-v0", 1, max_episode_steps=1000)
    venv.reset(seed=0)
    for _ in range(300):
        observation = venv.step(np.array([[1e30, -1e30]]))[0]
    assert observation[0, 2:] == pytest.approx([1.0, -1.0])


def test_context_is_fixed_within_an_episode_and_tells_episodes_apart():
    venv = make_vec("PointMass-v0", 3, context=8)
    observation, _ = venv.reset(seed=0)
    assert observation.shape == (3, 12)
    context = observation[:, 4:]
    assert len(np.unique(context)) == 24
    for _ in range(59):
        observation, _, _, _, infos = venv.step(expert(observation))
        assert np.array_equal(observation[:, 4:], context)
    observation, _, _, _, infos = venv.step(expert(observation))
    assert np.array_equal(infos["final_obs"][:, 4:], context)
    assert not np.isin(observation[:, 4:], context).any()


def test_context_and_place_are_uniform():
    venv = make_vec("PointMass-v0", 2000, context=2)
    observation, _ = venv.reset(seed=5)
    for number in (0, 1, 4, 5):
        assert stats.kstest(observation[:, number], "uniform", (-1, 2)).pvalue > 1e-3


def test_the_expert_beats_standing_still_and_random_actions():
    def episode_returns(act):
        venv = make_vec("PointMass-v0", 100)
        observation, _ = venv.reset(seed=0)
        total = np.zeros(100)
        for _ in range(60):
            observation, reward, _, _, _ = venv.step(act(observation))
            total += reward
        return total

    random = np.random.default_rng(0)
    good = episode_returns(expert)
    idle = episode_returns(lambda observation: np.zeros((100, 2)))
    blind = episode_returns(lambda observation: random.uniform(-1.0, 1.0, (100, 2)))
    for other in (idle, blind):
        assert stats.ttest_rel(good, other, alternative="greater").pvalue < 1e-6
    assert expert(np.array([0.1, -2.0, 0.0, 0.0, 9.0])) == pytest.approx([-0.3, 1.0])


def test_episodic_rewards_are_the_same_ones_paid_together():
    dense, episodic = make_vec("PointMass-v0", 3), make_vec("PointMassEpisodic-v0", 3)
    first, second = dense.reset(seed=0)[0], episodic.reset(seed=0)[0]
    random = np.random.default_rng(0)
    for _ in range(2):  # episodes
        total = np.zeros(3)
        for step in range(60):
            assert np.array_equal(first, second)
            actions = random.uniform(-1.0, 1.0, (3, 2))
            first, reward, _, _, infos = dense.step(actions)
            second, paid, terminated, truncated, others = episodic.step(actions)
            total += reward
            assert np.array_equal(infos["distance"], others["distance"])
            assert paid.tolist() == ([0.0] * 3 if step < 59 else total.tolist())
        assert truncated.all()
        assert not terminated.any()


def test_a_negative_number_of_context_numbers_is_refused():
    with pytest.raises(ValueError, match="context"):
        envs.make("PointMass-v0", context=-1)
