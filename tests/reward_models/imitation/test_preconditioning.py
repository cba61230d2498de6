from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.base import Order, RewardModel, Scope
from reward_models.check import check_reward
from reward_models.curiosity import E3B, RND
from reward_models.errors import UnknownNameError, UserError
from reward_models.imitation import AdversarialImitation, Pessimistic
from reward_models.imitation.preconditioning import kappa_of
from reward_models.registry import build_reward

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
SPACES = {"observation_space": VECTOR, "action_space": BOX}


def _steep(observation):
    return 10.0 + 2.5 * observation[..., 0]


def test_kappa_of_penalties():
    penalties = torch.tensor([0.0, 0.25, 1.0, 4.0])
    torch.testing.assert_close(
        kappa_of(penalties), torch.tensor([1.0, 0.778801, 0.367879, 0.018316])
    )
    torch.testing.assert_close(
        kappa_of(penalties, floor=0.7), torch.tensor([1.0, 0.778801, 0.7, 0.7])
    )
    torch.testing.assert_close(kappa_of(penalties, scale=4.0), torch.exp(-penalties / 4))


def test_a_kappa_of_one_changes_no_bit(make_rollout):
    model, rollout = RND(observation_space=VECTOR, latent_size=8), make_rollout()
    reward, extras = Pessimistic(model=model, kappa=1.0)(rollout)
    assert torch.equal(reward, model(rollout))
    assert torch.equal(extras["kappa"], torch.ones(6, 3))


def test_a_constant_kappa(make_rollout):
    reward, _ = Pessimistic(model=_steep, kappa=0.25)(make_rollout())
    torch.testing.assert_close(reward, 0.25 * _steep(make_rollout().observation).float())


