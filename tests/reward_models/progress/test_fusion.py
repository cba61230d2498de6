import pytest
import torch

from reward_models.errors import UnknownNameError, UserError
from reward_models.progress.fusion import Fusion, agreement
from reward_models.progress.labels import hop_labels
from reward_models.progress.metrics import value_order_correlation
from reward_models.progress.reconstruction import (
    backward_anchored,
    forward_anchored,
    incremental,
)


def _hops(step, start, goal):
    names = ("incremental", "forward", "backward")
    return {n: torch.tensor(v) for n, v in zip(names, (step, start, goal), strict=True)}


def test_incremental_by_hand():
    hops = torch.tensor([0.2, 0.5, -0.25, 0.0, 1.0, -0.1])
    expected = torch.tensor([0.2, 0.6, 0.45, 0.45, 1.0, 0.9])
    torch.testing.assert_close(incremental(hops), expected)


def test_incremental_stays_in_range_for_any_hops():
    generator = torch.Generator().manual_seed(0)
    hops = 2.0 * torch.rand(20, 100_000, generator=generator) - 1.0
    hops[:, :1000] = hops[:, :1000].sign()
    progress = incremental(hops, torch.rand(100_000, generator=generator))
    assert float(progress.min()) >= 0.0
    assert float(progress.max()) <= 1.0


def test_perfect_hops_agree():
    """I = F = B = i / M."""
    moments = torch.arange(1, 11)
    expected = moments / 10.0
    start, goal = torch.zeros_like(moments), torch.full_like(moments, 10)
    torch.testing.assert_close(incremental(hop_labels(moments - 1, moments, 10)), expected)
    torch.testing.assert_close(forward_anchored(hop_labels(start, moments, 10)), expected)
    torch.testing.assert_close(backward_anchored(hop_labels(goal, moments, 10)), expected)


def test_a_trajectory_in_reverse_is_in_perfect_disorder():
    progress = torch.arange(11) / 10.0
    assert value_order_correlation(progress.numpy()) == pytest.approx(1.0)
    assert value_order_correlation(progress.flip(0).numpy()) == pytest.approx(-1.0)
    assert value_order_correlation([0.5, 0.5, 0.5]) == 0.0
    with pytest.raises(UserError, match="2 finite numbers"):
        value_order_correlation([0.1, float("nan")])


def test_fusion_by_hand():
    """P = .4, hops .25, .5, -.4: I = .55, F = .5, B = .6, fused .55."""
    fusion, previous = Fusion(), torch.tensor(0.4)
    hops = _hops(0.25, 0.5, -0.4)
    estimates = fusion.estimates(previous, hops)
    assert [float(estimates[name]) for name in fusion.perspectives] == pytest.approx(
        [0.55, 0.5, 0.6]
    )
    fused, weight = fusion.step(previous, hops)
    assert float(fused) == pytest.approx(0.55)
    assert float(weight) == 1.0


@pytest.mark.parametrize(
    ("forward", "backward", "alpha", "expected"),
    [(0.5, 0.6, 1.0, 0.967483), (0.9, 0.3, 1.0, 0.367881), (0.9, 0.3, 5.0, 0.006738)],
)
def test_consistency_by_hand(forward, backward, alpha, expected):
    pair = (torch.tensor(value, dtype=torch.float64) for value in (forward, backward))
    assert float(agreement(*pair, alpha, 1e-6)) == pytest.approx(expected, abs=1e-6)


def test_disagreement_holds_the_update_back():
    hops = _hops(0.8, 0.9, -0.7)
    plain, _ = Fusion().step(torch.tensor(0.2), hops)
    held, weight = Fusion(consistency=5.0).step(torch.tensor(0.2), hops)
    assert float(held) == pytest.approx(0.2 + float(weight) * (float(plain) - 0.2))
    assert float(weight) < 0.01


def test_a_poor_model_is_clamped_unless_asked_otherwise():
    hops = _hops(0.0, -0.9, 0.8)
    fused, _ = Fusion().step(torch.tensor(0.3), hops)
    assert float(fused) == pytest.approx((0.3 + 0.0 + 1.0) / 3)
    free, _ = Fusion(clamp=False).step(torch.tensor(0.3), hops)
    assert float(free) == pytest.approx((0.3 - 0.9 + 1.8) / 3)


def test_fused_progress_and_its_confidence_stay_in_range():
    generator = torch.Generator().manual_seed(1)
    progress = torch.rand(1000, generator=generator)
    for _ in range(30):
        drawn = 2.0 * torch.rand(3, 1000, generator=generator) - 1.0
        hops = dict(zip(("incremental", "forward", "backward"), drawn, strict=True))
        progress, weight = Fusion(consistency=1.0).step(progress, hops)
        assert bool(((progress >= 0) & (progress <= 1)).all())
        assert bool(((weight > 0) & (weight <= 1)).all())


def test_no_progress_at_all_is_agreement():
    assert float(agreement(torch.tensor(0.0), torch.tensor(0.0), 5.0)) == 1.0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"perspectives": ()}, UserError),
        ({"perspectives": ("foward",)}, UnknownNameError),
        ({"perspectives": ("forward",), "consistency": 1.0}, UserError),
        ({"consistency": 0.0}, UserError),
        ({"epsilon": 0.0}, UserError),
    ],
)
def test_what_cannot_be_fused_is_refused(options, error):
    with pytest.raises(error):
        Fusion(**options)
