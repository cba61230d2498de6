"""Comparing rewards on environments: exact on tables, estimated elsewhere, or refused."""

import json

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from ctrl.compare_report import comparison_table, plot_comparison
from ctrl.compare_samples import gather
from ctrl.compare_tables import reward_tables
from ctrl.comparing import compare_rewards, parse_sum
from ctrl.config import EnvConfig
from envs.worlds.tabular import tables
from reward_models.base import RewardModel, as_reward_model
from reward_models.compare.distance import STARC
from reward_models.curiosity import RND
from reward_models.errors import UnknownNameError, UserError
from reward_models.mix import TaskReward
from reward_models.potential import FunctionPotential

SMALL = {"samples": 60, "steps": 1000, "actions": 4}
GRID = {"env": "TwoGoalGrid-v0", "options": ["env.observation=coordinates"]}


def height(observation):
    return 3.0 * observation[..., 0].float() + observation[..., 2].float().square()


def wiggle(observation, action):
    return torch.sin(3 * observation[..., 0]) + 0.5 * action[..., 0] * observation[..., 1]


def corner(observation):
    return -(observation.float() - 0.3).square().sum(-1)


# -- exact --------------------------------------------------------------------------------------


def test_that_a_tabular_world_is_compared_exactly():
    shaping = FunctionPotential(lambda observation: observation.float().sum(-1))

    def shaped(rollout):
        return rollout.reward + shaping(rollout)

    shaping.bind_discount(0.99)
    rewards = {"task": TaskReward(), "shaped": shaped, "corner": corner, "same": corner}
    result = compare_rewards(rewards, **GRID)
    assert result.exact
    assert result.metric == "VAL-2-2"
    assert result.distance[0, 1] < 1e-5
    assert 0.1 < result.distance[0, 2] < 1.9
    np.testing.assert_allclose(result.distance[2, 3], 0.0, atol=1e-12)
    # The same from the tables themselves.
    env = gymnasium.make("TwoGoalGrid-v0", observation="coordinates")
    world, seen = tables(env), _seen(env)
    by_hand = np.repeat(corner(torch.tensor(seen)).numpy()[:, None, None], len(seen), axis=2)
    by_hand = np.repeat(by_hand, 4, axis=1) * ~world.terminal[:, None, None]
    expected = STARC.between(world.transition, world.reward, by_hand, gamma=0.99)
    assert result.distance[0, 2] == pytest.approx(expected, abs=1e-5)


def _seen(env):
    simulation = env.unwrapped.simulation
    simulation.set_state({"state": np.arange(simulation.mdp.num_states)})
    return simulation.observe()


def test_that_a_constant_is_a_reason_to_stay_alive_where_episodes_end():
    rewards = {"task": "task", "constant": "constant", "negated": "task=-1"}
    result = compare_rewards(rewards, **GRID)
    # It ends at either goal: what pays for every step orders policies as the negated task does.
    assert result.distance[0, 1] == pytest.approx(2.0, abs=1e-3)
    assert result.distance[1, 2] < 0.05
    endless = compare_rewards(rewards, env="RandomMDP-v0")
    assert endless.distance[0, 1] == pytest.approx(1.0)
    assert endless.notes == ("constant orders no policies: its canonical form is 0.",)
    assert endless.distance[0, 2] == pytest.approx(2.0)


def test_that_reward_tables_hold_what_stepping_pays():
    env = gymnasium.make("LavaGrid-v0")
    simulation = env.unwrapped.simulation
    found = reward_tables(
        simulation,
        {
            "task": TaskReward(),
            "index": as_reward_model(lambda state_index, action: state_index * 10.0 + action),
        },
    )
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(50):
        before = int(simulation.state()["state"][0])
        action = env.action_space.sample()
        _, reward, terminated, truncated, info = env.step(action)
        after = int(info["state_index"])
        assert found[0, before, action, after] == reward
        assert found[1, before, action, after] == after * 10.0 + action
        if terminated or truncated:
            env.reset()
    assert not found[:, simulation.mdp.terminal].any()
    with pytest.raises(UnknownNameError, match="Did you mean 'state_index'"):
        reward_tables(simulation, {"x": as_reward_model(lambda state_indx: state_indx)})


def test_that_sampling_agrees_with_the_tables_on_what_is_equal_and_opposite():
    rewards = {"task": "task", "scaled": "task=3", "negated": "task=-1"}
    kwargs = {**GRID, **SMALL, "by_samples": True}
    result = compare_rewards(rewards, **kwargs)
    assert not result.exact
    np.testing.assert_allclose(result.distance[0], (0.0, 0.0, 2.0), atol=1e-6)


def test_the_published_distances_on_tables_and_samples():
    rewards = {"corner": corner, "negated": lambda observation: -corner(observation)}
    exact = compare_rewards(rewards, **GRID, canonical="dard", distance="pearson")
    assert exact.metric == "DARD-pearson"
    assert exact.distance[0, 1] == pytest.approx(1.0)
    sampled = compare_rewards(
        rewards, **GRID, **SMALL, canonical="epic", distance="pearson", by_samples=True
    )
    assert sampled.metric == "EPIC-pearson"
    assert sampled.distance[0, 1] == pytest.approx(1.0)


