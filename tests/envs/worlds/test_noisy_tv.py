"""Noise in what is seen and in nothing else, around our worlds and around real simulators."""

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from scipy.stats import binomtest, chisquare, kstest

import envs
from envs.errors import VectorizationError
from envs.simulation import ColumnRandom
from envs.worlds.noisy_tv import NoisyTV, NoisyTVVector
from envs.worlds.screens import IntegerScreen, RealScreen
from envs.worlds.television import Television


def seeded(count: int, seed: int = 0) -> ColumnRandom:
    random = ColumnRandom(count)
    for column in range(count):
        random.seed(column, seed + column)
    return random


def screen(kind: str, count: int = 500, **options) -> tuple[RealScreen, ColumnRandom]:
    made = RealScreen(count, 4, np.dtype(np.float64), kind=kind, **options)
    random = seeded(count)
    made.reset(np.arange(count), random)
    return made, random


def test_that_iid_numbers_are_fresh_at_every_step():
    real, random = screen("iid", scale=2.0)
    first = real.values.copy()
    assert kstest(first.ravel() / 2, "norm").pvalue > 1e-3
    real.step(np.zeros(500, dtype=bool), random)
    assert kstest(real.values.ravel() / 2, "norm").pvalue > 1e-3
    assert real.redrawn.all()
    assert abs(np.corrcoef(first.ravel(), real.values.ravel())[0, 1]) < 0.1


def test_that_a_redraw_may_be_a_matter_of_chance():
    real, random = screen("iid", probability=0.25)
    before = real.values.copy()
    real.step(np.zeros(500, dtype=bool), random)
    assert binomtest(int(real.redrawn.sum()), 500, 0.25).pvalue > 1e-3
    assert np.array_equal((real.values != before).all(axis=1), real.redrawn)
    assert np.array_equal((real.values != before).any(axis=1), real.redrawn)


def test_that_a_walk_moves_in_small_steps_within_its_range():
    real, random = screen("brownian", scale=0.5)
    assert kstest(real.values.ravel(), "uniform", (-1.5, 3.0)).pvalue > 1e-3
    moves = []
    for _ in range(200):
        before = real.values
        real.step(np.zeros(500, dtype=bool), random)
        moves.append((real.values - before).ravel())
        assert np.abs(real.values).max() <= 1.5
    assert np.std(np.concatenate(moves)) == pytest.approx(0.05, rel=0.05)
    assert kstest(real.values.ravel(), "uniform", (-1.5, 3.0)).pvalue > 1e-3  # still everywhere


def test_that_whole_numbers_are_uniform_or_walk_by_one():
    random = seeded(400)
    cells = IntegerScreen(400, (2, 3), np.dtype(np.uint8), kind="iid", low=10, high=19)
    cells.reset(np.arange(400), random)
    for _ in range(2):
        assert chisquare(np.bincount(cells.values.ravel())[10:]).pvalue > 1e-3
        assert cells.values.min() == 10
        assert cells.values.max() == 19
        cells.step(np.zeros(400, dtype=bool), random)
    walk = IntegerScreen(400, (2, 3), np.dtype(np.uint8), kind="brownian", low=0, high=255)
    walk.reset(np.arange(400), random)
    for _ in range(5):
        before = walk.values.astype(int)
        walk.step(np.zeros(400, dtype=bool), random)
        change = walk.values.astype(int) - before
        assert np.abs(change).max() == 1
        assert chisquare(np.bincount(change.ravel() + 1)).pvalue > 1e-4


def test_that_a_screen_goes_on_from_its_state():
    real, random = screen("brownian", count=3)
    real.step(np.zeros(3, dtype=bool), random)
    saved, numbers = real.state(), random.snapshot()
    real.step(np.zeros(3, dtype=bool), random)
    other = RealScreen(3, 4, np.dtype(np.float64), kind="brownian")
    other.set_state(saved)
    random.restore(numbers)
    other.step(np.zeros(3, dtype=bool), random)
    assert np.array_equal(other.values, real.values)


