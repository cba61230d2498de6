import numpy as np
import pytest

from envs.rocket_league.constants import BOOST_PADS, CAR_REST_Z
from envs.rocket_league.events import heading_into_goal
from envs.rocket_league.info import INFO_KEYS
from envs.rocket_league.vector import RocketLeagueVectorEnv

FLOOR = CAR_REST_Z
NORTH, SOUTH = np.pi / 2, -np.pi / 2


def test_that_driving_into_the_ball_is_a_touch_of_that_car(scene, drive):
    env = scene(cars={0: ((0, -600, FLOOR), (0, 0, 0), NORTH)})
    total = drive(env, 30, throttle={0: 1.0})
    assert total["touch"].tolist()[0] >= 1
    assert total["touch"].tolist()[1] == 0
    assert total["ball_speed_gain"][0] > 100
    assert total["ball_speed_gain"][1] == 0
    assert total["last"]["is_last_toucher"].tolist() == [True, False]
    assert total["last"]["ball_velocity"][0, 1] > 100


def test_that_nothing_happens_where_nobody_drives(scene, drive):
    total = drive(scene(), 20)
    events = set(INFO_KEYS) & {"touch", "goal", "shot", "save", "bump", "demolition", "reward"}
    assert all(not total[name].any() for name in events)
    assert not total["last"]["is_last_toucher"].any()


@pytest.mark.parametrize(("y", "scorer"), [(1, 0), (-1, 1)])
def test_that_a_ball_over_the_line_is_a_goal_for_the_right_team(scene, drive, y, scorer):
    env = scene(ball=((0, y * 4800, 100), (0, y * 2000, 0)))
    total = drive(env, 20)
    assert total["terminated"].tolist() == [True, True]
    assert total["team_goal"][scorer] == 1
    assert total["conceded"][1 - scorer] == 1
    assert total["reward"][scorer] == 1
    assert total["reward"][1 - scorer] == -1
    assert total["last"]["is_success"].tolist() == [scorer == 0, scorer == 1]
    # Nobody touched the ball, so nobody scored in person.
    assert not total["goal"].any()


def test_that_the_last_toucher_of_the_scoring_team_scored(scene, drive):
    env = scene(ball=((0, 4400, 93), (0, 0, 0)), cars={0: ((0, 3400, FLOOR), (0, 1800, 0), NORTH)})
    total = drive(env, 60, throttle={0: 1.0}, boost={0: 1.0})
    assert total["terminated"].all()
    assert total["goal"].tolist() == [1, 0]


def test_that_an_own_goal_is_nobodys_goal(scene, drive):
    env = scene(
        ball=((0, -4400, 93), (0, 0, 0)), cars={0: ((0, -3400, FLOOR), (0, -1800, 0), SOUTH)}
    )
    total = drive(env, 60, throttle={0: 1.0}, boost={0: 1.0})
    assert total["touch"][0] > 0
    assert total["reward"].tolist() == [-1, 1]
    assert not total["goal"].any()


def _shot(scene, drive, **options):
    """A car hits the ball hard towards the far goal from the middle."""
    env = scene(
        ball=((0, 700, 93), (0, 500, 0)),
        cars={0: ((0, 0, FLOOR), (0, 2200, 0), NORTH), **options.pop("cars", {})},
        boost=100.0,
    )
    return env, drive(env, options.pop("steps", 16), boost={0: 1.0}, throttle={0: 1.0})


def test_that_a_hit_towards_the_goal_is_one_shot(scene, drive):
    env, total = _shot(scene, drive)
    assert total["shot"].tolist() == [1, 0]
    assert env.matches.arenas.cars[0][0].shots == 1, "the engine's own tracker sees it too"


def test_that_a_block_is_a_save_of_the_defender(scene, drive):
    keeper = {1: ((0, 4700, 1290), (0, 0, 0), SOUTH)}  # falls into the ball's way
    env, total = _shot(scene, drive, cars=keeper, steps=60)
    assert total["shot"][0] == 1
    assert total["save"].tolist() == [0, 1]
    assert total["touch"][1] >= 1
    assert env.matches.arenas.cars[0][1].saves == 1


