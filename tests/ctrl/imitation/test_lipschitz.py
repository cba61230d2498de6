import numpy as np
import pytest
import torch

import ctrl
from ctrl.imitation.lipschitz import (
    check_measurable,
    gradient_norms,
    jacobian_norms,
    learner_steepness,
)
from reward_models.errors import UserError

LINEAR = {"net_arch": {"pi": [], "qf": [], "vf": []}}


def _measured(model, samples=32, seed=0):
    return learner_steepness(model, samples=samples, generator=np.random.default_rng(seed))


def _with_data(model, steps=24):
    """Let a learner collect some steps without learning from them."""
    model.learning_starts = 10**6
    model.learn(steps)
    return model


@pytest.mark.parametrize(
    ("function", "points", "norms"),
    [
        (lambda x: 3 * x[:, 0] + 4 * x[:, 1], [(0.0, 0.0), (7.0, -1.0)], [5, 5]),
        (lambda x: 0.3 * x[:, 0] + 0.4 * x[:, 1], [(1.0, 1.0)], [0.5]),
        (lambda x: x[:, 0] ** 2 + 2 * x[:, 1], [(0.0, 0.0), (1.0, 1.0)], [2, 2.828427]),
        (lambda x: 0 * x[:, 0] + 5, [(1.0, 2.0)], [0]),
    ],
)
def test_gradient_norms_are_those_computed_by_hand(function, points, norms):
    inputs = torch.tensor(points)
    whole = gradient_norms(lambda given: function(given[""]), {"": inputs})
    torch.testing.assert_close(whole, torch.tensor(norms).float())
    # Split into an observation and an action, the norm is that of both together.
    parts = {"": inputs[:, :1], "action": inputs[:, 1:]}
    both = gradient_norms(lambda g: function(torch.cat([g[""], g["action"]], 1)), parts)
    torch.testing.assert_close(both, whole)


def test_an_unused_input_counts_as_flat():
    inputs = {"a": torch.ones(3, 2), "b": torch.ones(3, 4)}
    norms = gradient_norms(lambda given: 2 * given["a"].sum(1), inputs)
    torch.testing.assert_close(norms, torch.full((3,), 8**0.5))


def test_jacobian_norms_are_frobenius_norms():
    matrix = torch.tensor([[1.0, 2.0, 0.0], [0.0, -2.0, 4.0]])
    inputs = {"": torch.randn(5, 3, generator=torch.Generator().manual_seed(0))}
    found = jacobian_norms(lambda given: given[""] @ matrix.T, inputs)
    torch.testing.assert_close(found, torch.full((5,), 5.0))
    curved = jacobian_norms(lambda given: torch.tanh(given[""] @ matrix.T), inputs)
    slopes = 1 - torch.tanh(inputs[""] @ matrix.T) ** 2
    expected = (slopes[..., None] * matrix).flatten(1).norm(dim=1)
    torch.testing.assert_close(curved, expected)


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_linear_critics_have_the_norm_of_their_weights(algo, learner):
    model = _with_data(learner(algo, options={"policy_kwargs": LINEAR}))
    found = _measured(model)
    weights = [network[0].weight for network in model.critic.q_networks]
    assert weights[0].shape == (1, 6)
    norms = [float(weight.detach().norm()) for weight in weights]
    assert found["critic"] == pytest.approx(np.mean(norms), rel=1e-5)
    assert found["critic_max"] == pytest.approx(max(norms), rel=1e-5)


def test_quantile_critics_are_measured_by_their_mean(learner):
    model = _with_data(learner("tqc", options={"policy_kwargs": LINEAR}))
    norms = [float(net[0].weight.detach().mean(0).norm()) for net in model.critic.q_networks]
    assert _measured(model)["critic"] == pytest.approx(np.mean(norms), rel=1e-5)


def test_choices_are_valued_where_they_were_taken(learner):
    model = _with_data(
        learner("dqn", env="CartPole-v1", options={"policy_kwargs": {"net_arch": []}})
    )
    with torch.no_grad():
        model.q_net.q_net[0].weight[0] = torch.tensor([3.0, 0, 4, 0])
        model.q_net.q_net[0].weight[1] = torch.tensor([0.0, 1, 0, 0])
    found = _measured(model, samples=4000)
    taken = model.replay_buffer.actions[: model.replay_buffer.pos].mean()
    assert found["critic"] == pytest.approx(5 - 4 * taken, abs=0.15)
    assert found["critic_max"] == 5
    assert "actor" not in found


def test_the_actors_jacobian_is_that_of_the_deterministic_action(learner):
    model = _with_data(learner("td3", options={"policy_kwargs": LINEAR}))
    found = _measured(model)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, model.replay_buffer.pos, 32)
    columns = rng.integers(0, 2, 32)
    seen = torch.as_tensor(model.replay_buffer.observations[rows, columns])
    weight = model.actor.mu[0].weight.detach()
    slopes = 1 - model.actor(seen).detach() ** 2
    expected = (slopes[..., None] * weight).flatten(1).norm(dim=1).mean()
    assert found["actor"] == pytest.approx(float(expected), rel=1e-5)


def test_on_policy_learners_are_measured_by_their_value_network(learner):
    kwargs = {"policy_kwargs": LINEAR}
    model = _with_data(learner("ppo", options=kwargs, normalize_observations=True), 32)
    found = _measured(model)
    assert found["critic"] == pytest.approx(
        float(model.policy.value_net.weight.detach().norm()), rel=1e-5
    )
    assert found["actor"] == pytest.approx(
        float(model.policy.action_net.weight.detach().norm()), rel=1e-5
    )
    choices = _with_data(learner("ppo", env="CartPole-v1", options=kwargs), 32)
    assert set(_measured(choices)) == {"critic", "critic_max"}


def test_without_data_there_is_nothing_to_measure(learner):
    assert _measured(learner("sac")) == {}


def test_measuring_changes_nothing(learner):
    model = _with_data(learner("sac"))
    state = torch.get_rng_state()
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    assert _measured(model) == _measured(model)
    assert _measured(model) != _measured(model, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[k], v) for k, v in model.policy.state_dict().items())
    assert all(p.grad is None for p in model.policy.parameters())


def test_a_run_with_diagnostics_is_the_run_without(tmp_path):
    from safetensors.torch import load_file

    for name, every in (("with", 40), ("without", 0)):
        ctrl.train(
            env={"id": "PointMass-v0", "n_envs": 2},
            algo={"name": "sac", "learning_starts": 20, "policy_kwargs": {"net_arch": [16]}},
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


@pytest.mark.parametrize(
    ("algo", "env", "options", "message"),
    [
        ("recurrent_ppo", "PointMass-v0", {}, "values whole histories"),
        ("ppo", "FrozenLake-v1", {}, "choices without a gradient"),
        (
            "sac",
            "PointMass-v0",
            {"policy_kwargs": {"share_features_extractor": True}},
            "no gradient to what it sees",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(algo, env, options, message, learner):
    with pytest.raises(UserError, match=message):
        check_measurable(learner(algo, env=env, options=options))
