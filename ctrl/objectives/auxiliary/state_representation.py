"""State representation: rebuild the entities that were seen from a short code of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from ctrl.objectives.auxiliary.actor_embeddings import actor_attention, observations_at
from ctrl.objectives.hooks import LossTerm, PolicyOutput, as_metrics
from ctrl.sb3.entity_policy_networks import CrossAttention
from reward_models.errors import UserError
from reward_models.rollout import Rollout


def reconstruction_loss(
    rebuilt: Float[Tensor, "N n F"],
    entities: Float[Tensor, "N n F"],
    padding: Bool[Tensor, "N n"],
) -> Float[Tensor, ""]:
    """Return the smooth L1 loss (beta 1), the mean over the features of all real entities.

    Padded rows reach neither value nor gradient; 0 where every row is padded.
    """
    real = ~padding.unsqueeze(-1).expand_as(entities)
    # Selected before the error: a padded row that is not finite would spoil the gradient after it.
    difference = torch.where(real, rebuilt - entities, 0.0)
    error = smooth_l1_loss(difference, torch.zeros_like(difference), reduction="sum")
    return error / real.sum().clamp(min=1)


@final
class StateRepresentation(LossTerm):
    """Smooth L1 error of entities rebuilt from a code of the actor's embeddings.

    The embedded query looks once at the embedded entities (attention, residual, LayerNorm); an
    encoder and a decoder of linear layers, each with LayerNorm and ReLU, and a last linear layer
    rebuild the features of all entities. The last layer is linear because features can be negative;
    the published code ends with a ReLU. LayerNorm, where it has batch normalisation, also works on
    a minibatch of one step.

    The gradient reaches the actor's embeddings and this term's own layers, and nothing else; the
    entities to rebuild are inputs.

    Args:
        encoder: widths of the layers down to the code.
        decoder: widths of the layers after it.

    Raises:
        UserError: no layer, or a width below 1; in `bind`, a policy without entities.
    """

    def __init__(
        self,
        *,
        encoder: Sequence[int] = (128, 32, 16),
        decoder: Sequence[int] = (32, 128, 512, 512),
    ) -> None:
        super().__init__()
        if not encoder or not decoder or min(*encoder, *decoder) < 1:
            raise UserError(
                "state_representation needs at least one encoder and one decoder width, all at "
                f"least 1; got {list(encoder)} and {list(decoder)}."
            )
        self.widths = (*encoder, *decoder)

    def bind(self, policy: torch.nn.Module) -> None:
        """Make attention, encoder and decoder for the sizes of the policy.

        Raises:
            UserError: a policy without entities.
        """
        actor = actor_attention(policy, "state_representation")
        self.look = CrossAttention(actor.features_dim, actor.heads)
        layers: list[nn.Module] = []
        size = actor.features_dim
        for width in self.widths:
            layers += [nn.Linear(size, width), nn.LayerNorm(width), nn.ReLU()]
            size = width
        _, entities, features = actor.sizes
        self.coder = nn.Sequential(
            *layers, nn.Linear(size, entities * features), nn.Unflatten(1, (entities, features))
        )

    def forward(
        self, rollout: Rollout, policy_output: PolicyOutput
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the error and what rebuilding zeros would leave."""
        source = policy_output.source
        actor = actor_attention(policy_output.policy, "state_representation")
        row = (source.time * source.rollout.B + source.column).flatten()
        seen = observations_at(source.observation, row, next(self.parameters()).device)
        embedded = actor.embed(seen)
        rebuilt = self.coder(self.look(embedded.query, embedded).squeeze(1))
        entities = seen["entities"].float()
        loss = reconstruction_loss(rebuilt, entities, embedded.padding)
        blank = reconstruction_loss(torch.zeros_like(entities), entities, embedded.padding)
        return loss, as_metrics(of_zeros=blank)
