"""The ball bounces as it should, and goals are counted at the right end."""

import numpy as np
import pytest

import envs
from envs.registry import make_vec
from envs.simulation import ColumnRandom
from envs.worlds.planar_football import (
    BALL_RADIUS,
    CAR_RADIUS,
    HALF_GOAL,
    HALF_LENGTH,
    HALF_WIDTH,
    PlanarFootball,
)


def world(*, car=(0.0, -1.0), car_velocity=(0.0, 0.0), ball=(0.0, 0.0), ball_velocity=(0.0, 0.0)):
    made = PlanarFootball(1)
    made.set_state({
        "car": np.array([car]), "car_velocity": np.array([car_velocity]),
        "ball": np.array([ball]), "ball_velocity": np.array([ball_velocity]),
    })  # fmt: skip
    return made


def step(made, action=(0.0, 0.0)):
    return made.step(np.array([action], dtype=np.float32), ColumnRandom(1))


@pytest.mark.parametrize(("direction", "paid"), [(1.0, 1.0), (-1.0, -1.0)])
def test_the_ball_between_the_posts_ends_the_episode(direction, paid):
    made = world(car=(0.8, 0.0), ball=(0.1, direction * 1.2), ball_velocity=(0.0, direction * 2.0))
    reward, terminated, info = step(made)
    assert (reward[0], bool(terminated[0]), int(info["goal"][0])) == (paid, True, int(paid > 0))


def test_beside_the_posts_it_bounces():
    beside = HALF_GOAL + 0.1
    made = world(ball=(beside, 1.13), ball_velocity=(0.0, 1.5))
    reward, terminated, info = step(made)
    assert (reward[0], bool(terminated[0])) == (0.0, False)
    assert info["ball_position"][0, 1] == pytest.approx(HALF_LENGTH - BALL_RADIUS)
    assert info["ball_velocity"][0, 1] == pytest.approx(-0.9 * 1.5 * 0.985)


def test_a_resting_ball_leaves_at_twice_the_speed_of_a_heavy_car():
    gap = CAR_RADIUS + BALL_RADIUS
    made = world(car=(0.0, -gap - 0.01), car_velocity=(0.0, 0.8), ball=(0.0, 0.0))
    _, _, info = step(made, (0.0, 0.2))
    assert info["touch"][0] == 1
    assert info["car_velocity"][0, 1] == pytest.approx(0.8)
    assert info["ball_velocity"][0] == pytest.approx([0.0, 1.6 * 0.985])


def test_nothing_leaves_the_field_and_nothing_is_faster_than_allowed():
    venv = make_vec("PlanarFootball-v0", 50)
    venv.reset(seed=0)
    random = np.random.default_rng(0)
    touches = goals = 0
    action = np.zeros((50, 2), dtype=np.float32)
    for number in range(400):
        if number % 10 == 0:
            action = random.uniform(-1.0, 1.0, (50, 2)).astype(np.float32)
        _, _, _, _, info = venv.step(action)
        touches, goals = touches + info["touch"].sum(), goals + info["goal"].sum()
        for name, radius in (("car", CAR_RADIUS), ("ball", BALL_RADIUS)):
            place = np.abs(info[f"{name}_position"])
            assert (place[:, 0] <= HALF_WIDTH - radius + 1e-9).all()
            out = place[:, 1] > HALF_LENGTH - radius + 1e-9
            assert (place[out, 0] < HALF_GOAL).all()
        assert (np.linalg.norm(info["car_velocity"], axis=1) <= 1.0 + 1e-9).all()
        assert (np.linalg.norm(info["ball_velocity"], axis=1) <= 2.0 + 1e-9).all()
    assert touches > 0
    assert goals < touches


def test_driving_from_behind_the_ball_scores():
    env = envs.make("PlanarFootball-v0")
    env.reset(seed=0)
    made = world(car=(0.0, -0.6), ball=(0.0, 0.0))
    for _ in range(100):
        reward, terminated, _ = step(made, (0.0, 1.0))
        if terminated[0]:
            break
    assert reward[0] == 1.0


def test_car_and_ball_start_apart():
    _, info = make_vec("PlanarFootball-v0", 500).reset(seed=3)
    apart = np.linalg.norm(info["car_position"] - info["ball_position"], axis=1)
    assert apart.min() >= 0.3
