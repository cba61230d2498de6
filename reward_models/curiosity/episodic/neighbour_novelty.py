"""How new an embedding is in its episode: a kernel over the nearest ones as a pseudo-count."""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.curiosity.episodic.episode_window import EpisodeWindow
from reward_models.errors import UserError
from reward_models.rollout import Rollout

# Distances of which one minimum is taken before the least are sorted.
_GROUP = 8


def pseudo_count_bonus(
    squared_distances: Float[Tensor, "*batch k"],
    mean: Float[Tensor, "*batch"],
    *,
    cluster_distance: float = 0.008,
    epsilon: float = 1e-4,
    constant: float = 1e-3,
    max_similarity: float = 8.0,
) -> Float[Tensor, "*batch"]:
    """Return the bonus of embeddings from the squared distances to their nearest neighbours.

    ``d = max(d_i^2 / (mean + 1e-8) - cluster_distance, 0)``, ``K_i = epsilon / (d + epsilon)``,
    ``s = sqrt(sum_i K_i) + constant``; the bonus is ``1 / s``, or 0 when ``s > max_similarity``
    (Badia et al. 2020, algorithm 1).

    Args:
        squared_distances: infinite where there are fewer neighbours.
        mean: typical squared distance, which makes the bonus free of the embedding's scale.
        cluster_distance: distances, in units of ``mean``, that count as the same place.
        epsilon: width of the kernel, positive.
        constant: keeps the bonus below ``1 / constant``.
        max_similarity: places more familiar than this earn nothing.
    """
    relative = squared_distances / (mean + 1e-8).unsqueeze(-1)
    kernel = epsilon / ((relative - cluster_distance).clamp_min(0.0) + epsilon)
    similarity = kernel.sum(-1).sqrt() + constant
    return torch.where(similarity > max_similarity, 0.0, 1.0 / similarity)


