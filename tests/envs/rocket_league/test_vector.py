import gc
import resource

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs
from envs.errors import ActionError, SnapshotError, VectorizationError
from envs.rocket_league.actions import ACTION_NAMES
from envs.rocket_league.drawing import SIZE
from envs.rocket_league.info import INFO_KEYS
from envs.rocket_league.observation import layout
from envs.rocket_league.vector import RocketLeagueVectorEnv

FORWARD = ACTION_NAMES.index("throttle+boost")


def test_that_a_single_environment_is_the_first_match_of_many():
    single = envs.make("RocketLeague1v1-v0", opponent="random", start="random")
    many = envs.make_vec("RocketLeague1v1-v0", 3, opponent="random", start="random")
    random = np.random.default_rng(0)
    observation, info = single.reset(seed=4)
    observations, infos = many.reset(seed=4)
    for _ in range(150):
        assert np.array_equal(observation, observations[0])
        assert info.keys() == INFO_KEYS.keys() == infos.keys() - {"final_obs", "_final_obs"}
        assert all(np.array_equal(info[name], infos[name][0]) for name in INFO_KEYS)
        actions = random.integers(0, 90, 3)
        observation, reward, terminated, truncated, info = single.step(int(actions[0]))
        observations, rewards, ended, cut, infos = many.step(actions)
        assert (reward, terminated, truncated) == (rewards[0], ended[0], cut[0])
        if terminated or truncated:
            break
    single.close()


def test_that_gymnasium_finds_nothing_wrong():
    env = envs.make("RocketLeagueSolo-v0").unwrapped
    with pytest.warns(UserWarning, match="infinity"):
        check_env(env)


