from __future__ import annotations

import logging

import pytest
import torch
from scipy.stats import ttest_1samp

from ctrl.search.barfi.episodes import EpisodeBatch
from ctrl.search.barfi.hypergradient import Exact, flat, hypergradient
from reward_models.errors import UnknownNameError, UserError


def _copy(parameters):
    return [parameter.detach().clone() for parameter in parameters]


def _same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_outer_step_leaves_the_policy_alone(make_learner):
    learner = make_learner()
    learner.learn(3)
    batch, _ = learner.collector.collect(learner.policy)
    learner.replay.add(batch)
    before = _copy(learner.policy.parameters())
    phi = _copy(learner.coefficients.parameters())
    numbers = learner.outer_step(batch)
    assert numbers["outer/task_gradient"] > 0
    assert _same(before, learner.policy.parameters())
    assert not _same(phi, learner.coefficients.parameters())
    assert all(parameter.grad is None for parameter in learner.policy.parameters())


def test_an_inner_step_leaves_blend_and_discount_alone(make_learner):
    learner = make_learner(discount={"learning_rate": 0.1})
    batch, _ = learner.collector.collect(learner.policy)
    before = _copy(learner.policy.parameters())
    above = [*learner.coefficients.parameters(), learner.discount.logit]
    phi = _copy(above)
    learner.inner_step(batch)
    assert not _same(before, learner.policy.parameters())
    assert _same(phi, above)
    assert all(parameter.grad is None for parameter in above)


def test_a_discount_rate_of_zero_keeps_the_discount(make_learner):
    kept, moved = make_learner(), make_learner(discount={"learning_rate": 0.1})
    start = kept.discount.logit.item()
    kept.learn(6)
    moved.learn(6)
    assert kept.discount.logit.item() == start
    assert moved.discount.logit.item() != start


def test_the_discount_penalty_shortens_the_horizon(make_learner):
    learner = make_learner(
        hypergradient={"name": "none", "alpha": None},
        discount={"learning_rate": 0.1, "penalty": 1.0},
    )
    numbers: list[float] = []
    learner.learn(6, lambda _, found: numbers.append(found["blend/discount"]))
    assert numbers[-1] < numbers[1] < 0.9901


def test_a_hint_of_zero_gets_no_gradient(make_learner):
    learner = make_learner(reward={"hint": {"use": "constant", "value": 0.0}})
    learner.learn(3)
    batch, _ = learner.collector.collect(learner.policy)
    batch = EpisodeBatch(**{**batch.as_dict(), "rewards": _without_hint(batch)})
    phi = [*learner.coefficients.parameters()]
    found = hypergradient(
        learner._inner_gradient(batch),
        learner._task_gradient(batch),
        theta=list(learner.policy.parameters()),
        phi=phi,
        solver=Exact(damping=1.0),
    )
    # The table holds phi_1 and phi_3 (phi_2 is fixed), one row each.
    assert bool(found[0][0].any())
    assert not bool(found[0][1].any())


def _without_hint(batch):
    rewards = batch.rewards.clone()
    rewards[..., 1:] = 0.0
    rewards[..., 0] += 1.0
    return rewards


def test_the_outer_gradient_is_of_the_newest_episodes_alone(make_learner):
    learner = make_learner()
    learner.learn(3)
    batch, _ = learner.collector.collect(learner.policy)
    learner.replay.add(batch)
    expected = learner._task_gradient(batch).norm().item()
    for episode in learner.replay.episodes[:-4]:
        episode.rewards[..., 0] = 1e6
    assert learner.outer_step(batch)["outer/task_gradient"] == pytest.approx(expected)


def test_the_hessian_is_of_older_episodes_alone(make_learner):
    learner = make_learner()
    learner.learn(3)
    batch, _ = learner.collector.collect(learner.policy)
    learner.replay.add(batch)
    newest = {id(episode) for episode in learner.replay.episodes[-4:]}
    drawn = set()
    for _ in range(20):
        found = learner.replay.sample(100, learner.random, skip_newest=4)
        assert len(found) == 8
        drawn |= {id(episode) for episode in learner.replay.episodes[:8]}
    assert not drawn & newest


def test_without_the_task_only_the_regulariser_acts_and_it_is_counted(make_learner):
    still = make_learner(reward={"task": {"use": "constant", "value": 0.0}})
    start = _copy(still.coefficients.parameters())
    still.learn(4)
    assert still.no_signal == 3  # the first iteration is warm
    assert _same(start, still.coefficients.parameters())
    held = make_learner(reward={"task": {"use": "constant", "value": 0.0}}, blend={"penalty": 0.01})
    held.learn(4)
    weight = held.coefficients.weight.detach()
    assert bool((weight[1] < 1.0).all())
    assert not bool(weight[0].any())


def test_no_older_episodes_leave_the_outer_step_out_and_say_so_once(make_learner, caplog):
    learner = make_learner(schedule={"warm_iterations": 0})
    start = _copy(learner.coefficients.parameters())
    with caplog.at_level(logging.WARNING):
        numbers = learner.step()
        batch, _ = learner.collector.collect(learner.policy)
        learner.replay.episodes.clear()
        learner.outer_step(batch)
    assert "outer/penalty" not in numbers
    assert _same(start, learner.coefficients.parameters())
    assert len(caplog.records) == 1


def test_no_hypergradient_and_no_penalty_keep_the_blend(make_learner):
    learner = make_learner(hypergradient={"name": "none", "alpha": None})
    start = _copy(learner.coefficients.parameters())
    learner.learn(5)
    assert _same(start, learner.coefficients.parameters())


