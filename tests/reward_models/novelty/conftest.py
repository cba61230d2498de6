from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from reward_models.rollout import Rollout

Stream = list[Rollout]


@pytest.fixture
def make_stream() -> Callable[..., tuple[Stream, list[list[np.ndarray]]]]:
    """Return a function that draws successive rollouts, and the episodes in them, as they end.

    An episode is its points ``[L + 1, 3]``, the one before the first step included; the episodes
    of each rollout come in the order of their ends.
    """

    def make(
        *, rollouts: int = 5, steps: int = 12, columns: int = 3, ends: float = 0.12, seed: int = 0
    ) -> tuple[Stream, list[list[np.ndarray]]]:
        rng = np.random.default_rng(seed)
        stream, finished = [], []
        points = [[rng.normal(size=3)] for _ in range(columns)]
        goes_on = np.zeros(columns, dtype=bool)
        for index in range(rollouts):
            shape = (steps, columns)
            before, after = np.full((*shape, 3), np.nan), np.full((*shape, 3), np.nan)
            done, mask = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
            mask[steps - 3 :, index % columns] = False
            ended, begins = [], goes_on.copy()
            for t in range(steps):
                for b in range(columns):
                    if not mask[t, b]:
                        continue
                    before[t, b] = points[b][-1]
                    points[b].append(rng.normal(size=3))
                    after[t, b] = points[b][-1]
                    done[t, b] = rng.random() < ends
                    goes_on[b] = not done[t, b]
                    if done[t, b]:
                        ended.append(np.array(points[b]))
                        points[b] = [rng.normal(size=3)]
            truncated = done & (rng.random(shape) < 0.5)
            stream.append(
                Rollout(
                    observation=torch.as_tensor(before),
                    action=torch.zeros(*shape, 1),
                    next_observation=torch.as_tensor(after),
                    reward=torch.full(shape, torch.nan),
                    terminated=torch.as_tensor(done & ~truncated),
                    truncated=torch.as_tensor(truncated),
                    mask=torch.as_tensor(mask),
                    continued=torch.as_tensor(begins),
                    state={"place": torch.as_tensor(after[..., :2].copy())},
                )
            )
            finished.append(ended)
        return stream, finished

    return make
