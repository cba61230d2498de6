"""Novelty from counts of visits, exact or by a density model."""
