"""Pick-and-place: the rules of the hand, the three views, the expert and the progress."""

import numpy as np
import pytest
from scipy import stats

import envs
from envs.registry import make_vec
from envs.worlds.pick_and_place import CAMERAS, expert

OPEN, CLOSE = -1.0, 1.0


def placed(hand, thing, goal, **options):
    """Return one environment with its things where the test wants them."""
    env = envs.make("PickAndPlace2D-v0", **options)
    env.reset(seed=0)
    simulation = env.unwrapped.simulation
    state = simulation.state()
    state["hand"][...], state["object"][...], state["goal"][...] = hand, thing, goal
    state["way"][...] = np.linalg.norm(np.subtract(hand, thing)) + np.linalg.norm(
        np.subtract(thing, goal)
    )
    simulation.set_state(state)
    return env


def act(env, x, y, grip):
    return env.step(np.array([x, y, grip], np.float32))


def run(noise, columns=200, seed=0):
    """Return success, length and progress of noisy expert episodes, one per column."""
    venv = make_vec("PickAndPlace2D-v0", columns)
    observation, infos = venv.reset(seed=seed)
    random = np.random.default_rng(seed)
    progress, done = [infos["progress"]], np.zeros(columns, dtype=bool)
    success, length = np.zeros(columns, dtype=bool), np.zeros(columns, dtype=int)
    while not done.all():
        actions = expert(observation, noise, random)
        observation, _, terminated, truncated, infos = venv.step(actions)
        progress.append(np.where(done, 1.0, infos["progress"]))
        success |= ~done & infos["is_success"]
        length += ~done
        done |= terminated | truncated
    return success, length, np.stack(progress)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_expert_always_succeeds(noise):
    success, length, _ = run(noise)
    assert success.all()
    assert length.max() < 60


def test_progress_rises_with_the_expert():
    _, _, progress = run(0.0)
    assert (progress[0] == 0.0).all()
    assert (progress[-1] == 1.0).all()
    # A hand that takes the object from aside moves it by at most the grasp radius.
    assert (np.diff(progress, axis=0) >= -0.1).all()
    _, length, noisy = run(0.5)
    order = [
        stats.spearmanr(np.arange(steps + 1), noisy[: steps + 1, column]).statistic
        for column, steps in enumerate(length)
    ]
    assert np.mean(order) > 0.95


def test_random_actions_do_not_succeed():
    venv = make_vec("PickAndPlace2D-v0", 500)
    venv.reset(seed=0)
    random = np.random.default_rng(0)
    success = np.zeros(500, dtype=bool)
    for _ in range(60):
        success |= venv.step(random.uniform(-1.0, 1.0, (500, 3)))[4]["is_success"]
    assert success.mean() < 0.05


def test_object_and_goal_start_apart_and_reset_pays_nothing():
    venv = make_vec("PickAndPlace2D-v0", 1000)
    observation, infos = venv.reset(seed=0)
    apart = np.linalg.norm(observation[:, 2:4] - observation[:, 4:6], axis=1)
    assert apart.min() >= 0.5 - 1e-6
    assert np.abs(observation[:, :6]).max() <= 0.8
    assert not infos["is_success"].any()


def test_the_hand_grasps_only_when_it_closes_nearby():
    env = placed((0.0, 0.0), (0.1, 0.0), (0.8, 0.8))
    assert act(env, 0.0, 0.0, CLOSE)[0][6:].tolist() == [1.0, 0.0]  # too far
    assert act(env, 0.5, 0.0, CLOSE)[0][6:].tolist() == [1.0, 0.0]  # near, but closed before
    assert act(env, 0.0, 0.0, OPEN)[0][6:].tolist() == [0.0, 0.0]
    observation = act(env, 0.1, 0.1, CLOSE)[0]
    assert observation[6:].tolist() == [1.0, 1.0]
    assert observation[2:4].tolist() == observation[:2].tolist()
    moved = act(env, -1.0, 1.0, CLOSE)[0]
    assert moved[2:4] == pytest.approx(observation[:2] + np.array([-0.1, 0.1]), abs=1e-6)
    left = act(env, 1.0, 0.0, OPEN)[0]  # moving and opening: the object stays
    assert left[2:4].tolist() == moved[2:4].tolist()
    assert left[:2] != pytest.approx(moved[:2])