@pytest.mark.parametrize(
    "name", ["RocketLeagueSolo-v0", "RocketLeague2v2-v0", "RocketLeague3v3-v0"]
)
def test_the_shapes(name):
    cars = {"S": 1, "2": 4, "3": 6}[name[len("RocketLeague")]]
    env = envs.make_vec(name, 2 * cars)
    observations, infos = env.reset(seed=0)
    assert observations.shape == (2 * cars, 63 + 21 * cars)
    assert observations.dtype == np.float32
    assert np.abs(observations).max() < 2
    mates = 0 if cars == 1 else cars // 2 - 1
    assert infos["teammate_positions"].shape == (2 * cars, mates, 3)
    assert infos["opponent_positions"].shape == (2 * cars, cars // 2, 3)
    assert infos["team"].tolist() == 2 * ([0] * (cars - cars // 2) + [1] * (cars // 2))


def test_that_orange_sees_what_blue_would_see_from_the_other_side():
    """A state and its half turn, with the teams swapped."""

    def placed(side):
        def place(start, random):
            numbers = np.random.default_rng(1)
            flip = np.array([side, side, 1.0])
            start.ball_position[:] = numbers.uniform(-1, 1, 3) * (2000, 3000, 0) * flip
            start.ball_position[2] = 500
            start.ball_velocity[:] = numbers.uniform(-900, 900, 3) * flip
            for car in [0, 1, 2, 3] if side == 1 else [2, 3, 0, 1]:
                start.car_position[car] = numbers.uniform(-1, 1, 3) * (3000, 4000, 0) * flip
                start.car_position[car, 2] = 300
                start.car_velocity[car] = numbers.uniform(-900, 900, 3) * flip
                start.car_rotation[car] = numbers.uniform(-1, 1, 3)
                start.car_rotation[car, 0] += np.pi * (side == -1)
                start.boost[car] = numbers.uniform(0, 100)

        return place

    both = []
    for side in (1, -1):
        env = RocketLeagueVectorEnv(4, blue=2, orange=2, start=placed(side))
        first, _ = env.reset(seed=0)
        second = env.step(np.array([3, 20, 60, 80] if side == 1 else [60, 80, 3, 20]))[0]
        both.append(np.stack([first, second]))
    swapped = both[1][:, [2, 3, 0, 1]]
    assert np.allclose(both[0], swapped, atol=2e-5)
    assert np.abs(both[0][:, :2] - both[0][:, 2:]).max() > 0.1, "the teams differ"


def test_that_the_layout_says_where_things_are(scene):
    env = scene(
        ball=((0, 1000, 93.15), (0, 500, 0)),
        cars={0: ((1000, 0, 17), (0, 600, 0), np.pi / 2), 1: ((0, 4000, 17), (0, 0, 0), 0.0)},
        boost=50.0,
    )
    seen = env.matches.observe()
    parts = layout(1, 1)
    assert parts["controls"].stop == seen.shape[1]
    blue, orange = ({name: row[part] for name, part in parts.items()} for row in seen)
    assert np.allclose(blue["ball"][:3], [0, 1000 / 4096, 93.15 / 4096], atol=1e-6)
    assert np.allclose(orange["ball"][1], -1000 / 4096, atol=1e-6)
    assert np.allclose(blue["ball"][4], 500 / 2300, atol=1e-6)
    assert (blue["boost_pads"] == 1).all()
    assert np.allclose(blue["car"][:3], [1000 / 4096, 0, 17 / 4096], atol=1e-6)
    assert np.allclose(blue["car"][9:12], [0, 1, 0], atol=1e-6)
    assert np.allclose(blue["car"][12:15], [0, 0, 1], atol=1e-6)
    assert np.allclose(blue["car"][15:18], [0.5, 1, 0], atol=1e-6)
    assert np.allclose(blue["opponent_1"], orange["car"] * np.r_[[-1, -1, 1] * 5, [1] * 6])
    # The ball is 1000 uu ahead and 1000 uu to the right (which is -x for a car that looks at +y).
    assert np.allclose(blue["ball_local"][:2], [1000 / 4096, 1000 / 4096], atol=1e-5)
    assert np.allclose(blue["ball_local"][3:5], [-100 / 2300, 0], atol=1e-5)


def test_that_columns_must_fill_matches():
    with pytest.raises(VectorizationError, match=r"multiple of 4, got 10\. Nearest: 8 or 12"):
        envs.make_vec("RocketLeague2v2-v0", 10)
    with pytest.raises(VectorizationError, match=r"got 1\. Nearest: 2\."):
        envs.make_vec("RocketLeague1v1-v0", 1)
    assert envs.make_vec("RocketLeague2v2-v0", 10, opponent="idle").matches.num_arenas == 5


def test_that_bad_actions_and_options_are_named():
    env = envs.make_vec("RocketLeague1v1-v0", 4)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(4, dtype=int))
    env.reset(seed=0)
    with pytest.raises(ActionError, match="column 2 is 90"):
        env.step(np.array([0, 1, 90, 3]))
    with pytest.raises(ActionError, match="shape"):
        env.step(np.zeros(3, dtype=int))
    free = envs.make_vec("RocketLeague1v1-v0", 2, actions="continuous")
    free.reset(seed=0)
    with pytest.raises(ActionError, match="finite"):
        free.step(np.full((2, 8), np.nan, dtype=np.float32))
    for options, message in (
        ({"opponent": "best"}, "'idle', 'random' or a function"),
        ({"start": "kick-off"}, "Unknown start 'kick-off'"),
        ({"start": {"random": -1}}, "weights of start"),
        ({"tick_skip": 0}, "tick_skip"),
        ({"action_delay": 9}, "action_delay"),
        ({"no_touch_seconds": 0}, "no_touch_seconds"),
    ):
        with pytest.raises(ValueError, match=message):
            envs.make_vec("RocketLeague1v1-v0", 2, **options)


def test_that_an_episode_ends_for_the_whole_match_and_begins_again():
    env = envs.make_vec("RocketLeague1v1-v0", 4, max_episode_steps=5, no_touch_seconds=None)
    env.reset(seed=0)
    for step in range(12):
        observations, _, terminated, truncated, infos = env.step(np.full(4, FORWARD))
        assert not terminated.any()
        assert truncated.all() == (step % 5 == 4)
        assert ("final_obs" in infos) == truncated.any()
        if truncated.any():
            moved = infos["final_obs"][:, layout(1, 1)["car"]][:, 4]
            assert (moved > 0.05).all()
            assert not observations[:, layout(1, 1)["car"]][:, 3:6].any(), "at rest again"
            assert infos["_final_obs"].all()


def test_that_a_match_without_touches_is_cut_off():
    env = envs.make_vec("RocketLeague1v1-v0", 2, no_touch_seconds=1.0)
    env.reset(seed=0)
    ends = [bool(env.step(np.zeros(2, dtype=int))[3].all()) for _ in range(30)]
    assert [step for step, end in enumerate(ends) if end] == [14, 29]


def test_that_opponents_drive_the_cars_that_are_no_columns():
    asked = []

    def follow(observations):
        asked.append(observations)
        return np.full(len(observations), FORWARD)

    env = envs.make_vec("RocketLeague1v1-v0", 3, opponent=follow)
    watched = envs.make_vec("RocketLeague1v1-v0", 6)
    env.reset(seed=[0, 2, 4])
    seen, _ = watched.reset(seed=0)
    for _ in range(10):
        _, _, _, _, infos = env.step(np.zeros(3, dtype=int))
        assert np.array_equal(asked[-1], seen[1::2]), "as that car sees the field"
        seen = watched.step(np.array([0, FORWARD] * 3))[0]
    assert (np.linalg.norm(infos["opponent_velocities"][:, 0], axis=1) > 500).all()
    bad = envs.make_vec("RocketLeague1v1-v0", 1, opponent=lambda rows: np.full(len(rows), 200))
    bad.reset(seed=0)
    with pytest.raises(ActionError, match="200"):
        bad.step(np.zeros(1, dtype=int))


def _advance(env, steps, seed):
    random = np.random.default_rng(seed)
    out = []
    for _ in range(steps):
        returned = env.step(random.integers(0, 90, env.num_envs))
        out += [*returned[:4], *(returned[4][name] for name in INFO_KEYS)]
    return out


@pytest.mark.parametrize("cars", [1, 3])
def test_that_a_snapshot_continues_bit_for_bit(cars):
    options = {"blue": cars, "orange": cars, "start": "random", "max_episode_steps": 70}
    env, other = (RocketLeagueVectorEnv(6 * cars, **options) for _ in range(2))
    env.reset(seed=1)
    _advance(env, 40, seed=2)
    tree = env.snapshot()
    first = _advance(env, 90, seed=3)
    env.restore(tree)
    second = _advance(env, 90, seed=3)
    other.restore(tree)
    third = _advance(other, 90, seed=3)
    for one, two, three in zip(first, second, third, strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)


def test_that_a_snapshot_moves_a_match_by_a_hair_only():
    options = {"start": "random", "no_touch_seconds": None}
    env, plain = (RocketLeagueVectorEnv(16, **options) for _ in range(2))
    for each in (env, plain):
        each.reset(seed=1)
        _advance(each, 40, seed=2)
    env.snapshot()
    random = np.random.default_rng(3)
    actions = random.integers(0, 90, 16)
    gaps = [
        np.abs(env.step(actions)[4]["car_position"] - plain.step(actions)[4]["car_position"]).max()
        for _ in range(3)
    ]
    assert 0 < gaps[0] < 3, "uu"


def test_that_envs_saves_a_match_exactly():
    env = envs.make("RocketLeague2v2-v0", opponent="random")
    env.reset(seed=0)
    assert envs.can_snapshot(env)
    for action in range(20, 60):
        env.step(action)
    tree = envs.snapshot(env)
    first = [env.step(action)[0] for action in range(90)]
    envs.restore(env, tree)
    assert np.array_equal(first, [env.step(action)[0] for action in range(90)])
    with pytest.raises(SnapshotError):
        envs.make_vec("RocketLeague1v1-v0", 2).restore(
            envs.make_vec("RocketLeague1v1-v0", 4).snapshot()
        )


def test_that_resets_leak_nothing():
    """600 episodes; the measured run of 10,000 is on the page."""
    env = envs.make_vec("RocketLeague1v1-v0", 8, start="random")
    env.reset(seed=0)

    def memory():
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    for _ in range(50):
        env.reset()
        env.step(np.full(8, FORWARD))
    before = memory()
    for _ in range(150):
        env.reset()
        env.step(np.full(8, FORWARD))
    assert memory() - before < 2, "MiB"


def test_the_picture():
    env = envs.make("RocketLeague3v3-v0", render_mode="rgb_array", start="random")
    env.reset(seed=0)
    picture = env.render()
    assert picture.shape == (*SIZE, 3)
    assert picture.dtype == np.uint8
    assert {(70, 140, 255), (255, 145, 40), (245, 245, 245)} <= {
        tuple(colour) for colour in picture.reshape(-1, 3).tolist()
    }
    for _ in range(15):
        env.step(FORWARD)
    assert (env.render() != picture).any(axis=2).sum() > 20
    assert envs.make("RocketLeague1v1-v0").unwrapped.render() is None
