"""Curiosity: bonuses for what is new, or for what a learned model cannot predict yet."""

from reward_models.curiosity.counting.counts import Counts
from reward_models.curiosity.counting.density import DensityPseudoCounts
from reward_models.curiosity.counting.sim_hash import SimHash
from reward_models.curiosity.disagreement import Disagreement
from reward_models.curiosity.entropy.re3 import RE3
from reward_models.curiosity.entropy.rise import RISE
from reward_models.curiosity.episodic.e3b import E3B
from reward_models.curiosity.episodic.ngu import NGU
from reward_models.curiosity.episodic.pseudo_counts import PseudoCounts
from reward_models.curiosity.episodic.ride import RIDE
from reward_models.curiosity.hindsight.byol_explore import BYOLExplore
from reward_models.curiosity.hindsight.byol_hindsight import BYOLHindsight
from reward_models.curiosity.hindsight.icm_hindsight import ICMHindsight
from reward_models.curiosity.icm import ICM
from reward_models.curiosity.rnd import RND

__all__ = [
    "E3B",
    "ICM",
    "NGU",
    "RE3",
    "RIDE",
    "RISE",
    "RND",
    "BYOLExplore",
    "BYOLHindsight",
    "Counts",
    "DensityPseudoCounts",
    "Disagreement",
    "ICMHindsight",
    "PseudoCounts",
    "SimHash",
]
