"""NetHackEnv keeps Gymnasium's contract: seeds, ends, copies, and what it refuses."""

import gc
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import envs
from envs.nethack.environment import OBSERVATION_KEYS, NetHackEnv

ROOM = "MiniHack-Room-5x5-v0"
EAST, SOUTH_EAST = 1, 5


def play(env, seed, steps, action_seed=0):
    """Return everything that an episode with random actions returned, as bytes."""
    random = np.random.default_rng(action_seed)
    observation, info = env.reset(seed=seed)
    record = [_bytes(observation, info)]
    for _ in range(steps):
        action = int(random.integers(env.action_space.n))
        observation, reward, terminated, truncated, info = env.step(action)
        record.append((_bytes(observation, info), reward, terminated, truncated))
        if terminated or truncated:
            break
    return record


def _bytes(observation, info):
    return [np.asarray(value).tobytes() for part in (observation, info) for value in part.values()]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MiniHack-Room-Ultimate-15x15-v0", {}),
        ("MiniHack-KeyRoom-S5-v0", {"text": True}),
        ("MiniHack-Corridor-R2-v0", {}),
        ("NetHackScore-v0", {}),
        ("NetHackChallenge-v0", {}),
    ],
)
def test_that_a_seed_gives_the_same_game_also_on_a_used_engine(make, name, options):
    used, fresh = make(name, **options), make(name, **options)
    play(used, seed=11, steps=60, action_seed=5)
    again = play(used, seed=3, steps=150)
    assert again == play(fresh, seed=3, steps=150)
    assert again[0] != play(fresh, seed=4, steps=0)[0]


def test_that_levels_drawn_by_minigrid_follow_the_seed_too(make):
    pytest.importorskip("minigrid")
    first, second = make("MiniHack-MultiRoom-N4-v0"), make("MiniHack-MultiRoom-N4-v0")
    maps = [first.reset(seed=seed)[0]["glyphs"] for seed in (1, 2, 1)]
    assert np.array_equal(maps[0], maps[2])
    assert not np.array_equal(maps[0], maps[1])
    assert np.array_equal(second.reset(seed=2)[0]["glyphs"], maps[1])


def test_that_a_seed_is_the_pair_of_seeds_of_the_engine(make):
    env = make("NetHackScore-v0")
    env.reset(seed=1234)
    assert env.unwrapped._game.get_seeds()[:3] == (1234, 1234, False)


def test_that_resets_without_a_seed_go_on_with_the_stream_of_the_environment(make):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    env, other = make("MiniHack-Room-Random-15x15-v0"), make("MiniHack-Room-Random-15x15-v0")

    def starts(env):
        seeded = env.reset(seed=7)[0]
        return [o["glyphs"].tobytes() for o in (seeded, *(env.reset()[0] for _ in range(4)))]

    games = starts(env)
    assert len(set(games)) == 5
    assert games == starts(other)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_that_chosen_levels_are_the_only_ones_played(make):
    env = make("MiniHack-Room-Random-15x15-v0", level_seeds=[5, 6])
    free = make("MiniHack-Room-Random-15x15-v0")
    allowed = {free.reset(seed=seed)[0]["glyphs"].tobytes() for seed in (5, 6)}
    env.reset(seed=0)
    assert {env.reset()[0]["glyphs"].tobytes() for _ in range(12)} == allowed


def test_that_the_limit_of_the_engine_truncates():
    env = NetHackEnv("minihack.envs.room:MiniHackRoom5x5", step_limit=100)
    env.reset(seed=0)
    for step in range(1, 101):
        observation, reward, terminated, truncated, info = env.step(EAST - 1)  # into the wall
        assert (terminated, truncated) == (False, step == 100)
    assert (info["end_status"], info["is_success"]) == (-1, False)
    assert reward == -0.01
    assert observation["blstats"][11] > 0
    env.close()


def test_that_the_limit_of_the_task_truncates(make):
    for limit, options in ((100, {}), (7, {"max_episode_steps": 7})):
        env = make(ROOM, **options)
        env.reset(seed=0)
        for step in range(1, limit + 1):
            _, _, terminated, truncated, info = env.step(0)
            assert (terminated, truncated) == (False, step == limit)
        assert (info["end_status"], info["is_success"]) == (0, False)


