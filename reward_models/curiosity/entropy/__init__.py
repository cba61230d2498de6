"""Novelty as distance to the states visited lately."""