# -- from samples -------------------------------------------------------------------------------


@pytest.mark.parametrize("actions", [1, 4])
def test_that_shaping_is_harmless_and_negation_is_not(actions):
    rewards = {
        "task": TaskReward(),
        "shaped": lambda rollout: rollout.reward + _shaping(rollout),
        "wiggle": wiggle,
        "negated": lambda reward: -reward,
    }
    sizes = {"samples": 200, "steps": 4000, "actions": actions}
    result = compare_rewards(rewards, env="Pendulum-v1", **sizes)
    shaped, other, negated = result.distance[0, 1:]
    assert shaped < 0.1
    assert 0.5 < other < 1.9 < negated
    assert (result.floor > 0.0).all()
    assert (result.floor < 0.5).all()
    assert result.error[0, 3] < 1e-6
    assert result.settings["actions"] == actions


def _shaping(rollout):
    return 0.99 * height(rollout.next_observation) - height(rollout.observation)


def test_that_epic_and_dard_from_samples_forget_shaping():
    rewards = {
        "wiggle": wiggle,
        "shaped": lambda observation, action, next_observation: (
            wiggle(observation, action) + 0.99 * height(next_observation) - height(observation)
        ),
        "height": height,
    }
    for canonical in ("epic", "dard"):
        result = compare_rewards(rewards, env="Pendulum-v1", canonical=canonical, **SMALL)
        assert result.distance[0, 1] < 1e-5, canonical
        assert result.distance[0, 2] > 0.1, canonical
        assert result.floor.max() < 1e-5, canonical
    plain = compare_rewards(rewards, env="Pendulum-v1", canonical="none", **SMALL)
    assert plain.distance[0, 1] > 0.1


def test_that_the_same_seed_gives_the_same_numbers():
    rewards = {"task": "task", "wiggle": wiggle}
    one, same, other = (
        compare_rewards(rewards, env="Pendulum-v1", seed=seed, **SMALL) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one.distance, same.distance)
    np.testing.assert_array_equal(one.error, same.error)
    assert one.distance[0, 1] != other.distance[0, 1]


def test_learned_models_and_quantities_of_the_simulator():
    box = gymnasium.make("Hopper-v5")
    rnd = RND(observation_space=box.observation_space, seed=0)
    before = {key: value.clone() for key, value in rnd.state_dict().items()}
    rewards = {"task": "task", "speed": lambda x_velocity: x_velocity, "rnd": rnd}
    result = compare_rewards(rewards, env="Hopper-v5", **SMALL)
    assert result.distance[0, 1] < result.distance[0, 2]
    for key, value in rnd.state_dict().items():
        assert torch.equal(value, before[key]), key  # looked at, not taught
    with pytest.raises(UnknownNameError, match="Did you mean 'x_velocity'"):
        compare_rewards({"a": "task", "b": lambda x_velocit: x_velocit}, env="Hopper-v5", **SMALL)


def test_that_dict_observations_and_truncated_episodes_work():
    rewards = {"task": "task", "near": "task=2", "wild": lambda action: action.square().sum(-1)}
    result = compare_rewards(rewards, env="PointMazeGoal_UMaze-v0", **SMALL)
    assert result.distance.shape == (3, 3)
    assert np.isfinite(result.distance).all()


