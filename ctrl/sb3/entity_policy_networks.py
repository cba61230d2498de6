"""Networks that look at a set of things: one latent that attends to as many rows as there are.

Lucy-SKG (Moschopoulos et al. 2023), which takes the idea from Perceivers: the own car is the query,
the ball and the cars are keys and values, and only the latent that began as the query is updated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final

from gymnasium import spaces
from jaxtyping import Bool, Float
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from reward_models.errors import UserError

KEYS = ("query", "entities", "padding")
"""What an observation of entities holds."""


class EntitySizes(NamedTuple):
    """Sizes of an observation of entities.

    Attributes:
        query: features of the query.
        entities: rows.
        features: of one row.
    """

    query: int
    entities: int
    features: int


def entity_sizes(space: spaces.Space) -> EntitySizes:
    """Return the sizes of an observation of entities.

    Args:
        space: a Dict with the vector ``query [Q]``, ``entities [n, F]`` and ``padding [n]``.

    Raises:
        UserError: observations of another kind, with the cure.
    """
    parts: Mapping[str, spaces.Space] = space.spaces if isinstance(space, spaces.Dict) else {}
    if set(parts) == set(KEYS):
        query, entities, padding = (parts[key].shape or () for key in KEYS)
        if len(query) == 1 and len(entities) == 2 and padding == entities[:1]:
            return EntitySizes(query[0], *entities)
    raise UserError(
        "policy: entity attends to entities: it needs Dict observations with query [Q], "
        f"entities [n, F] and padding [n], got {space}. In Rocket League set env.observation: "
        "entities."
    )


class Embedded(NamedTuple):
    """Observations of entities as rows of the same width.

    Attributes:
        query: ``[N, 1, E]``.
        entities: ``[N, n, E]``.
        padding: bool ``[N, n]``, true where there is no entity.
    """

    query: Float[Tensor, "N 1 E"]
    entities: Float[Tensor, "N n E"]
    padding: Bool[Tensor, "N n"]


def preprocessor(size: int, width: int) -> nn.Sequential:
    """Return the two layers and the LayerNorm that turn features into rows of ``width``."""
    return nn.Sequential(
        nn.Linear(size, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.LayerNorm(width)
    )


@final
class CrossAttention(nn.Module):
    """``LayerNorm(latent + attention(latent, entities))``: one latent looks at all entities.

    Args:
        width: E, of the latent and of the entities.
        heads: of the attention; they divide the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, latent: Float[Tensor, "N 1 E"], seen: Embedded) -> Float[Tensor, "N 1 E"]:
        """Return the latent after it has looked.

        A row without any entity, which is what a window holds from before an episode, attends to
        its empty rows instead of dividing by zero.
        """
        padding = seen.padding & ~seen.padding.all(dim=1, keepdim=True)
        found, _ = self.attention(
            latent, seen.entities, seen.entities, key_padding_mask=padding, need_weights=False
        )
        return self.norm(latent + found)


@final
class Block(nn.Module):
    """Cross attention, then ``LayerNorm(latent + feed_forward(latent))`` with 4 E hidden units.

    Args:
        width: E.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.look = CrossAttention(width, heads)
        self.think = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, latent: Float[Tensor, "N 1 E"], seen: Embedded) -> Float[Tensor, "N 1 E"]:
        """Return the updated latent."""
        latent = self.look(latent, seen)
        return self.norm(latent + self.think(latent))


@final
class EntityAttention(BaseFeaturesExtractor):
    """Features of an observation of entities: the latent after all blocks.

    The order of the entities does not matter, and padded ones have no influence.

    Args:
        observation_space: see `entity_sizes`.
        features_dim: E, width of embeddings and latent.
        heads: of every attention.
        blocks: how often the latent looks.

    Raises:
        UserError: observations of another kind, or heads that do not divide the width.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        features_dim: int = 128,
        heads: int = 4,
        blocks: int = 2,
    ) -> None:
        sizes = entity_sizes(observation_space)
        if blocks < 1 or heads < 1 or features_dim < 1 or features_dim % heads:
            raise UserError(
                "policy: entity needs at least one block and a features_dim that its heads divide, "
                f"got blocks={blocks}, features_dim={features_dim}, heads={heads}."
            )
        super().__init__(observation_space, features_dim)
        self.sizes, self.heads = sizes, heads
        self.query_embedding = preprocessor(sizes.query, features_dim)
        self.entity_embedding = preprocessor(sizes.features, features_dim)
        self.blocks = nn.ModuleList(Block(features_dim, heads) for _ in range(blocks))

    def embed(self, observations: Mapping[str, Any]) -> Embedded:
        """Return query and entities as rows ``[N, ., E]``.

        Args:
            observations: ``query [N, Q]``, ``entities [N, n, F]``, ``padding [N, n]``.
        """
        return Embedded(
            self.query_embedding(observations["query"].float()).unsqueeze(1),
            self.entity_embedding(observations["entities"].float()),
            observations["padding"] > 0,
        )

    def forward(self, observations: dict[str, Tensor]) -> Float[Tensor, "N E"]:
        """Return the latent ``[N, E]``."""
        seen = self.embed(observations)
        latent = seen.query
        for block in self.blocks:
            latent = block(latent, seen)
        return latent.squeeze(1)
