"""Settings that can be written down: what a run folder keeps is text, and text builds it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ctrl.build import ACTIVATIONS, FEATURES
from ctrl.config import TrainConfig
from reward_models.errors import UserError


def check_plain(config: TrainConfig) -> None:
    """Refuse settings that cannot be written down in a run folder.

    Raises:
        UserError: a setting that is neither a number, a text, true, false nor null, nor a list or
            mapping of such, with the cure.
    """
    for place, value in _leaves(config.as_dict()):
        try:
            yaml.safe_dump(value)
        except yaml.YAMLError as error:
            what = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
            raise UserError(
                f"{place} is {what}, which cannot be written into config.yaml, so the run could "
                f"not be resumed or evaluated. {_plain_form(place)}"
            ) from error


def _leaves(settings: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            yield from _leaves(value, f"{place}.{key}".lstrip("."))
    elif isinstance(settings, list | tuple):
        for number, value in enumerate(settings):
            yield from _leaves(value, f"{place}[{number}]")
    else:
        yield place, settings


def _plain_form(place: str) -> str:
    """Return what to give instead of an object."""
    name = place.rpartition(".")[2]
    if name == "activation_fn":
        return f"Give a name: {', '.join(ACTIVATIONS)}."
    if name == "features_extractor_class":
        return f"Give policy_kwargs.features_extractor by name: {', '.join(FEATURES)}."
    if place.startswith("reward."):
        return (
            "Give a number, a text or a path; or give the whole reward as an object: "
            "reward={'mine': MyReward(...)}."
        )
    return (
        "Give numbers, texts, true, false, null, or lists and mappings of these; with objects, "
        "build the learner in Python: ctrl.sb3.make_model(...)."
    )