class Coin(gymnasium.Env):
    """Nothing but chance: every step lands on a random number."""

    observation_space = spaces.Box(-5.0, 5.0, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._now(), {}

    def _now(self):
        return self.np_random.uniform(-1, 1, 1).astype(np.float32)

    def step(self, action):
        self.steps += 1
        return self._now(), float(action), False, self.steps == 20, {}


class Opaque(Coin):
    """An environment whose state is not known."""

    def reset(self, *, seed=None, options=None):
        self.hidden = object()
        return super().reset(seed=seed, options=options)


@pytest.fixture(autouse=True, scope="module")
def registered():
    for name, kind in (("CompareCoin-v0", Coin), ("CompareOpaque-v0", Opaque)):
        gymnasium.register(name, entry_point=kind)
    yield
    for name in ("CompareCoin-v0", "CompareOpaque-v0"):
        del gymnasium.registry[name]


def test_that_random_dynamics_are_noticed_and_averaged():
    def lucky(next_observation, action):
        return action.float() + 3.0 * next_observation[..., 0]

    rewards = {"task": "task", "lucky": lucky}
    result = compare_rewards(rewards, env="CompareCoin-v0", **SMALL)
    assert result.settings["successors"] == 4
    # Both rewards order policies alike: the luck is the same whatever is done.
    assert result.distance[0, 1] < 0.6
    alone = compare_rewards(rewards, env="CompareCoin-v0", **{**SMALL, "actions": 1})
    assert alone.distance[0, 1] > 0.9
    once = compare_rewards(rewards, env="CompareCoin-v0", successors=1, **SMALL)
    assert any("dynamics are random" in note for note in once.notes)


def test_that_samples_of_an_action_differ_and_the_walk_goes_on():
    samples = gather(
        EnvConfig("CompareCoin-v0"), requires=frozenset(), steps=200, states=20, actions=2,
        successors=3, second=False, seed=0,
    )  # fmt: skip
    assert samples.random_dynamics
    assert samples.shape == (20, 2, 3)
    landed = samples.tried.next_observation.reshape(20, 2, 3)
    assert len(np.unique(landed.numpy())) == 120
    seen = samples.tried.observation.reshape(20, 6)
    assert (seen == seen[:, :1]).all()
    assert len(np.unique(seen[:, 0].numpy())) == 20


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rewards", "settings", "message"),
    [
        (["task"], {}, "at least two different rewards"),
        (["task", "tsk"], {}, "Did you mean 'task'"),
        (["task", "task=x"], {}, "NAME, NAME=FACTOR or a sum"),
        (["task", "constant"], {"gamma": 1.0}, r"--gamma must lie in \[0, 1\)"),
        (["task", "constant"], {"canonical": "vall"}, "Did you mean 'val'"),
        (["task", "constant"], {"norm": "3"}, "Unknown norm '3'"),
        (["task", "constant"], {"distance": "0"}, "only for the scaling"),
        (["task", "constant"], {"distance": "pearson"}, "use --canonical epic or dard"),
        (["task", "constant"], {"samples": 5}, "--samples must be at least 20, got 5"),
        (["task", "constant"], {"actions": 0}, "--actions must be at least 1"),
        (["task", "constant"], {"successors": 0}, "--successors must be at least 1"),
        (["task", "constant"], {"steps": 10}, "--steps must be at least 200"),
        (["task", "constant"], {"actions": 1, "successors": 2}, "--actions 2 or more"),
        (["task", "constant"], {"canonical": "minimal"}, "needs the tables of a tabular world"),
        (["task", "constant"], {"canonical": "epic"}, "Use --canonical val"),
        (["task", "constant"], {"canonical": "dard", "actions": 1}, "--actions 2 or more"),
        (["task", "constant"], {"options": ["evn.g=3"]}, "Unknown setting 'evn'"),
        (["task", "constant"], {"env": "Pendulun-v1"}, "Did you mean 'Pendulum-v1'"),
    ],
)
def test_that_mistakes_are_refused(rewards, settings, message):
    with pytest.raises(UserError, match=message):
        compare_rewards(rewards, **{"env": "Pendulum-v1", **SMALL, **settings})


def test_that_rewards_over_different_spaces_are_refused_with_the_reason():
    def of_hopper(observation):
        return observation[..., 10]

    with pytest.raises(UserError, match=r"'far' cannot be computed here.*different spaces"):
        compare_rewards({"task": "task", "far": of_hopper}, env="Pendulum-v1", **SMALL)


def test_that_an_environment_that_cannot_be_saved_names_the_way_out():
    rewards = {"task": "task", "constant": "constant"}
    with pytest.raises(UserError, match="Use --actions 1"):
        compare_rewards(rewards, env="CompareOpaque-v0", **SMALL)
    result = compare_rewards(rewards, env="CompareOpaque-v0", **{**SMALL, "actions": 1})
    assert any("constant orders no policies" in note for note in result.notes)


class Late(RewardModel):
    scope = "episode"

    def forward(self, rollout):
        return rollout.reward


def test_that_rewards_of_episodes_are_refused():
    with pytest.raises(UserError, match="'late' has scope 'episode'"):
        compare_rewards({"task": "task", "late": Late()}, env="Pendulum-v1", **SMALL)


def test_sums_of_rewards():
    assert parse_sum("task") == {"task": 1.0}
    assert parse_sum("task=-1") == {"task": -1.0}
    assert parse_sum("task=1e+3+my.py:f=2+task") == {"task": 1001.0, "my.py:f": 2.0}
    for wrong in ("", "task+", "=2", "task=nan"):
        with pytest.raises(UserError, match="NAME, NAME=FACTOR"):
            parse_sum(wrong)


# -- report -------------------------------------------------------------------------------------


def test_that_table_picture_and_document_say_the_same(tmp_path):
    rewards = {"task": "task", "wiggle": wiggle, "a/very/long/folder/of/mine.py:name": "task=2"}
    result = compare_rewards(rewards, env="Pendulum-v1", **SMALL)
    table = comparison_table(result)
    assert f"{result.distance[0, 1]:.3f} ±{result.error[0, 1]:.3f}" in table
    assert table.splitlines()[0].split() == ["VAL-2-2", "1", "2", "3", "floor"]
    document = json.loads(json.dumps(result.as_dict()))
    assert document["distance"][0][1] == result.distance[0, 1]
    assert document["rewards"] == list(rewards)
    one, same = (plot_comparison(result, tmp_path / name) for name in ("a/1.png", "2.png"))
    assert one.read_bytes().startswith(b"\x89PNG")
    assert one.read_bytes() == same.read_bytes()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write the picture"):
        plot_comparison(result, tmp_path / "file" / "x.png")
