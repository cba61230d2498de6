from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from ctrl.search.genomes import PolicyGenome, make_genome_kind
from ctrl.search.genomes.policy import acting_parameters
from reward_models.errors import UnknownNameError, UserError

SEEN = spaces.Box(-np.inf, np.inf, (5,), np.float32)
BOX = spaces.Box(-2.0, 2.0, (3,), np.float32)
LEARNERS = [
    ("ppo", BOX), ("ppo", spaces.Discrete(4)), ("a2c", spaces.MultiDiscrete([3, 2])),
    ("a2c", spaces.MultiBinary(3)), ("trpo", BOX), ("sac", BOX), ("td3", BOX), ("ddpg", BOX),
    ("tqc", BOX), ("dqn", spaces.Discrete(4)),
]  # fmt: skip
SMALL = {"net_arch": [7, 6]}
GOAL = spaces.Dict(dict.fromkeys(("observation", "achieved_goal", "desired_goal"), SEEN))
PICTURE = spaces.Box(0, 255, (3, 36, 36), np.uint8)


def _genomes(kind, count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, kind.size)) * 0.4


@pytest.mark.parametrize(("algo", "action"), LEARNERS)
def test_actions_are_those_of_predict_to_the_last_bit_whatever_acts_beside(algo, action):
    kind = PolicyGenome(SEEN, action, algo=algo, policy_kwargs=SMALL)
    genomes = _genomes(kind, 19)
    seen = np.random.default_rng(1).normal(size=(19, 5)).astype(np.float32)
    found = kind.actor(genomes)(seen)
    policy = PolicyGenome(SEEN, action, algo=algo, policy_kwargs=SMALL).policy
    for row, genome in enumerate(genomes):
        kind.write(genome, policy)
        expected, _ = policy.predict(seen[row], deterministic=True)
        assert np.array_equal(found[row], expected)
    assert len(np.unique(found, axis=0)) > 1
    part = slice(7, 10)
    assert np.array_equal(kind.actor(genomes[part])(seen[part]), found[part])


@pytest.mark.parametrize(
    ("seen", "algo"), [(GOAL, "sac"), (GOAL, "ppo"), (PICTURE, "ppo"), (PICTURE, "dqn")]
)
def test_dicts_and_pictures_are_read_as_the_policy_reads_them(seen, algo):
    action = BOX if algo == "sac" else spaces.Discrete(3)
    kind = PolicyGenome(seen, action, algo=algo)
    genomes = _genomes(kind, 2) * 0.1
    seen.seed(0)
    rows = [seen.sample() for _ in range(2)]
    batch = (
        {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        if isinstance(seen, spaces.Dict)
        else np.stack(rows)
    )
    found = kind.actor(genomes)(batch)
    for row, genome in enumerate(genomes):
        kind.write(genome, kind.policy)
        assert np.array_equal(found[row], kind.policy.predict(rows[row], deterministic=True)[0])


@pytest.mark.parametrize(("algo", "action"), LEARNERS)
def test_the_genome_is_the_actor_and_nothing_else(algo, action):
    kind = PolicyGenome(SEEN, action, algo=algo, policy_kwargs=SMALL)
    policy, seen = kind.policy, np.linspace(-1, 1, 5, dtype=np.float32)
    kind.write(_genomes(kind, 1)[0], policy)
    before = policy.predict(seen, deterministic=True)[0]
    acting = acting_parameters(policy)
    assert not any("critic" in n or "value" in n or "target" in n for n in acting)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if name not in acting:
                parameter.normal_()
    assert np.array_equal(policy.predict(seen, deterministic=True)[0], before)
    # Every parameter of the genome has a say: the outputs before any arg max move with it.
    policy.set_training_mode(False)
    observation = torch.as_tensor(seen)[None]
    outputs = {
        "q_net": lambda: policy.q_net(observation),
        "actor": lambda: (
            policy.actor(observation, deterministic=True)
            if algo in ("sac", "tqc")
            else policy.actor(observation)
        ),
        "policy": lambda: policy.action_net(
            policy.mlp_extractor.forward_actor(policy.extract_features(observation))
        ),
    }[next((k for k in ("q_net", "actor") if hasattr(policy, k)), "policy")]
    policy.zero_grad()
    outputs().sum().backward()
    for name, parameter in acting.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_reading_and_writing_are_inverse_and_reach_the_target():
    kind = PolicyGenome(SEEN, BOX, algo="td3", policy_kwargs=SMALL)
    genome = _genomes(kind, 1)[0].astype(np.float32)
    kind.write(genome.astype(np.float64), kind.policy)
    assert np.array_equal(kind.genome_of(kind.policy), genome)
    target, actor = kind.policy.actor_target.state_dict(), kind.policy.actor.state_dict()
    assert all(torch.equal(target[name], actor[name]) for name in actor)
    assert list(kind.names) == sorted(kind.names)


def test_the_deviation_is_no_part_of_it():
    names = PolicyGenome(SEEN, BOX, algo="sac").names
    assert "actor.mu.weight" in names
    assert not any("log_std" in name for name in names)
    assert "log_std" not in PolicyGenome(SEEN, BOX, algo="ppo").names


def test_making_one_draws_nothing_from_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    PolicyGenome(SEEN, BOX)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("algo", "cure"), [("sbx_sac", "sac"), ("sbx_ppo", "ppo"), ("sbx_crossq", "sac")]
)
def test_learners_in_jax_are_refused_with_their_twin(algo, cure):
    with pytest.raises(UserError, match=f"a policy of torch; take {cure}"):
        PolicyGenome(SEEN, BOX, algo=algo)


def test_another_architecture_a_recurrent_policy_and_wrong_spaces_are_refused():
    kind = PolicyGenome(SEEN, BOX, policy_kwargs=SMALL)
    other = PolicyGenome(SEEN, BOX, policy_kwargs={"net_arch": [8]}).policy
    with pytest.raises(UserError, match="same learner and policy_kwargs"):
        kind.genome_of(other)
    with pytest.raises(UserError, match="recurrent"):
        PolicyGenome(SEEN, BOX, algo="recurrent_ppo")
    with pytest.raises(UserError, match=r"cannot act here: .*no"):
        PolicyGenome(SEEN, BOX, algo="sac", policy_kwargs={"no": 1})
    for algo, action in (("sac", spaces.Discrete(2)), ("dqn", BOX)):
        with pytest.raises(UserError, match=f"{algo} gives"):
            PolicyGenome(SEEN, action, algo=algo)
    with pytest.raises(UnknownNameError, match="activation function"):
        PolicyGenome(SEEN, BOX, policy_kwargs={"activation_fn": "tan"})


def test_it_is_made_again_from_its_description():
    kind = PolicyGenome(SEEN, BOX, algo="sac", policy_kwargs={"activation_fn": "tanh", **SMALL})
    again = make_genome_kind(kind.describe(), observation_space=SEEN, action_space=BOX)
    genomes, seen = _genomes(kind, 3), np.ones((3, 5), dtype=np.float32)
    assert np.array_equal(again.actor(genomes)(seen), kind.actor(genomes)(seen))
