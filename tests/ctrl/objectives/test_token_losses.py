"""Token losses against single tokens by hand, and the properties that hold for any batch."""

import math

import pytest
import torch
from torch.testing import assert_close

from ctrl.objectives.aggregation import Counts, aggregate
from ctrl.objectives.masked import valid_only
from ctrl.objectives.token_losses import (
    clipped_loss,
    clipped_value_loss,
    clipped_weight_loss,
    reinforce_loss,
    sampler_correction,
    sequence_clipped_loss,
)
from reward_models.errors import UnknownNameError, UserError

TRUE = torch.ones(1, 1, dtype=torch.bool)


def single(ratio, advantage, **options):
    """Return loss and gradient of one token."""
    log_prob = torch.tensor([[math.log(ratio)]], requires_grad=True)
    loss, _ = clipped_loss(
        log_prob, torch.zeros(1, 1), torch.tensor([[advantage]]), TRUE, **options
    )
    (gradient,) = torch.autograd.grad(loss.sum(), log_prob)
    return float(loss.detach()), float(gradient)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.5, 1.0, (-1.2, -1.28, -1.28)),
        (0.5, 1.0, (-0.5, -0.5, -0.5)),
        (1.5, -1.0, (1.5, 1.5, 1.5)),
        (0.5, -1.0, (0.8, 0.8, 0.8)),
        (5.0, -1.0, (5.0, 5.0, 3.0)),
    ],
)
def test_one_token(ratio, advantage, expected):
    variants = ({}, {"high": 0.28}, {"high": 0.28, "dual": 3.0})
    for options, wanted in zip(variants, expected, strict=True):
        loss, gradient = single(ratio, advantage, **options)
        assert loss == pytest.approx(wanted, abs=1e-6)
        clipped = loss != pytest.approx(-advantage * ratio, abs=1e-6)
        assert gradient == (0.0 if clipped else pytest.approx(-advantage * ratio, abs=1e-5))


LOG_PROB = torch.tensor([[-0.5, -1.0, -2.0], [-0.7, -0.3, torch.nan]]).T.contiguous()
OLD = torch.tensor([[-0.6, -1.2, -1.5], [-0.7, -0.5, torch.inf]]).T.contiguous()
ADVANTAGE = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, torch.nan]]).T.contiguous()
MASK = torch.tensor([[True, True, True], [True, True, False]]).T.contiguous()


def test_a_whole_batch_with_rubbish_in_its_padding():
    log_prob = LOG_PROB.clone().requires_grad_()
    loss, metrics = clipped_loss(log_prob, OLD, ADVANTAGE, MASK, high=0.28)
    expected = torch.tensor([[-1.105171, -1.221403, -0.606531], [1.0, 1.221403, 0.0]]).T
    assert_close(loss, expected, atol=1e-6, rtol=0)
    for mode, wanted in (
        ("token-mean", -0.1423403),
        ("seq-mean-token-mean", 0.0665),
        ("seq-mean-token-sum", -0.3558508),
        ("dr-grpo", -0.1186169),
    ):
        found = aggregate(loss, MASK, mode, length=3)
        assert float(found.detach()) == pytest.approx(wanted, abs=1e-6)
        (gradient,) = torch.autograd.grad(found, log_prob, retain_graph=True)
        assert bool(gradient.isfinite().all())
        assert gradient[2, 1] == 0.0
    assert float(metrics["largest_ratio"]) == pytest.approx(math.exp(0.2))


def test_shares_of_clipped_tokens():
    change = torch.log(torch.tensor([[1.5, 1.25, 0.5, 0.5, 4.0]]))
    advantage = torch.tensor([[1.0, 1.0, -1.0, 1.0, -1.0]])
    mask = torch.ones(1, 5, dtype=torch.bool)
    _, metrics = clipped_loss(change, torch.zeros(1, 5), advantage, mask, high=0.28, dual=3.0)
    assert_close(metrics["approximate_kl"], -change.mean())
    shares = {name: float(value) for name, value in metrics.items() if name.startswith("clipped")}
    assert shares == pytest.approx({"clipped_high": 0.2, "clipped_low": 0.2, "clipped_dual": 0.2})


def test_one_ratio_per_sequence():
    log_prob = torch.tensor([[0.1], [0.3], [-0.1]], requires_grad=True)
    old, one, mask = torch.zeros(3, 1), torch.ones(3, 1), torch.ones(3, 1, dtype=torch.bool)
    loss, _ = sequence_clipped_loss(log_prob, old, one, mask)
    total = aggregate(loss, mask, "seq-mean-token-mean")
    assert float(total.detach()) == pytest.approx(-1.0004)
    assert torch.autograd.grad(total, log_prob)[0].abs().max() == 0.0
    loss, _ = sequence_clipped_loss(log_prob, old, one, mask, low=0.2, high=0.2)
    total = aggregate(loss, mask, "seq-mean-token-mean")
    assert float(total.detach()) == pytest.approx(-1.1051709)
    gradient = torch.autograd.grad(total, log_prob)[0]
    assert_close(gradient, torch.full((3, 1), -1.1051709 / 3))


def test_clipped_weights_never_kill_the_gradient():
    log_prob = torch.log(torch.tensor([[5.0, 0.1]])).requires_grad_()
    advantage, mask = torch.tensor([[2.0, -1.0]]), torch.ones(1, 2, dtype=torch.bool)
    loss, _ = clipped_weight_loss(log_prob, torch.zeros(1, 2), advantage, mask, high=0.28)
    gradient = torch.autograd.grad(loss.sum(), log_prob)[0]
    assert_close(gradient, torch.tensor([[-1.28 * 2.0, 0.1]]))
    loss, _ = clipped_weight_loss(log_prob, torch.zeros(1, 2), advantage, mask, low=0.2)
    assert_close(torch.autograd.grad(loss.sum(), log_prob)[0][0, 1], torch.tensor(0.8))


