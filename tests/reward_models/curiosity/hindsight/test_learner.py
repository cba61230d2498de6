from __future__ import annotations

import pytest
import torch

from reward_models.curiosity.hindsight.latent_errors import unit
from reward_models.curiosity.hindsight.latent_world import Pairs
from reward_models.curiosity.hindsight.learner import HindsightLearner, in_groups
from reward_models.curiosity.hindsight.networks import invariance
from reward_models.encoders import seeded
from reward_models.errors import UserError


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    with seeded(0):
        yield


def _learner(context: torch.nn.Module, **options) -> HindsightLearner:
    sizes = {"context_size": 4, "target_size": 3, "hindsight_size": 2, "noise_size": 2}
    more = {"horizon": 1, "negatives": 32, "hidden": (16,), "trade_off": 0.5, "critic_bound": 5.0}
    learning = {"learning_rate": 1e-2, "batch_size": 8, "epochs": 1, "seed": 0}
    return HindsightLearner(
        context, **{**sizes, **more, **learning, "invariance_loss": True, **options}
    )


def _drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _pairs(maker: torch.nn.Module, groups: int = 2, members: int = 6) -> tuple[list, list]:
    context = maker(_drawn(groups, members, 4))
    valid = torch.ones(groups, members, dtype=torch.bool)
    return [Pairs(context, None, valid)], [unit(_drawn(groups, members, 3, seed=1))]


