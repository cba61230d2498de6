import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_models.errors import UnknownNameError
from reward_models.scale import RunningScale, Scale


def returns_of(raw, done, valid, gamma):
    """Return the running discounted returns at the valid steps, by their definition."""
    found = []
    for b in range(raw.shape[1]):
        running = 0.0
        for t in range(raw.shape[0]):
            running += raw[t, b] if valid[t, b] else 0.0
            if valid[t, b]:
                found.append(running)
            running = 0.0 if done[t, b] else gamma * running
    return np.array(found)


def feed(scale, raw, done=None, valid=None):
    raw = torch.as_tensor(raw, dtype=torch.float32)
    done = torch.zeros(raw.shape, dtype=torch.bool) if done is None else torch.as_tensor(done)
    valid = torch.ones(raw.shape, dtype=torch.bool) if valid is None else torch.as_tensor(valid)
    scale.update(raw, done, valid)


class TestReturnStd:
    def test_by_hand(self):
        scale = RunningScale(kind="return_std", gamma=0.5)
        feed(scale, [[1.0], [1.0], [1.0]])
        # Returns 1, 1.5, 1.75 with the unbiased deviation.
        assert scale.divisor() == pytest.approx(np.std([1, 1.5, 1.75], ddof=1))

    def test_any_end_clears_the_return(self):
        scale = RunningScale(kind="return_std", gamma=1.0)
        feed(scale, [[1.0], [1.0], [1.0], [1.0]], done=[[False], [True], [False], [False]])
        assert scale.divisor() == pytest.approx(np.std([1, 2, 1, 2], ddof=1))
        assert scale.running.tolist() == [2]

    def test_return_continues_over_rollouts_in_its_column(self):
        whole, parts = (RunningScale(kind="return_std", gamma=0.9) for _ in range(2))
        raw = np.random.default_rng(0).normal(size=(6, 3))
        done = np.zeros((6, 3), dtype=bool)
        done[2, 1] = True
        feed(whole, raw, done)
        feed(parts, raw[:3], done[:3])
        feed(parts, raw[3:], done[3:])
        torch.testing.assert_close(whole.running, parts.running)
        assert parts.running[0] != parts.running[1]

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 2**31 - 1), st.sampled_from([0.0, 0.9, 1.0]))
    def test_equals_the_definition(self, seed, gamma):
        rng = np.random.default_rng(seed)
        size = (int(rng.integers(2, 9)), int(rng.integers(1, 4)))
        raw = rng.normal(size=size).astype(np.float32)
        done, valid = rng.random(size) < 0.3, rng.random(size) < 0.8
        valid[:2, 0] = True
        scale = RunningScale(kind="return_std", gamma=gamma)
        feed(scale, raw, done, valid)
        returns = returns_of(raw.astype(np.float64), done, valid, gamma)
        assert float(scale.statistics.variance) == pytest.approx(returns.var(ddof=1), abs=1e-9)
        assert float(scale.statistics.mean) == pytest.approx(returns.mean(), abs=1e-9)
        assert float(scale.statistics.count) == len(returns)

    def test_another_number_of_columns_starts_over(self):
        scale = RunningScale(kind="return_std", gamma=1.0)
        feed(scale, [[1.0, 2.0]])
        feed(scale, [[5.0]])
        assert scale.running.tolist() == [5]

    def test_nothing_valid_changes_no_statistic(self):
        scale = RunningScale(kind="return_std", gamma=0.9)
        feed(scale, [[1.0, 2.0]], valid=[[False, False]])
        assert scale.divisor() == 1
        assert float(scale.statistics.count) == 0


class TestRewardStd:
    def test_by_hand(self):
        scale = RunningScale(kind="reward_std", gamma=0.9)
        feed(scale, [[1.0, 2.0], [3.0, 100.0]], valid=[[True, True], [True, False]])
        assert scale.divisor() == pytest.approx(1.0)

    def test_batches_merge(self):
        raw = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
        scale = RunningScale(kind="reward_std", gamma=0.9)
        feed(scale, raw[:20])
        feed(scale, raw[20:])
        # Batches enter with unbiased variances, as common implementations do.
        assert scale.divisor() == pytest.approx(raw.std(), rel=0.01)


class TestDivisor:
    @pytest.mark.parametrize("kind", list(Scale))
    def test_is_one_before_anything_was_seen(self, kind):
        assert RunningScale(kind=kind, gamma=0.9).divisor() == 1

    @pytest.mark.parametrize("value", [0.0, 0.1, 5.0, -3.0])
    def test_of_a_constant_is_one(self, value):
        scale = RunningScale(kind="reward_std", gamma=0.9)
        for _ in range(3):
            feed(scale, np.full((16, 4), value))
        assert scale.divisor() == 1

    def test_of_a_term_that_never_paid_is_one(self):
        scale = RunningScale(kind="return_std", gamma=0.9)
        feed(scale, np.zeros((16, 4)))
        assert scale.divisor() == 1

    def test_none_learns_nothing(self):
        scale = RunningScale(kind="none", gamma=0.9)
        feed(scale, [[1.0], [5.0]])
        assert scale.divisor() == 1
        assert not scale.state_dict()

    def test_frozen_stays(self):
        scale = RunningScale(kind="reward_std", gamma=0.9)
        feed(scale, [[1.0], [5.0]])
        before = scale.divisor()
        scale.frozen = True
        feed(scale, [[100.0], [-500.0]])
        assert scale.divisor() == before

    def test_unknown_kind_names_the_nearest(self):
        with pytest.raises(UnknownNameError, match="Did you mean 'return_std'"):
            RunningScale(kind="returnstd", gamma=0.9)


def test_state_continues_in_a_fresh_one():
    raw = np.random.default_rng(1).normal(size=(9, 3))
    first, second = (RunningScale(kind="return_std", gamma=0.9) for _ in range(2))
    feed(first, raw[:5])
    second.load_state_dict(first.state_dict())
    assert second.divisor() == first.divisor()
    feed(first, raw[5:])
    feed(second, raw[5:])
    assert second.divisor() == first.divisor()
    assert torch.equal(second.running, first.running)
