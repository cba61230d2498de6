"""Configurations of searches: short forms, errors with the nearest name, and the way back."""

import pytest
import yaml

from ctrl.search.config import full_name, parse_search, wide_search
from ctrl.search.run import complete
from reward_models.errors import UnknownNameError, UserError


def test_short_forms_mean_the_long_ones():
    config = parse_search({"env": "curling", "method": "novelty", "genome": "controller"})
    assert config.env.id == "Curling-v0"
    assert config.method.name == "novelty"
    assert config.genome == {"kind": "controller"}


def test_what_is_written_is_read_back_as_it_was():
    config = complete(
        parse_search({
            "env": {"id": "hardmaze", "areas": [[0.0, 0.0, 0.1]]},
            "method": {"name": "serene", "sigma": 0.5},
            "reward": {"task": 2.0},
            "budget": "1e4",
        })
    )  # fmt: skip
    assert config.budget == 10_000
    assert config.areas == 1
    assert parse_search(yaml.safe_load(config.to_yaml())) == config


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("curling", "Curling-v0"),
        ("HardMaze", "HardMaze-v0"),
        ("redundant_arm", "RedundantArm-v0"),
        ("antmazegoal-umaze", "AntMazeGoal_UMaze-v0"),
        ("PointWalker-v0", "PointWalker-v0"),
        ("nothing", "nothing"),
        # Several versions are listed: the name must say which.
        ("hopper", "hopper"),
    ],
)
def test_short_names_of_environments(short, full):
    import envs

    if short == "hopper":
        versions = [name for name in envs.names() if name.lower().startswith("hopper-v")]
        full = versions[0] if len(versions) == 1 else "hopper"
    assert full_name(short) == full


def test_learned_methods_ask_for_pictures():
    config = complete(parse_search({"env": "pointwalker", "method": "stax"}))
    assert (config.images, config.descriptor.name, config.samples) == (True, "autoencoder", 1)
    several = {"name": "stax", "variant": "stax-multi"}
    assert complete(parse_search({"env": "pointwalker", "method": several})).samples == 5


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "--env"),
        ({"env": "curling", "bugdet": 3}, "budget"),
        ({"env": "curling", "budget": 0}, "at least 1"),
        ({"env": "curling", "budget": "many"}, "int"),
        ({"env": "curling", "bounds": [[0, 0], [0, 1]]}, "x0 < x1"),
        ({"env": "curling", "bounds": 3}, "bounds"),
        ({"env": "curling", "genome": 3}, "mapping"),
        ({"env": "curling", "images": "yes"}, "images"),
    ],
)
def test_mistakes_are_named(data, said):
    with pytest.raises(UserError, match=said):
        parse_search(data)


def test_unknown_methods_and_settings_have_a_nearest_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'serene'"):
        complete(parse_search({"env": "curling", "method": "serne"}))
    with pytest.raises(UnknownNameError, match="Did you mean 'signature'"):
        complete(parse_search({"env": "curling", "descriptor": "signatur"}))
    with pytest.raises(UserError, match="pictures"):
        complete(parse_search({"env": "curling", "method": "taxons", "images": False}))
    with pytest.raises(UserError, match="serene"):
        complete(parse_search({"env": "curling", "method": "stax", "descriptor": "last"}))


def test_a_world_without_known_bounds_asks_for_them():
    with pytest.raises(UserError, match="bounds"):
        complete(parse_search({"env": "Pendulum-v1"}))


def test_overrides_reach_into_short_forms():
    wide = wide_search({"env": "curling", "method": "serene"})
    assert wide["env"] == {"id": "Curling-v0"}
    assert wide["method"] == {"name": "serene"}
