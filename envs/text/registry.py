"""Text environments by name."""

from __future__ import annotations

import difflib
import inspect
from typing import Any, final

from gymnasium.envs.registration import load_env_creator

from envs.errors import EnvironmentNameError, MissingSimulatorError
from envs.tasks import Family, Task
from envs.text.environment import TextEnvironment
from envs.text.external import refuse_external
from envs.text.tasks import FAMILIES, owner

_LISTED: dict[str, tuple[Family, Task]] = {
    task.name: (family, task) for family in FAMILIES for task in family.tasks
}


@final
class TextNameError(EnvironmentNameError):
    """No text environment has this name; the message carries the nearest valid one.

    Args:
        name: what the user wrote.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, text_names())
        hint = f" Did you mean {self.nearest!r}?" if self.nearest else ""
        self.args = (
            f"Unknown text environment {name!r}.{hint} Listed: {', '.join(text_names())}; every id "
            "of NetHack, MiniHack and BabyAI is valid too.",
        )


def text_names() -> list[str]:
    """Return the sorted names of the listed text environments, installed or not.

    `make_text` also accepts every id of NetHack, MiniHack and BabyAI.
    """
    return sorted(_LISTED)


def make_text(name: str, **options: Any) -> TextEnvironment:
    """Make the text environment called ``name``.

    Args:
        name: a listed name such as ``"Countdown-v0"``, or an id of NetHack, MiniHack or BabyAI.
        **options: of the environment; all take ``max_turns``, ``tasks``, ``show_admissible``,
            ``text_bytes`` and ``command_characters`` (see `TextEnvironment`).

    Returns:
        The environment, not yet reset.

    Raises:
        EnvironmentNameError: no text environment has this name.
        ExternalDataError: it needs data that no package brings.
        MissingSimulatorError: the package behind it is not installed.
        ValueError: an unknown option, with the nearest; or a value out of its range.
    """
    family, task = _LISTED.get(name) or owner(name)
    refuse_external(name)
    if family is None or task is None or task.entry_point is None:
        raise TextNameError(name)
    if missing := family.missing(task):
        raise MissingSimulatorError(name, missing, family.extra or "all")
    creator: Any = load_env_creator(task.entry_point)
    _check_options(name, creator, options)
    made = creator(name=name, **{**task.options, **options})
    if not isinstance(made, TextEnvironment):
        raise TypeError(f"{task.entry_point} made a {type(made).__name__}, no TextEnvironment.")
    return made


def _check_options(name: str, creator: Any, options: dict[str, Any]) -> None:
    """Raise where an option is unknown, unless the environment passes such ones on."""
    if getattr(creator, "passes_options_on", False):
        return
    known: set[str] = set()
    for base in inspect.getmro(creator) if isinstance(creator, type) else (creator,):
        function: Any = vars(base).get("__init__") if isinstance(base, type) else base
        if not inspect.isfunction(function):
            continue
        parameters = inspect.signature(function).parameters.values()
        known |= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    known -= {"name"}
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, sorted(known), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{name} has no option {option!r}.{hint} Valid: {', '.join(sorted(known))}."
            )
