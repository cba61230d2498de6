from __future__ import annotations

import torch

from reward_models.scale import RunningScale
from reward_models.statistics import RunningStatistics


def test_batches_merge_to_the_published_numbers():
    statistics = RunningStatistics()
    statistics.update(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    torch.testing.assert_close(float(statistics.mean), 2.499938, atol=5e-7, rtol=0)
    torch.testing.assert_close(float(statistics.variance), 1.666806, atol=5e-7, rtol=0)
    statistics.update(torch.tensor([10.0, 10.0, 10.0]))
    torch.testing.assert_close(float(statistics.mean), 5.714204, atol=5e-7, rtol=0)
    torch.testing.assert_close(float(statistics.variance), 14.728162, atol=5e-7, rtol=0)
    torch.testing.assert_close(float(statistics.std), 3.837729, atol=5e-7, rtol=0)


def test_start_is_mean_zero_and_variance_one():
    statistics = RunningStatistics(shape=(2,))
    torch.testing.assert_close(
        statistics.normalize(torch.tensor([[1.5, -7.0]])), torch.tensor([[1.5, -5.0]])
    )


def test_a_batch_of_one_has_no_variance():
    statistics = RunningStatistics()
    statistics.update(torch.tensor([3.0]))
    # (1 * 1e-4 + 0 * 1 + 9 * 1e-4 * 1 / 1.0001) / 1.0001
    expected = (1e-4 + 9e-4 / 1.0001) / 1.0001
    torch.testing.assert_close(float(statistics.variance), expected, atol=1e-15, rtol=1e-12)


def test_an_empty_batch_changes_nothing():
    statistics = RunningStatistics(shape=(2,))
    statistics.update(torch.ones(3, 2))
    before = {name: value.clone() for name, value in statistics.state_dict().items()}
    statistics.update(torch.zeros(0, 2))
    for name, value in statistics.state_dict().items():
        assert torch.equal(value, before[name])


def test_each_dimension_is_normalised_by_itself_and_clipped():
    statistics = RunningStatistics(shape=(2,))
    samples = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1.0, 100.0]
    ) + torch.tensor([0.0, 50.0])
    statistics.update(samples)
    normal = statistics.normalize(samples)
    assert normal.dtype == torch.float32
    torch.testing.assert_close(normal.mean(0), torch.zeros(2), atol=1e-2, rtol=0)
    torch.testing.assert_close(normal.std(0), torch.ones(2), atol=1e-2, rtol=0)
    assert float(statistics.normalize(torch.tensor([[1e9, -1e9]])).abs().max()) == 5.0


def test_float32_is_normalised_as_exactly_as_float64():
    # The mean, 1e6 with a deviation of 1, has no float32 number close enough to it.
    samples = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) + 1e6
    statistics = RunningStatistics(shape=(3,), initial_count=0.0)
    statistics.update(samples)
    kept = samples.clone()
    found, exact = statistics.normalize(samples), statistics.normalize(samples.to(torch.float64))
    torch.testing.assert_close(found, exact, atol=2e-6, rtol=2e-6)
    assert torch.equal(samples, kept)


def test_constant_samples_stay_finite():
    statistics = RunningStatistics(shape=(1,))
    for _ in range(50):
        statistics.update(torch.full((256, 1), 1e4))
    assert bool(statistics.normalize(torch.full((4, 1), 1e4)).isfinite().all())


def test_many_small_batches_equal_one_large_one_up_to_the_bias_of_each():
    samples = torch.randn(1000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    one, many = RunningStatistics(), RunningStatistics()
    one.update(samples)
    for batch in samples.split(100):
        many.update(batch)
    torch.testing.assert_close(one.mean, many.mean, atol=1e-9, rtol=0)
    torch.testing.assert_close(one.variance, many.variance, atol=0, rtol=2e-2)


def test_return_scale_sees_the_forward_filtered_values():
    # R <- 0.99 R + r on 1, 0, 2 gives 1, 0.99, 2.9801.
    scale = RunningScale(kind="return_std", gamma=0.99)
    flags = torch.zeros(3, 1, dtype=torch.bool)
    scale.update(torch.tensor([[1.0], [0.0], [2.0]]), flags, ~flags)
    expected = torch.tensor([1.0, 0.99, 2.9801], dtype=torch.float64).std().item()
    torch.testing.assert_close(scale.divisor(), expected, atol=1e-7, rtol=0)


def test_state_round_trip():
    first, second = RunningStatistics(shape=(2,)), RunningStatistics(shape=(2,))
    first.update(torch.randn(10, 2, generator=torch.Generator().manual_seed(2)))
    second.load_state_dict(first.state_dict())
    more = torch.randn(7, 2, generator=torch.Generator().manual_seed(3))
    first.update(more)
    second.update(more)
    assert torch.equal(first.mean, second.mean)
    assert torch.equal(first.variance, second.variance)
