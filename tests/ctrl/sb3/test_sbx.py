"""The learners of SBX through ctrl: bit equality, resuming, evaluation, refusals."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

import ctrl
from ctrl.build import build_model
from ctrl.cli import main
from ctrl.config import parse_config
from ctrl.sb3 import books_of, make_model
from ctrl.sb3.algorithms import ALGORITHMS, find_algorithm
from ctrl.sb3.callbacks import Checkpoints
from ctrl.sb3.sbx import is_sbx, sbx_settings
from ctrl.sb3.sbx_state import (
    network_state,
    optimizer_state,
    restore_networks,
    restore_optimizers,
)
from ctrl.sb3.vec_env import make_vec_env
from reward_models import Constant, RewardModel, Term, UserError

NAMES = [name for name in ALGORITHMS if name.startswith("sbx_")]
OFF_POLICY = {"learning_starts": 30, "batch_size": 16, "buffer_size": 500}
ON_POLICY = {"n_steps": 32, "batch_size": 32, "n_epochs": 1}
SMALL = {"net_arch": [8]}

pytestmark = pytest.mark.jax
needs_sbx = pytest.mark.skipif(
    importlib.util.find_spec("sbx") is None or importlib.util.find_spec("jax") is None,
    reason="SBX is not installed: pip install 'ctrl[sbx]'",
)


@pytest.fixture(autouse=True)
def _compiled_once(request):
    """Keep compiled programs for equal learners, which JAX would compile one by one."""
    if importlib.util.find_spec("jax") is None:
        yield
        return
    import jax

    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = [getattr(jax.config, name) for name in names]
    for name, value in zip(names, (str(request.config.cache.mkdir("jax")), 0.0), strict=True):
        jax.config.update(name, value)
    yield
    for name, value in zip(names, before, strict=True):
        jax.config.update(name, value)


def equal(left, right):
    assert left.keys() == right.keys()
    return all(np.array_equal(left[name], right[name]) for name in left)


def settings_of(name):
    return dict(ON_POLICY if name == "sbx_ppo" else OFF_POLICY)


# JAX compiles every learner for seconds; the learners that share SAC's code paths are slow checks.
slow = pytest.mark.bar

CASES = [
    pytest.param(("sbx_sac", 1, {}, True), id="sac"),
    pytest.param(
        ("sbx_sac", 2, {"n_steps": 3, "train_freq": 2, "gradient_steps": 2}, False),
        id="sac-nstep", marks=slow,
    ),
    pytest.param(("sbx_td3", 1, {}, False), id="td3", marks=slow),
    pytest.param(("sbx_ddpg", 1, {}, False), id="ddpg", marks=slow),
    pytest.param(("sbx_tqc", 1, {}, False), id="tqc", marks=slow),
    pytest.param(("sbx_crossq", 1, {}, True), id="crossq", marks=slow),
    pytest.param(("sbx_dqn", 1, {}, False), id="dqn"),
    pytest.param(("sbx_ppo", 2, {}, False), id="ppo", marks=slow),
]  # fmt: skip


@needs_sbx
@pytest.mark.parametrize("case", CASES)
def test_that_an_empty_mix_changes_no_weight_optimiser_or_key(case):
    name, columns, extra, normalized = case
    env = "CartPole-v1" if name == "sbx_dqn" else "Hopper-v5"
    # Time limits too, but for PPO: SBX adds its bootstrap value there in double precision.
    limit = {"max_episode_steps": 20} if name not in ("sbx_dqn", "sbx_ppo") else None
    options = {**settings_of(name), **extra, "seed": 3}

    def wrapped(venv):
        return VecNormalize(venv, norm_reward=False) if normalized else venv

    kind = find_algorithm(name).load()
    plain_env = wrapped(sb3_make_vec_env(env, n_envs=columns, env_kwargs=limit))
    plain = kind("MlpPolicy", plain_env, policy_kwargs=dict(SMALL), **options)
    start = network_state(plain)
    plain.learn(64)
    ours_env = wrapped(make_vec_env(env, n_envs=columns, env_kwargs=limit))
    ours = make_model(kind, ours_env, policy_kwargs=dict(SMALL), **options)
    assert equal(start, network_state(ours))
    ours.learn(64)
    assert books_of(ours).mix.is_task_only
    assert not equal(start, network_state(ours))
    assert equal(network_state(plain), network_state(ours))
    theirs, own = optimizer_state(plain), optimizer_state(ours)
    assert equal(theirs["states"], own["states"])
    assert theirs["keys"] == own["keys"]


@needs_sbx
@pytest.mark.parametrize(
    ("algo", "extra"),
    [
        pytest.param(
            {"name": "sbx_sac"}, {"reward": {"rnd": 1.0}, "normalize_observations": True}, id="sac"
        ),
        pytest.param(
            {"name": "sbx_sac", "use_sde": True, "param_resets": [50]},
            {},
            id="sac-sde-resets",
            marks=slow,
        ),
        pytest.param(
            {"name": "sbx_td3", "action_noise": 0.1, "n_steps": 3}, {}, id="td3", marks=slow
        ),
        pytest.param({"name": "sbx_tqc"}, {}, id="tqc", marks=slow),
        pytest.param(
            {"name": "sbx_crossq"}, {"reward": {"constant": 1.0}}, id="crossq", marks=slow
        ),
        pytest.param({"name": "sbx_dqn", "target_update_interval": 20}, {}, id="dqn", marks=slow),
        pytest.param(
            {"name": "sbx_ppo", "target_kl": 0.01},
            {"normalize_observations": True},
            id="ppo",
            marks=slow,
        ),
    ],
)
def test_that_an_interrupted_run_equals_an_uninterrupted_one(tmp_path, monkeypatch, algo, extra):
    name = algo["name"]
    settings = {
        "env": {
            "id": "CartPole-v1" if name == "sbx_dqn" else "Hopper-v5",
            "n_envs": 2 if name == "sbx_ppo" else 1,
        },
        "algo": {**settings_of(name), "policy_kwargs": SMALL, **algo},
        "steps": 128,
        "checkpoints": {"every": 64},
        **extra,
    }
    ctrl.train(**settings, out=tmp_path / "whole")
    save = Checkpoints._on_rollout_start

    def stop(self):
        self.stop_requested = self.model.num_timesteps >= 64
        save(self)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "_on_rollout_start", stop)
        assert not ctrl.train(**settings, out=tmp_path / "cut").finished
    assert not (tmp_path / "cut" / "final").exists()
    assert ctrl.resume(tmp_path / "cut").finished
    arrays = [
        load_file(str(tmp_path / run / "checkpoints/step_000000000128/state.safetensors"))
        for run in ("whole", "cut")
    ]
    assert arrays[0].keys() == arrays[1].keys()
    # The whole state: networks, optimisers, replay buffer, reward models, simulators.
    left, right = arrays
    different = {key for key in left if not torch.equal(left[key], right[key])}
    assert not {key for key in different if not key.endswith("episode_times")}
    keys = [
        json.loads((tmp_path / run / "checkpoints/step_000000000128/state.json").read_text())
        for run in ("whole", "cut")
    ]
    assert keys[0]["tree"]["sbx"] == keys[1]["tree"]["sbx"]


class Knob(RewardModel):
    """A reward that is what its buffer says at the moment of asking."""

    def __init__(self):
        super().__init__()
        self.register_buffer("value", torch.tensor(1.0))

    def forward(self, rollout):
        return self.value.expand(rollout.T, rollout.B).clone()


@needs_sbx
def test_that_sbx_trains_on_rewards_of_the_present_mix_and_logs_the_raw_task_reward():
    env = make_vec_env("Pendulum-v1", n_envs=1)
    knob, seen = Knob(), []
    settings = {**OFF_POLICY, "gradient_steps": 2, "train_freq": 2, "policy_kwargs": dict(SMALL)}
    model = make_model(
        "sbx_sac", env, mix={"task": 0.0, "knob": Term(knob, weight=3.0)}, **settings
    )
    sample = model.replay_buffer.sample

    def watched(*args, **kwargs):
        data = sample(*args, **kwargs)
        assert data.rewards.shape == (2 * OFF_POLICY["batch_size"], 1)
        seen.append(data.rewards.numpy().copy())
        return data

    model.replay_buffer.sample = watched
    model.learn(40)
    knob.value.fill_(-2.0)
    early = len(seen)
    model.learn(10, reset_num_timesteps=False)
    assert early > 0
    assert all((rewards == 3.0).all() for rewards in seen[:early])
    assert all((rewards == -6.0).all() for rewards in seen[early:])
    model.learn(160, reset_num_timesteps=False)
    model.replay_buffer.flush()
    returns = books_of(model).returns()
    episode = model.ep_info_buffer[0]["r"]
    assert returns["return/task"] == pytest.approx(episode, rel=1e-4)
    assert episode < 0 > returns["return/shaped"]
    assert returns["return/length"] == 200.0


@needs_sbx
def test_that_the_policy_of_a_run_folder_is_evaluated_as_any_other(tmp_path, capsys):
    out = str(tmp_path / "run")
    words = ["algo.policy_kwargs.net_arch=[8]", "algo.policy_kwargs.activation_fn=tanh"]
    words += [f"algo.{key}={value}" for key, value in OFF_POLICY.items()]
    train = ["train", "--env", "Hopper-v5", "--algo", "sbx_sac", "--steps", "60", "--quiet"]
    assert main([*train, "--out", out, *words]) == 0
    files = sorted(p.name for p in (tmp_path / "run" / "final").iterdir())
    assert files == ["policy.safetensors", "state.json"]
    arrays = load_file(str(tmp_path / "run" / "final" / "policy.safetensors"))
    assert "policy/actor_state/params/params/Dense_0/kernel" in arrays
    assert "policy/qf_state/target_params/params/VmapContinuousCritic_0/Dense_0/bias" in arrays
    capsys.readouterr()
    results = []
    for _ in range(2):
        assert main(["eval", out, "--episodes", "2", "--json"]) == 0
        results.append(capsys.readouterr().out)
    assert results[0] == results[1]
    assert '"episodes": 2' in results[0]


@needs_sbx
def test_that_predict_takes_one_observation_or_many():
    env = make_vec_env("Hopper-v5", n_envs=3)
    model = make_model("sbx_sac", env, policy_kwargs=dict(SMALL), buffer_size=10, seed=0)
    observation = env.reset()
    many, _ = model.predict(observation, deterministic=True)
    one, _ = model.predict(observation[1], deterministic=True)
    assert many.shape == (3, 3)
    np.testing.assert_allclose(one, many[1], rtol=1e-6)
    assert not np.array_equal(many, model.predict(observation)[0])


@needs_sbx
@slow
def test_that_hindsight_replay_rewards_through_the_mix():
    env = make_vec_env("FetchReach-v4", n_envs=1)
    knob = Knob()
    knob.goal_relabelling = True
    model = make_model(
        "sbx_sac", env, mix={"task": 0.0, "knob": knob}, replay_buffer_class=HerReplayBuffer,
        policy_kwargs=dict(SMALL), **{**OFF_POLICY, "learning_starts": 60},
    )  # fmt: skip
    model.learn(64)
    assert model._n_updates > 0
    assert (model.replay_buffer.sample(32).rewards == 1.0).all()


@needs_sbx
def test_that_a_checkpoint_of_other_networks_is_refused_by_name():
    def built(**policy):
        env = make_vec_env("Hopper-v5", n_envs=1)
        return make_model("sbx_sac", env, policy_kwargs=policy, buffer_size=10, seed=0)

    wide, small = built(net_arch=[16]), built(**SMALL)
    with pytest.raises(UserError, match=r"actor_state.*Build the learner with the settings"):
        restore_networks(small, network_state(wide))
    with pytest.raises(UserError, match=r"opt_state.*Build the learner with the settings"):
        restore_optimizers(small, optimizer_state(wide))


@needs_sbx
def test_that_a_restored_state_does_not_share_memory_with_its_source():
    env = make_vec_env("Hopper-v5", n_envs=1)
    model = make_model("sbx_sac", env, policy_kwargs=dict(SMALL), buffer_size=10, seed=0)
    arrays = network_state(model)
    before = {name: array.copy() for name, array in arrays.items()}
    restore_networks(model, arrays)
    for array in arrays.values():
        array.fill(7)
    assert equal(before, network_state(model))


@needs_sbx
@slow
def test_that_jax_takes_as_many_threads_as_torch_and_leaves_the_environment_alone():
    script = """
