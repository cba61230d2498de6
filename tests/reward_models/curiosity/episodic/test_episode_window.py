from __future__ import annotations

import numpy as np
import pytest
import torch

from reward_models.curiosity.episodic import episode_window
from reward_models.curiosity.episodic.episode_window import EpisodeWindow
from reward_models.errors import UserError


def _stream(make_rollout, seed: int, steps: int = 9, columns: int = 4, count: int = 4):
    """Return rollouts with random ends and gaps, the number of each step, and where it counts."""
    rng = np.random.default_rng(seed)
    goes_on, number = np.zeros(columns, dtype=bool), 0
    for index in range(count):
        ended = rng.random((steps, columns)) < 0.1
        mask = np.ones((steps, columns), dtype=bool)
        mask[rng.integers(steps) :, rng.integers(columns)] = False
        rollout = make_rollout(
            steps=steps, columns=columns, terminated=ended & mask, mask=mask, continued=goes_on,
            seed=index,
        )  # fmt: skip
        rows = torch.arange(number, number + steps * columns).view(steps, columns)
        defined = torch.as_tensor(mask & (rng.random((steps, columns)) < 0.8))
        yield rollout, rows, defined
        goes_on, number = mask[-1] & ~ended[-1], number + steps * columns


@pytest.mark.parametrize("pairs", [20, 2**17], ids=["small_blocks", "large_blocks"])
@pytest.mark.parametrize("capacity", [1, 5, 100])
@pytest.mark.parametrize("seed", range(4))
def test_every_step_sees_the_newest_of_its_own_episode(
    make_rollout, monkeypatch, seed, capacity, pairs
):
    monkeypatch.setattr(episode_window, "_PAIRS_AT_ONCE", pairs)
    monkeypatch.setattr(episode_window, "_STEPS_AT_ONCE", 4 if pairs == 20 else 128)
    window = EpisodeWindow(capacity=capacity, row=torch.zeros((), dtype=torch.int64))
    lists: list[list[int]] = [[] for _ in range(4)]
    compared = 0
    for rollout, rows, defined in _stream(make_rollout, seed):
        seen: dict[tuple[int, int], set[int]] = {}
        for columns, steps, candidates, visible in window.blocks(rollout, rows, defined):
            for b in range(candidates.shape[0]):
                for t in range(visible.shape[1]):
                    place = (steps.start + t, columns.start + b)
                    assert place not in seen
                    seen[place] = set(candidates[b][visible[b, t]].tolist())
        assert len(seen) == rollout.T * rollout.B
        pieces = rollout.episode_numbers()
        for b in range(rollout.B):
            if not bool(rollout.continued[b]):
                lists[b] = []
            piece = 0
            for t in range(rollout.T):
                if int(pieces[t, b]) > piece:
                    lists[b], piece = [], int(pieces[t, b])
                if bool(rollout.mask[t, b]):
                    assert seen[t, b] == set(lists[b][-capacity:])
                    compared += len(seen[t, b])
                if bool(defined[t, b]):
                    lists[b].append(int(rows[t, b]))
        window.write(rollout, rows, defined)
        for b in range(rollout.B):
            count = int(window.memory.count[b])
            assert window.memory.rows[b, :count].tolist() == lists[b][-capacity:]
    assert compared > 50


def test_looking_changes_nothing(make_rollout):
    window = EpisodeWindow(capacity=3, row=torch.zeros(2))
    rollout = make_rollout()
    list(window.blocks(rollout, torch.randn(6, 3, 2), rollout.mask))
    assert window.memory.columns == 0


def test_capacity_is_positive():
    with pytest.raises(UserError, match="capacity must be at least 1, got 0"):
        EpisodeWindow(capacity=0, row=torch.zeros(2))
