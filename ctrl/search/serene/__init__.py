"""SERENE: one file for each step of the published method."""

from ctrl.search.serene.serene import Serene

__all__ = ["Serene"]
