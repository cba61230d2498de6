"""Search methods and descriptors by name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ctrl.search.config import SearchConfig
from ctrl.search.descriptors import Descriptor
from ctrl.search.evaluation import Evaluator
from ctrl.search.method import SearchMethod
from reward_models.errors import MissingDependencyError, UnknownNameError, UserError

METHODS = {
    "random": "ctrl.search.random_search:RandomSearch",
    "novelty": "ctrl.search.novelty_search:NoveltySearch",
    "serene": "ctrl.search.serene.serene:Serene",
    "taxons": "ctrl.search.taxons:taxons",
    "stax": "ctrl.search.stax:stax",
    "map_elites": "ctrl.search.map_elites:MapElites",
    "cma_me": "ctrl.search.cma_me:CMAME",
}
"""What ``method.name`` can be, and where it is."""

DESCRIPTORS = {
    "last": "ctrl.search.descriptors:LastSample",
    "samples": "ctrl.search.descriptors:AllSamples",
    "signature": "ctrl.search.descriptors:Signature",
    "log_signature": "ctrl.search.descriptors:LogSignature",
    "autoencoder": "ctrl.search.learned_descriptor:AutoencoderCode",
}
"""What ``descriptor.name`` can be, and where it is."""

_PICTURED = ("autoencoder",)
_LEARNING = ("taxons", "stax")
_GIVEN = ("genome_size", "descriptor", "observation_size", "seed", "samples", "autoencoder")


@dataclass(frozen=True)
class Plan:
    """What a configuration leaves to the method, decided.

    Attributes:
        descriptor: name of the descriptor.
        images: whether episodes need pictures.
        samples: moments at which an episode is looked at.
    """

    descriptor: str
    images: bool
    samples: int


def plan(config: SearchConfig) -> Plan:
    """Return what the configuration leaves open.

    Raises:
        UnknownNameError: an unknown method or descriptor.
        UserError: a descriptor that reads pictures with ``images: false``.
    """
    if config.method.name not in METHODS:
        raise UnknownNameError("search method", config.method.name, METHODS)
    own = "autoencoder" if config.method.name in _LEARNING else "last"
    name = config.descriptor.name or own
    if name not in DESCRIPTORS:
        raise UnknownNameError("descriptor", name, DESCRIPTORS)
    pictured = name in _PICTURED
    if pictured and config.images is False:
        raise UserError(f"The descriptor {name!r} reads pictures: leave images out, or true.")
    if config.method.name in _LEARNING and not pictured:
        raise UserError(
            f"{config.method.name} learns its descriptor from pictures. For the descriptor "
            f"{name!r} take novelty (instead of taxons) or serene (instead of stax)."
        )
    samples = config.samples
    if config.method.options.get("variant") == "stax-multi" and samples == 1:
        samples = 5
    return Plan(name, pictured if config.images is None else config.images, samples)


def make_method(
    config: SearchConfig, evaluator: Evaluator, bounds: list[list[float]]
) -> SearchMethod:
    """Make the method with its descriptor.

    Args:
        config: of the search.
        evaluator: says how long a genome and a sample are.
        bounds: of the places.

    Raises:
        UnknownNameError: an unknown name or setting.
        UserError: a setting out of its range, or one that the method cannot work with.
    """
    what = f"method {config.method.name!r}"
    method = _load(METHODS[config.method.name])
    options = dict(config.method.options)
    given: dict[str, Any] = {"genome_size": evaluator.genome.size, "seed": config.seed}
    if config.method.name in _LEARNING:
        learned = {"samples": config.samples, "autoencoder": config.descriptor.options}
        return _called(what, method, options, {**given, **learned})
    descriptor = _descriptor(config, evaluator)
    given["descriptor"] = descriptor
    if "ranges" in inspect.signature(method).parameters and "ranges" not in options:
        # Places are the usual descriptor, and their bounds are known.
        if descriptor.size != 2 or evaluator.observed.names != evaluator.place.names:
            raise UserError(
                f"{config.method.name} divides the descriptor's space into cells: give the bounds "
                f"of its {descriptor.size} numbers as method.ranges, or describe by the place."
            )
        options["ranges"] = bounds
    return _called(what, method, options, given)


def _descriptor(config: SearchConfig, evaluator: Evaluator) -> Descriptor:
    name = plan(config).descriptor
    given = {
        "observation_size": evaluator.sample_size,
        "samples": config.samples,
        "seed": config.seed,
    }
    make = _load(DESCRIPTORS[name])
    return _called(f"descriptor {name!r}", make, config.descriptor.options, given)


def _load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    with _ribs_at_hand():
        return getattr(importlib.import_module(module), name)


@contextmanager
def _ribs_at_hand() -> Iterator[None]:
    """Say what to install where a method needs pyribs, which is an extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "ribs":
            raise
        raise MissingDependencyError(
            "This method needs pyribs: pip install 'ctrl[search]', or make install "
            "EXTRAS=mujoco,search."
        ) from error


def _called(
    what: str,
    make: Callable[..., Any],
    options: Mapping[str, Any],
    given: Mapping[str, Any],
) -> Any:
    """Call with the user's options and those of the given that it takes.

    What a function passes on (``**options``) is checked by the class that it returns.
    """
    names = dict(inspect.signature(make).parameters)
    passed_on = [name for name, one in names.items() if one.kind is one.VAR_KEYWORD]
    if passed_on:
        kind = inspect.get_annotations(make, eval_str=True)["return"]
        names = {**inspect.signature(kind).parameters, **names}
    valid = [name for name in names if name not in (*_GIVEN, *passed_on)]
    for key in options:
        if key not in valid:
            raise UnknownNameError(f"setting of the {what}", key, valid)
    taken = {key: value for key, value in given.items() if key in names or passed_on}
    try:
        with _ribs_at_hand():
            return make(**{**taken, **options})
    except TypeError as error:
        raise UserError(f"A setting of the {what} is of the wrong kind: {error}.") from error
