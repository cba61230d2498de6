"""Rewards that blend other rewards with learned, state-dependent coefficients."""

from reward_models.blend.behaviour_alignment import BehaviourAlignment
from reward_models.blend.coefficients import BlendCoefficients
from reward_models.blend.features import Features, make_features

__all__ = ["BehaviourAlignment", "BlendCoefficients", "Features", "make_features"]
