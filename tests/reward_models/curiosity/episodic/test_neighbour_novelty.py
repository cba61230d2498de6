from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reward_models.curiosity.episodic.neighbour_novelty import (
    NeighbourNovelty,
    least,
    pseudo_count_bonus,
    squared_distances,
)
from reward_models.errors import UserError

MEMORY = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 4.0]]])


@pytest.mark.parametrize(
    ("query", "bonus"),
    [((0.0, 0.0), 0.998936), ((0.5, 0.0), 33.083818), ((10.0, 10.0), 372.453042)],
)
def test_the_numbers_of_the_definition(query, bonus):
    nearest = least(squared_distances(torch.tensor([[query]]), MEMORY), 10)
    found = pseudo_count_bonus(nearest, torch.ones(1, 1, dtype=torch.float64))
    assert float(found) == pytest.approx(bonus, abs=1e-6)


def test_copies_of_the_query_and_the_largest_similarity():
    one = torch.ones((), dtype=torch.float64)
    zeros = torch.zeros(100, dtype=torch.float64)
    assert float(pseudo_count_bonus(zeros[:10], one)) == pytest.approx(0.316128, abs=1e-6)
    assert float(pseudo_count_bonus(zeros, one)) == 0.0
    assert float(pseudo_count_bonus(zeros, one, max_similarity=10.002)) == pytest.approx(
        1 / 10.001, abs=1e-6
    )


@pytest.mark.parametrize("size", [3, 40, 331, 1000])
def test_least_values_are_those_of_a_full_sort(size):
    generator = torch.Generator().manual_seed(size)
    values = torch.randint(0, size, (2, 5, size), generator=generator).to(torch.float64)
    values[0, 1, size // 3 :] = torch.inf
    expected = values.sort(-1).values[..., :10]
    assert torch.equal(least(values, 10), expected)


def test_distances_far_from_the_origin_are_exact():
    generator = torch.Generator().manual_seed(0)
    points = 1e4 + 1e-2 * torch.randn(1, 30, 4, generator=generator)
    exact = (points.double().unsqueeze(2) - points.double().unsqueeze(1)).square().sum(-1)
    torch.testing.assert_close(squared_distances(points, points), exact, rtol=1e-6, atol=1e-12)


def _brute_force(stream, capacity, neighbours):
    """Follow the definition step by step, column by column."""
    columns = stream[0][0].B
    memory = [[] for _ in range(columns)]
    sums, counts, found = np.zeros(columns), np.zeros(columns), []
    for rollout, embeddings in stream:
        bonus, pieces = np.zeros((rollout.T, columns)), rollout.episode_numbers()
        for b in range(columns):
            piece = 0
            if not bool(rollout.continued[b]):
                memory[b] = []
            for t in range(rollout.T):
                if not bool(rollout.mask[t, b]):
                    continue
                if int(pieces[t, b]) != piece:
                    memory[b], piece = [], int(pieces[t, b])
                query = embeddings[t, b].double().numpy()
                kept = memory[b][-capacity:]
                near = sorted(((query - other) ** 2).sum() for other in kept)[:neighbours]
                sums[b] += sum(near)
                counts[b] += len(near)
                if near:
                    relative = np.array(near) / (sums[b] / counts[b] + 1e-8)
                    kernel = 1e-4 / (np.maximum(relative - 0.008, 0) + 1e-4)
                    similarity = math.sqrt(kernel.sum()) + 1e-3
                    bonus[t, b] = 0.0 if similarity > 8.0 else 1.0 / similarity
                else:
                    bonus[t, b] = 0.25
                memory[b].append(query)
        found.append(bonus)
    return found


@pytest.mark.parametrize("capacity", [3, 20, 200])
def test_episodes_and_running_means_as_defined(make_rollout, capacity):
    rng = np.random.default_rng(capacity)
    stream, goes_on = [], np.zeros(3, dtype=bool)
    for index in range(4):
        ended = rng.random((40, 3)) < 0.04
        mask = np.ones((40, 3), dtype=bool)
        mask[30:, index % 3] = False
        rollout = make_rollout(
            steps=40, truncated=ended & mask, mask=mask, continued=goes_on, seed=index
        )
        embeddings = torch.as_tensor(rng.integers(0, 4, (40, 3, 2)) + 5, dtype=torch.float32)
        embeddings += 0.1 * torch.as_tensor(rng.normal(size=(40, 3, 2)), dtype=torch.float32)
        stream.append((rollout, embeddings * rollout.mask.unsqueeze(-1)))
        goes_on = mask[-1] & ~ended[-1]
    expected = _brute_force(stream, capacity, 3)
    model = NeighbourNovelty(size=2, neighbours=3, capacity=capacity, first_reward=0.25)
    for (rollout, embeddings), bonus in zip(stream, expected, strict=True):
        found = model(rollout, embeddings, rollout.mask)
        real = rollout.mask.numpy()
        np.testing.assert_allclose(found.numpy()[real], bonus[real], rtol=1e-5)
        model.remember(rollout, embeddings, rollout.mask)


def test_an_empty_memory_gives_what_was_chosen(make_rollout):
    rollout, embeddings = make_rollout(), torch.randn(6, 3, 2)
    for first in (0.0, 1.5):
        model = NeighbourNovelty(size=2, first_reward=first)
        assert model(rollout, embeddings, rollout.mask)[0].tolist() == [first] * 3


def test_the_scale_of_embeddings_does_not_matter(make_rollout):
    rollout = make_rollout()
    embeddings = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(0))
    model = NeighbourNovelty(size=2)
    once, large = (model(rollout, scale * embeddings, rollout.mask) for scale in (1.0, 1e3))
    torch.testing.assert_close(once, large, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": 0}, "neighbours must be at least 1"),
        ({"neighbours": 11, "capacity": 10}, "capacity must be at least neighbours = 11, got 10"),
        ({"epsilon": 0.0}, "epsilon must be positive"),
        ({"constant": math.nan}, "constant must be positive"),
        ({"max_similarity": -1.0}, "max_similarity must be positive"),
        ({"cluster_distance": -0.1}, "cluster_distance must not be negative"),
        ({"first_reward": math.inf}, "first_reward must be finite"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        NeighbourNovelty(size=2, **options)