def test_that_success_terminates_with_the_true_last_observation(make):
    env = make(ROOM)
    env.reset(seed=0)
    for step in range(1, 5):
        observation, reward, terminated, truncated, info = env.step(SOUTH_EAST)
        assert (terminated, truncated, info["is_success"]) == (step == 4, False, step == 4)
    assert (reward, info["end_status"]) == (1.0, 2)
    stats = observation["blstats"]
    assert (info["x"], info["y"]) == (stats[0], stats[1]) == (40, 13)
    assert stats[20] == info["turn"] == 5
    assert observation["glyphs"][13, 40] == 337  # the hero, on the stairs
    assert (observation["glyphs"] != 2359).sum() > 20


def test_that_death_terminates_without_success_and_shows_the_last_screen(deadly):
    env = deadly()
    env.reset(seed=0)
    terminated, lost = False, 0
    while not terminated:
        observation, reward, terminated, truncated, info = env.step(0)
        lost += info["hit_points_lost"]
        assert not truncated
    assert (info["end_status"], info["is_success"], info["is_ascended"]) == (1, False, 0)
    assert reward == 0.0
    assert bytes(observation["message"]).startswith(b"You die...")
    assert observation["blstats"][11] == info["max_hit_points"] > 0
    assert (observation["glyphs"] != 2359).sum() > 10
    assert lost > 0


def test_that_returned_arrays_are_never_written_again(make):
    env = make("NetHackScore-v0")
    kept = [env.reset(seed=0)]
    for action in np.random.default_rng(0).integers(1, 9, 30).tolist():
        observation, *_, info = env.step(action)
        kept.append((observation, info))
    copies = [[np.array(v) for part in step for v in part.values()] for step in kept]
    for _ in range(20):
        env.step(3)
    env.reset()
    for step, copied in zip(kept, copies, strict=True):
        values = [value for part in step for value in part.values()]
        assert all(np.array_equal(a, b) for a, b in zip(values, copied, strict=True))


def test_that_a_changed_observation_changes_nothing_else(make):
    one, two = (
        make("MiniHack-Sokoban4a-v1", observation_keys=["chars", "blstats"]),
        make("MiniHack-Sokoban4a-v1", observation_keys=["chars", "blstats"]),
    )
    rewards = {id(env): [] for env in (one, two)}
    for env in (one, two):
        env.reset(seed=0)
        for action in np.random.default_rng(1).integers(8, size=60).tolist():
            observation, reward, *_ = env.step(action)
            rewards[id(env)].append(reward)
            if env is one:
                for array in observation.values():
                    array[...] = 94  # the sign of a pit, which this task's reward counts
    assert rewards[id(one)] == rewards[id(two)]


def test_that_the_engine_computes_only_the_observations_in_use(make):
    lean, wide = make(ROOM), make(ROOM, text=True, observation_keys=["tty_chars", "glyphs"])
    for env, described, terminal in ((lean, False, False), (wide, True, True)):
        env.reset(seed=0)
        buffers = env.unwrapped._game.nethack._obs_buffers
        assert bool(buffers["screen_descriptions"].size) is described
        assert ("tty_chars" in buffers) is terminal
    assert tuple(lean.observation_space) == tuple(sorted(OBSERVATION_KEYS))
    observation, _ = wide.reset(seed=0)
    assert wide.observation_space.contains(observation)
    assert "Dlvl:1" in observation["tty_chars"].tobytes().decode("latin-1")


def test_that_info_has_the_documented_keys_at_every_step(make):
    for name, has_success in ((ROOM, True), ("NetHackScore-v0", False)):
        env = make(name)
        _, first = env.reset(seed=0)
        *_, later = env.step(2)
        assert list(first) == list(later)
        assert set(first) == set(env.unwrapped.info_keys)
        assert ("is_success" in first) is has_success
        for info in (first, later):
            assert all(isinstance(v, int | bool | np.ndarray) for v in info.values())
        assert (later["message"].shape, later["message"].dtype) == ((256,), np.uint8)
        assert later["inventory_letters"].shape == later["inventory_glyphs"].shape == (55,)
        assert later["inventory_strings"].shape == (55, 80)


def test_that_several_engines_in_one_process_do_not_touch_each_other(make):
    alone = play(make("NetHackScore-v0"), seed=1, steps=60)
    group = [make("NetHackScore-v0") for _ in range(6)]
    for seed, env in enumerate(group):
        env.reset(seed=seed)
    random, record = np.random.default_rng(0), None
    record = [_bytes(*group[1].reset(seed=1))]
    for _ in range(60):
        action = int(random.integers(23))
        for env in group:
            observation, reward, terminated, truncated, info = env.step(action)
            if env is group[1]:
                record.append((_bytes(observation, info), reward, terminated, truncated))
            elif terminated or truncated:
                env.reset()
    assert record == alone


