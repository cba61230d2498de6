"""The learners of SBX are measured as those of torch are."""

import importlib.util

import numpy as np
import pytest
import torch

import ctrl
from ctrl.imitation.lipschitz import check_measurable, learner_steepness
from ctrl.imitation.lipschitz_sbx import sbx_norms

pytestmark = [
    pytest.mark.jax,
    pytest.mark.skipif(
        importlib.util.find_spec("sbx") is None or importlib.util.find_spec("jax") is None,
        reason="SBX is not installed: pip install 'ctrl[sbx]'",
    ),
]
# JAX compiles every learner for seconds; the learners that share SAC's code are slow checks.
slow = pytest.mark.bar


def _measured(model, seed=0):
    return learner_steepness(model, samples=64, generator=np.random.default_rng(seed))


def _with_data(model, steps=32):
    """Let a learner collect some steps without learning from them."""
    check_measurable(model)
    model.learning_starts = 10**6
    model.learn(steps)
    return model


def _copy_layers(layers, modules):
    """Copy layers of flax, in the order of their numbers, into linear modules of torch."""
    linear = [module for module in modules if isinstance(module, torch.nn.Linear)]
    assert len(linear) == len(layers)
    with torch.no_grad():
        for k, module in enumerate(linear):
            module.weight.copy_(torch.tensor(np.array(layers[f"Dense_{k}"]["kernel"])).T)
            module.bias.copy_(torch.tensor(np.array(layers[f"Dense_{k}"]["bias"])))


def _copy_sac(source, target):
    """Give SAC of torch the networks of SBX's."""
    actor = target.policy.actor
    layers = [*actor.latent_pi.modules(), actor.mu, actor.log_std]
    _copy_layers(source.policy.actor_state.params["params"], layers)
    stacked = source.policy.qf_state.params["params"]["VmapContinuousCritic_0"]
    for k, network in enumerate(target.policy.critic.q_networks):
        own = {name: {n: part[k] for n, part in layer.items()} for name, layer in stacked.items()}
        _copy_layers(own, network.modules())


@pytest.mark.parametrize(
    "env", ["PointMass-v0", pytest.param("PointMassGoals-v0", marks=slow, id="dict")]
)
def test_equal_networks_measure_the_same_as_those_of_torch(env, learner):
    ours = _with_data(learner("sbx_sac", env=env))
    same = _with_data(learner("sac", env=env))
    _copy_sac(ours, same)
    # One buffer for both.
    same.replay_buffer = ours.replay_buffer
    found = _measured(ours)
    assert set(found) == {"critic", "critic_max", "actor"}
    assert found == pytest.approx(_measured(same), rel=1e-4)
    assert found["critic"] < found["critic_max"]


def test_measuring_touches_neither_networks_nor_random_keys(learner):
    from ctrl.sb3.sbx_state import network_state, optimizer_state

    model = _with_data(learner("sbx_sac"))
    before = network_state(model), optimizer_state(model)["keys"]
    first = _measured(model)
    assert first == _measured(model)
    assert first != _measured(model, seed=1)
    after = network_state(model), optimizer_state(model)["keys"]
    assert all(np.array_equal(before[0][name], after[0][name]) for name in before[0])
    assert before[1] == after[1]


def _differences(function, point, step=1e-3):
    """Return the Jacobian of a function at a point ``[D]`` by central differences, ``[O, D]``."""
    steps = np.eye(len(point), dtype=np.float32) * step
    return np.stack([(function(point + d) - function(point - d)) / (2 * step) for d in steps], 1)


def _apply(state, network, *arguments):
    """Apply a network to one sample as the learner does when it acts."""
    variables = state.params
    if hasattr(state, "batch_stats"):
        variables = {"params": state.params, "batch_stats": state.batch_stats}
    return network.apply(variables, *(part[None] for part in arguments))


# Smooth networks, so that no difference steps over a kink.
SMOOTH = {"net_arch": [16, 16], "activation_fn": "tanh"}