def test_on_policy_the_clipped_gradient_is_that_of_reinforce():
    generator = torch.Generator().manual_seed(0)
    log_prob = torch.randn(5, 3, generator=generator).requires_grad_()
    advantage = torch.randn(5, 3, generator=generator)
    mask = torch.rand(5, 3, generator=generator) < 0.8
    gradients = []
    for loss, _ in (
        clipped_loss(log_prob, log_prob.detach(), advantage, mask, dual=3.0),
        reinforce_loss(log_prob, advantage, mask),
        clipped_weight_loss(log_prob, log_prob.detach(), advantage, mask),
    ):
        gradients.append(torch.autograd.grad(loss.sum(), log_prob)[0])
    assert_close(gradients[0], gradients[1])
    assert_close(gradients[2], gradients[1])


@pytest.mark.parametrize(
    "mode", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum",
             "seq-mean-token-sum-norm", "dr-grpo"],
)  # fmt: skip
def test_micro_batches_sum_to_the_batch(mode):
    generator = torch.Generator().manual_seed(1)
    log_prob = torch.randn(6, 5, generator=generator).requires_grad_()
    old, advantage = (torch.randn(6, 5, generator=generator) for _ in range(2))
    mask = torch.arange(6).unsqueeze(1) < torch.tensor([6, 2, 0, 1, 3])

    def total(part, counts):
        loss, _ = clipped_loss(log_prob[:, part], old[:, part], advantage[:, part], mask[:, part])
        return aggregate(loss, mask[:, part], mode, length=9, counts=counts)

    whole = torch.autograd.grad(total(slice(None), None), log_prob)[0]
    counts = Counts.of(mask[:, :2]) + Counts.of(mask[:, 2:3]) + Counts.of(mask[:, 3:])
    parts = [total(part, counts) for part in (slice(0, 2), slice(2, 3), slice(3, 5))]
    assert_close(torch.autograd.grad(sum(parts), log_prob)[0], whole)


def test_aggregations():
    loss = torch.tensor([[1.0, 2.0, 3.0, torch.nan], [4.0, torch.nan, 0.0, 0.0]]).T
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]]).T
    expected = {
        "token-mean": 2.5, "seq-mean-token-mean": 3.0, "seq-mean-token-sum": 5.0,
        "seq-mean-token-sum-norm": 2.5, "dr-grpo": 1.25,
    }  # fmt: skip
    for mode, wanted in expected.items():
        assert float(aggregate(loss, mask, mode, length=4)) == wanted


def test_empty_responses_are_left_out_of_means_over_sequences():
    loss = torch.tensor([[1.0, 9.0], [3.0, 9.0]])
    mask = torch.tensor([[True, False], [True, False]])
    assert float(aggregate(loss, mask, "seq-mean-token-mean")) == 2.0
    assert float(aggregate(loss, mask, "dr-grpo", length=2)) == 1.0


def test_correction_for_the_sampler():
    loss, zeros = torch.full((1, 3), 2.0), torch.zeros(1, 3)
    trainer = torch.log(torch.tensor([[0.5, 2.0, 100.0]]))
    mask = torch.ones(1, 3, dtype=torch.bool)
    found = sampler_correction(loss, trainer, zeros, mask)
    assert_close(found, torch.tensor([[1.0, 4.0, 6.0]]))


def test_value_loss():
    value = torch.tensor([[1.0, 0.1]], requires_grad=True)
    zeros, returns = torch.zeros(1, 2), torch.tensor([[2.0, 0.0]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    found = clipped_value_loss(value, zeros, returns, mask, clip=0.2)
    assert_close(found, torch.tensor([[0.5 * 1.8**2, 0.5 * 0.1**2]]))
    gradient = torch.autograd.grad(found.sum(), value)[0]
    assert_close(gradient, torch.tensor([[0.0, 0.1]]))
    plain = clipped_value_loss(value, zeros, returns, mask, clip=None)
    assert_close(plain, torch.tensor([[0.5, 0.005]]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: single(1.0, 1.0, low=1.0), "low in"),
        (lambda: single(1.0, 1.0, high=-0.1), "high at least 0"),
        (lambda: single(1.0, 1.0, dual=1.0), "dual must be above 1"),
        (lambda: reinforce_loss(TRUE * 1.0, torch.ones(1, 1, requires_grad=True), TRUE), "detach"),
        (lambda: reinforce_loss(TRUE * torch.nan, TRUE * 1.0, TRUE), "finite"),
        (lambda: valid_only(TRUE, torch.zeros(2, 1)), r"\[T, B\] = \[1, 1\]"),
        (lambda: aggregate(TRUE * 1.0, ~TRUE), "at least one valid"),
        (lambda: aggregate(TRUE * 1.0, TRUE, "dr-grpo"), "give length"),
        (lambda: clipped_value_loss(*[TRUE * 1.0] * 3, TRUE, clip=0.0), "above 0"),
        (lambda: sampler_correction(*[TRUE * 1.0] * 3, TRUE, cap=0.0), "above 0"),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(UserError, match=words):
        call()


def test_an_unknown_aggregation_is_named():
    with pytest.raises(UnknownNameError, match="token-mean"):
        aggregate(TRUE * 1.0, TRUE, "token_mean")
