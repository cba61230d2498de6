"""The point walker is exactly the one of its docstring, and as hard as reported."""

import numpy as np
import pytest

import envs
from envs.registry import make_vec


def random_networks(count, seed):
    """Return the policy of ``count`` tanh networks 2-5-2 with weights U(-5, 5), 27 each."""
    genome = np.random.default_rng(seed).uniform(-5.0, 5.0, (count, 27))
    first, bias = genome[:, :10].reshape(count, 5, 2), genome[:, 10:15]
    second, last = genome[:, 15:25].reshape(count, 2, 5), genome[:, 25:]

    def act(observation):
        hidden = np.tanh(np.einsum("nij,nj->ni", first, observation) + bias)
        return np.tanh(np.einsum("nij,nj->ni", second, hidden) + last)

    return act


def final_positions(count, seed):
    venv = make_vec("PointWalker-v0", count)
    observation, _ = venv.reset(seed=0)
    act = random_networks(count, seed)
    for _ in range(50):
        observation, reward, terminated, _, infos = venv.step(act(observation))
    assert terminated.all()
    return infos["position"], reward, infos["area"]


def test_a_step_is_a_twentieth_of_the_clipped_action():
    env = envs.make("PointWalker-v0")
    observation, info = env.reset(seed=3)
    assert observation.tolist() == [0.0, 0.0]
    place = np.zeros(2)
    for action in [(1.0, -1.0), (0.3, 0.2), (9.0, -0.1)]:
        place = place + 0.05 * np.clip(np.float32(action).astype(float), -1.0, 1.0)
        observation, reward, terminated, truncated, info = env.step(np.array(action, np.float32))
        assert info["position"] == pytest.approx(place, abs=1e-12)
        assert observation == pytest.approx(place, abs=1e-6)
        assert (reward, terminated, truncated) == (0.0, False, False)


def test_walls_clip_and_the_fiftieth_step_ends():
    env = envs.make("PointWalker-v0")
    env.reset(seed=0)
    ends = [env.step(np.array([1.0, -1.0], np.float32)) for _ in range(50)]
    assert ends[-1][4]["position"].tolist() == [1.0, -1.0]
    assert [end[2] for end in ends] == [False] * 49 + [True]
    assert not any(end[3] for end in ends)


def test_a_walk_to_an_area_is_paid_at_its_end_only():
    env = envs.make("PointWalker-v0")
    env.reset(seed=0)
    steps = [env.step(np.array([0.8, 0.8]) if t < 20 else np.zeros(2)) for t in range(50)]
    assert [step[1] for step in steps[:-1]] == [0.0] * 49
    assert steps[-1][1] == pytest.approx(1.0)
    assert steps[-1][4]["is_success"] is True
    assert all(step[4]["area"] == 0 for step in steps[20:])


def test_pictures_show_the_position_and_no_areas():
    venv = make_vec("PointWalker-v0", 3, observation="image", final_image=True, horizon=5)
    first, infos = venv.reset(seed=0)
    assert venv.single_observation_space.contains(first[0])
    assert not infos["final_image"].any()
    actions = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    for _ in range(5):
        images, _, ended, _, infos = venv.step(actions)
    assert ended.all()
    assert np.array_equal(images, first)  # those of the next episode
    last = infos["final_image"]
    assert np.array_equal(last, infos["final_obs"])
    weight = last.mean(axis=3) - last.min()
    pixels = np.arange(64)
    column = (weight.sum(axis=1) * pixels).sum(axis=1) / weight.sum(axis=(1, 2))
    row = (weight.sum(axis=2) * pixels).sum(axis=1) / weight.sum(axis=(1, 2))
    assert column == pytest.approx([31.5 + 0.25 * 32, 31.5, 31.5], abs=0.05)
    assert row == pytest.approx([31.5, 31.5 - 0.25 * 32, 31.5], abs=0.05)


@pytest.fixture(scope="module")
def random_search():
    return [final_positions(10_000, seed) for seed in range(3)]


def test_random_networks_cover_a_third_of_the_square(random_search):
    # Known for 10,000 random networks: coverage 0.336 of 50 x 50 cells.
    coverage = []
    for position, _, _ in random_search:
        cells = np.minimum(((position + 1.0) * 25.0).astype(int), 49)
        coverage.append(len(np.unique(cells, axis=0)) / 2500.0)
    error = np.std(coverage, ddof=1) / np.sqrt(len(coverage))
    assert abs(np.mean(coverage) - 0.336) < max(3.0 * error, 0.01)


def test_areas_are_too_small_for_random_networks(random_search):
    assert np.mean([(area >= 0).mean() for _, _, area in random_search]) < 0.002
    best = [
        [reward[area == k].max(initial=0.0) for k in range(3)] for _, reward, area in random_search
    ]
    assert np.mean(best) < 0.3  # known: 0.07 and 0.16, each over 10 runs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observation": "imag"}, "'image'"),
        ({"horizon": 0}, "horizon"),
        ({"areas": [(1.0, 2.0)]}, "areas"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        envs.make("PointWalker-v0", **options)
