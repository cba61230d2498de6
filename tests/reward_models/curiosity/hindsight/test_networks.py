from __future__ import annotations

import itertools
import math

import pytest
import torch

from reward_models.curiosity.hindsight.networks import Critic, Hindsight, invariance
from reward_models.errors import UserError

SCORES = torch.tensor([[[2.0, 0.0, -1.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]]])
LEAKS = torch.tensor([[0.928766, 0.418343, 1.003689]])


def _hindsight(**options) -> Hindsight:
    sizes = {"context_size": 4, "target_size": 3, "hindsight_size": 2, "noise_size": 2}
    return Hindsight(**{**sizes, "hidden": (16, 16), **options})


def _drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_invariance_of_known_scores():
    torch.testing.assert_close(invariance(SCORES), LEAKS, rtol=0, atol=1e-6)
    assert float(invariance(SCORES).mean()) == pytest.approx(0.783599, abs=1e-6)
    assert bool((invariance(SCORES) <= math.log(3)).all())


def test_equal_scores_say_nothing():
    assert invariance(torch.full((2, 3, 3), 4.0)).abs().max() < 1e-6


def test_what_only_the_context_adds_does_not_matter():
    shifted = SCORES + torch.tensor([5.0, -2.0, 0.3]).view(1, 3, 1)
    torch.testing.assert_close(invariance(shifted), LEAKS, rtol=0, atol=1e-5)


def test_members_that_do_not_take_part():
    scores = torch.full((2, 4, 4), 9.0)
    scores[0, :3, :3] = SCORES[0]
    scores[:, 3], scores[:, :, 3] = float("nan"), float("inf")
    valid = torch.tensor([[True, True, True, False], [False] * 4])
    found = invariance(scores, valid)
    torch.testing.assert_close(found[0, :3], LEAKS[0], rtol=0, atol=1e-6)
    assert found[0, 3] == 0
    assert found[1].tolist() == [0.0] * 4


def test_alone_in_a_group_nothing_is_said():
    assert invariance(torch.tensor([[[7.0]]])).item() == 0.0
    valid = torch.tensor([[False, True, False]])
    assert invariance(SCORES, valid).abs().max() < 1e-6


@pytest.mark.parametrize(("members", "bound"), [(2, 0.096372), (4, 0.145801), (8, 0.169740)])
def test_bound_of_the_mutual_information_grows_with_the_group(members, bound):
    # Joint distribution of a bit and a Z that equals it with 0.8; the mutual information is 0.1927.
    joint = torch.tensor([[0.4, 0.1], [0.1, 0.4]], dtype=torch.float64)
    ratio = (joint / (joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True))).log()
    information = float((joint * ratio).sum())
    assert information == pytest.approx(0.192745, abs=1e-6)
    # Exact expectation: own pair from the joint, the others' Z from its marginal.
    expected = 0.0
    for own_context, own_z in itertools.product(range(2), repeat=2):
        for others in itertools.product(range(2), repeat=members - 1):
            zs = torch.tensor([own_z, *others])
            scores = ratio[own_context][zs].expand(members, members)[None]
            chance = float(joint[own_context, own_z]) * 0.5 ** len(others)
            expected += chance * float(invariance(scores)[0, 0])
    assert expected == pytest.approx(bound, abs=1e-6)
    assert expected < information


def test_critic_scores_every_pair():
    torch.manual_seed(0)
    critic = Critic(4, 2, (16, 8))
    context, z = _drawn(2, 3, 4), _drawn(2, 3, 2, seed=1)
    whole = torch.cat([critic.of_context.weight, critic.of_vector.weight], 1)
    for g, i, j in itertools.product(range(2), range(3), range(3)):
        first = whole @ torch.cat([context[g, i], z[g, j]]) + critic.of_context.bias
        torch.testing.assert_close(critic(context, z)[g, i, j], critic.rest(first.relu())[0])


def test_scores_are_bounded():
    hindsight = _hindsight(critic_bound=2.0)
    scores = hindsight.scores(1e6 * _drawn(1, 5, 4), _drawn(1, 5, 2, seed=1))
    assert scores.abs().max() <= 2.0


def test_the_generator_explains_and_does_not_shape():
    hindsight = _hindsight()
    context, target = _drawn(1, 5, 4).requires_grad_(), _drawn(1, 5, 3).requires_grad_()
    z = hindsight.generate(context, target, _drawn(1, 5, 2))
    assert bool((z.abs() <= 1).all())
    invariance(hindsight.scores(context, z)).sum().backward()
    assert context.grad is None
    assert target.grad is None
    assert all(p.grad is not None for p in hindsight.generator.parameters())


def test_the_reconstruction_reaches_the_context():
    hindsight = _hindsight()
    context = _drawn(1, 5, 4).requires_grad_()
    z = hindsight.generate(context, _drawn(1, 5, 3), _drawn(1, 5, 2))
    hindsight.reconstruct(context, z).square().sum().backward()
    assert context.grad is not None
    assert bool((context.grad != 0).any())


def test_weights_follow_the_seed_alone():
    torch.manual_seed(1)
    first = _hindsight(seed=3).state_dict()
    state = torch.get_rng_state()
    second, other = _hindsight(seed=3).state_dict(), _hindsight(seed=4).state_dict()
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hindsight_size": 0}, "hindsight_size must be at least 1"),
        ({"noise_size": 0}, "noise_size must be at least 1"),
        ({"hidden": ()}, "at least one hidden layer"),
        ({"hidden": (8, 0)}, "hidden must be at least 1"),
        ({"critic_bound": 0.0}, "critic_bound must be positive"),
        ({"critic_bound": float("inf")}, "critic_bound must be positive and finite"),
    ],
)
def test_sizes_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        _hindsight(**options)
