"""Reward prediction: tell from the last observations whether the step's reward is +, - or none."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ctrl.objectives.auxiliary.actor_embeddings import actor_attention, observations_at
from ctrl.objectives.auxiliary.windows import last_steps
from ctrl.objectives.hooks import LossTerm, PolicyOutput, as_metrics
from ctrl.sb3.entity_policy_networks import CrossAttention, EntityAttention
from reward_models.errors import UserError
from reward_models.rollout import Rollout

CLASSES = ("positive", "negative", "zero")
"""Names of the labels 0, 1 and 2."""


def reward_labels(reward: Float[Tensor, ...], threshold: float) -> Int[Tensor, ...]:
    """Return 0 where the reward is above the threshold, 1 where it is below minus it, else 2."""
    negative = torch.where(reward < -threshold, 1, 2)
    return torch.where(reward > threshold, 0, negative)


@final
class RewardPrediction(LossTerm):
    """Cross entropy of the sign of a step's reward, predicted from the last observations.

    ``L = mean CE(linear(h), label)`` over the minibatch, where ``h`` is the last hidden state of an
    LSTM over the window, and every step of the window is the actor's embedding of the query after
    one look (attention, residual, LayerNorm) at the embedded entities. The reward is the mix's
    total, without any bootstrap.

    A window holds the observations up to the step itself. It never reaches into another episode:
    before the first step of the episode stand observations that are 0. What came before a rollout
    that begins inside an episode is not kept, and those windows are filled up in the same way.

    The gradient reaches the actor's embeddings and this term's own layers, and nothing else.

    Args:
        window: observations in a window, at least 1.
        threshold: z, rewards of at most this size count as none; at least 0.
        hidden: units of the LSTM.

    Raises:
        UserError: an option out of range; in `bind`, a policy without entities.
    """

    def __init__(self, *, window: int = 20, threshold: float = 0.005, hidden: int = 32) -> None:
        super().__init__()
        if window < 1 or hidden < 1 or not threshold >= 0.0:
            raise UserError(
                "reward_prediction needs window >= 1, hidden >= 1 and threshold >= 0, got "
                f"{window}, {hidden} and {threshold}."
            )
        self.window, self.threshold, self.hidden = window, threshold, hidden

    def bind(self, policy: torch.nn.Module) -> None:
        """Make attention, LSTM and head for the width of the policy's embeddings.

        Raises:
            UserError: a policy without entities.
        """
        actor = actor_attention(policy, "reward_prediction")
        self.look = CrossAttention(actor.features_dim, actor.heads)
        self.memory = nn.LSTM(actor.features_dim, self.hidden)
        self.head = nn.Linear(self.hidden, len(CLASSES))

    def logits(
        self, actor: EntityAttention, rollout: Rollout, observation: dict[str, Tensor],
        time: Int[Tensor, " N"], column: Int[Tensor, " N"],
    ) -> Float[Tensor, "N 3"]:  # fmt: skip
        """Return the logits of the labels of some steps.

        Windows of neighbouring steps overlap: every step that stands in any of them is embedded
        once.

        Args:
            actor: whose embeddings are read.
            rollout: ``[T, B]``, for the ends of episodes.
            observation: what the policy saw in it, ``[T, B, ...]`` each.
            time: index into ``T`` of each step.
            column: index into ``B`` of each step.
        """
        windows = last_steps(rollout, time, column, self.window)
        rows, place = windows.row.unique(return_inverse=True)
        device = next(self.parameters()).device
        seen = observations_at(observation, rows, device)
        # One more row, of zeros: what stands before the beginning of an episode.
        seen = {key: torch.cat((each, torch.zeros_like(each[:1]))) for key, each in seen.items()}
        place = torch.where(windows.inside, place, len(rows)).to(device)
        embedded = actor.embed(seen)
        steps = self.look(embedded.query, embedded).squeeze(1)
        _, (last, _) = self.memory(steps[place])
        return self.head(last[0])

    def forward(
        self, rollout: Rollout, policy_output: PolicyOutput
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the cross entropy, the accuracy, and what always naming one class would reach."""
        source = policy_output.source
        actor = actor_attention(policy_output.policy, "reward_prediction")
        time, column = source.time.flatten(), source.column.flatten()
        logits = self.logits(actor, source.rollout, source.observation, time, column)
        label = reward_labels(source.total[time, column], self.threshold).to(logits.device)
        shares = torch.bincount(label, minlength=len(CLASSES)) / len(label)
        correct = (logits.detach().argmax(dim=1) == label).float().mean()
        return cross_entropy(logits, label), as_metrics(
            accuracy=correct, majority=shares.max(), **dict(zip(CLASSES, shares, strict=True))
        )
