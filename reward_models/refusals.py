"""Why a reward model cannot be used with a learner, as sentences for the user."""

from __future__ import annotations

from reward_models.base import RewardModel, Scope


def transition_refusal(model: RewardModel) -> str | None:
    """Say why a model cannot reward single replayed transitions, or None when it can."""
    if model.scope != Scope.TRANSITION:
        return (
            f"its value depends on a whole {model.scope}, and a replay buffer samples single "
            "transitions; use an on-policy learner (ppo, a2c, trpo), which keeps episodes in order"
        )
    if not model.replayable:
        return (
            "it needs the steps in their order (a memory of the running episode, visits counted as "
            "they arrive, or features of the next step), and a replay buffer samples transitions "
            "out of it; use an on-policy learner (ppo, a2c, trpo), or count and sim_hash with "
            "arrival_order: false"
        )
    return None


def hindsight_refusal(model: RewardModel) -> str | None:
    """Say why a model cannot reward transitions whose goal was replaced, or None when it can."""
    if not model.goal_relabelling:
        return (
            "hindsight replay replaces the goal in the observation and this reward does not say "
            "that it follows; set goal_relabelling = True on the model (or function) if it reads "
            "the goal from the observation or does not depend on one"
        )
    return None
