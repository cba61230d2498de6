"""Where the arena's collision meshes are, and starting the engine with them, once per process."""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
from pathlib import Path
from typing import Any

from envs.errors import MissingMeshesError, MissingSimulatorError

MESHES_VARIABLE = "RS_COLLISION_MESHES"
"""Environment variable that names a folder of meshes; it is looked at first."""

_LOCK = threading.Lock()
_STARTED: list[bool] = []
_SOCCAR = "soccar"


def find_meshes() -> Path:
    """Return the folder with the collision meshes (it contains ``soccar/*.cmf``).

    Looked at are, in this order: the folder named by ``RS_COLLISION_MESHES``, the installed package
    ``rlgym-rocket-league`` (which is found without importing it), ``collision_meshes`` in the
    working directory.

    Raises:
        MissingMeshesError: none of them has meshes; the message lists the folders.
    """
    places = _places()
    for place in places:
        if any((place / _SOCCAR).glob("*.cmf")):
            return place
    raise MissingMeshesError([str(place / _SOCCAR) for place in places])


def _places() -> list[Path]:
    named = os.environ.get(MESHES_VARIABLE)
    places = [Path(named)] if named else []
    try:
        package = importlib.util.find_spec("rlgym")
    except ValueError:  # blocked: the entry in sys.modules is None or has no spec
        package = None
    for root in (package.submodule_search_locations or []) if package else []:
        places.append(Path(root) / "rocket_league" / "sim" / "collision_meshes")
    return [*places, Path("collision_meshes").absolute()]


def load_engine() -> Any:
    """Return the module ``RocketSim``, started; a second call, from any thread, changes nothing.

    Raises:
        MissingSimulatorError: RocketSim is not installed.
        MissingMeshesError: see `find_meshes`.
    """
    try:
        engine = importlib.import_module("RocketSim")
    except ImportError as error:
        raise MissingSimulatorError("Rocket League", "RocketSim", "rocket-league") from error
    with _LOCK:
        if not _STARTED:
            meshes = str(find_meshes())
            try:
                engine.init(meshes)
            except RuntimeError as error:
                # Another package of this process, RLGym for one, was first. The engine holds one
                # set of meshes per process and cannot be asked which.
                if "lready init" not in str(error):
                    raise
            _STARTED.append(True)
    return engine
