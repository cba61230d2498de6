"""The one place where nle and minihack are imported.

Both packages register their ids with gymnasium when they are imported, under the names that this
family lists with its own environment, and minihack 1.0.2 imports the deprecated ``pkg_resources``.
Here gymnasium's registry is put back afterwards, and exactly these two warnings are kept from the
user.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import gymnasium

from envs.errors import MissingSimulatorError


def import_quietly(module: str) -> Any:
    """Import a module of nle or minihack; gymnasium's entries stay what they were before.

    Raises:
        MissingSimulatorError: it cannot be imported; the cause is chained.
    """
    before = dict(gymnasium.registry)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
            warnings.filterwarnings("ignore", message=".*Overriding environment")
            found = importlib.import_module(module)
    except ImportError as error:
        missing = "setuptools<81" if error.name == "pkg_resources" else str(error.name or module)
        raise MissingSimulatorError("NetHack", missing, "nethack") from error
    finally:
        gymnasium.registry.update(before)
    return found


def level_class(level: str) -> type:
    """Return the environment class of a level, ``"module:Class"``.

    Raises:
        ValueError: the text has another form, or the module has no such class.
        MissingSimulatorError: the module cannot be imported.
    """
    module, _, name = level.partition(":")
    if not module or not name:
        raise ValueError(
            f"level must be 'module:Class', a subclass of nle's NLE such as "
            f"'minihack.envs.room:MiniHackRoom5x5', got {level!r}."
        )
    found = getattr(import_quietly(module), name, None)
    if not (isinstance(found, type) and issubclass(found, NLE)):
        raise ValueError(f"{level!r} is not a subclass of nle's NLE.")
    return found


nethack: Any = import_quietly("nle.nethack")
minihack_base: Any = import_quietly("minihack.base")
NLE: Any = import_quietly("nle.env.base").NLE
MiniHack: Any = minihack_base.MiniHack
