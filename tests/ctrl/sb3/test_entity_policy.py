"""The policy over entities: order and padding do not matter, actor and critic share nothing."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from ctrl.build import build_model
from ctrl.config import parse_config
from ctrl.sb3.entity_policy import EntityPolicy
from ctrl.sb3.entity_policy_networks import EntityAttention, entity_sizes
from reward_models.errors import UserError

SPACE = spaces.Dict(
    {
        "query": spaces.Box(-np.inf, np.inf, (7,), np.float32),
        "entities": spaces.Box(-np.inf, np.inf, (4, 5), np.float32),
        "padding": spaces.MultiBinary(4),
    }
)


def policy(**kwargs) -> EntityPolicy:
    torch.manual_seed(0)
    return EntityPolicy(SPACE, spaces.Discrete(3), lambda progress: 1e-3, **kwargs)


def seen(rows: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    padding = torch.zeros(rows, 4)
    padding[:, 3] = 1.0
    return {
        "query": torch.randn(rows, 7, generator=generator),
        "entities": torch.randn(rows, 4, 5, generator=generator),
        "padding": padding,
    }


def outputs(model: EntityPolicy, observation: dict[str, torch.Tensor]) -> torch.Tensor:
    logits = model.get_distribution(observation).distribution.logits
    return torch.cat((logits, model.predict_values(observation)), dim=1)


def test_that_the_order_of_entities_does_not_matter():
    model, observation = policy(), seen()
    before = outputs(model, observation)
    order = torch.tensor([2, 3, 0, 1])
    shuffled = {
        "query": observation["query"],
        "entities": observation["entities"][:, order],
        "padding": observation["padding"][:, order],
    }
    torch.testing.assert_close(outputs(model, shuffled), before, atol=1e-5, rtol=1e-5)


def test_that_padded_entities_have_no_influence_and_real_ones_do():
    model, observation = policy(), seen()
    before = outputs(model, observation)
    for row, changes in ((3, False), (2, True)):
        moved = {key: values.clone() for key, values in observation.items()}
        moved["entities"][:, row] += 100.0
        equal = torch.allclose(outputs(model, moved), before, atol=1e-5)
        assert equal is not changes


def test_that_a_row_without_any_entity_is_finite():
    observation = {key: torch.zeros_like(values) for key, values in seen().items()}
    observation["padding"][:] = 1.0
    found = outputs(policy(), observation)
    assert found.isfinite().all()
    found.sum().backward()


def test_that_the_network_is_that_of_the_page():
    model = policy()
    attention = model.actor_attention
    assert isinstance(attention, EntityAttention)
    assert attention.features_dim == 128
    assert len(attention.blocks) == 2
    for block in attention.blocks:
        assert block.look.attention.num_heads == 4
        assert [layer.out_features for layer in block.think[::2]] == [512, 128]
    actor = {id(p) for p in attention.parameters()}
    critic = {id(p) for p in model.vf_features_extractor.parameters()}
    assert not actor & critic
    # One linear layer to the actions and one to the value.
    assert model.action_net.in_features == 128 == model.value_net.in_features
    assert sum(1 for _ in model.mlp_extractor.parameters()) == 0


def test_that_each_loss_reaches_its_own_network_only():
    model, observation = policy(), seen()
    model.predict_values(observation).sum().backward()
    assert all(p.grad is None for p in model.actor_attention.parameters())
    assert all(p.grad is not None for p in model.vf_features_extractor.parameters())


@pytest.mark.parametrize(
    ("space", "kwargs", "said"),
    [
        (spaces.Box(-1, 1, (3,)), {}, "env.observation: entities"),
        (spaces.Dict({"query": SPACE["query"]}), {}, "query .*entities .*padding"),
        (SPACE, {"features_extractor_kwargs": {"features_dim": 10}}, "heads divide"),
        (SPACE, {"features_extractor_kwargs": {"blocks": 0}}, "at least one block"),
        (SPACE, {"features_extractor_class": type}, "brings its own"),
        (SPACE, {"share_features_extractor": True}, "apart"),
    ],
)
def test_what_is_refused(space, kwargs, said):
    with pytest.raises(UserError, match=said):
        EntityPolicy(space, spaces.Discrete(3), lambda progress: 1e-3, **kwargs)


def test_that_padding_must_fit_the_entities():
    wrong = spaces.Dict({**SPACE.spaces, "padding": spaces.MultiBinary(3)})
    with pytest.raises(UserError, match="padding"):
        entity_sizes(wrong)


def configured(**more):
    return parse_config(
        {
            "env": {"id": "RocketLeague1v1-v0", "n_envs": 2, **more.pop("env", {})},
            "algo": {
                "name": more.pop("name", "ppo"), "policy": "entity",
                "policy_kwargs": {"features_extractor_kwargs": {"features_dim": 16}},
            },
            **more,
        }
    )  # fmt: skip


def test_that_a_configuration_names_it_and_its_sizes():
    pytest.importorskip("RocketSim")
    model = build_model(configured(env={"observation": "entities"}))
    assert isinstance(model.policy, EntityPolicy)
    assert model.policy.actor_attention.features_dim == 16
    model.env.close()
    with pytest.raises(UserError, match=r"env\.observation: entities"):
        build_model(configured())
    with pytest.raises(UserError, match="normalize_observations would scale the mask"):
        build_model(configured(env={"observation": "entities"}, normalize_observations=True))
    with pytest.raises(UserError, match="not for sac"):
        build_model(configured(name="sac", env={"observation": "entities"}))
