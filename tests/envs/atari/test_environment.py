"""The Atari environment: ale_py's own games, pixel by pixel, and what info says about them."""

import ale_py  # noqa: F401 - registers the games
import gymnasium
import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from scipy.stats import binomtest

import envs
from envs.atari.environment import AtariEnv
from envs.check import check_env
from envs.worlds.noisy_tv import NoisyTV

# Actions with how often: from the start of Montezuma's Revenge over the key and through the right
# door into room 2, without sticky actions. Found by a search over saved states.
TO_ROOM_2 = (
    (9, 1), (4, 1), (10, 1), (6, 6), (14, 3), (16, 3), (9, 7), (13, 1), (11, 16), (3, 1), (4, 1),
    (14, 7), (13, 10), (12, 4), (7, 5), (17, 18), (1, 2), (9, 10), (2, 21), (3, 3), (17, 4), (6, 6),
    (7, 1), (2, 2), (13, 8), (6, 8), (15, 1), (12, 9), (14, 5), (12, 2), (1, 5), (3, 9), (14, 2),
    (15, 3), (2, 7), (6, 1), (14, 11), (6, 4), (14, 2), (1, 1), (2, 7), (17, 1), (2, 9), (17, 6),
    (2, 1), (10, 2), (7, 2), (0, 5), (15, 2), (3, 2), (10, 14), (8, 1), (14, 4), (11, 16),
)  # fmt: skip
RIGHT, LEFT = 3, 4  # numbers of actions


def walk(env, path=TO_ROOM_2):
    """Return (reward, info) of every step of a path."""
    actions = [action for action, count in path for _ in range(count)]
    return [(step[1], step[4]) for step in map(env.step, actions)]


def area_mean(screen: np.ndarray) -> np.ndarray:
    """The exact mean of the screen under every pixel of the picture: enlarge, then average."""
    large = np.kron(screen.astype(np.float64), np.ones((2, 21)))
    return large.reshape(84, 5, 84, 40).mean(axis=(1, 3))


# -- the picture, against other implementations ------------------------------------------


def test_that_the_picture_is_the_mean_under_every_pixel_of_the_last_two_frames():
    """Without sticky actions it is the game of ale_py's own environment with that seed."""
    env = AtariEnv(game="bank_heist", repeat_action_probability=0.0)
    raw = gymnasium.make(
        "ALE/BankHeist-v5", frameskip=1, repeat_action_probability=0.0, obs_type="grayscale"
    )
    observation, _ = env.reset(seed=7)
    screen, _ = raw.reset(seed=7)
    rng = np.random.default_rng(0)
    for _ in range(120):
        assert np.abs(observation[-1] - area_mean(screen)).max() <= 0.5 + 1e-4
        action, reward = int(rng.integers(18)), 0.0
        frames = []
        for _ in range(4):
            frame, points, over, _, raw_info = raw.step(action)
            reward += float(points)
            frames.append(frame)
        assert not over
        screen = np.maximum(*frames[2:])
        observation, got, terminated, truncated, info = env.step(action)
        assert (got, terminated, truncated) == (reward, False, False)
        assert (info["lives"], info["frame"]) == (
            raw_info["lives"],
            raw_info["episode_frame_number"],
        )
    raw.close()
    env.close()


def test_that_stacks_ends_and_rewards_are_those_of_ale_s_vectorised_preprocessing():
    """Its C++ resizes with OpenCV: a rounding may fall the other way, by one gray."""
    env = AtariEnv(game="breakout", repeat_action_probability=0.0)
    other = AtariVectorEnv(
        "breakout", num_envs=1, num_threads=1, noop_max=0, use_fire_reset=False,
        reward_clipping=False, autoreset_mode=AutoresetMode.SAME_STEP,
    )  # fmt: skip
    observation, _ = env.reset(seed=0)
    theirs, _ = other.reset(seed=0)
    rng = np.random.default_rng(0)
    ends, differing, pixels = 0, 0, 0
    for _ in range(500):
        apart = np.abs(observation.astype(int) - theirs[0])
        assert apart.max() <= 1
        differing, pixels = differing + int(apart.sum()), pixels + apart.size
        action = int(rng.integers(4))
        observation, reward, terminated, _, _ = env.step(action)
        theirs, rewards, over, _, _ = other.step(np.array([action]))
        assert (reward, terminated) == (rewards[0], over[0])
        if terminated:
            ends += 1
            observation, _ = env.reset()
    assert ends >= 2
    assert differing < 1e-4 * pixels
    env.close()


def test_that_an_episode_ends_with_the_screen_of_its_end():
    env = envs.make("MontezumaSticky-v0", frame_skip=60, render_mode="rgb_array")
    env.reset(seed=0)
    env.action_space.seed(0)
    terminated = False
    while not terminated:
        observation, _, terminated, _, info = env.step(env.action_space.sample())
    gray = env.render() @ np.array([0.299, 0.587, 0.114])
    assert info["frame"] % 60, "the game ended with a decision, so this tells nothing"
    assert np.abs(observation[-1] - area_mean(gray)).max() < 3.0
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.close()


