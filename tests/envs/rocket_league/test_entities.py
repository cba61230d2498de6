"""Entity observations: the same facts as the vector's, as rows."""

import numpy as np
import pytest

pytest.importorskip("RocketSim")

import envs
from envs.rocket_league.entities import FEATURES, entity_layout
from envs.rocket_league.observation import layout

WHERE = entity_layout()


def pair(name="RocketLeague2v2-v0", columns=8, seed=3, **options):
    found = []
    for kind in ("vector", "entities"):
        env = envs.make_vec(name, columns, start="random", observation=kind, **options)
        found += [env, env.reset(seed=seed)[0]]
    return found


def test_that_it_tells_what_the_vector_tells():
    vector, flat, entity, seen = pair()
    places = layout(2, 2)
    random = np.random.default_rng(0)
    for _ in range(12):
        rows = seen["entities"]
        assert np.array_equal(rows[:, 0, 4:13], flat[:, places["ball"]])
        cars = ("car", "teammate_1", "opponent_1", "opponent_2")
        for place, name in enumerate(cars, start=1):
            car = flat[:, places[name]]
            assert np.array_equal(rows[:, place, 4:13], car[:, :9])
            assert np.allclose(rows[:, place, WHERE["forward"].start :], car[:, 9:21], atol=1e-6)
        local = rows[:, 0, WHERE["relative_position"].start : WHERE["relative_velocity"].stop]
        assert np.allclose(local, flat[:, places["ball_local"]], atol=1e-6)
        assert np.allclose(seen["query"][:, 9 + 12 : 9 + 12 + 6], flat[:, places["flight"]])
        assert np.allclose(seen["query"][:, 27:61], flat[:, places["boost_pads"]])
        assert np.allclose(seen["query"][:, 61:69], flat[:, places["controls"]])
        kinds = rows[:, :, WHERE["kind"]].argmax(axis=2)
        assert (kinds == [0, 1, 2, 3, 3]).all()
        assert (rows[:, :, WHERE["kind"]].sum(axis=2) == 1).all()
        actions = random.integers(90, size=8)
        flat, seen = vector.step(actions)[0], entity.step(actions)[0]
    assert entity.single_observation_space.contains({k: v[0] for k, v in seen.items()})


def test_that_the_own_car_is_at_no_distance_and_others_are_where_their_place_says():
    env, seen = pair()[2:]
    rows = seen["entities"]
    relative = rows[:, :, WHERE["relative_position"]]
    assert not relative[:, 1].any()
    away = rows[:, :, WHERE["position"]] - rows[:, 1:2, WHERE["position"]]
    assert np.allclose(np.linalg.norm(relative, axis=2), np.linalg.norm(away, axis=2), atol=1e-5)
    front = rows[:, 1, WHERE["forward"]]
    assert np.allclose(relative[:, :, 0], (away * front[:, None]).sum(2), atol=1e-5)
    env.close()


def test_that_both_teams_see_a_turned_field_the_same_way():
    def mirrored(start, random):
        start.ball_position[:2] = 0.0
        start.car_position[0, :2] = (-700.0, -900.0)
        start.car_position[1, :2] = (700.0, 900.0)
        start.car_rotation[:, 0] = (0.3, 0.3 - np.pi)
        start.car_velocity[:] = 0.0

    env = envs.make_vec("RocketLeague1v1-v0", 2, start=mirrored, observation="entities")
    seen, _ = env.reset(seed=0)
    for key in ("query", "entities"):
        assert np.allclose(seen[key][0], seen[key][1], atol=1e-4)


def test_that_missing_cars_are_padded_rows():
    env = envs.make_vec("RocketLeague1v1-v0", 2, observation="entities", max_cars=6)
    seen, _ = env.reset(seed=0)
    assert seen["entities"].shape == (2, 7, FEATURES)
    assert seen["padding"].tolist() == [[0, 0, 0, 1, 1, 1, 1]] * 2
    assert not seen["entities"][:, 3:].any()
    three = envs.make_vec("RocketLeague3v3-v0", 6, observation="entities", max_cars=6)
    assert three.single_observation_space == env.single_observation_space


def test_that_the_last_controls_are_stacked_and_forgotten_at_an_episodes_beginning():
    env = envs.make_vec(
        "RocketLeague1v1-v0", 2, observation="entities", previous_actions=3, max_episode_steps=5,
        actions="continuous",
    )  # fmt: skip
    seen, _ = env.reset(seed=0)
    assert not seen["query"][:, -24:].any()
    for step in range(1, 5):
        action = np.zeros((2, 8), dtype=np.float32)
        action[:, 0] = step / 10
        seen = env.step(action)[0]
        stack = seen["query"][:, -24:].reshape(2, 3, 8)[:, :, 0]
        expected = [max(0, step - back) / 10 for back in range(3)]
        assert np.allclose(stack, [expected, expected])
    seen, _, _, truncated, infos = env.step(action)
    assert truncated.all()
    assert not seen["query"][:, -24:].any()
    assert np.allclose(infos["final_obs"]["query"][0, -24], 0.4)


def test_that_a_restored_match_goes_on_the_same_way():
    env = envs.make_vec("RocketLeague1v1-v0", 2, observation="entities", start="random")
    env.reset(seed=1)
    random = np.random.default_rng(1)
    actions = random.integers(90, size=(8, 2))
    for action in actions[:4]:
        env.step(action)
    tree = env.snapshot()
    first = [env.step(action)[0] for action in actions[4:]]
    other = envs.make_vec("RocketLeague1v1-v0", 2, observation="entities", start="random")
    other.reset(seed=9)
    other.restore(tree)
    for action, expected in zip(actions[4:], first, strict=True):
        seen = other.step(action)[0]
        assert all(np.array_equal(seen[key], expected[key]) for key in expected)


def test_that_the_single_form_is_the_first_car():
    # No other car may move: with an opponent that holds still, column 0 sees the same.
    single = envs.make("RocketLeague1v1-v0", observation="entities", opponent="idle")
    vector = envs.make_vec("RocketLeague1v1-v0", 1, observation="entities", opponent="idle")
    one, _ = single.reset(seed=5)
    many, _ = vector.reset(seed=5)
    for action in (3, 18, 40):
        assert all(np.array_equal(one[key], many[key][0]) for key in one)
        one, many = single.step(action)[0], vector.step(np.array([action]))[0]
    assert single.observation_space.contains(one)


def test_what_is_refused():
    for options, said in (
        ({"observation": "entity"}, "'vector' or 'entities', got 'entity'"),
        ({"observation": "entities", "max_cars": 1}, "at least the 2 cars"),
        ({"observation": "entities", "previous_actions": 0}, "previous_actions"),
    ):
        with pytest.raises(ValueError, match=said):
            envs.make_vec("RocketLeague1v1-v0", 2, **options)
