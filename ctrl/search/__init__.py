"""Outer loops: searches over whole policies, and what they leave behind."""

from ctrl.search.episodes import NO_AREA, Episodes, Evaluate
from ctrl.search.method import SearchMethod

__all__ = ["NO_AREA", "Episodes", "Evaluate", "SearchMethod"]