def test_that_an_episode_begins_with_one_picture_and_shifts():
    env = AtariEnv(stack=3)
    first, _ = env.reset(seed=0)
    assert first.shape == (3, 84, 84)
    assert not first[:2].any()
    assert first[2].any()
    second = env.step(RIGHT)[0]
    assert np.array_equal(second[1], first[2])
    assert not np.array_equal(second[2], first[2])
    last = AtariEnv(stack=3, channels_last=True)
    assert np.array_equal(np.moveaxis(last.reset(seed=0)[0], -1, 0), first)
    assert last.observation_space.contains(last.step(RIGHT)[0])


@pytest.mark.parametrize("channels_last", [True, False])
def test_that_what_was_returned_is_never_written_again(channels_last):
    env = AtariEnv(stack=1, channels_last=channels_last)
    first, _ = env.reset(seed=0)
    before = first.copy()
    env.step(RIGHT)
    assert np.array_equal(first, before)
    assert first.flags.c_contiguous


# -- actions and starts ------------------------------------------------------------------


@pytest.mark.parametrize("sticky", [0.1, 0.25])
def test_that_actions_stick_frame_by_frame_with_their_probability(sticky):
    env = AtariEnv(game="pong", frame_skip=1, repeat_action_probability=sticky)
    twin = AtariEnv(game="pong", frame_skip=1, repeat_action_probability=0.0)
    observation, _ = env.reset(seed=0)
    assert np.array_equal(twin.reset(seed=0)[0], observation)
    rng = np.random.default_rng(0)
    before, stuck, chances = "NOOP", 0, 0
    for _ in range(600):
        action = int(rng.integers(6))
        observation, reward, over, _, info = env.step(action)
        executed, chosen = env._executed.name, env.action_names[action]
        assert executed in (before, chosen)
        chances += chosen != before
        stuck += chosen != before and executed == before
        # The game is the one in which just these actions were chosen.
        other = twin.step(env.action_names.index(executed))
        assert np.array_equal(observation, other[0])
        assert (reward, over, info) == (other[1], other[2], other[4])
        before = executed
    assert binomtest(stuck, chances, sticky).pvalue > 1e-3


def test_that_an_action_may_go_on_into_the_next_decision():
    env = AtariEnv(game="pong", repeat_action_probability=0.9)
    env.reset(seed=0)
    before, stuck = "NOOP", 0
    for index in range(200):
        action = index % 6
        env.step(action)
        stuck += env._executed.name == before != env.action_names[action]
        before = env._executed.name
    assert binomtest(stuck, 200, 0.9**4).pvalue > 1e-3


def test_that_seeds_matter_with_sticky_actions_only():
    def scores(sticky: float, seed: int) -> list[int]:
        env = AtariEnv(repeat_action_probability=sticky)
        env.reset(seed=seed)
        return [info["player_x"] for _, info in walk(env, TO_ROOM_2[:8])]

    assert scores(0.0, 1) == scores(0.0, 2)
    assert scores(0.25, 1) != scores(0.25, 2)
    assert scores(0.25, 1) == scores(0.25, 1)


def test_that_noops_lengthen_the_start():
    env = AtariEnv(noop_max=30)
    starts = {env.reset(seed=seed)[1]["frame"] for seed in range(6)}
    assert len(starts) > 2
    assert starts <= set(range(1, 31))


def test_that_the_joystick_has_18_actions_where_asked():
    assert AtariEnv(game="pong").action_names == (
        "NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE",
    )  # fmt: skip
    assert AtariEnv(game="pong", full_action_space=True).action_space.n == 18
    assert AtariEnv().action_names[RIGHT] == "RIGHT"


def test_that_a_lost_life_ends_the_episode_where_asked():
    ends = {}
    for option in (True, False):
        env = AtariEnv(game="breakout", terminal_on_life_loss=option)
        env.reset(seed=0)
        for index in range(150):  # serve, and let the ball fall
            _, _, terminated, _, info = env.step(int(index % 20 == 0))
            if terminated or info["lives"] < 4:
                break
        ends[option] = (terminated, info["lives"])
    assert ends == {True: (True, 4), False: (False, 3)}


# -- info --------------------------------------------------------------------------------


