"""The command line: a thin skin over ``ctrl.train``, ``ctrl.resume`` and the like."""

from ctrl.cli.main import main

__all__ = ["main"]
