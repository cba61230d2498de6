"""Curiosity: bonuses for what a learned model cannot predict yet."""

from reward_models.curiosity.icm import ICM
from reward_models.curiosity.rnd import RND

__all__ = ["ICM", "RND"]