def test_dropout_is_off_in_the_outer_step_alone(make_learner):
    learner = make_learner(policy={"hidden": [8]})
    learner.policy.trunk.append(torch.nn.Dropout(0.5))
    learner.learn(3)
    batch, _ = learner.collector.collect(learner.policy)
    learner.replay.add(batch)
    learner.policy.eval()
    expected = learner._task_gradient(batch).norm().item()
    learner.policy.train()
    assert learner.outer_step(batch)["outer/task_gradient"] == pytest.approx(expected)
    assert learner.policy.training


@pytest.mark.parametrize("baseline", ["naive", "task", "potential"])
def test_baselines_train_the_policy_alone(make_learner, baseline):
    learner = make_learner(baseline=baseline)
    start, policy = _copy(learner.coefficients.parameters()), _copy(learner.policy.parameters())
    numbers: list[dict[str, float]] = []
    learner.learn(4, lambda _, found: numbers.append(found))
    assert _same(start, learner.coefficients.parameters())
    assert not _same(policy, learner.policy.parameters())
    assert "blend/phi_1" not in numbers[-1]
    assert set(numbers[-1]) >= {"return/task", "return/hint"}


def test_warm_steps_are_on_the_naive_sum(make_learner):
    learner, other = make_learner(), make_learner(blend={"start": [5.0, 1.0, -3.0]})
    learner.step()
    other.step()
    assert _same(learner.policy.parameters(), other.policy.parameters())
    learner.step()
    other.step()
    assert not _same(learner.policy.parameters(), other.policy.parameters())


def test_first_steps_are_taken_once_on_the_blend(make_learner):
    none, some = make_learner(), make_learner(schedule={"first_steps": 3})
    none.step()
    some.step()
    moved = [a - b for a, b in zip(none.policy.parameters(), some.policy.parameters(), strict=True)]
    assert bool(flat(moved).any())


def test_a_restored_learner_continues_bit_for_bit(make_learner):
    changes = {"discount": {"learning_rate": 0.05}, "policy": {"hidden": [6], "entropy": 0.02}}
    whole, first, second = (make_learner(**changes) for _ in range(3))
    numbers: list[dict[str, float]] = []
    again: list[dict[str, float]] = []
    whole.learn(6, lambda _, found: numbers.append(found))
    first.learn(3)
    second.load_state_dict(first.state_dict())
    second.learn(3, lambda _, found: again.append(found))
    assert numbers[3:] == again
    assert _same(whole.policy.parameters(), second.policy.parameters())
    assert _same(whole.coefficients.parameters(), second.coefficients.parameters())


def test_the_callback_may_stop(make_learner):
    learner = make_learner()
    learner.learn(6, lambda learner, _: learner.iteration < 2)
    assert learner.iteration == 2


def test_several_hints_get_coefficients_of_their_own(make_learner):
    reward = make_learner().collector.mix  # the fixture's own hint
    assert reward.names == ("task", "hint")
    learner = make_learner(reward={"other": {"use": "constant", "value": 0.1}})
    numbers: list[dict[str, float]] = []
    learner.learn(4, lambda _, found: numbers.append(found))
    assert learner.coefficients.count == 4
    assert {"blend/phi_3/hint", "blend/phi_3/other"} <= set(numbers[-1])


def test_a_gaussian_policy_learns(make_learner):
    learner = make_learner(
        env={"id": "PointMass-v0", "max_episode_steps": 20},
        reward={"hint": {"use": "constant", "value": 0.1}},
        policy={"learning_rate": 0.01, "entropy": 0.0, "hidden": [8]},
        blend={"fixed_task": False, "hidden": [8]},
        schedule={"horizon": 20},
    )
    learner.learn(4)
    assert learner.no_signal == 0
    assert bool(flat(learner._theta).isfinite().all())
    assert learner.policy.log_deviation.detach().tolist() != [pytest.approx(-0.693147)] * 2


def test_outer_steps_turn_from_the_lure(make_learner):
    # Over seeds: the coefficient of the lure, where it is paid, falls below its start of 1.
    trust = []
    for seed in range(6):
        learner = make_learner(seed=seed, schedule={"episodes": 8, "batch": 8, "replay": 48})
        learner.learn(14)
        trust.append(learner.coefficients.weight[1, :2].detach().mean().item() - 1.0)
    assert ttest_1samp(trust, 0.0, alternative="less").pvalue < 0.05


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"reward": {"other": {"use": "icmm"}}}, UnknownNameError, "Did you mean 'icm'"),
        ({"baseline": "naiv"}, UnknownNameError, "Did you mean 'naive'"),
        ({"hypergradient": {"alpha": 0.0}}, UserError, "alpha"),
        ({"hypergradient": {"terms": -1}}, UserError, "terms"),
        ({"policy": {"optimizer": "adamw"}}, UnknownNameError, "adam"),
        ({"blend": {"anchor": "none"}}, UnknownNameError, "anchor"),
        ({"blend": {"penalty": -1.0}}, UserError, "penalty"),
        ({"policy": {"features": "fourier"}}, UserError, "reads a Box"),
    ],
)
def test_what_cannot_work_is_refused(make_learner, changes, error, message):
    with pytest.raises(error, match=message):
        make_learner(**changes)


def test_an_environment_without_a_hint_is_refused(plain_settings):
    from ctrl.search.barfi.build import build_learner
    from ctrl.search.barfi.config import parse_align

    plain = plain_settings()
    plain["reward"] = {}
    with pytest.raises(UserError, match="at least one auxiliary reward"):
        build_learner(parse_align(plain))
