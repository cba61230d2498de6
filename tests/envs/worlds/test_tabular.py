"""What a tabular world does is what its tables say."""

import numpy as np
import pytest
from scipy.stats import chi2

import envs
from envs.simulation import load
from envs.worlds.tabular import TabularSimulation, one_hot, scaled, tables
from envs.worlds.tabular_tasks import TABULAR

COLUMNS, STEPS = 256, 120
# Every way to switch something random on, besides the defaults.
VARIANTS = [
    *((task.name, {}) for task in TABULAR if "simulation" in task.options),
    ("CorridorTV-v0", {"tv": "iid", "length": 5}),
    ("CorridorTV-v0", {"tv": "brownian", "length": 5}),
    ("RingTV-v0", {"tv": "off"}),
    ("OpenGrid-v0", {"slip": 0.3, "layout": ["S.#G", "..X.", "S..."]}),
    ("QuestChain-v0", {"dense": False}),
    ("OrderedSymbols-v0", {"episodic": False}),
    ("SlipperyChain-v0", {"length": 6, "start": 3, "distractor_state": 1, "distractor": 0.01}),
]


def tabular(name: str, options: dict) -> TabularSimulation | None:
    task = next(task for task in TABULAR if task.name == name)
    simulation = load(task.options["simulation"])(num_envs=1, **options)
    return simulation if isinstance(simulation, TabularSimulation) else None


CASES = [(name, options) for name, options in VARIANTS if tabular(name, options) is not None]
IDS = [f"{name}{''.join(f'-{key}' for key in options)}" for name, options in CASES]


def experience(name, options):
    """Return states, actions, next states, rewards, ends and infos of random steps, flat."""
    vector = envs.make_vec(name, COLUMNS, max_episode_steps=STEPS // 3, **options)
    _, infos = vector.reset(seed=0)
    generator = np.random.default_rng(1)
    state, rows, starts = infos["state_index"], [], [infos["state_index"]]
    for _ in range(STEPS):
        actions = generator.integers(vector.single_action_space.n, size=COLUMNS)
        _, reward, terminated, truncated, infos = vector.step(actions)
        rows.append((state, actions, infos["state_index"], reward, terminated))
        state = vector.simulation.state()["state"]
        begun = terminated | truncated
        starts.append(state[begun])
    return [np.concatenate(part) for part in zip(*rows, strict=True)], np.concatenate(starts)


def p_value(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the pooled chi-square p value of rows of counts; rare outcomes are merged."""
    statistic, freedom = 0.0, 0
    for row, expected_share in zip(counts, probabilities, strict=True):
        expected = expected_share * row.sum()
        common = expected >= 5
        found = np.append(row[common], row[~common].sum())
        wanted = np.append(expected[common], expected[~common].sum())
        keep = wanted >= 5
        if keep.sum() > 1:
            statistic += float(((found - wanted)[keep] ** 2 / wanted[keep]).sum())
            freedom += int(keep.sum()) - 1
    return float(chi2.sf(statistic, freedom)) if freedom else 1.0


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_that_steps_follow_the_tables(name, options):
    mdp = tabular(name, options).mdp
    (state, action, following, reward, terminated), starts = experience(name, options)
    assert (mdp.transition[state, action, following] > 0).all()
    assert np.array_equal(reward, mdp.reward[state, action, following])
    assert np.array_equal(terminated, mdp.terminal[following])
    assert not mdp.terminal[state].any()
    counts = np.zeros_like(mdp.transition)
    np.add.at(counts, (state, action, following), 1)
    visited = counts.sum(axis=-1) > 0
    assert p_value(counts[visited], mdp.transition[visited]) > 1e-4
    first = np.bincount(starts, minlength=mdp.num_states)
    assert (mdp.start[starts] > 0).all()
    assert p_value(first[None], mdp.start[None]) > 1e-4


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_that_info_and_observations_are_looked_up_in_their_tables(name, options):
    vector = envs.make_vec(name, 16, max_episode_steps=20, **options)
    simulation = vector.simulation
    observation, infos = vector.reset(seed=2)
    assert all(not infos[key].any() for key in simulation.transition_info)
    seen: dict[int, np.ndarray] = {}
    generator = np.random.default_rng(3)
    for _ in range(40):
        state = simulation.state()["state"]
        for index, shown in zip(state.tolist(), observation, strict=True):
            assert np.array_equal(seen.setdefault(index, shown), shown)
        actions = generator.integers(vector.single_action_space.n, size=16)
        observation, _, _, _, infos = vector.step(actions)
        following = infos["state_index"]
        for key, table in simulation.transition_info.items():
            assert np.array_equal(infos[key], table[state, actions, following])
        for key, table in simulation.state_info.items():
            assert np.array_equal(infos[key], table[following])
            assert infos[key].dtype == table.dtype
    names = {"state_index", *simulation.transition_info, *simulation.state_info}
    assert names == set(simulation.info_keys)


def test_that_tables_are_reached_from_everywhere():
    single, vector = envs.make("LavaGrid-v0"), envs.make_vec("LavaGrid-v0", 2)
    for env in (single, vector, vector.simulation):
        assert tables(env).transition.shape == (100, 4, 100)
    noisy = envs.make("NoisyTV-v0", inner="SerpentineMaze-v0")
    assert tables(noisy).num_states == 241
    with pytest.raises(TypeError, match="has no transition tables"):
        tables(envs.make("TrackerMaze-v0"))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("RingTV-v0", {"tv": "off"}),
        ("SerpentineMaze-v0", {}),
        ("LavaGrid-v0", {}),
        ("GoalChain-v0", {}),
        ("CoffeeOfficeGrid-v0", {}),
    ],
)
def test_that_a_deterministic_world_draws_nothing(name, options):
    vector = envs.make_vec(name, 4, **options)
    vector.reset(seed=0)
    before = vector.snapshot()["random"]["generators"]
    for _ in range(300):
        vector.step(np.ones(4, dtype=int))
    assert vector.snapshot()["random"]["generators"] == before


def test_that_outcomes_of_almost_no_probability_are_possible_and_rare():
    """A softmax leaves 1e-9 to most successors; they must not be cut, nor chosen by rounding."""
    vector = envs.make_vec("RandomMDP-v0", 2000)
    mdp = vector.simulation.mdp
    assert (mdp.transition > 0).all()
    vector.reset(seed=0)
    generator = np.random.default_rng(0)
    for _ in range(50):
        state = vector.simulation.state()["state"]
        actions = generator.integers(4, size=2000)
        following = vector.step(actions)[4]["state_index"]
        assert mdp.transition[state, actions, following].min() > 1e-6


def test_that_observations_know_their_bounds():
    index = np.array([0, 2, 1])
    assert one_hot(index).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert scaled(np.array([[0, 5], [4, 5], [1, 5]])).tolist() == [[-1, 0], [1, 0], [-0.5, 0]]
    for observation, low, high in (("one_hot", 0, 1), ("coordinates", -1, 1)):
        space = envs.make("LavaGrid-v0", observation=observation).observation_space
        assert (space.low.min(), space.high.max()) == (low, high)
    assert envs.make("CoffeeOfficeGrid-v0").observation_space.n == 28
    assert envs.make("CoffeeOfficeGrid-v0", observation="state_index").observation_space.n == 56