def test_own_kappa_is_of_the_gradient_of_the_reward(make_rollout):
    wrapped, rollout = Pessimistic(model=_steep), make_rollout()
    reward, extras = wrapped(rollout)
    kappa = torch.full((6, 3), float(np.exp(-(1.5**2))))
    torch.testing.assert_close(extras["kappa"], kappa, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(reward, kappa * _steep(rollout.observation).float())
    at_ease = Pessimistic(model=_steep, target=2.6)(rollout)[0]
    assert torch.equal(at_ease, _steep(rollout.observation).float())


def test_own_kappa_of_a_discriminator_is_of_its_logit(make_rollout):
    model = AdversarialImitation(
        demonstrations=make_rollout(seed=9, shift=2.0), penalty="none", steps=300, batch_size=16,
        spectral_norm=False, **SPACES,
    )  # fmt: skip
    wrapped, rollout = Pessimistic(model=model), make_rollout()
    assert wrapped.order == Order.UPDATE_FIRST
    metrics = wrapped.update(rollout)
    norms = model.gradient_norms(rollout)
    assert float(norms.max()) > 1.2
    expected = torch.exp(-(norms - 1.0).clamp_min(0).square())
    torch.testing.assert_close(wrapped.kappas(rollout), expected)
    assert metrics["kappa"] == pytest.approx(float(expected.mean()), rel=1e-5)
    assert "gradient" in metrics


def test_kappa_is_no_part_of_the_gradient(make_rollout):
    rollout = make_rollout()
    seen = rollout.observation.float().requires_grad_()

    def quadratic(observation):
        return observation[..., 0] ** 2

    reward, extras = Pessimistic(model=quadratic)(rollout.replace(observation=seen), gradient=True)
    assert not extras["kappa"].requires_grad
    (found,) = torch.autograd.grad(reward.sum(), seen)
    torch.testing.assert_close(found[..., 0], extras["kappa"] * 2 * seen.detach()[..., 0])


def test_forward_kappa(make_rollout):
    wrapped = Pessimistic(model=_steep, kappa="forward", target=0.1, floor=0.3, **SPACES)
    for seed in range(3):
        assert {"kappa", "forward_loss"} <= set(wrapped.update(make_rollout(seed=seed)))
    rollout = make_rollout(seed=7)
    penalties = wrapped.dynamics.penalties(rollout)
    expected = torch.exp(-penalties / wrapped.dynamics.scale).clamp_min(0.3)
    torch.testing.assert_close(wrapped.kappas(rollout), expected)
    default = Pessimistic(model=_steep, kappa="forward", **SPACES)
    assert (default.target, default.floor) == (9.0, 0.7)


def test_negative_rewards_are_refused_unless_meant(make_rollout):
    def negative(observation):
        return _steep(observation) - 20.0

    with pytest.raises(UserError, match="signed"):
        Pessimistic(model=negative, kappa=0.5)(make_rollout())
    reward, _ = Pessimistic(model=negative, kappa=0.5, signed=True)(make_rollout())
    torch.testing.assert_close(reward, 0.5 * negative(make_rollout().observation).float())


def test_what_the_model_declares_and_defines_is_kept(make_rollout):
    class Half(RewardModel):
        requires = frozenset({"hidden"})
        task_free = False

        def forward(self, rollout):
            defined = rollout.mask.clone()
            defined[:3] = False
            return rollout.reward.abs(), {"defined": defined, "named": rollout.reward}

    wrapped = Pessimistic(model=Half(), kappa=0.5)
    assert (wrapped.requires, wrapped.task_free) == ({"hidden"}, False)
    assert not wrapped.learns
    _, extras = wrapped(make_rollout())
    assert not bool(extras["defined"][:3].any())
    assert torch.equal(extras["named"], make_rollout().reward)


def test_it_is_built_by_name_around_a_named_model(make_rollout):
    options = {"model": {"use": "rnd", "latent_size": 8}, "kappa": 0.5}
    wrapped = build_reward("pessimistic", gamma=0.9, options=options, **SPACES)
    assert isinstance(wrapped.model, RND)
    assert wrapped.preferred_scale == "return_std"
    reward, _ = wrapped(make_rollout())
    assert torch.equal(reward, 0.5 * wrapped.model(make_rollout()))
    short = build_reward("pessimistic", gamma=0.9, options={"model": "constant"}, **SPACES)
    assert short.scope == Scope.TRANSITION


@pytest.mark.parametrize("kappa", [1.0, "own", "forward"])
def test_it_keeps_the_contract(make_rollout, kappa):
    build = partial(
        Pessimistic, model={"use": "gail", "demonstrations": make_rollout(), "steps": 1,
                            "batch_size": 8}, kappa=kappa,
    )  # fmt: skip
    report = check_reward(build, **SPACES)
    assert report.ok, report


@pytest.mark.parametrize(
    "options",
    [{"kappa": 0.0}, {"kappa": 1.1}, {"kappa": -0.5}, {"floor": 1.0}, {"target": 0.0},
     {"kappa": "forward"}, {"model": {"latent_size": 8}, **SPACES}, {"model": "rnd"},
     {"model": "missing.py:reward", **SPACES},
     {"model": {"use": "potential", "function": "missing.py:phi"}, **SPACES},
     {"model": E3B(**SPACES)}],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(options):
    with pytest.raises(UserError):
        Pessimistic(**{"model": _steep, **options})


@pytest.mark.parametrize("named", ["steep", {"use": "steep"}])
def test_code_of_ones_own_is_preconditioned_by_name(named, tmp_path, make_rollout):
    file = tmp_path / "mine.py"
    file.write_text("def steep(observation):\n    return 100 + 5 * observation[..., 0]\n")
    use = f"{file}:steep"
    model = Pessimistic(model=use if named == "steep" else {"use": use}, **SPACES)
    rollout = make_rollout()
    expected = Pessimistic(model=lambda observation: 100 + 5 * observation[..., 0], **SPACES)
    torch.testing.assert_close(model(rollout)[0], expected(rollout)[0])


@pytest.mark.parametrize("options", [{"kappa": "self"}, {"model": "rmd", **SPACES}])
def test_unknown_names_are_refused(options):
    with pytest.raises(UnknownNameError):
        Pessimistic(**{"model": _steep, **options})