def test_that_shots_and_saves_are_those_of_the_engine_in_random_play():
    """Over 32 matches of wild shots, both trackers name the same cars as often."""

    def towards_a_goal(start, random):
        attacker = int(random.integers(2))
        keeper, side = 1 - attacker, (1, -1)[attacker]
        start.ball_position[:] = (random.uniform(-300, 300), side * random.uniform(0, 1200), 93)
        start.ball_velocity[:] = (0, side * random.uniform(0, 600), 0)
        start.car_position[attacker] = (*(start.ball_position[:2] - (0, side * 700)), FLOOR)
        start.car_velocity[attacker] = (0, side * 2200, 0)
        start.car_rotation[attacker] = (side * NORTH, 0, 0)
        start.car_position[keeper] = (0, side * 4700, random.uniform(900, 1600))
        start.car_rotation[keeper] = (-side * NORTH, 0, 0)
        start.boost[attacker], start.boost[keeper] = 100, 0

    env = RocketLeagueVectorEnv(
        64, start=towards_a_goal, actions="continuous", action_delay=0, threads=1
    )
    env.reset(seed=3)
    forward = np.zeros((64, 8), dtype=np.float32)
    forward[:, [0, 6]] = 1
    ours = np.zeros((32, 2, 2))
    alive = np.ones(32, dtype=bool)
    engine = np.zeros((32, 2, 2))
    for _ in range(45):
        _, _, terminated, _, infos = env.step(forward)
        for place, name in enumerate(("shot", "save")):
            ours[..., place] += infos[name].reshape(32, 2) * alive[:, None]
        counts = np.array(
            [[(car.shots, car.saves) for car in cars] for cars in env.matches.arenas.cars]
        )
        engine = np.where(alive[:, None, None], counts, engine)
        alive &= ~terminated[::2]
    assert ours[..., 0].sum() >= 5
    assert ours[..., 1].sum() >= 1
    assert np.array_equal(ours, engine)


def test_that_a_fast_car_demolishes_and_a_slow_one_bumps(scene, drive):
    victim = ((0, 300, FLOOR), (0, 0, 0), 0.0)
    ball = ((-3000, -3000, 93), (0, 0, 0))
    fast = scene(ball=ball, cars={0: ((0, -300, FLOOR), (0, 2290, 0), NORTH), 1: victim}, boost=100)
    total = drive(fast, 12, boost={0: 1.0}, throttle={0: 1.0})
    assert total["demolition"].tolist() == [1, 0]
    assert total["demolished"].tolist() == [0, 1]
    assert not total["bump"].any()
    assert total["last"]["is_demolished"].tolist() == [False, True]
    assert 2 < total["last"]["respawn_timer"][1] <= 3
    slow = scene(ball=ball, cars={0: ((0, -300, FLOOR), (0, 1200, 0), NORTH), 1: victim}, boost=0)
    total = drive(slow, 12, throttle={0: 1.0})
    assert total["bump"][0] >= 1
    assert total["bumped"][1] == total["bump"][0]
    assert not total["demolition"].any()
    assert not total["demolished"].any()
    assert not total["last"]["is_demolished"].any()


@pytest.mark.parametrize(("pad", "amount", "seconds"), [(13, 12, 4), (15, 67, 10)])
def test_that_pads_fill_the_car_and_come_back(scene, drive, pad, amount, seconds):
    x, y = BOOST_PADS[pad].tolist()
    far = ((0, 3000, 93), (0, 0, 0))
    env = scene(ball=far, cars={0: ((x, y - 500, FLOOR), (0, 1000, 0), NORTH)}, boost=33.0)
    total = drive(env, 9, throttle={0: 1.0})
    assert total["boost_pickup"].tolist() == [1, 0]
    assert total["big_boost_pickup"].tolist() == [float(seconds == 10), 0]
    assert total["last"]["boost"][0] == pytest.approx(33 + amount)
    assert total["last"]["boost_pads"][0, pad] == 0
    timer = env.matches.arenas.state.pad_timers[0, pad]
    engine = env.matches.arenas.arenas[0].get_boost_pads()[pad].get_state()
    assert timer == pytest.approx(engine.cooldown, abs=1e-4)
    assert seconds - 0.6 < timer < seconds
    drive(env, int(15 * seconds), throttle={0: 0.0})
    state = env.matches.arenas.state
    assert state.pads[0, 0, pad] == 1
    assert state.pad_timers[0, pad] == 0


def test_the_prediction_of_goals():
    position = np.array([[0, 4000, 100], [0, 4000, 100], [3000, 4000, 100], [0, 0, 100]], float)
    velocity = np.array([[0, 2000, 0], [0, -100, 0], [0, 2000, 0], [0, -2600, 300]], float)
    assert heading_into_goal(position, velocity).tolist() == [1, -1, -1, 0]
    high = heading_into_goal(np.array([[0, 4500.0, 1500]]), np.array([[0, 2000.0, 0]]))
    assert high.tolist() == [-1]
