"""Divergence, entropy and the rules of a batch, against exact values of small distributions."""

import pytest
import torch
from torch.testing import assert_close

from ctrl.objectives.batch_rules import overlong_penalty, undecided_groups
from ctrl.objectives.entropy import AdaptiveEntropyWeight, EntropyTag, entropy_of
from ctrl.objectives.kl import kl_estimate, kl_reward
from reward_models.errors import UnknownNameError, UserError

POLICY, REFERENCE = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.4, 0.4, 0.2])
MASK = torch.ones(3, 1, dtype=torch.bool)


@pytest.mark.parametrize(
    ("estimator", "value", "slope"),
    [("k1", 0.5, 1.0), ("k2", 0.125, 0.5), ("k3", 0.1065307, 0.3934693),
     ("k3+", 0.1065307, 0.5), ("abs", 0.5, 1.0)],
)  # fmt: skip
def test_one_token(estimator, value, slope):
    log_prob = torch.tensor([[-1.0]], requires_grad=True)
    found = kl_estimate(log_prob, torch.tensor([[-1.5]]), MASK[:1], estimator=estimator)
    assert float(found.detach()) == pytest.approx(value, abs=1e-6)
    assert float(torch.autograd.grad(found.sum(), log_prob)[0]) == pytest.approx(slope, abs=1e-6)


def expected_value_and_gradient(estimator):
    """Return the mean over all tokens, and the mean of the gradients by logits."""
    logits = POLICY.log().requires_grad_()
    log_prob = torch.log_softmax(logits, 0).unsqueeze(1)
    found = kl_estimate(log_prob, REFERENCE.log().unsqueeze(1), MASK, estimator=estimator)
    mean = (POLICY.unsqueeze(1) * found).sum()
    return float(mean.detach()), torch.autograd.grad(mean, logits)[0]


def test_means_on_policy():
    exact = torch.tensor([0.098938, -0.093885, -0.005053])
    for estimator, value, gradient in (
        ("k1", 0.02526715, torch.zeros(3)),
        ("k2", 0.02486241, exact),
        ("k3", 0.02526715, POLICY - REFERENCE),
        ("k3+", 0.02526715, exact),
    ):
        mean, found = expected_value_and_gradient(estimator)
        assert mean == pytest.approx(value, abs=1e-7)
        assert_close(found, gradient, atol=1e-6, rtol=0)


def test_k3_has_a_hole_where_the_reference_is_far_more_likely():
    log_prob = torch.tensor([[-4.0, -4.0]], requires_grad=True)
    reference, mask = torch.tensor([[-1.3, -1.5]]), MASK[:1].expand(1, 2)
    for estimator, holes in (("k3", [True, False]), ("k3+", [False, False])):
        found = kl_estimate(log_prob, reference, mask, estimator=estimator)
        gradient = torch.autograd.grad(found.sum(), log_prob)[0]
        assert (gradient == 0.0)[0].tolist() == holes


def test_as_a_reward():
    log_prob = torch.tensor([[-1.0], [-1.0]], requires_grad=True)
    reference, mask = torch.tensor([[-1.5], [torch.nan]]), torch.tensor([[True], [False]])
    found = kl_reward(torch.ones(2, 1), log_prob, reference, mask, weight=0.1)
    assert_close(found, torch.tensor([[0.95], [0.0]]))
    assert not found.requires_grad


def test_entropy_and_its_gradient():
    logits = torch.tensor([1.0, 0.0, -1.0], requires_grad=True)
    entropy = entropy_of(logits)
    assert float(entropy.detach()) == pytest.approx(0.8323956, abs=1e-6)
    gradient = torch.autograd.grad(entropy, logits)[0]
    assert_close(gradient, torch.tensor([-0.282587, 0.140770, 0.141817]), atol=1e-6, rtol=0)


def test_tokens_that_cannot_be_chosen_do_not_count():
    logits = torch.tensor([0.0, 0.0, -torch.inf], requires_grad=True)
    entropy = entropy_of(logits)
    assert float(entropy.detach()) == pytest.approx(0.6931472)
    assert bool(torch.autograd.grad(entropy, logits)[0].isfinite().all())


def test_entropies_of_another_kind_are_refused():
    tag = EntropyTag(support="nucleus", temperature=0.7)
    tag.require(support="nucleus")
    with pytest.raises(UserError, match=r"support 'full' and got 'nucleus', temperature 1.0"):
        tag.require(support="full", temperature=1.0, policy="current")


def test_the_weight_grows_only_while_entropy_is_missing():
    weight = AdaptiveEntropyWeight(target=1.0, step=0.1, largest=0.25)
    assert [weight.update(value) for value in (0.5, 0.5, 1.0)] == pytest.approx([0.1, 0.2, 0.25])
    assert weight.update(1.5) == 0.0
    assert weight.weight == pytest.approx(0.15)
    other = AdaptiveEntropyWeight(target=1.0, step=0.1)
    other.load_state_dict(weight.state_dict())
    assert other.update(0.0) == pytest.approx(0.25)


def test_groups_that_are_all_right_or_all_wrong_are_dropped():
    correct = torch.tensor([True, False, True, True, False, False])
    group = torch.tensor([3, 3, 5, 5, 9, 9])
    assert undecided_groups(correct, group).tolist() == [True, True, False, False, False, False]


def test_too_long_responses():
    found = overlong_penalty(torch.tensor([70, 80, 85, 100, 105]), limit=100, cache=20)
    assert found.tolist() == [0.0, 0.0, -0.25, -1.0, -1.0]


def test_mistakes_are_named():
    with pytest.raises(UnknownNameError, match="k3"):
        kl_estimate(torch.zeros(1, 1), torch.zeros(1, 1), MASK[:1], estimator="k4")
    with pytest.raises(UserError, match="cache must lie"):
        overlong_penalty(torch.tensor([1]), limit=10, cache=11)
    with pytest.raises(UserError, match="smallest <= initial"):
        AdaptiveEntropyWeight(target=1.0, initial=2.0)
