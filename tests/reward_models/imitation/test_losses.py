from __future__ import annotations

import pytest
import torch

from reward_models.imitation.losses import (
    bernoulli_entropy,
    cross_entropy,
    positive_negative_loss,
    positive_unlabelled_loss,
)


@pytest.mark.parametrize(("label", "loss"), [(1.2, 0.113262), (0.7, 0.613262)])
def test_cross_entropy_of_smoothed_labels(label, loss):
    found = cross_entropy(torch.tensor([1.0]), torch.tensor([label]))
    assert float(found) == pytest.approx(loss, abs=1e-6)


def test_entropy_of_a_coin():
    found = bernoulli_entropy(torch.tensor([0.0, 1.0, -1.0]))
    torch.testing.assert_close(found, torch.tensor([0.693147, 0.582203, 0.582203]))


def test_entropy_has_the_gradient_of_both_places():
    logit = torch.tensor([1.3], requires_grad=True)
    bernoulli_entropy(logit).backward()
    s = torch.sigmoid(logit.detach())
    torch.testing.assert_close(logit.grad, -logit.detach() * s * (1 - s))


def test_both_losses_at_one_pair():
    policy, expert = torch.tensor([-0.5]), torch.tensor([1.0])
    purl = positive_unlabelled_loss(policy, expert, 0.25)
    pn = positive_negative_loss(policy, expert, torch.zeros(1), torch.ones(1))
    assert float(purl) == pytest.approx(0.328315, abs=1e-6)
    assert float(pn) == pytest.approx(0.787339, abs=1e-6)


def test_the_unlabelled_part_counts_where_it_is_positive():
    # log s(4) - 0.25 log s(-3) = -0.018150 + 0.762147 = 0.743997; -0.25 log(s(-4)) = 1.004537
    found = positive_unlabelled_loss(torch.tensor([-3.0]), torch.tensor([4.0]), 0.25)
    assert float(found) == pytest.approx(1.004537 - 0.743997, abs=1e-5)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([-200.0, 200.0])
    assert bool(positive_unlabelled_loss(logits, logits.flip(0), 0.25).isfinite().all())
    assert bool(bernoulli_entropy(logits).isfinite().all())
