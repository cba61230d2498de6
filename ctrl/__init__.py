"""ctrl: deep reinforcement learning with pluggable, verified reward models.

``ctrl.train(...)`` trains once, ``ctrl.resume(path)`` continues, ``ctrl.sb3.make_model(...)`` gives
an SB3 learner its rewards from a mix. Everything is imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctrl.config import TrainConfig as TrainConfig
    from ctrl.training import RunResult as RunResult
    from ctrl.training import resume as resume
    from ctrl.training import train as train

__version__ = "0.1.0"

_LAZY = {
    "RunResult": "ctrl.training",
    "TrainConfig": "ctrl.config",
    "resume": "ctrl.training",
    "train": "ctrl.training",
}

__all__ = ["RunResult", "TrainConfig", "__version__", "resume", "train"]


def __getattr__(name: str) -> Any:

    if name not in _LAZY:
        raise AttributeError(f"module 'ctrl' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