def test_that_many_resets_leave_neither_files_nor_memory(make):
    folder = Path(tempfile.gettempdir())

    def files():
        return len(os.listdir("/proc/self/fd")), len(list(folder.glob("nle*")))

    def memory():
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    gc.collect()  # What earlier tests left must not close its files in between.
    before = files()
    env = make("MiniHack-Room-Random-5x5-v0")
    for _ in range(100):
        env.reset()
    used, held = files(), memory()
    for _ in range(400):
        env.reset()
        env.step(0)
    assert files() == used
    assert memory() - held < 4
    env.close()
    env.close()
    gc.collect()
    assert files() == before


def test_that_misuse_is_named(make):
    env = make(ROOM).unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(0)
    env.reset(seed=0)
    for _ in range(4):
        env.step(SOUTH_EAST)
    with pytest.raises(gymnasium.error.ResetNeeded, match="after an episode's end"):
        env.step(0)
    env.close()
    for call in (env.reset, lambda: env.step(0), env.render):
        with pytest.raises(RuntimeError, match="closed; make a new one"):
            call()


def test_that_an_engine_that_fails_is_an_error_with_name_and_seeds(make):
    env = make(ROOM)
    env.reset(seed=9)
    env.unwrapped._game.nethack._pynethack.close()
    with pytest.raises(RuntimeError, match=rf"{ROOM} failed .* core=9, disp=9"):
        env.step(0)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"observation_keys": ["glyph"]}, "Did you mean 'glyphs'"),
        ({"observation_keys": "glyphs"}, "must be a list"),
        ({"observation_keys": []}, "must be a list"),
        ({"actions": ["N", "KIK"]}, "Did you mean 'KICK'"),
        ({"level_seeds": []}, "level_seeds is empty"),
        ({"render_mode": "human"}, "'rgb_array' or 'ansi'"),
        ({"level": "minihack.envs.room"}, "must be 'module:Class'"),
        ({"level": "minihack.envs.room:MOVE"}, "not a subclass"),
    ],
)
def test_that_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        NetHackEnv(**{"level": "minihack.envs.room:MiniHackRoom5x5", **options})


def test_that_wrong_actions_do_not_reach_the_engine(make):
    env = make(ROOM)
    env.reset(seed=0)
    for action in (8, -1, 0.5, np.array([1, 2])):
        with pytest.raises(envs.ActionError):
            env.step(action)


def test_that_a_snapshot_is_refused(make):
    env = make(ROOM)
    env.reset(seed=0)
    assert not envs.can_snapshot(env)
    with pytest.raises(envs.SnapshotError, match="Nethack"):
        envs.snapshot(env)


def test_that_actions_can_be_chosen_by_name(make):
    env = make(ROOM, actions=["SE", "SEARCH"])
    assert env.unwrapped.action_names == ("SE", "SEARCH")
    env.reset(seed=0)
    *_, info = env.step(0)
    assert (info["x"], info["y"]) == (37, 10)


def test_rendering(make):
    picture = make(ROOM, render_mode="rgb_array")
    picture.reset(seed=0)
    first = picture.render()
    picture.step(SOUTH_EAST)
    second = picture.render()
    assert first.shape == (336, 1264, 3)
    assert first.dtype == np.uint8
    assert (first != second).any(axis=2).sum() > 100
    terminal = make(ROOM, render_mode="ansi")
    terminal.reset(seed=0)
    lines = terminal.render().split("\n")
    assert len(lines) == 24
    assert "@" in lines[10]


@pytest.mark.parametrize("order", ["import minihack\nimport envs", "import envs\nimport minihack"])
def test_that_ours_is_made_whoever_registered_last(order):
    code = f"""
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    {order.replace(chr(10), chr(10) + "    ")}
warnings.simplefilter("error")
env = envs.make("{ROOM}")
print(type(env.unwrapped).__module__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "envs.nethack.environment", done.stderr


def test_that_making_one_warns_of_nothing_and_leaves_the_registry():
    code = f"""
import warnings
warnings.simplefilter("error")
import gymnasium, envs
before = dict(gymnasium.registry)
envs.make("{ROOM}").reset(seed=0)
assert all(gymnasium.registry[name] is spec for name, spec in before.items())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
