"""Imitation: rewards for looking like an expert, and for how steep a reward may be."""

from reward_models.imitation.adversarial import AdversarialImitation
from reward_models.imitation.preconditioning import Pessimistic
from reward_models.imitation.random_expert_distillation import RandomExpertDistillation

__all__ = ["AdversarialImitation", "Pessimistic", "RandomExpertDistillation"]
