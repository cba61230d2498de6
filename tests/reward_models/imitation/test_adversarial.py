from __future__ import annotations

import logging
import math
from functools import partial

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from reward_models.base import Order, Scope
from reward_models.check import check_reward
from reward_models.encoders import HiddenEncoder
from reward_models.errors import UnknownNameError, UserError
from reward_models.imitation import AdversarialImitation
from reward_models.imitation.lipschitz import reward_gradient_norms
from reward_models.imitation.reward_forms import reward_of
from reward_models.mix import RewardMix, Term
from reward_models.registry import build_reward
from reward_models.rollout import Rollout

VECTOR = spaces.Box(-np.inf, np.inf, (5,), np.float64)
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


@pytest.fixture
def make_model(make_rollout):
    def make(observation_space=VECTOR, action_space=BOX, **options):
        shift = {"shift": 2.0} if observation_space is VECTOR else {}
        return AdversarialImitation(
            observation_space=observation_space,
            action_space=action_space,
            **{
                "demonstrations": make_rollout(
                    observation_space, action_space, steps=16, seed=9, **shift
                ),
                "batch_size": 16,
                "steps": 3,
                **options,
            },
        )

    return make


def _ends(*places) -> torch.Tensor:
    ends = torch.zeros(6, 3, dtype=torch.bool)
    for place in places:
        ends[place] = True
    return ends


def test_what_the_class_promises(make_model):
    model = make_model()
    assert (model.scope, model.order) == (Scope.TRANSITION, Order.UPDATE_FIRST)
    assert model.task_free
    assert model.replayable
    assert model.learns
    assert not model.batch_dependent
    assert not model.concurrent_update


@pytest.mark.parametrize("form", ["minimax", "sum", "nonsat"])
def test_the_reward_is_a_function_of_the_logit(make_model, make_rollout, form):
    model, rollout = make_model(form=form), make_rollout()
    reward = model(rollout)
    assert not reward.requires_grad
    logits = model.discriminator(model.code(model.code.pairs(rollout))).reshape(6, 3)
    torch.testing.assert_close(reward, reward_of(logits.detach(), form))


def test_it_learns_to_tell_the_expert_from_the_policy(make_model, make_rollout):
    model, policy = make_model(steps=200, seed=1), make_rollout(steps=16)
    before = model(policy)
    model.update(policy)
    metrics = model.update(policy)
    expert = make_rollout(steps=16, seed=9, shift=2.0)
    assert float(model(expert).mean()) > 2 * float(model(policy).mean())
    assert metrics["expert_accuracy"] > 0.9
    assert metrics["policy_accuracy"] > 0.9
    # The same transitions are paid by the present discriminator: nothing is remembered of before.
    assert not torch.allclose(model(policy), before)


