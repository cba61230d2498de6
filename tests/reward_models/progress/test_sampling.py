import numpy as np
import pytest
import torch

from reward_models.errors import UserError
from reward_models.progress.labels import hop_labels, score_bins
from reward_models.progress.sampling import (
    all_pairs,
    balanced_pairs,
    reference_episodes,
    training_pairs,
    zero_pairs,
)


def _generator(seed=0):
    return np.random.default_rng(seed)


def test_all_pairs_come_once_with_their_hop():
    pairs = all_pairs(np.array([0, 10, 20, 30]))
    assert len(pairs) == 12
    assert len(set(zip(pairs.before.tolist(), pairs.after.tolist(), strict=True))) == 12
    place = (pairs.before == 10) & (pairs.after == 30)
    assert pairs.hop[place].tolist() == [1.0]
    place = (pairs.before == 30) & (pairs.after == 10)
    assert pairs.hop[place].tolist() == pytest.approx([-2 / 3])


def test_quotas_of_scores_are_equal_where_there_is_enough():
    sampled = np.arange(0, 400)
    pairs = balanced_pairs(sampled, 503, _generator())
    assert len(pairs) == 503
    assert len(set(zip(pairs.before.tolist(), pairs.after.tolist(), strict=True))) == 503
    torch.testing.assert_close(pairs.hop, hop_labels(pairs.before, pairs.after, 399))
    counts = np.bincount(score_bins(pairs.hop).numpy(), minlength=25)
    # 20 each, and the remaining three in the middle.
    assert counts.tolist() == [20] * 11 + [21] * 3 + [20] * 11


def test_inside_a_bin_near_and_far_pairs_are_balanced():
    pairs = balanced_pairs(np.arange(0, 400), 1000, _generator())
    middle = score_bins(pairs.hop) == 14  # 12 % to 20 % of the rest of the way
    gaps = (pairs.after - pairs.before)[middle]
    every = all_pairs(np.arange(0, 400))
    same_bin = score_bins(every.hop) == 14
    everywhere = (every.after - every.before)[same_bin]
    assert len(gaps) >= 30
    assert float(gaps.float().mean()) > float(everywhere.float().mean())


def test_of_a_short_demonstration_there_are_all():
    pairs = balanced_pairs(np.array([0, 5, 9]), 100, _generator())
    assert len(pairs) == 6


def test_the_same_seed_draws_the_same():
    sampled = np.arange(0, 300, 3)
    first, again, other = (balanced_pairs(sampled, 60, _generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.before, again.before)
    assert not torch.equal(first.before, other.before)


def test_long_demonstrations_are_sampled_without_listing_all_pairs():
    pairs = balanced_pairs(np.arange(2000), 50, _generator())
    assert len(pairs) == 50


def test_pairs_without_progress_are_a_little_apart():
    sampled = np.arange(0, 401, 40)
    pairs = zero_pairs(sampled, 401, 200, _generator())
    apart = (pairs.after - pairs.before).abs()
    assert not bool(pairs.hop.any())
    assert set(pairs.before.tolist()) <= set(sampled.tolist())
    # floor(7.5 % of 40) = 3 frames, 1 at the ends, where there is no neighbour on one side.
    assert set(apart.tolist()) == {3, 0}
    assert (apart == 3).float().mean() > 0.8


def test_neighbouring_frames_are_progress_and_not_its_absence():
    pairs = zero_pairs(np.arange(10), 10, 50, _generator())
    assert torch.equal(pairs.before, pairs.after)


def test_training_pairs_have_their_share_of_zeros():
    pairs = training_pairs(np.arange(21), 21, _generator(), zero_ratio=0.05)
    assert float((pairs.hop == 0).float().mean()) == pytest.approx(0.05, abs=0.005)
    with pytest.raises(UserError, match="zero_ratio"):
        training_pairs(np.arange(21), 21, _generator(), zero_ratio=1.0)


def test_references_come_from_other_episodes_of_the_task():
    episode, task = np.repeat([0, 1, 2, 3], 1000), np.array([0, 0, 0, 1])
    chosen = reference_episodes(episode, task, _generator())
    assert (task[chosen] == task[episode]).all()
    # 3000 pairs that have others: 0.75 with a standard error of 0.008.
    assert np.mean(chosen[:3000] != episode[:3000]) == pytest.approx(0.75, abs=0.03)
    assert (chosen[3000:] == 3).all()
    assert (reference_episodes(episode, task, _generator(), swap_probability=0.0) == episode).all()


@pytest.mark.parametrize(("count", "moments"), [(0, 5), (3, 1)])
def test_what_cannot_be_drawn_is_refused(count, moments):
    with pytest.raises(UserError):
        balanced_pairs(np.arange(moments), count, _generator())
