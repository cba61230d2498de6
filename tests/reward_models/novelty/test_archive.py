from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from reward_models.errors import UserError
from reward_models.novelty.archive import EpisodeArchive
from reward_models.novelty.newest import Newest


def _numbered(first: int, last: int) -> torch.Tensor:
    return torch.arange(first, last, dtype=torch.float64).unsqueeze(1)


def test_everything_is_kept_until_it_is_full():
    archive = EpisodeArchive(size=1, capacity=10)
    for start in (0, 3, 6):
        archive.add(_numbered(start, start + 3))
    archive.add(_numbered(0, 0))
    assert archive.rows.flatten().tolist() == list(range(9))
    archive.add(_numbered(9, 10))
    assert (len(archive), int(archive.seen)) == (10, 10)


def test_every_episode_has_the_same_chance_to_be_kept():
    capacity, total = 20, 100
    counts = np.zeros(total)
    for seed in range(300):
        archive = EpisodeArchive(size=1, capacity=capacity, seed=seed)
        archive.add(_numbered(0, 37))
        archive.add(_numbered(37, total))
        kept = archive.rows.flatten().to(torch.int64).numpy()
        assert len(set(kept.tolist())) == capacity
        counts[kept] += 1
    # Sums of draws without replacement vary less than a multinomial: the test is conservative.
    assert stats.chisquare(counts).pvalue > 1e-3
    thirds = [counts[:20].mean(), counts[20:60].mean(), counts[60:].mean()]
    assert max(thirds) - min(thirds) < 0.08 * 300


def test_batches_do_not_matter_and_state_goes_on():
    whole = EpisodeArchive(size=1, capacity=5, seed=3)
    whole.add(_numbered(0, 60))
    parts = EpisodeArchive(size=1, capacity=5, seed=3)
    parts.add(_numbered(0, 17))
    again = EpisodeArchive(size=1, capacity=5, seed=8)
    again.load_state_dict(parts.state_dict())
    again.add(_numbered(17, 60))
    assert torch.equal(again.rows, whole.rows)
    assert int(again.seen) == 60
    assert not torch.equal(again.rows, EpisodeArchive(size=1, capacity=5, seed=4).rows)


def test_the_newest_rows_are_kept():
    newest = Newest(row=torch.zeros(1, dtype=torch.float64), capacity=4)
    newest.add(_numbered(0, 3))
    assert newest.rows.flatten().tolist() == [0, 1, 2]
    newest.add(_numbered(3, 5))
    assert newest.rows.flatten().tolist() == [1, 2, 3, 4]
    newest.add(_numbered(5, 12))
    assert newest.rows.flatten().tolist() == [8, 9, 10, 11]
    again = Newest(row=torch.zeros(1, dtype=torch.float64), capacity=4)
    again.load_state_dict(newest.state_dict())
    assert torch.equal(again.rows, newest.rows)


def test_no_capacity_is_refused():
    with pytest.raises(UserError, match="capacity must be at least 1"):
        EpisodeArchive(size=1, capacity=0)
    with pytest.raises(UserError, match="memory must hold at least 1"):
        Newest(row=torch.zeros(1), capacity=0)
