"""Loading of the experiment files, which are no package."""

import importlib.util
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"


@pytest.fixture(scope="session")
def load():
    """Return a function that loads ``experiments/exploration/<name>.py``."""

    def loaded(name):
        path = EXPERIMENTS / "exploration" / f"{name}.py"
        key = f"exploration_{name}"
        if key not in sys.modules:
            spec = importlib.util.spec_from_file_location(key, path)
            sys.modules[key] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[key])
        return sys.modules[key]

    return loaded
