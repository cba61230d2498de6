from __future__ import annotations

import re

import numpy as np
import pytest
from gymnasium import spaces

import envs
from ctrl.search.genomes import Controller, make_genome_kind
from reward_models.errors import UnknownNameError, UserError

SQUARE = spaces.Box(-1.0, 1.0, (2,), np.float32)


def _space(size):
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


def test_the_point_walker_of_the_literature_has_27_genes():
    kind = Controller(SQUARE, SQUARE, hidden=(5,))
    assert kind.size == 27
    assert kind.sizes == (2, 5, 2)
    assert Controller(SQUARE, SQUARE).hidden == (5, 5)


def test_a_genome_holds_weights_row_by_row_and_then_biases():
    kind = Controller(_space(3), spaces.Box(-2.0, 6.0, (2,)), hidden=(4,))
    genome = np.random.default_rng(0).normal(size=kind.size)
    seen = np.array([0.3, -1.0, 2.0], dtype=np.float32)
    first, second = genome[: 3 * 4].reshape(3, 4), genome[16 : 16 + 8].reshape(4, 2)
    hidden = np.tanh(seen.astype(np.float64) @ first + genome[12:16])
    expected = 2.0 + 4.0 * np.tanh(hidden @ second + genome[24:26])
    found = kind.actor(genome[None])(seen[None])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    (weights, biases), _ = kind.layers(genome)
    assert np.array_equal(weights, first)
    assert np.array_equal(biases, genome[12:16])


def test_a_discrete_action_is_the_largest_output():
    kind = Controller(_space(1), spaces.Discrete(3, start=5), hidden=())
    genome = np.array([[0.0, 1.0, -1.0, 0.5, 0.0, 0.0]])
    act = kind.actor(np.repeat(genome, 3, axis=0))
    # outputs (0.5, x, -x)
    assert act(np.array([[0.2], [2.0], [-2.0]], dtype=np.float32)).tolist() == [5, 6, 7]


@pytest.mark.parametrize("inputs", [1, 2, 7, 109])
@pytest.mark.parametrize("action", [spaces.Box(-1.0, 1.0, (1,)), SQUARE, spaces.Discrete(4)])
@pytest.mark.parametrize("hidden", [(), (1,), (5, 5)])
def test_no_bit_depends_on_how_many_act_beside_it(inputs, action, hidden):
    kind = Controller(_space(inputs), action, hidden=hidden)
    rng = np.random.default_rng(1)
    genomes = rng.normal(size=(300, kind.size))
    seen = rng.normal(size=(300, inputs)).astype(np.float32)
    whole = kind.actor(genomes)(seen)
    for count in (1, 2, 3, 7, 64):
        for start in (0, 5, 299 - count):
            part = slice(start, start + count)
            assert np.array_equal(kind.actor(genomes[part])(seen[part]), whole[part])


def test_actions_reach_and_never_leave_the_bounds():
    bounds = spaces.Box(np.float32([-2.0, 0.1]), np.float32([2.0, 0.7]))
    kind = Controller(_space(1), bounds, hidden=())
    genomes = np.array([[0.0, 0.0, 50.0, 50.0], [0.0, 0.0, -50.0, -50.0]])
    found = kind.actor(genomes)(np.zeros((2, 1), dtype=np.float32))
    assert np.array_equal(found[0], bounds.high)
    assert np.array_equal(found[1], bounds.low)


def test_dict_observations_are_read_in_the_order_of_their_names():
    space = spaces.Dict({"b": _space(2), "a": spaces.Discrete(3)})
    kind = Controller(space, spaces.Box(-1.0, 1.0, (5,)), hidden=())
    genome = np.concatenate([np.eye(5).ravel(), np.zeros(5)])
    found = kind.actor(genome[None])({"a": np.array([2]), "b": np.array([[0.5, -0.5]])})
    np.testing.assert_allclose(found[0], np.tanh([0.0, 0.0, 1.0, 0.5, -0.5]), rtol=1e-6)


def test_nethack_is_read_as_place_free_squares_and_time():
    pytest.importorskip("minihack")
    env = envs.make("MiniHack-Room-5x5-v0", render_mode="ansi")
    observation, _ = env.reset(seed=3)
    kind = Controller(env.observation_space, env.action_space, hidden=())
    assert kind.sizes == (11, 8)
    batch = {name: np.asarray(value)[None] for name, value in observation.items()}
    inputs = kind._encode(batch)[0]
    x, y = (int(value) for value in observation["blstats"][:2])
    np.testing.assert_allclose(inputs[:2], [(x - 39.5) / 10, (y - 10.5) / 5])
    # The first line of the screen is the message; row 0 of the map follows.
    screen = re.sub(r"\x1b\[[0-9;]*m", "", env.render()).split("\n")[1:]
    around = [
        screen[y + dy][x + dx] not in " |-"
        for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx
    ]  # fmt: skip
    assert inputs[2:10].astype(bool).tolist() == around
    assert any(around)
    assert inputs[10] == observation["blstats"][20] / 100
    env.close()


@pytest.mark.parametrize(
    ("observation", "action", "hidden", "text"),
    [
        (spaces.Box(0, 255, (64, 64, 3), np.uint8), SQUARE, (5,), "pictures"),
        (SQUARE, spaces.Box(-np.inf, np.inf, (2,)), (5,), "unbounded"),
        (SQUARE, spaces.MultiDiscrete([2, 2]), (5,), "MultiDiscrete"),
        (SQUARE, SQUARE, (5, 0), "at least one unit"),
    ],
)
def test_what_a_controller_cannot_do_is_refused(observation, action, hidden, text):
    with pytest.raises(UserError, match=text):
        Controller(observation, action, hidden=hidden)


def test_genomes_of_another_shape_or_with_nan_are_refused():
    kind = Controller(SQUARE, SQUARE, hidden=(5,))
    for genomes in (np.zeros((2, 26)), np.zeros((0, 27)), np.zeros(27)):
        with pytest.raises(UserError, match=r"\[n, 27\]"):
            kind.actor(genomes)
    genomes = np.zeros((2, 27))
    genomes[1, 3] = np.nan
    with pytest.raises(UserError, match="Gene 3 of genome 1"):
        kind.actor(genomes)


def test_a_kind_is_made_again_from_its_description():
    kind = Controller(SQUARE, SQUARE, hidden=(4, 3))
    again = make_genome_kind(kind.describe(), observation_space=SQUARE, action_space=SQUARE)
    assert isinstance(again, Controller)
    assert again.sizes == kind.sizes


def test_unknown_kinds_and_settings_name_the_nearest():
    spaces_ = {"observation_space": SQUARE, "action_space": SQUARE}
    with pytest.raises(UnknownNameError, match="Did you mean 'controller'"):
        make_genome_kind({"kind": "controler"}, **spaces_)
    with pytest.raises(UnknownNameError, match="Did you mean 'hidden'"):
        make_genome_kind({"kind": "controller", "hiden": [5]}, **spaces_)
