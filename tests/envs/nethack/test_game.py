"""Our games are those of the packages, step by step, where the packages can be seeded."""

import numpy as np
import pytest

from envs.nethack.environment import NetHackEnv
from envs.nethack.packages import level_class
from envs.nethack.tasks import FAMILY

KEYS = ("glyphs", "blstats", "message", "inv_glyphs", "chars", "inv_strs", "inv_letters")
# One for every way in which the packages define reward, end and step.
NAMES = (
    "NetHack-v0",
    "NetHackScore-v0",
    "NetHackStaircasePet-v0",
    "NetHackOracle-v0",
    "NetHackGold-v0",
    "NetHackEat-v0",
    "NetHackScout-v0",
    "NetHackChallenge-v0",
    "MiniHack-Room-Ultimate-5x5-v0",
    "MiniHack-Corridor-R3-v0",
    "MiniHack-KeyRoom-S5-v0",
    "MiniHack-Memento-Short-F2-v0",
    "MiniHack-Eat-v0",
    "MiniHack-Sink-v0",
    "MiniHack-WoD-Easy-Restricted-v0",
    "MiniHack-River-Narrow-v0",
    "MiniHack-ExploreMaze-Easy-v0",
    "MiniHack-Quest-Easy-v0",
    "MiniHack-Sokoban4a-v1",
)
TASKS = {task.name: task for task in FAMILY.tasks}
LEFT_OUT = {"QUIT", "SAVE", "SHELL", "OPTIONS", "EXTCMD"}


def theirs(level):
    game = level_class(level)(observation_keys=(*KEYS, "screen_descriptions"), fix_moon_phase=True)
    # NetHackChallenge puts functions that raise over these.
    for name in ("set_initial_seeds", "get_current_seeds"):
        vars(game.nethack).pop(name, None)
    return game


@pytest.mark.filterwarnings("ignore:Warning. smooth quitting:UserWarning")  # by nle itself
@pytest.mark.parametrize("name", NAMES)
def test_that_observation_reward_and_end_are_those_of_the_package(name):
    task = TASKS[name]
    level = task.options["level"]
    game = theirs(level)
    env = NetHackEnv(
        level, text=True, step_limit=min(task.max_episode_steps, 60), observation_keys=KEYS
    )
    assert task.max_episode_steps == game._max_episode_steps
    game._max_episode_steps = min(task.max_episode_steps, 60)
    random = np.random.default_rng(0)
    for seed in (2, 5):
        game.nethack.set_initial_seeds(seed, seed, False)
        expected, _ = game.reset()
        found, _ = env.reset(seed=seed)
        ended = False
        while not ended:
            for key in set(KEYS) & set(expected):
                assert np.array_equal(found[key], expected[key]), key
            action = int(random.integers(env.action_space.n))
            action = 0 if env.action_names[action] in LEFT_OUT else action
            expected, reward, ended, _, info = game.step(action)
            found, ours, terminated, truncated, quantities = env.step(action)
            assert ours == reward
            assert (terminated or truncated) == ended
            assert quantities["end_status"] == int(info["end_status"])
            assert truncated == (info["end_status"] == -1)
        # Theirs is blank here (unless a menu was open), ours is the last true one.
        assert expected["blstats"][11] == 0 or name == "NetHackChallenge-v0"
        assert found["blstats"][11] > 0
    game.close()
    env.close()


def test_that_every_task_is_listed_with_its_own_actions_and_can_be_played():
    assert len(TASKS) == 157
    for name in (
        "MiniHack-HideNSeek-v0",
        "MiniHack-Labyrinth-Small-v0",
        "MiniHack-MazeWalk-9x9-v0",
    ):
        level = TASKS[name].options["level"]
        env, game = NetHackEnv(level), theirs(level)
        assert [int(a) for a in env._game.actions] == [int(a) for a in game.actions]
        assert env.observation_space.contains(env.reset(seed=0)[0])
        env.close()
        game.close()


def test_that_naming_the_screen_changes_nothing_where_nothing_can_be_named_better():
    level = TASKS["MiniHack-Room-Random-15x15-v0"].options["level"]
    glyphs, text = NetHackEnv(level), NetHackEnv(level, text=True)
    for seed in range(3):
        one, two = glyphs.reset(seed=seed), text.reset(seed=seed)
        for action in np.random.default_rng(seed).integers(8, size=80).tolist():
            assert one[0]["glyphs"].tobytes() == two[0]["glyphs"].tobytes()
            one, two = glyphs.step(action), text.step(action)
            assert one[1:4] == two[1:4]
            if one[2]:
                break
    glyphs.close()
    text.close()