def _copy_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def _changed(module: torch.nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return not all(torch.equal(v, before[name]) for name, v in module.state_dict().items())


def test_reward_adds_reconstruction_and_invariance():
    # L_rec = 0.8, 0.1, 0 and lambda = 0.5, with the scores of a known critic.
    learner = _learner(torch.nn.Linear(4, 4))
    cosines = 1 - torch.tensor([0.8, 0.1, 0.0]) / 2
    made = torch.stack([cosines, (1 - cosines**2).sqrt(), torch.zeros(3)], -1)[None]
    scores = torch.tensor([[[2.0, 0.0, -1.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]]])
    learner.hindsight.reconstruct = lambda context, z: made  # type: ignore[method-assign]
    learner.hindsight.scores = lambda context, z: scores  # type: ignore[method-assign]
    target = torch.tensor([1.0, 0.0, 0.0]).expand(1, 3, 3)
    pair = Pairs(torch.zeros(1, 3, 4), None, torch.ones(1, 3, dtype=torch.bool))
    (found,) = learner.pair_errors([pair], [target])
    expected = torch.tensor([[2.528766, 0.618343, 1.003689]])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_who_minimises_what():
    maker = torch.nn.Linear(4, 4)
    learner = _learner(maker)
    nets = learner.hindsight
    pairs, targets = _pairs(maker)
    generator = torch.Generator()
    generator.set_state(learner.noise_state)
    noise = torch.randn(2, 6, 2, generator=generator)
    z = nets.generate(pairs[0].context, targets[0], noise)
    leak = invariance(nets.scores(pairs[0].context, z)).mean()
    # Invariance reaches the generator and the critic, and neither encoder nor reconstructor.
    for module, reached in (
        (maker, False),
        (nets.reconstructor, False),
        (nets.generator, True),
        (nets.critic, True),
    ):
        gradients = torch.autograd.grad(
            leak, list(module.parameters()), retain_graph=True, allow_unused=True
        )
        assert all((gradient is not None) == reached for gradient in gradients)
    # The critic's own loss does not reach the generator.
    own = invariance(nets.scores(pairs[0].context, z.detach())).mean()
    gradients = torch.autograd.grad(own, list(nets.generator.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in gradients)


@pytest.mark.parametrize("which", ["trainer", "critic_trainer"])
def test_each_optimiser_moves_its_own_networks(which):
    maker = torch.nn.Linear(4, 4)
    learner = _learner(maker)
    still = learner.trainer if which == "critic_trainer" else learner.critic_trainer
    for group in still.optimizer.param_groups:
        group["lr"] = 0.0
    nets = learner.hindsight
    modules = {"maker": maker, "generator": nets.generator, "reconstructor": nets.reconstructor}
    before = {name: _copy_of(module) for name, module in modules.items()}
    critic = _copy_of(nets.critic)
    learner.learn(*_pairs(maker))
    moved = which == "trainer"
    assert all(_changed(module, before[name]) == moved for name, module in modules.items())
    assert _changed(nets.critic, critic) != moved
    # Nothing is left for another loss to stumble over.
    assert all(p.grad is None for p in (*maker.parameters(), *nets.parameters()))


def test_the_critic_maximises_what_the_generator_minimises():
    # A generator that copies the outcome, which the context tells: the critic must find out.
    context = _drawn(2, 6, 4)
    pair = Pairs(context, None, torch.ones(2, 6, dtype=torch.bool))
    target = unit(context[..., :3])
    learner = _learner(torch.nn.Linear(4, 4))
    draw = learner.hindsight.generate
    learner.hindsight.generate = (
        lambda context, target, noise: (  # type: ignore[method-assign]
            0.0 * draw(context, target, noise) + target[..., :2]
        )
    )
    said = [float(learner.learn([pair], [target])["invariance"]) for _ in range(150)]
    assert said[0] < 0.1
    assert said[-1] > 0.8


def test_without_the_invariance_loss_the_outcome_is_copied():
    # The largest possible value is log 12 = 2.5.
    found = {}
    for wanted in (True, False):
        maker = torch.nn.Linear(4, 4)
        learner = _learner(maker, invariance_loss=wanted, trade_off=0.1)
        for step in range(300):
            # The outcome is a function of the context, so that Z need not say anything.
            context = _drawn(4, 12, 4, seed=step)
            pair = Pairs(maker(context), None, torch.ones(4, 12, dtype=torch.bool))
            metrics = learner.learn([pair], [unit(context[..., :3])])
        found[wanted] = float(metrics["invariance"])
    assert found[False] > 1.0
    assert found[True] < 0.5 * found[False]


def test_rewarding_is_repeatable_and_learning_moves_on():
    maker = torch.nn.Linear(4, 4)
    learner = _learner(maker)
    pairs, targets = _pairs(maker)
    first = learner.pair_errors(pairs, targets)[0]
    assert torch.equal(first, learner.pair_errors(pairs, targets)[0])
    state = learner.noise_state.clone()
    learner.learn(pairs, targets)
    assert not torch.equal(state, learner.noise_state)


def test_rewards_follow_the_columns():
    maker = torch.nn.Linear(4, 4)
    learner = _learner(maker)
    (pair,), (target,) = _pairs(maker)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    moved = Pairs(pair.context[:, order], None, pair.valid)
    torch.testing.assert_close(
        learner.pair_errors([moved], [target[:, order]])[0],
        learner.pair_errors([pair], [target])[0][:, order],
    )


def test_many_columns_are_cut_into_groups():
    maker = torch.nn.Linear(4, 4)
    learner = _learner(maker, negatives=4)
    (pair,), (target,) = _pairs(maker, members=6)
    whole = learner.pair_errors([pair], [target])[0]
    for columns in (slice(0, 4), slice(4, 6)):
        part = Pairs(pair.context[:, columns], None, pair.valid[:, columns])
        alone = learner.pair_errors([part], [target[:, columns]])[0]
        torch.testing.assert_close(whole[:, columns], alone)
    assert in_groups(torch.ones(2, 6, 3), 4).shape == (4, 4, 3)
    assert in_groups(torch.ones(2, 6, dtype=torch.bool), 4)[1].tolist() == [
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(UserError, match="negatives must be at least 2"):
        _learner(maker, negatives=1)


@pytest.mark.parametrize("trade_off", [0.0, -1.0, float("inf"), float("nan")])
def test_lambda_must_be_positive(trade_off):
    with pytest.raises(UserError, match="must be positive"):
        _learner(torch.nn.Linear(4, 4), trade_off=trade_off)