def test_success_is_releasing_at_the_goal():
    env = placed((0.0, 0.0), (0.0, 0.0), (0.15, 0.0))
    assert act(env, 0.0, 0.0, CLOSE)[1] == 0.0
    _, reward, terminated, _, info = act(env, 1.0, 0.0, CLOSE)  # at the goal, still held
    assert (reward, terminated, info["is_success"]) == (0.0, False, False)
    _, reward, terminated, truncated, info = act(env, 0.0, 0.0, OPEN)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert (info["progress"], info["is_success"]) == (1.0, True)


def test_progress_is_the_share_of_the_way():
    env = placed((-0.5, 0.0), (0.0, 0.0), (0.0, 0.5))
    info = act(env, 1.0, 0.0, OPEN)[4]
    assert info["progress"] == pytest.approx(0.1)
    away = act(env, -1.0, 0.0, OPEN)
    assert away[4]["progress"] == pytest.approx(0.0, abs=1e-9)
    assert act(env, -1.0, 0.0, OPEN)[4]["progress"] == 0.0


def test_walls_clip_the_hand():
    env = placed((0.95, -0.95), (0.0, 0.0), (0.0, 0.5))
    assert act(env, 1e30, -1e30, OPEN)[0][:2].tolist() == [1.0, -1.0]


def test_views_are_projections_and_the_third_is_noisy():
    venv = make_vec("PickAndPlace2D-v0", 4000, observation="views", view_noise=0.05)
    views, _ = venv.reset(seed=0)
    state = venv.simulation.state()
    places = np.stack([state["hand"], state["object"], state["goal"]], axis=1)
    exact = places @ CAMERAS.T  # [B, 3 things, 3 cameras]
    assert views[:, :2, :3] == pytest.approx(exact[..., :2].swapaxes(1, 2), abs=1e-6)
    noise = views[:, 2, [0, 2]] - exact[:, [0, 2], 2]
    assert stats.kstest(noise.ravel() / 0.05, "norm").pvalue > 1e-3
    hidden = np.abs(exact[:, 1, 2]) <= 0.25
    assert 0.1 < hidden.mean() < 0.5
    assert np.array_equal(views[:, 2, 4] == 0.0, hidden)
    assert (views[hidden, 2, 1] == 0.0).all()
    assert (views[:, :2, 4] == 1.0).all()
    before = views
    views = venv.step(np.zeros((4000, 3)))[0]
    assert (views[:, 2, 0] != before[:, 2, 0]).all()
    assert np.array_equal(views[:, :2, :3], before[:, :2, :3])


def test_pictures_show_what_the_views_measure():
    venv = make_vec("PickAndPlace2D-v0", 50, observation="images", images=True, view_noise=0.0)
    images, infos = venv.reset(seed=0)
    assert images.shape == (50, 3, 32, 32, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(images, infos["images"])
    assert venv.single_observation_space.contains(images[0])
    # Green is less than red and blue less than green nowhere but on the goal.
    goal = (255.0 - images[..., 0]) * (images[..., 1].astype(int) - images[..., 2] > 40)
    place = (goal.sum(axis=2) * (np.arange(32) + 0.5)).sum(axis=-1) / goal.sum(axis=(2, 3))
    assert place / 32 * 3.0 - 1.5 == pytest.approx(infos["views"][..., 2], abs=0.06)
    blue = (images[..., 2].astype(int) - images[..., 0] > 40).any(axis=(2, 3))
    assert np.array_equal(blue, infos["views"][..., 4] == 1.0)


def test_noise_needs_a_generator():
    with pytest.raises(ValueError, match="Generator"):
        expert(np.zeros(8), noise=0.1)


@pytest.mark.parametrize(
    ("options", "message"), [({"observation": "view"}, "'views'"), ({"view_noise": -1.0}, "noise")]
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        envs.make("PickAndPlace2D-v0", **options)
