"""World models of embeddings: what is believed before each action, one step or many ahead."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from reward_models.curiosity.hindsight.networks import deep_mlp
from reward_models.encoders import seeded

Memory = dict[str, Tensor]
"""What is remembered of each column, ``[B, ...]`` by name."""


class Pairs(NamedTuple):
    """Predictions ``k`` steps ahead, from each of the first ``P = T - k + 1`` steps of ``T``.

    Entry ``t`` is about the outcome of transition ``t + k - 1``.

    Attributes:
        context: belief before the action of that transition, and the action, ``[P, B, C]``.
        prediction: the outcome's embedding as expected then, ``[P, B, N]``; None in a world that
            only gives contexts.
        valid: first step and transition are real and of one episode, ``[P, B]``.
    """

    context: Float[Tensor, "P B C"]
    prediction: Float[Tensor, "P B N"] | None
    valid: Bool[Tensor, "P B"]


class LatentWorld(nn.Module, ABC):
    """Beliefs from embeddings and actions, and predictions of embeddings.

    Attributes:
        context_size: numbers ``C`` of a context.
        horizon: how many steps ahead are predicted, ``K``.
        fresh: what is remembered of a column at the beginning of an episode, by name.
    """

    def __init__(self, *, context_size: int, horizon: int, fresh: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.context_size, self.horizon, self.fresh = context_size, horizon, dict(fresh)

    @abstractmethod
    def beliefs(
        self,
        embedding: Float[Tensor, "T B D"],
        action: Float[Tensor, "T B A"],
        episode: Int[Tensor, "T B"],
        memory: Memory,
    ) -> Float[Tensor, "T B M"]:
        """Return the belief before each action.

        Args:
            embedding: of what was seen before each step.
            action: of each step, as numbers.
            episode: number of the episode that a step belongs to, -1 on padding.
            memory: at the first step, fresh in columns that begin an episode there.
        """

    @abstractmethod
    def remembered(
        self, beliefs: Float[Tensor, "T B M"], action: Float[Tensor, "T B A"], step: int
    ) -> Memory:
        """Return the memory after a step, for columns whose episode goes on."""

    @abstractmethod
    def pairs(
        self,
        beliefs: Float[Tensor, "T B M"],
        action: Float[Tensor, "T B A"],
        episode: Int[Tensor, "T B"],
    ) -> list[Pairs]:
        """Return the predictions 1, 2, ... ``min(K, T)`` steps ahead."""


class OneStepWorld(LatentWorld):
    """No memory: the embedding is the belief, and one step is predicted.

    Args:
        embedding_size: ``D``.
        action_size: ``A``.
        target_size: ``N``; None for contexts alone.
        hidden: widths of the predictor's hidden layers.
        seed: seed of the weights.
    """

    def __init__(
        self,
        *,
        embedding_size: int,
        action_size: int,
        target_size: int | None,
        hidden: Sequence[int],
        seed: int,
    ) -> None:
        super().__init__(context_size=embedding_size + action_size, horizon=1, fresh={})
        self.predictor: nn.Module | None = None
        if target_size is not None:
            with seeded(seed):
                self.predictor = deep_mlp(self.context_size, hidden, target_size)

    def beliefs(self, embedding: Tensor, action: Tensor, episode: Tensor, memory: Memory) -> Tensor:
        """Return the embeddings."""
        return embedding

    def remembered(self, beliefs: Tensor, action: Tensor, step: int) -> Memory:
        """Return nothing."""
        return {}

    def pairs(self, beliefs: Tensor, action: Tensor, episode: Tensor) -> list[Pairs]:
        """Return the predictions one step ahead."""
        context = torch.cat([beliefs, action], -1)
        prediction = None if self.predictor is None else self.predictor(context)
        return [Pairs(context, prediction, episode >= 0)]


class RecurrentWorld(LatentWorld):
    """Closed-loop beliefs and open-loop predictions by two GRUs (Guo et al. 2022, section 3).

    ``b_t = GRU_closed(b_{t-1}, [embedding_t, action_{t-1}])``, both zero before an episode;
    ``b_{t,0} = b_t`` and ``b_{t,k} = GRU_open(b_{t,k-1}, action_{t+k-1})``, from which an MLP
    predicts the embedding of observation ``t + k``. Actions pass a linear layer first.

    Args:
        embedding_size: ``D``.
        action_size: ``A``.
        target_size: ``N``; None for contexts alone.
        hidden: widths of the predictor's hidden layers.
        horizon: ``K``.
        belief_size: ``M``.
        action_embedding_size: numbers that an action becomes.
        seed: seed of the weights.
    """

    def __init__(
        self,
        *,
        embedding_size: int,
        action_size: int,
        target_size: int | None,
        hidden: Sequence[int],
        horizon: int,
        belief_size: int,
        action_embedding_size: int,
        seed: int,
    ) -> None:
        super().__init__(
            context_size=belief_size + action_embedding_size,
            horizon=horizon,
            fresh={"belief": torch.zeros(belief_size), "action": torch.zeros(action_size)},
        )
        self.predictor: nn.Module | None = None
        with seeded(seed):
            self.action_embedding = nn.Linear(action_size, action_embedding_size)
            self.closed = nn.GRUCell(embedding_size + action_embedding_size, belief_size)
            self.open = nn.GRUCell(action_embedding_size, belief_size)
            if target_size is not None:
                self.predictor = deep_mlp(belief_size, hidden, target_size)

    def beliefs(self, embedding: Tensor, action: Tensor, episode: Tensor, memory: Memory) -> Tensor:
        """Return the closed-loop beliefs ``b_t``."""
        begins = torch.zeros_like(episode, dtype=torch.bool)
        begins[1:] = episode[1:] != episode[:-1]
        begins = begins.unsqueeze(-1)
        before = torch.cat([memory["action"].unsqueeze(0), action[:-1]]).masked_fill(begins, 0.0)
        inputs = torch.cat([embedding, self.action_embedding(before)], -1)
        belief, found = memory["belief"], []
        for step in range(len(inputs)):
            belief = self.closed(inputs[step], belief.masked_fill(begins[step], 0.0))
            found.append(belief)
        return torch.stack(found)

    def remembered(self, beliefs: Tensor, action: Tensor, step: int) -> Memory:
        """Return belief and action of a step."""
        return {"belief": beliefs[step], "action": action[step]}

    def pairs(self, beliefs: Tensor, action: Tensor, episode: Tensor) -> list[Pairs]:
        """Return the open-loop predictions."""
        steps, found, belief = len(beliefs), [], beliefs
        embedded = self.action_embedding(action)
        for k in range(1, min(self.horizon, steps) + 1):
            starts = steps - k + 1
            belief, ahead = belief[:starts], embedded[k - 1 :]
            context = torch.cat([belief, ahead], -1)
            belief = self.open(ahead.flatten(0, 1), belief.flatten(0, 1)).view_as(belief)
            prediction = None if self.predictor is None else self.predictor(belief)
            valid = (episode[:starts] == episode[k - 1 :]) & (episode[:starts] >= 0)
            found.append(Pairs(context, prediction, valid))
        return found