import os, torch
torch.set_num_threads({threads})
from ctrl.sb3.algorithms import find_algorithm
find_algorithm("sbx_sac").load()
import jax
pool = [t for t in os.listdir("/proc/self/task")]
print(os.environ.get("NPROC"), jax.config.values["jax_cpu_enable_async_dispatch"], len(pool))
"""
    found = []
    for threads, given in ((1, None), (4, None), (4, "1")):
        variables = {**os.environ, **({"NPROC": given} if given else {})}
        if not given:
            variables.pop("NPROC", None)
        printed = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script.format(threads=threads)],
            capture_output=True, text=True, check=True, env=variables,
        )  # fmt: skip
        found.append(printed.stdout.split())
    one, four, held = found
    assert [one[0], four[0], held[0]] == ["None", "None", "1"]
    assert [one[1], four[1]] == ["False", "True"]
    assert int(four[2]) > int(one[2])
    assert int(held[2]) < int(four[2])


REFUSED = [
    (
        "a part of torch",
        "Hopper-v5",
        "sbx_sac",
        {"policy_kwargs": {"features_extractor": "combined"}},
    ),
    ("no MultiInputPolicy", "FetchReach-v4", "sbx_ddpg", {}),
    ("no MultiInputPolicy", "NetHackScore-v0", "sbx_dqn", {}),
    ("boxes, and dicts of vectors", "NetHackScore-v0", "sbx_sac", {"policy_kwargs": SMALL}),
    ("boxes, and dicts of vectors", "FrozenLake-v1", "sbx_dqn", {}),
    ("a policy of torch", "Hopper-v5", "sbx_ppo", {"policy": "controller"}),
    ("only supports .*Box", "CartPole-v1", "sbx_sac", {}),
    ("setting of sbx_sac", "Hopper-v5", "sbx_sac", {"optimize_memory_usage": True}),
]


@needs_sbx
@pytest.mark.parametrize(("reason", "env", "name", "options"), REFUSED)
def test_that_what_sbx_cannot_do_is_refused_with_the_reason(reason, env, name, options):
    config = parse_config({"env": {"id": env, "n_envs": 1}, "algo": {"name": name, **options}})
    with pytest.raises(UserError, match=reason):
        build_model(config)


@needs_sbx
def test_that_activation_functions_become_those_of_flax():
    import flax.linen

    kind = find_algorithm("sbx_sac").load()
    space = spaces.Box(-1, 1, (3,))
    for module, function in (
        (torch.nn.Tanh, flax.linen.tanh),
        (torch.nn.ReLU, flax.linen.relu),
        (torch.nn.ELU, flax.linen.elu),
        (torch.nn.GELU, flax.linen.gelu),
        (torch.nn.SiLU, flax.linen.silu),
        (flax.linen.softplus, flax.linen.softplus),
    ):
        settings = {"policy_kwargs": {"activation_fn": module}}
        found = sbx_settings(kind, "MlpPolicy", settings, space)
        assert found["policy_kwargs"]["activation_fn"] is function
        assert settings["policy_kwargs"]["activation_fn"] is module


def test_that_an_elite_cannot_be_handed_to_sbx(tmp_path):
    from ctrl.finetune import _LEARNERS

    assert not set(NAMES) & set(_LEARNERS)


def test_that_a_missing_sbx_is_named_with_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(UserError, match=r"pip install 'ctrl\[sbx\]'"):
        find_algorithm("sbx_sac").load()


def test_that_only_classes_of_sbx_count_as_such():
    from stable_baselines3 import SAC

    own = type("Own", (type("SAC", (), {"__module__": "sbx.sac.sac"}),), {})
    assert is_sbx(own)
    assert not is_sbx(SAC)
    assert not is_sbx(type("Other", (), {"__module__": "sbxtra.sac"}))


def test_that_listing_the_learners_imports_no_jax(capsys):
    script = (
        "import sys, ctrl.cli; ctrl.cli.main(['list', 'algos']); assert 'jax' not in sys.modules"
    )
    printed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True
    )
    assert all(f"{name} " in printed.stdout for name in NAMES)


@needs_sbx
@slow
def test_that_a_term_of_weight_zero_changes_no_weight():
    models = []
    for mix in (None, {"constant": Term(Constant(), weight=0.0)}):
        env = make_vec_env("Pendulum-v1", n_envs=1)
        settings = {**OFF_POLICY, "policy_kwargs": dict(SMALL), "seed": 0}
        models.append(make_model("sbx_sac", env, mix=mix, **settings).learn(40))
    assert equal(*(network_state(model) for model in models))
