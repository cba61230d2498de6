"""Moments of play: written, read, turned, and refused."""

import numpy as np
import pytest

pytest.importorskip("RocketSim")

from safetensors.numpy import save_file

import envs
from envs.rocket_league.recorded_starts import RecordedStarts, moments, save_moments, turned


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Matches after a while of random play, and a file of their moments."""
    env = envs.make_vec("RocketLeague2v2-v0", 16, start="random")
    env.reset(seed=0)
    random = np.random.default_rng(0)
    for _ in range(20):
        env.step(random.integers(90, size=16))
    state = env.unwrapped.matches.arenas.state
    starts = moments(state, np.arange(4))
    file = tmp_path_factory.mktemp("moments") / "play.safetensors"
    save_moments(file, starts, blue=2, orange=2)
    return state, starts, file


def test_that_an_episode_begins_in_a_recorded_moment_or_in_a_turned_one(played):
    state, starts, file = played
    assert len(starts) == 4
    env = envs.make_vec("RocketLeague2v2-v0", 4, start={str(file): 1.0})
    swap, seen = [2, 3, 0, 1], set()
    for seed in range(24):
        env.reset(seed=seed)
        now = env.unwrapped.matches.arenas.state
        fits = []
        for row in range(4):
            for turn in (False, True):
                half = np.array([-1.0, -1.0, 1.0]) if turn else np.ones(3)
                order = swap if turn else [0, 1, 2, 3]
                fits.append(
                    np.allclose(now.ball_position[0], state.ball_position[row] * half, atol=0.1)
                    and np.allclose(
                        now.car_position[0], state.car_position[row][order] * half, atol=0.1
                    )
                    and np.allclose(now.car_axes[0], state.car_axes[row][order] * half, atol=1e-4)
                    and np.allclose(
                        now.car_velocity[0], state.car_velocity[row][order] * half, atol=0.5
                    )
                    and np.allclose(now.boost[0], state.boost[row][order], atol=1e-3)
                )
        assert sum(fits) == 1
        seen.add(fits.index(True))
    assert len(seen) > 5
    assert {place % 2 for place in seen} == {0, 1}


def test_that_turning_twice_changes_nothing(played):
    for start in played[1]:
        again = turned(turned(start, 2), 2)
        for name, values in vars(start).items():
            found = getattr(again, name)
            if name == "car_rotation":
                away = (found - values + np.pi) % (2 * np.pi) - np.pi
                assert np.allclose(away, 0, atol=1e-5)
            else:
                assert np.allclose(found, values)


def test_that_demolished_cars_are_not_recorded(played):
    state, _, _ = played
    rows = state.car_rows.copy()
    rows[1, 0, :, 7] = 1.0
    from dataclasses import replace

    assert len(moments(replace(state, car_rows=rows), np.arange(4))) == 3


def test_what_is_refused(played, tmp_path):
    _, starts, file = played
    with pytest.raises(ValueError, match="recorded with 2 blue and 2 orange cars, here play 1"):
        envs.make_vec("RocketLeague1v1-v0", 2, start=str(file))
    with pytest.raises(ValueError, match="cannot read"):
        RecordedStarts(tmp_path / "none.safetensors", 1, 1)
    pickled = tmp_path / "pickle.safetensors"
    pickled.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ValueError, match="cannot read"):
        RecordedStarts(pickled, 1, 1)
    other = tmp_path / "other.safetensors"
    save_file({"boost": np.zeros(3, np.float32)}, str(other))
    with pytest.raises(ValueError, match="no recorded moments"):
        RecordedStarts(other, 1, 1)
    with pytest.raises(ValueError, match="Expected moments"):
        save_moments(tmp_path / "empty.safetensors", [], blue=1, orange=1)
    with pytest.raises(ValueError, match="Expected moments"):
        save_moments(tmp_path / "play.npz", starts, blue=2, orange=2)
