"""Rewards as functions of one record.

``Rollout`` is the record, ``RewardModel`` the contract, ``RewardMix`` the sum with its books.
"""

from reward_models.base import Order, RewardModel, Scope, as_reward_model
from reward_models.constant import Constant
from reward_models.errors import RewardError, UnknownNameError, UserError
from reward_models.function import FunctionReward
from reward_models.mix import MixedReward, RewardMix, TaskReward, Term
from reward_models.potential import FunctionPotential, Potential
from reward_models.rollout import Episode, Rollout
from reward_models.scale import Scale

__all__ = [
    "Constant",
    "Episode",
    "FunctionPotential",
    "FunctionReward",
    "MixedReward",
    "Order",
    "Potential",
    "RewardError",
    "RewardMix",
    "RewardModel",
    "Rollout",
    "Scale",
    "Scope",
    "TaskReward",
    "Term",
    "UnknownNameError",
    "UserError",
    "as_reward_model",
]