@final
class NeighbourNovelty(nn.Module):
    """Pseudo-count bonus of embeddings against those of the same episode.

    Two memories for each column: the embeddings of its running episode, and the running mean of
    the squared distances to nearest neighbours, a plain mean over everything since the model was
    made, which no end of an episode resets. The distances of a step enter the mean before they
    are divided by it. No column sees another one's.

    Args:
        size: numbers in an embedding.
        neighbours: nearest embeddings ``k`` that are compared; all, while there are fewer.
        cluster_distance: see ``pseudo_count_bonus``; not negative.
        epsilon: see there; positive.
        constant: see there; positive.
        max_similarity: see there; positive.
        capacity: newest embeddings of the episode that are remembered, at least ``neighbours``.
        first_reward: bonus of a step that finds no embedding of its episode.

    Raises:
        UserError: a number out of its range.
    """

    def __init__(
        self,
        *,
        size: int,
        neighbours: int = 10,
        cluster_distance: float = 0.008,
        epsilon: float = 1e-4,
        constant: float = 1e-3,
        max_similarity: float = 8.0,
        capacity: int = 1000,
        first_reward: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in (
            ("epsilon", epsilon),
            ("constant", constant),
            ("max_similarity", max_similarity),
        ):
            if not (math.isfinite(value) and value > 0.0):
                raise UserError(f"{name} must be positive and finite, got {value}.")
        if not (math.isfinite(cluster_distance) and cluster_distance >= 0.0):
            raise UserError(f"cluster_distance must not be negative, got {cluster_distance}.")
        if not math.isfinite(first_reward):
            raise UserError(f"first_reward must be finite, got {first_reward}.")
        if neighbours < 1:
            raise UserError(f"neighbours must be at least 1, got {neighbours}.")
        if capacity < neighbours:
            raise UserError(
                f"capacity must be at least neighbours = {neighbours}, got {capacity}; remember "
                "more embeddings or compare with fewer."
            )
        self.neighbours, self.first_reward = neighbours, first_reward
        self.kernel = {
            "cluster_distance": cluster_distance,
            "epsilon": epsilon,
            "constant": constant,
            "max_similarity": max_similarity,
        }
        self.window = EpisodeWindow(capacity=capacity, row=torch.zeros(size))
        zero = torch.zeros((), dtype=torch.float64)
        self.scale = ColumnMemory(squared_distances=zero, neighbours=zero)

    def forward(
        self,
        rollout: Rollout,
        embeddings: Float[Tensor, "T B D"],
        defined: Bool[Tensor, "T B"],
    ) -> Float[Tensor, "T B"]:
        """Return the bonus of every step, positive, at most ``1 / constant``; changes nothing.

        Args:
            rollout: the steps, in arrival order.
            embeddings: one for each step.
            defined: where there is an embedding; what is returned elsewhere means nothing.
        """
        nearest = self._nearest(rollout, embeddings, defined)
        sums, counts = self._running_sums(rollout, nearest, defined)
        bonus = pseudo_count_bonus(nearest, sums / counts.clamp_min(1.0), **self.kernel)
        alone = nearest[..., 0] == torch.inf
        return torch.where(alone, self.first_reward, bonus).to(torch.float32)

    @torch.no_grad()
    def remember(
        self,
        rollout: Rollout,
        embeddings: Float[Tensor, "T B D"],
        defined: Bool[Tensor, "T B"],
    ) -> None:
        """Keep what ``forward`` went through: embeddings of open episodes, and the means."""
        nearest = self._nearest(rollout, embeddings, defined)
        sums, counts = self._running_sums(rollout, nearest, defined)
        self.scale.write(squared_distances=sums[-1], neighbours=counts[-1])
        self.window.write(rollout, embeddings, defined)

    def _running_sums(
        self, rollout: Rollout, nearest: Tensor, defined: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return sum and number of all distances up to and with each step, ``[T, B]`` each."""
        known = nearest.isfinite() & defined.unsqueeze(-1)
        stored = self.scale.read(rollout, lasting=True)
        distances = torch.where(known, nearest, 0.0).sum(-1)
        return (
            stored["squared_distances"] + distances.cumsum(0),
            stored["neighbours"] + known.sum(-1).cumsum(0),
        )

    def _nearest(
        self, rollout: Rollout, embeddings: Tensor, defined: Tensor
    ) -> Float[Tensor, "T B k"]:
        """Return the ``k`` least squared distances, ascending, infinite where there are fewer."""
        found = embeddings.new_full(
            (rollout.B, rollout.T, self.neighbours), torch.inf, dtype=torch.float64
        )
        for columns, steps, candidates, visible in self.window.blocks(rollout, embeddings, defined):
            queries = embeddings[steps, columns].transpose(0, 1)
            distances = squared_distances(queries, candidates)
            distances.masked_fill_(visible.logical_not_(), torch.inf)
            values = least(distances, self.neighbours)
            found[columns, steps, : values.shape[-1]] = values
        return found.transpose(0, 1)


def squared_distances(
    queries: Float[Tensor, "b t D"], candidates: Float[Tensor, "b N D"]
) -> Float[Tensor, "b t N"]:
    """Return the squared Euclidean distances, in double precision.

    By products of matrices, which is exact enough only in double precision and after shifting the
    origin: embeddings of one episode may lie close together and far from it.
    """
    origin = candidates[:, -1:].to(torch.float64).nan_to_num(0.0, 0.0, 0.0)
    queries, candidates = queries - origin, candidates - origin
    norms = queries.square().sum(-1).unsqueeze(2) + candidates.square().sum(-1).unsqueeze(1)
    return norms.baddbmm_(queries, candidates.mT, alpha=-2.0).clamp_min_(0.0)


def least(values: Float[Tensor, "b t N"], count: int) -> Float[Tensor, "b t k"]:
    """Return the ``count`` least values of each row in ascending order, or all when there are less.

    They lie in the groups with the least minima, so that only those have to be sorted.
    """
    if values.shape[-1] >= 4 * _GROUP * count:
        padded = values
        if values.shape[-1] % _GROUP:
            padded = nn.functional.pad(values, (0, -values.shape[-1] % _GROUP), value=torch.inf)
        # Members of a group lie far apart, which makes the minimum a vector operation.
        groups = padded.unflatten(-1, (_GROUP, -1))
        chosen = groups.amin(-2).topk(count, largest=False, sorted=False).indices
        values = groups.gather(-1, chosen.unsqueeze(-2).expand(*groups.shape[:-1], count))
        values = values.flatten(-2)
    return values.topk(min(count, values.shape[-1]), largest=False).values