OPTIONS = [
    {"kind": "iid"},
    {"kind": "iid", "probability": 0.5, "size": 3},
    {"kind": "brownian", "scale": 2.0},
    {"kind": "on_demand", "idle": 1},
    {"kind": "on_demand", "trigger": 2},
]


@pytest.mark.parametrize("noise", OPTIONS, ids=lambda noise: "-".join(map(str, noise.values())))
def test_that_nothing_but_the_observation_changes_and_both_forms_agree(noise):
    count, name = 3, "LavaGrid-v0"
    inner = {"observation": "one_hot"}
    vector = NoisyTVVector(envs.make_vec(name, count, **inner), **noise)
    plain = envs.make_vec(name, count, **inner)
    singles = [envs.make("NoisyTV-v0", inner=name, **inner, **noise) for _ in range(count)]
    observation, infos = vector.reset(seed=4)
    clean, _ = plain.reset(seed=4)
    for i, env in enumerate(singles):
        own, info = env.reset(seed=4 + i)
        assert np.array_equal(own, observation[i])
        assert info["tv"] == info["tv_redrawn"] == 0 == infos["tv"][i]
    vector.action_space.seed(0)
    size = noise.get("size", 16)
    assert vector.single_observation_space.shape == (100 + size,)
    ends = 0
    for _ in range(150):
        actions = vector.action_space.sample()
        asked = actions == noise.get("trigger", 4)
        sent = np.where(asked & ("idle" in noise), noise.get("idle", 0), actions)
        observation, reward, terminated, truncated, infos = vector.step(actions)
        clean, paid, ended, cut, truth = plain.step(sent)
        assert np.array_equal(observation[:, :100], clean)
        assert np.array_equal(reward, paid)
        assert np.array_equal(terminated, ended)
        assert np.array_equal(truncated, cut)
        for key, values in truth.items():
            shown = infos[key][:, :100] if key == "final_obs" else infos[key]
            assert np.array_equal(shown, values)
        final = infos.get("final_obs", observation)
        noisy = np.where((terminated | truncated)[:, None], final, observation)[:, 100:]
        if noise["kind"] == "on_demand":
            assert np.array_equal(infos["tv"], asked)
            assert np.array_equal(infos["tv_redrawn"], asked)
            assert np.array_equal(noisy.any(axis=1), asked)
        for i, env in enumerate(singles):
            own, *outcome, info = env.step(int(actions[i]))
            assert np.array_equal(own, final[i] if outcome[1] or outcome[2] else observation[i])
            assert outcome == [reward[i], terminated[i], truncated[i]]
            assert info["tv_redrawn"] == infos["tv_redrawn"][i]
            if outcome[1] or outcome[2]:
                assert np.array_equal(env.reset()[0], observation[i])
                ends += 1
    assert ends


def test_that_the_noise_is_not_the_randomness_of_the_world():
    """A world and its noise with the same seed must not draw the same numbers."""
    random = seeded(1, seed=3)
    env = NoisyTV(envs.make("SerpentineMaze-v0"))
    env.reset(seed=3)
    assert not np.allclose(env.step(0)[0][2:], random.normal(16)[0])
    vector = NoisyTVVector(envs.make_vec("SerpentineMaze-v0", 4))
    columns = vector.reset(seed=3)[0][:, 2:]
    assert len({row.tobytes() for row in columns}) == 4
    assert np.array_equal(vector.reset(seed=4)[0][:3, 2:], columns[1:])
    unseeded = [NoisyTV(envs.make("SerpentineMaze-v0")).reset()[0][2:] for _ in range(2)]
    assert not np.allclose(*unseeded)