def test_the_metrics(make_model, make_rollout):
    metrics = make_model().update(make_rollout())
    assert set(metrics) == {
        "loss", "penalty", "expert_accuracy", "policy_accuracy", "gradient", "reward_gradient",
        "c_validity", "survival_bias",
    }  # fmt: skip
    assert all(math.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("form", ["minimax", "sum", "nonsat"])
def test_the_gradients_reported_are_those_of_logit_and_reward(make_model, make_rollout, form):
    model, rollout = make_model(form=form, steps=100, penalty="none"), make_rollout()
    metrics = model.update(rollout)
    norms = model.gradient_norms(rollout)
    assert metrics["gradient"] == pytest.approx(float(norms.mean()), rel=1e-5)
    assert metrics["c_validity"] == pytest.approx(float((norms <= 1.1).float().mean()))
    of_reward = reward_gradient_norms(model, rollout)
    assert metrics["reward_gradient"] == pytest.approx(float(of_reward.mean()), rel=1e-4)
    assert bool((of_reward <= norms * (1 + 1e-4) + 1e-6).all())


@pytest.mark.parametrize("penalty", ["none", "wgan", "dragan", "nagard", "bare"])
@pytest.mark.parametrize("loss", ["pn", "purl"])
def test_every_penalty_and_loss_learns(make_model, make_rollout, penalty, loss):
    model = make_model(penalty=penalty, loss=loss, noise_std=1.0, clamp=5.0)
    metrics = model.update(make_rollout())
    assert math.isfinite(metrics["loss"])
    assert ("penalty" in metrics) == (penalty != "none")


def test_the_penalty_makes_the_discriminator_flat(make_model, make_rollout):
    found = {}
    for penalty in ("wgan", "none"):
        model = make_model(penalty=penalty, steps=250, spectral_norm=False, seed=2)
        found[penalty] = model.update(make_rollout(steps=16))["gradient"]
    assert found["wgan"] < 1.5
    assert found["none"] > 2 * found["wgan"]


def test_the_two_sided_penalty_punishes_flatness(make_model, make_rollout):
    rollout = make_rollout()
    two, one = (make_model(one_sided=side, steps=1).update(rollout) for side in (False, True))
    # A head of gain 0.01 is almost constant: (0 - 1)^2 and max(0, 0 - 1)^2.
    assert two["penalty"] == pytest.approx(1.0, abs=0.05)
    assert one["penalty"] == 0.0


def test_the_policy_s_pairs_are_remembered(make_model, make_rollout):
    model = make_model(memory=40)
    for seed in range(3):
        model.update(make_rollout(seed=seed))
    rows = model.memory.parts[0].rows
    assert len(rows) == 40
    assert torch.equal(rows[-18:], make_rollout(seed=2).observation.flatten(0, 1).float())
    assert make_model(memory=0).memory is None


def test_steps_follow_the_number_of_fresh_transitions(make_model, make_rollout, monkeypatch):
    counted = []
    model = make_model(steps=None)
    monkeypatch.setattr(model, "_learn", lambda pool, steps: counted.append(steps) or {})
    model.update(make_rollout(steps=16))
    model.update(make_rollout(steps=1, columns=1))
    assert counted == [12, 1]


# -- absorbing states ---------------------------------------------------------------------------


def test_the_end_is_paid_for_ever(make_model, make_rollout):
    model = make_model(absorbing=True, gamma=0.9, steps=50)
    rollout = make_rollout(terminated=_ends((2, 1)), truncated=_ends((4, 0)))
    model.update(rollout)
    open_ended = model(rollout.replace(terminated=_ends()))
    row = torch.tensor([[0.0, 0, 0, 0, 0, 1, 0, 0, 1]])
    staying = float(reward_of(model.discriminator(row), "minimax").detach())
    # The sum itself, not its closed form: 0.9 r + 0.81 r + ...
    after = sum(0.9**k * staying for k in range(1, 400))
    difference = model(rollout) - open_ended
    expected = torch.zeros(6, 3)
    expected[2, 1] = after
    torch.testing.assert_close(difference, expected, rtol=1e-4, atol=1e-5)
    assert staying > 0


def test_truncation_teaches_nothing_about_the_absorbing_state(make_model, make_rollout):
    model = make_model(absorbing=True, gamma=0.9)
    model.update(make_rollout(truncated=_ends((4, 0), (5, 1))))
    assert not bool(model.memory.parts[-1].rows.any())
    model.update(make_rollout(terminated=_ends((4, 0))))
    assert int(model.memory.parts[-1].rows.all(1).sum()) == 1


def test_the_discount_comes_from_the_mix(make_model, make_rollout):
    model = make_model(absorbing=True)
    with pytest.raises(UserError, match="gamma"):
        model(make_rollout(terminated=_ends((4, 0))))
    RewardMix({"gail": Term(model)}, gamma=0.95)
    assert model.gamma == 0.95
    with pytest.raises(UserError, match=r"0\.95"):
        model.bind_discount(0.9)
    for wrong in (1.0, 1.5):
        with pytest.raises(UserError):
            make_model(absorbing=True, gamma=wrong)
    make_model(gamma=0.9).bind_discount(1.0)  # without absorbing states it is not used


# -- warnings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "warned"),
    [({}, "go on"), ({"form": "nonsat"}, "end early"), ({"form": "sum"}, None),
     ({"absorbing": True}, None)],
)  # fmt: skip
def test_survival_bias_is_named_once(make_model, make_rollout, caplog, options, warned):
    model = make_model(gamma=0.9, **options)
    with caplog.at_level(logging.WARNING):
        assert model.update(make_rollout(truncated=_ends((2, 0))))["survival_bias"] == 0.0
        assert not caplog.records
        biased = [model.update(make_rollout(terminated=_ends((2, 0)))) for _ in range(2)]
    assert [each["survival_bias"] for each in biased] == [float(warned is not None)] * 2
    assert [warned in record.message for record in caplog.records] == [True] * bool(warned)


def test_lengths_that_tell_the_agent_from_the_expert_are_named_once(
    make_model, make_rollout, caplog
):
    expert = make_rollout(steps=16, columns=4)
    ends = torch.zeros(16, 4, dtype=torch.bool)
    ends[[7, 15]] = True
    model = make_model(demonstrations=expert.replace(truncated=ends))
    short = torch.zeros(6, 3, dtype=torch.bool)
    short[1::2] = True
    with caplog.at_level(logging.WARNING):
        metrics = [model.update(make_rollout(truncated=short)) for _ in range(3)]
        model.update(make_rollout())
    assert [each["length_auc"] for each in metrics] == [0.0] * 3
    (record,) = caplog.records
    assert "lengths of episodes alone" in record.message


def test_equal_lengths_warn_of_nothing(make_model, make_rollout, caplog):
    expert = make_rollout(steps=6, truncated=_ends(5))
    model = make_model(demonstrations=expert)
    with caplog.at_level(logging.WARNING):
        assert model.update(make_rollout(truncated=_ends(5)))["length_auc"] == 0.5
    assert not caplog.records


# -- other inputs -------------------------------------------------------------------------------


