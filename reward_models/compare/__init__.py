"""Comparing rewards without training: STARC, EPIC and DARD distances, and exact regret."""

from reward_models.compare.canonical import Canonical, canonicalise
from reward_models.compare.distance import STARC, Metric, dard_distance, epic_distance
from reward_models.compare.norms import Norm
from reward_models.compare.regret import mean_regret, optimal_policies, regret

__all__ = [
    "STARC",
    "Canonical",
    "Metric",
    "Norm",
    "canonicalise",
    "dard_distance",
    "epic_distance",
    "mean_regret",
    "optimal_policies",
    "regret",
]