def test_that_noise_is_saved_with_its_environment():
    for options in ({"kind": "brownian"}, {"kind": "iid", "probability": 0.5}):
        env = envs.make("HalfCheetahSparseNoisy-v0", **options)
        env.reset(seed=0)
        env.action_space.seed(0)
        actions = [env.action_space.sample() for _ in range(12)]
        for action in actions[:4]:
            env.step(action)
        saved = envs.snapshot(env)
        expected = [env.step(action) for action in actions[4:]]
        later = envs.make("HalfCheetahSparseNoisy-v0", **options)
        later.reset(seed=9)
        envs.restore(later, saved)
        for action, wanted in zip(actions[4:], expected, strict=True):
            found = later.step(action)
            assert np.array_equal(found[0], wanted[0])
            assert found[1:] == wanted[1:]
        env.close()
        later.close()


def test_that_the_cheetah_runs_as_without_noise():
    noisy, plain = envs.make("HalfCheetahSparseNoisy-v0"), envs.make("HalfCheetahSparse-v0")
    seen, clean = noisy.reset(seed=5)[0], plain.reset(seed=5)[0]
    plain.action_space.seed(0)
    assert noisy.observation_space.shape == (33,)
    for _ in range(20):
        assert np.array_equal(seen[:17], clean)
        action = plain.action_space.sample()
        seen, *outcome, info = noisy.step(action)
        clean, *expected, truth = plain.step(action)
        assert outcome == expected
        assert info == {**truth, "tv": 0, "tv_redrawn": 1}
    noisy.close()
    plain.close()


def test_that_one_more_number_of_an_action_asks_for_a_picture():
    env = envs.make("HalfCheetahSparseNoisy-v0", kind="on_demand")
    env.reset(seed=0)
    assert env.action_space.shape == (7,)
    quiet = env.step(np.zeros(7))
    asked = env.step(np.append(np.zeros(6), 0.5))
    assert (quiet[4]["tv"], asked[4]["tv"]) == (0, 1)
    assert not quiet[0][17:].any()
    assert asked[0][17:].all()
    env.close()


def minihack(**options):
    pytest.importorskip("minihack")
    level = {"inner": "MiniHack-Room-5x5-v0", "max_episode_steps": 30}
    return envs.make("NoisyTV-v0", **level, **options)


def test_that_a_message_of_nethack_becomes_letters():
    env = minihack(place="message", key="message", size=24)
    truth = envs.make("MiniHack-Room-5x5-v0")
    noisy, clean = env.reset(seed=3)[0], truth.reset(seed=3)[0]
    lines = set()
    for action in (1, 3, 0, 2, 1):
        assert env.observation_space.contains(noisy)
        for key in set(clean) - {"message"}:
            assert np.array_equal(noisy[key], clean[key])
        line = bytes(noisy["message"])
        assert line[:24].isalpha()
        assert line[:24].islower()
        assert line[24:25] == b"."
        assert not any(line[25:])
        lines.add(line)
        noisy, clean = env.step(action)[0], truth.step(action)[0]
    assert len(lines) == 5
    env.close()
    truth.close()


def test_that_cells_of_nethack_are_overwritten_on_demand():
    env = minihack(place="cells", key="glyphs", kind="on_demand", idle=0, rows=2, columns=3)
    truth = envs.make("MiniHack-Room-5x5-v0")
    noisy, clean = env.reset(seed=3)[0], truth.reset(seed=3)[0]
    assert np.array_equal(noisy["glyphs"], clean["glyphs"])
    assert env.action_space.n == truth.action_space.n + 1
    for action in (1, env.action_space.n - 1, 1):
        asked = action == env.action_space.n - 1
        noisy, _, _, _, info = env.step(action)
        clean = truth.step(0 if asked else action)[0]
        assert info["tv"] == int(asked)
        assert env.observation_space.contains(noisy)
        changed = noisy["glyphs"] != clean["glyphs"]
        assert changed[:2, -3:].any() == asked
        changed[:2, -3:] = False
        assert not changed.any()
        assert noisy["glyphs"].dtype == clean["glyphs"].dtype
    env.close()
    truth.close()