def test_that_rooms_and_score_are_those_of_a_walk_through_the_door():
    env = envs.make("MontezumaSticky-v0", repeat_action_probability=0.0)
    _, first = env.reset(seed=0)
    assert (first["room"], first["rooms_visited"], first["lives"]) == (1, 1, 6)
    steps = walk(env)
    rewards, infos = zip(*steps, strict=True)
    assert [reward for reward in rewards if reward] == [100.0, 300.0]  # the key, the door
    assert [info["score"] for info in infos] == list(np.cumsum(rewards))
    rooms = [info["room"] for info in infos]
    changed = rooms.index(2)
    assert set(rooms[:changed]) == {1}
    assert rooms[-1] == 2
    assert infos[changed]["rooms_visited"] == 2
    assert first["new_room"] == 0
    assert [step for step, info in enumerate(infos) if info["new_room"]] == [changed]
    # Out of the room on the right, into the next one on its left.
    assert infos[changed - 1]["player_x"] > 130
    assert infos[changed]["player_x"] < 20
    assert set(infos[-1]) == set(env.unwrapped.info_keys)
    _, again = env.reset()
    assert (again["room"], again["rooms_visited"], again["score"]) == (1, 1, 0.0)
    env.close()


def test_that_the_player_s_place_follows_the_joystick():
    env = AtariEnv(repeat_action_probability=0.0)
    _, start = env.reset(seed=0)
    (_, right), (_, left) = walk(env, ((RIGHT, 1), (LEFT, 1)))
    assert left["player_x"] < right["player_x"] > start["player_x"]
    jump = [info["player_y"] for _, info in walk(env, ((1, 4),))]
    assert max(jump) > left["player_y"] == start["player_y"]


def test_that_other_games_tell_what_every_game_tells():
    env = AtariEnv(game="bank_heist")
    _, info = env.reset(seed=0)
    assert set(info) == set(env.info_keys) == {"score", "lives", "frame"}


# -- saving ------------------------------------------------------------------------------


def test_that_saving_keeps_rooms_console_and_chance():
    options = {"repeat_action_probability": 0.25, "noise": "persistent"}
    env, other = (envs.make("MontezumaSticky-v0", **options) for _ in range(2))
    env.reset(seed=0)
    env.action_space.seed(0)
    env.unwrapped._quantities.restore([0, 1, 5])
    for _ in range(30):
        env.step(env.action_space.sample())
    while env.unwrapped._executed.name == "NOOP":  # an action that may go on after the restore
        env.step(2)
    saved = envs.snapshot(env)
    actions = [env.action_space.sample() for _ in range(150)]
    expected = [env.step(action) for action in actions]
    envs.restore(other, saved)
    for action, one in zip(actions, expected, strict=True):
        two = other.step(action)
        assert np.array_equal(one[0], two[0])
        assert one[1:] == two[1:]
    assert expected[0][4]["rooms_visited"] == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"game": "bank_heist"}, "of montezuma_revenge.bin, the environment of bank_heist.bin"),
        ({"stack": 2}, "has 4 pictures, the environment stacks 2"),
        ({"noise": "persistent"}, "Only one of"),
    ],
)
def test_that_a_snapshot_of_another_form_is_refused(options, says):
    tree = AtariEnv().snapshot()
    with pytest.raises(envs.SnapshotError, match=says):
        AtariEnv(**options).restore(tree)


def test_that_the_contract_of_environments_is_kept():
    report = check_env("MontezumaSticky-v0", steps=60, resets=50, skip=["close"])
    assert report.ok, str(report)
    assert {"snapshot", "bad_actions", "render", "stream"} <= set(report.passed)


# -- noise -------------------------------------------------------------------------------


def test_that_a_television_fits_into_a_corner_of_the_picture():
    inner = envs.make("MontezumaSticky-v0", channels_last=True, stack=1)
    env = NoisyTV(inner, kind="on_demand", place="cells", rows=12, columns=12, idle=0)
    plain = envs.make("MontezumaSticky-v0", channels_last=True, stack=1)
    env.reset(seed=3)
    plain.reset(seed=3)
    asked = env.action_space.n - 1
    noisy, *_, info = env.step(asked)
    clean, *_ = plain.step(0)
    outside = noisy != clean
    outside[:12, 72:] = False
    assert not outside.any()
    assert len(np.unique(noisy[:12, 72:])) > 50
    assert info["tv"] == 1
    saved = envs.snapshot(env)
    expected = env.step(asked)[0]
    envs.restore(env, saved)
    assert np.array_equal(env.step(asked)[0], expected)


# -- mistakes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"game": "Montezuma_Revenge"}, "Did you mean 'montezuma_revenge'"),
        ({"repeat_action_probability": 1.0}, "below 1, got 1.0"),
        ({"repeat_action_probability": float("nan")}, "got nan"),
        ({"frame_skip": 0}, "frame_skip must be at least 1, got 0"),
        ({"stack": 0}, "stack must be at least 1, got 0"),
        ({"noop_max": -1}, "noop_max must be at least 0"),
        ({"noise": "iid"}, "none, persistent, got 'iid'"),
        ({"render_mode": "human"}, "rgb_array"),
    ],
)
def test_that_wrong_options_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        AtariEnv(**options)


def test_that_a_closed_environment_says_so():
    env = AtariEnv()
    env.close()
    env.close()
    with pytest.raises(RuntimeError, match="make a new one"):
        env.reset(seed=0)