def test_dungeons(make_model, make_rollout, dungeon):
    actions = spaces.Discrete(4)
    model = make_model(
        dungeon, actions, one_hot_actions=True, latent_size=8, normalize_observations=True, steps=60
    )
    weights = [parameter.clone() for parameter in model.code.parameters()]
    expert, policy = (make_rollout(dungeon, actions, steps=16, seed=seed) for seed in (9, 0))
    model.update(policy)
    assert float(model(expert).mean()) > float(model(policy).mean())
    changed = zip(weights, model.code.parameters(), strict=True)
    assert all(not torch.equal(before, after) for before, after in changed)


def test_pictures(make_model, make_rollout):
    pictures = spaces.Box(0, 255, (36, 40, 3), np.uint8)
    model = make_model(pictures, latent_size=8, batch_size=4, state_only=True)
    assert math.isfinite(model.update(make_rollout(pictures))["loss"])
    assert model.memory.parts[0].rows.dtype == torch.uint8


def test_the_features_of_a_policy(make_model, make_rollout):
    def sequence(seed, shift):
        hidden = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(seed)) + shift
        tokens = spaces.Discrete(50)
        return make_rollout(tokens, tokens, seed=seed, hidden=hidden, truncated=_ends((3, 1)))

    model = make_model(
        spaces.Discrete(50), spaces.Discrete(50), demonstrations=sequence(1, 2.0), state_only=True,
        encoder=HiddenEncoder(hidden_size=4, size=8), steps=100,
    )  # fmt: skip
    assert model.requires == {"hidden"}
    assert not model.replayable
    model.update(sequence(0, 0.0))
    reward, extras = model(sequence(0, 0.0))
    assert int((~extras["defined"]).sum()) == 3 + 1
    shown = model(sequence(1, 2.0))[0][extras["defined"]].mean()
    assert float(shown) > float(reward[extras["defined"]].mean())


# -- state and contract -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"absorbing": True, "memory": 10}, {"absorbing": True, "state_only": True},
     {"normalize_observations": True, "memory": 0}],
)  # fmt: skip
def test_it_keeps_the_contract(make_rollout, options):
    build = partial(
        AdversarialImitation, demonstrations=make_rollout(terminated=_ends((3, 1))),
        batch_size=8, steps=2, **options,
    )  # fmt: skip
    report = check_reward(build, observation_space=VECTOR, action_space=BOX)
    assert report.ok, report


def test_a_saved_model_goes_on_as_if_nothing_had_happened(make_model, make_rollout, tmp_path):
    model, fresh = make_model(), make_model(seed=5)
    model.update(make_rollout(terminated=_ends((3, 1))))
    save_file(model.state_dict(), str(tmp_path / "state.safetensors"))
    fresh.load_state_dict(load_file(str(tmp_path / "state.safetensors")))
    after = [each.update(make_rollout(seed=1)) for each in (model, fresh)]
    assert after[0] == after[1]
    assert torch.equal(model(make_rollout()), fresh(make_rollout()))


def test_a_seed_decides_everything(make_model, make_rollout):
    first, same, other = (make_model(seed=seed) for seed in (0, 0, 1))
    for model in (first, same, other):
        model.update(make_rollout())
    assert torch.equal(first(make_rollout()), same(make_rollout()))
    assert not torch.equal(first(make_rollout()), other(make_rollout()))


def test_half_precision_does_not_reach_it(make_model, make_rollout):
    plain, cast = make_model(), make_model()
    first = plain.update(make_rollout())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        second = cast.update(make_rollout())
        reward = cast(make_rollout())
    assert first == second
    assert reward.dtype == torch.float32
    assert torch.equal(plain(make_rollout()), reward)


def test_it_is_built_by_name(make_rollout):
    model = build_reward(
        "gail", observation_space=VECTOR, action_space=BOX, gamma=0.9,
        options={"demonstrations": make_rollout(), "absorbing": True},
    )  # fmt: skip
    assert isinstance(model, AdversarialImitation)
    assert model.gamma == 0.9


@pytest.mark.parametrize(
    "options",
    [{"penalty_weight": -1.0}, {"penalty_target": 0.0}, {"entropy_weight": -1.0}, {"eta": 1.5},
     {"steps": 0}, {"memory": -1}, {"noise_std": -1.0}, {"penalty_weight": math.nan},
     {"action_space": spaces.Discrete(2)}, {"real_labels": "soft"}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(make_model, options):
    with pytest.raises(UserError):
        make_model(**options)


@pytest.mark.parametrize("options", [{"form": "max"}, {"loss": "bce"}, {"penalty": "gp"}])
def test_unknown_names_are_refused(make_model, options):
    with pytest.raises(UnknownNameError):
        make_model(**options)


def test_demonstrations_of_another_task_are_refused(make_model, make_rollout):
    wrong: Rollout = make_rollout(spaces.Box(-1, 1, (4,), np.float32))
    with pytest.raises(UserError, match=r"\[6, 3, 5\]"):
        make_model(demonstrations=wrong)