def test_that_pictures_with_colours_have_cells_too():
    space = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    television = Television(2, space, spaces.Discrete(2), place="cells", rows=3, columns=2)
    for column in range(2):
        television.seed(column, column)
    television.reset(np.arange(2))
    clean = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    seen = television.observe(clean)
    assert seen.dtype == np.uint8
    assert not clean.any()
    assert seen[:, :3, 6:].any()
    assert (seen[:, :3, 6:] > 0).mean() > 0.9
    seen[:, :3, 6:] = 0
    assert not seen.any()


def test_that_a_world_of_many_columns_has_a_noisy_form():
    vector = envs.make_vec("SerpentineMazeNoisy-v0", 5, kind="brownian", rows=5)
    observation, _ = vector.reset(seed=0)
    assert observation.shape == (5, 18)
    assert vector.single_observation_space.high.tolist() == [1, 1] + [3] * 16
    limits = [
        envs.make_vec("SerpentineMazeNoisy-v0", 1, max_episode_steps=limit).env._limit
        for limit in (None, 50, 500)
    ]
    assert limits == [200, 50, 200]
    assert not envs.has_vector("NoisyTV-v0")
    with pytest.raises(VectorizationError):
        envs.make_vec("NoisyTV-v0", 2)
    late = SyncVectorEnv([lambda: envs.make("SerpentineMaze-v0")])
    with pytest.raises(TypeError, match="SAME_STEP"):
        NoisyTVVector(late)
    late.close()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kind": "brown"}, ValueError, "Did you mean 'brownian'"),
        ({"place": "chanels"}, ValueError, "Did you mean 'channels'"),
        ({"place": "message"}, TypeError, "place='message' needs whole numbers with 1 axes"),
        ({"place": "cells"}, TypeError, "place='cells' needs whole numbers"),
        ({"key": "glyphs"}, TypeError, "for observations that are a dict"),
        ({"size": 0}, ValueError, "at least 1 channel"),
        ({"scale": 0.0}, ValueError, "positive number for scale"),
        ({"probability": 1.5}, ValueError, "probability"),
        ({"kind": "on_demand"}, ValueError, "either trigger .* or idle .* got idle=None"),
        ({"kind": "on_demand", "trigger": 9}, ValueError, "got trigger=9"),
        ({"kind": "on_demand", "trigger": 1, "idle": 1}, ValueError, "either trigger"),
        ({"trigger": 1}, ValueError, "are for kind='on_demand'"),
        ({"inner": "LavaGrid-v0"}, TypeError, "arrays"),
        ({"inner": "LavaGird-v0"}, envs.EnvironmentNameError, "Did you mean 'LavaGrid-v0'"),
    ],
)
def test_that_noise_without_a_place_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        envs.make("NoisyTV-v0", **options)


def test_that_an_entry_must_be_named_and_fit():
    pair = spaces.Dict(
        {"map": spaces.Box(0, 9, (4, 4), np.int16), "line": spaces.Box(0, 255, (8,), np.uint8)}
    )
    actions = spaces.Discrete(2)
    for options, message in [
        ({"place": "cells"}, "Say which entry"),
        ({"place": "cells", "key": "mpa"}, "Did you mean 'map'"),
        ({"place": "cells", "key": "map"}, r"\(5, 5\) does not fit into \(4, 4\)"),
        ({"place": "message", "key": "line"}, r"\(16,\) does not fit into \(8,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            Television(1, pair, actions, **options)
    made = Television(1, pair, actions, place="cells", key="map", rows=1, columns=1, low=3, high=5)
    assert made.observation_space == pair
    with pytest.raises(TypeError, match="Discrete or flat Box actions"):
        Television(
            1, spaces.Box(0, 1, (2,)), spaces.MultiDiscrete([2, 2]), kind="on_demand", trigger=0
        )