@slow
@pytest.mark.parametrize("algo", ["sbx_tqc", "sbx_td3", "sbx_crossq"])
def test_norms_are_those_of_finite_differences(algo, learner):
    options = {"policy_kwargs": SMOOTH, "batch_size": 8}
    model = learner(algo, options={**options, "learning_starts": 8})
    model.learn(24)  # so that CrossQ has running statistics
    policy, buffer = model.policy, model.replay_buffer
    seen, action = buffer.observations[:5, 0], buffer.actions[:5, 0]
    critic, actor = sbx_norms(model, seen, action)
    assert critic.shape == (5, 2)
    assert actor.shape == (5,)
    two = hasattr(policy, "qf1_state")
    states = [policy.qf1_state, policy.qf2_state] if two else [policy.qf_state]

    def values(point):
        found = [_apply(s, policy.qf, point[:4], point[4:]).mean(-1) for s in states]
        return np.concatenate([np.asarray(each, np.float64).ravel() for each in found])

    def acts(point):
        return np.asarray(policy._predict(point[None], deterministic=True), np.float64)[0]

    for row in range(5):
        jacobian = _differences(values, np.concatenate([seen[row], action[row]]))
        np.testing.assert_allclose(
            critic[row], np.linalg.norm(jacobian, axis=1), rtol=2e-2, atol=1e-3
        )
        expected = np.linalg.norm(_differences(acts, seen[row]))
        np.testing.assert_allclose(actor[row], expected, rtol=2e-2, atol=1e-3)


@slow
def test_dropout_is_off(learner):
    kwargs = {"policy_kwargs": {**SMOOTH, "dropout_rate": 0.5}}
    model = _with_data(learner("sbx_sac", options=kwargs))
    assert _measured(model) == _measured(model)
    without = _with_data(learner("sbx_sac", options={"policy_kwargs": SMOOTH}))
    without.policy.qf_state = without.policy.qf_state.replace(params=model.policy.qf_state.params)
    without.policy.actor_state = without.policy.actor_state.replace(
        params=model.policy.actor_state.params
    )
    without.replay_buffer = model.replay_buffer
    assert _measured(without) == pytest.approx(_measured(model), rel=1e-5)


@slow
def test_choices_are_valued_where_they_were_taken(learner):
    model = _with_data(learner("sbx_dqn", env="CartPole-v1"))
    assert set(_measured(model)) == {"critic", "critic_max"}
    policy, buffer = model.policy, model.replay_buffer
    seen, action = buffer.observations[:6, 0], buffer.actions[:6, 0]
    # The two choices differ, and each is measured by its own value.
    other, _ = sbx_norms(model, seen, 1 - action)
    critic, actor = sbx_norms(model, seen, action)
    assert actor is None
    assert (critic != other).all()
    for row in range(6):
        rows = _differences(
            lambda s: np.asarray(_apply(policy.qf_state, policy.qf, s))[0], seen[row]
        )
        expected = np.linalg.norm(rows[int(action[row, 0])])
        np.testing.assert_allclose(critic[row, 0], expected, rtol=3e-2, atol=2e-3)


@slow
def test_on_policy_learners_are_measured_by_their_value_network(learner):
    model = learner("sbx_ppo", normalize_observations=True)
    model.learn(32)
    assert set(_measured(model)) == {"critic", "critic_max", "actor"}
    policy = model.policy
    seen = model.rollout_buffer.observations[:4]
    critic, actor = sbx_norms(model, seen, model.rollout_buffer.actions[:4])
    for row in range(4):
        rows = _differences(
            lambda s: np.asarray(_apply(policy.vf_state, policy.vf, s))[0], seen[row]
        )
        np.testing.assert_allclose(critic[row], np.linalg.norm(rows, axis=1), rtol=2e-2, atol=1e-3)
        mean = _differences(
            lambda s: np.asarray(_apply(policy.actor_state, policy.actor, s).mode())[0], seen[row]
        )
        np.testing.assert_allclose(actor[row], np.linalg.norm(mean), rtol=2e-2, atol=1e-3)


@slow
def test_a_run_with_diagnostics_is_the_run_without(tmp_path):
    from safetensors.torch import load_file

    for name, every in (("with", 40), ("without", 0)):
        ctrl.train(
            env={"id": "PointMass-v0", "n_envs": 2},
            algo={"name": "sbx_sac", "learning_starts": 20, "policy_kwargs": {"net_arch": [16]}},
            diagnostics={"lipschitz": every},
            steps=130,
            out=tmp_path / name,
        )
    one, other = (
        load_file(str(tmp_path / name / "final" / "policy.safetensors"))
        for name in ("with", "without")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
    header = (tmp_path / "with" / "progress.csv").read_text().splitlines()[0]
    assert {"lipschitz/critic", "lipschitz/critic_max", "lipschitz/actor"} <= set(header.split(","))
