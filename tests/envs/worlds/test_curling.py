"""Curling obeys its own physics: friction, bounces, no passing through, no energy from nowhere."""

import numpy as np
import pytest

import envs
from envs.registry import make_vec
from envs.worlds import curling

STILL = {"speed": 0.0, "rate": 0.0, "time": 0}


def at(venv, **values):
    """Put all columns into a state; what is not given is at rest."""
    state = venv.simulation.state()
    for name, value in {**STILL, **values}.items():
        state[name][...] = value
    venv.simulation.set_state(state)


def distance_to_arm(ball, angle):
    """Return the distance of a ball to the nearer link by looking at 2001 points of each."""
    share = np.linspace(0.0, 1.0, 2001)[:, None]
    elbow = np.array([-1.0 + 0.5 * np.cos(angle[0]), 0.5 * np.sin(angle[0])])
    tip = elbow + 0.4 * np.array([np.cos(angle.sum()), np.sin(angle.sum())])
    links = [(np.array([-1.0, 0.0]), elbow), (elbow, tip)]
    points = np.concatenate([start + share * (end - start) for start, end in links])
    return np.hypot(*(points - ball).T).min()


def test_a_free_ball_slows_down_by_friction_alone():
    venv = make_vec("Curling-v0", 1)
    venv.reset(seed=0)
    at(venv, ball=(0.0, -0.5), speed=(0.3, 0.4), angle=(1.5, 0.0))
    for step in range(1, 126):
        venv.step(np.zeros((1, 2)))
        speed = np.hypot(*venv.simulation.state()["speed"][0])
        assert speed == pytest.approx(max(0.5 - 0.4 * 0.01 * step, 0.0), abs=1e-9)
    # v^2 / 2 mu, up to the length of a substep
    way = np.hypot(*(venv.simulation.state()["ball"][0] - (0.0, -0.5)))
    assert way == pytest.approx(0.5**2 / 0.8, abs=0.5 * 0.005)


def test_the_rim_returns_four_fifths_of_the_speed():
    venv = make_vec("Curling-v0", 1)
    venv.reset(seed=0)
    at(venv, ball=(0.9, 0.3), speed=(2.0, 0.5), angle=(1.5, 0.0))
    before = venv.simulation.state()["speed"][0]
    for _ in range(4):
        venv.step(np.zeros((1, 2)))
    after = venv.simulation.state()["speed"][0]
    lost = 1.0 - 0.4 * 0.04 / np.hypot(*before)
    assert after == pytest.approx(before * (-0.8, 1.0), rel=2.0 * (1.0 - lost))
    assert after[1] / before[1] == pytest.approx(lost, rel=0.01)


def test_a_resting_ball_leaves_a_link_at_one_and_a_half_times_its_speed():
    venv = make_vec("Curling-v0", 1)
    venv.reset(seed=0)
    # The stretched arm turns down at 1 radian per second onto a ball 0.6 from the base.
    at(venv, ball=(-0.4, 0.0), angle=(0.2, 0.0), rate=(-1.0, 0.0))
    for _ in range(60):
        venv.step(np.array([[-1.0 / 3.0, 0.0]]))
        speed = venv.simulation.state()["speed"][0]
        if speed.any():
            break
    angle = venv.simulation.state()["angle"][0, 0]
    assert speed[1] * np.cos(angle) - speed[0] * np.sin(angle) == pytest.approx(-0.9, abs=0.01)


def test_nothing_passes_through_under_violent_actions():
    venv = make_vec("Curling-v0", 32)
    venv.reset(seed=0)
    random = np.random.default_rng(0)
    closest, fastest, touched = np.inf, 0.0, np.zeros(32, dtype=bool)
    for step in range(499):
        if step % 20 == 0:
            actions = random.choice([-1e30, -1.0, 1.0, 1e30], (32, 2))
        observation = venv.step(actions)[0]
        assert np.isfinite(observation).all()
        state = venv.simulation.state()
        assert (np.abs(state["ball"]) <= 1.0 - 0.06).all()
        assert (np.abs(state["angle"]) <= curling.ANGLE_LIMIT).all()
        fastest = max(fastest, np.hypot(*state["speed"].T).max())
        touched |= state["speed"].any(axis=1)
        if step % 10 == 0:
            pairs = zip(state["ball"], state["angle"], strict=True)
            closest = min(closest, *(distance_to_arm(ball, angle) for ball, angle in pairs))
    assert closest >= 0.08 - 1e-6  # ball and link never overlap
    assert 1.0 < fastest <= 5.0 + 1e-9
    assert touched.mean() > 0.5


