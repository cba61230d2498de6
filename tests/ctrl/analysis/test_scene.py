from __future__ import annotations

import numpy as np
import pytest
import torch

from ctrl.analysis.scene import fibonacci_sphere, opening
from envs.rocket_league.info import INFO_KEYS
from reward_models.errors import UserError


@pytest.mark.parametrize(("blue", "orange"), [(1, 0), (1, 1), (2, 2), (3, 3)])
def test_record_has_every_quantity_in_place(blue: int, orange: int) -> None:
    """Column n C + c is car c of moment n, in the layout of the environment."""
    cars = blue + orange
    places = np.random.default_rng(0).uniform(-3000, 3000, (5, 3))
    record = opening(blue, orange).at(cars - 1, places).rollout()
    assert 5 * cars == record.B
    assert set(record["state"].keys()) == set(INFO_KEYS)
    own = record["state.car_position"][0].reshape(5, cars, 3)
    assert np.allclose(own[:, -1], places, atol=1e-3)
    start = opening(blue, orange).car_position[0]
    assert np.allclose(own[:, :-1], start[:-1], atol=1e-3)
    assert record["state.team"][0].reshape(5, cars)[0].tolist() == [0] * blue + [1] * orange
    assert record["state.teammate_positions"].shape == (1, 5 * cars, blue - 1, 3)
    assert record["state.match"][0].tolist() == np.repeat(np.arange(5), cars).tolist()


@pytest.mark.parametrize("size", [1, 2])
def test_environment_reports_the_same(size: int) -> None:
    """The engine, put into the same moment, gives the same observation and quantities."""
    pytest.importorskip("RocketSim")
    from envs.rocket_league.vector import RocketLeagueVectorEnv

    scene = opening(size, size)

    def begin(start, random):
        start.ball_position[:] = scene.ball_position[0]
        start.car_position[:] = scene.car_position[0]
        start.car_velocity[:] = scene.car_velocity[0]
        ahead = np.pi / 2 * (1 - 2 * scene.team)
        start.car_rotation[:, 0] = ahead
        start.boost[:] = 50.0

    env = RocketLeagueVectorEnv(2 * size, blue=size, orange=size, start=begin)
    seen, info = env.reset(seed=0)
    record = scene.rollout()
    for name in INFO_KEYS:
        if name not in ("has_flip", "on_ground"):
            made = record[f"state.{name}"][0].numpy()
            assert np.allclose(made, info[name], atol=2e-3), name
    assert np.allclose(record.observation[0].numpy(), seen, atol=2e-2)
    env.close()


def test_velocities_move_and_turn_a_car() -> None:
    ways = 500.0 * fibonacci_sphere(7)
    record = opening().repeated(7).moving(0, ways).rollout()
    blue = torch.arange(0, 14, 2)
    assert np.allclose(record["state.car_velocity"][0, blue], ways, atol=1e-3)
    nose = record["state.car_forward"][0, blue].numpy()
    assert np.allclose(nose, ways / 500.0, atol=1e-5)
    roof = record["state.car_up"][0, blue].numpy()
    assert np.allclose((nose * roof).sum(-1), 0.0, atol=1e-5)
    assert (roof[:, 2] >= -1e-6).all()


def test_fibonacci_sphere_is_even() -> None:
    ways = fibonacci_sphere(400)
    assert np.allclose(np.linalg.norm(ways, axis=1), 1.0)
    assert np.allclose(ways.mean(axis=0), 0.0, atol=5e-3)
    nearest = np.sort(np.arccos(np.clip(ways @ ways.T, -1, 1)), axis=1)[:, 1]
    assert nearest.min() > 0.6 * nearest.max()


def test_refuses_other_numbers_of_cars() -> None:
    with pytest.raises(UserError, match="1 to 3 blue"):
        opening(0, 1)
