"""Methods and descriptors by name, and the settings they take."""

import sys

import pytest

from ctrl.search.config import parse_search
from ctrl.search.evaluation import Evaluator, Setting
from ctrl.search.methods import DESCRIPTORS, METHODS, make_method
from ctrl.search.run import complete
from reward_models.errors import MissingDependencyError, UnknownNameError, UserError

SQUARE = [[-1.0, 1.0], [-1.0, 1.0]]


def made(method, descriptor=None, samples=1):
    data = {"env": "pointwalker", "method": method, "samples": samples}
    if descriptor is not None:
        data["descriptor"] = descriptor
    config = complete(parse_search(data))
    with Evaluator(Setting(env=config.env, samples=config.samples)) as evaluator:
        return make_method(config, evaluator, SQUARE)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_listed_method_can_be_made(name):
    assert made(name).generation == 0


@pytest.mark.parametrize("name", [name for name in DESCRIPTORS if name != "autoencoder"])
def test_every_listed_descriptor_can_be_made(name):
    method = made("novelty", name, samples=3)
    sizes = {"last": 2, "samples": 6, "signature": 6, "log_signature": 3}
    assert method.descriptor.size == sizes[name]


def test_settings_reach_the_method_and_what_it_returns():
    assert made({"name": "serene", "chunk": 77}) is not None
    with pytest.raises(UnknownNameError, match="Did you mean 'sigma'"):
        made({"name": "serene", "sigm": 0.1})
    # `stax` passes its options on to Serene.
    made({"name": "stax", "emitter_population": 3})
    with pytest.raises(UnknownNameError, match="emitter_population"):
        made({"name": "stax", "emitter_populatio": 3})
    with pytest.raises(UserError, match="at least 1"):
        made({"name": "novelty", "k": 0})
    with pytest.raises(UserError, match="wrong kind"):
        made({"name": "novelty", "k": "many"})


def test_cells_need_bounds_for_what_is_no_place():
    with pytest.raises(UserError, match="ranges"):
        made("map_elites", "samples", samples=2)


@pytest.mark.parametrize(
    "method", ["map_elites", "cma_me", {"name": "serene", "emitter": "cma-es"}]
)
def test_without_pyribs_it_says_what_to_install(method, monkeypatch):
    # None in sys.modules makes an import fail as if the package were not there.
    for name in [n for n in sys.modules if n.partition(".")[0] == "ribs"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ribs", None)
    for name in ("grid", "map_elites", "cma_me", "ribs_state", "serene.evolution_strategy"):
        monkeypatch.delitem(sys.modules, f"ctrl.search.{name}", raising=False)
    with pytest.raises(MissingDependencyError, match="search"):
        made(method)
    assert made("novelty") is not None