def test_ball_and_link_cannot_approach_by_more_than_their_thickness_in_a_substep():
    tip = curling.MAX_RATE * (sum(curling.LINK) + curling.LINK[1])
    assert (tip + curling.MAX_SPEED) * curling.TIME_STEP < curling.BALL + curling.THICKNESS


def test_an_idle_arm_gives_no_energy():
    venv = make_vec("Curling-v0", 256)
    venv.reset(seed=0)
    random = np.random.default_rng(1)
    at(
        venv,
        ball=np.stack([random.uniform(0.1, 0.9, 256), random.uniform(-0.9, 0.9, 256)], axis=1),
        speed=random.uniform(-3.0, 3.0, (256, 2)),
        angle=random.uniform(-1.5, 1.5, (256, 2)),
    )
    before = np.hypot(*venv.simulation.state()["speed"].T)
    bounced = 0
    for _ in range(300):
        venv.step(np.zeros((256, 2)))
        state = venv.simulation.state()
        after = np.hypot(*state["speed"].T)
        assert (after <= before + 1e-12).all()
        assert not state["rate"].any()
        bounced += (after < 0.95 * before - 0.01).sum()
        before = after
    assert bounced > 50


def test_a_pinned_ball_stops_the_arm():
    venv = make_vec("Curling-v0", 1)
    venv.reset(seed=0)
    # Ball in the lower left corner, arm pressing it down and to the left.
    at(venv, ball=(-0.94, -0.94), angle=(-1.3, 0.0))
    for _ in range(200):
        venv.step(np.array([[-1.0, -1.0]]))
    state = venv.simulation.state()
    assert distance_to_arm(state["ball"][0], state["angle"][0]) >= 0.08 - 1e-6
    assert (state["angle"][0] > -np.array(curling.ANGLE_LIMIT)).any()


def test_the_table_is_symmetric():
    venv = make_vec("Curling-v0", 2)
    venv.reset(seed=0)
    mirror = np.array([[1.0], [-1.0]])
    at(venv, ball=[(-0.4, 0.01), (-0.4, -0.01)], angle=np.array([[0.9, 0.4]]) * mirror)
    random = np.random.default_rng(2)
    for step in range(400):
        if step % 40 == 0:
            action = random.uniform(-1.0, 1.0, (1, 2)) - (0.3 if step < 120 else 0.0)
        venv.step(action * mirror)
        ball = venv.simulation.state()["ball"]
        assert ball[0] == pytest.approx(ball[1] * (1.0, -1.0), abs=1e-9)
    assert abs(ball[0] - (-0.4, 0.01)).max() > 0.01


@pytest.mark.parametrize(
    ("phases", "area"),
    [
        (((0.7, 0.3, 110), (0.8, -0.3, 70), (-0.4, -0.9, 320)), 0),
        (((-0.8, -0.4, 90), (1.0, -0.9, 80), (0.8, -0.4, 330)), 1),
    ],
)
def test_both_areas_can_be_reached(phases, area):
    env = envs.make("Curling-v0")
    env.reset(seed=0)
    for first, second, steps in phases:
        for _ in range(steps):
            _, reward, terminated, _, info = env.step(np.array([first, second], np.float32))
    assert terminated
    assert info["area"] == area
    assert info["is_success"] is True
    ball = np.array(info["position"])
    center, radius = np.array(curling.AREAS[area][:2]), curling.AREAS[area][2]
    assert reward == pytest.approx(1.0 - np.hypot(*(ball - center)) / radius)
    assert reward > 0.3
