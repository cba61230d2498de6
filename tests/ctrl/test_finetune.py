from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import ctrl
import envs
from ctrl.build import build_model
from ctrl.cli import main
from ctrl.config import EnvConfig, parse_config
from ctrl.evaluation import load_policy
from ctrl.finetune import starting_from, with_start_defaults, write_elite
from ctrl.run_folder import RunFolder
from ctrl.search.elites import Elite, load_elite, save_elite
from ctrl.search.genomes import make_genome_kind
from ctrl.training import complete
from reward_models.errors import UserError

POINT = "PointWalker-v0"
SEED = 6


@pytest.fixture
def elite(tmp_path):
    """Write an elite found in an environment and return its folder."""

    def write(env, **kind):
        made = envs.make(env)
        spaces = {"observation_space": made.observation_space, "action_space": made.action_space}
        made.close()
        size = make_genome_kind(kind, **spaces).size
        genome = np.random.default_rng(SEED).normal(size=size)
        found = Elite(genome, kind, EnvConfig(env), {"reward": 0.5})
        return save_elite(tmp_path / "elite", found)

    return write


def _config(folder, **more):
    return complete(parse_config(with_start_defaults({"start_from": str(folder), **more})))


def _elite_actions(folder, config, seen):
    found = load_elite(folder)
    made = envs.make(config.env.id)
    kind = make_genome_kind(
        found.kind, observation_space=made.observation_space, action_space=made.action_space
    )
    count = len(next(iter(seen.values())) if isinstance(seen, dict) else seen)
    return kind.actor(np.repeat(found.genome[None], count, axis=0))(seen)


def _seen(config, count=16):
    space = envs.make(config.env.id).observation_space
    space.seed(0)
    rows = [space.sample() for _ in range(count)]
    if isinstance(rows[0], dict):
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    # Both signs, so that a small network does not always do the same.
    seen = np.clip(np.stack(rows), -3, 3)
    return np.concatenate([seen, -seen])


@pytest.mark.parametrize(
    ("env", "learner"),
    [(POINT, n) for n in ("ppo", "a2c", "trpo", "sac", "tqc", "td3", "ddpg")]
    + [("Pendulum-v1", "ppo"), ("Pendulum-v1", "sac"), ("CartPole-v1", "ppo"),
       ("CartPole-v1", "dqn")],
)  # fmt: skip
@pytest.mark.parametrize("hidden", [(), (5,), (6, 4)])
def test_a_policy_that_starts_from_a_controller_acts_like_it(elite, env, learner, hidden):
    folder = elite(env, kind="controller", hidden=list(hidden))
    config = _config(folder, algo={"name": learner})
    model = build_model(config)
    write_elite(model, load_elite(folder))
    seen = _seen(config)
    found, _ = model.predict(seen, deterministic=True)
    np.testing.assert_allclose(found, _elite_actions(folder, config, seen), atol=3e-6)
    assert len(np.unique(found, axis=0)) > 1
    model.env.close()


@pytest.mark.parametrize(("env", "learner"), [
    (POINT, "ppo"), ("Pendulum-v1", "sac"), ("Pendulum-v1", "td3"), ("CartPole-v1", "dqn"),
])  # fmt: skip
def test_a_policy_that_starts_from_a_policy_acts_exactly_like_it(elite, env, learner):
    folder = elite(env, kind="policy", algo=learner, policy_kwargs={"net_arch": [9]})
    config = _config(folder)
    assert config.algo.name == learner
    model = build_model(config)
    write_elite(model, load_elite(folder))
    seen = _seen(config)
    expected = _elite_actions(folder, config, seen)
    for row in range(len(seen)):
        assert np.array_equal(model.predict(seen[row], deterministic=True)[0], expected[row])
    model.env.close()


def test_goals_in_dicts_are_read_alike(elite):
    pytest.importorskip("gymnasium_robotics")
    name = "FetchReach-v4" if "FetchReach-v4" in envs.names() else None
    if name is None:
        pytest.skip("no goal environment")
    folder = elite(name, kind="controller", hidden=[5])
    config = _config(folder, algo="ppo")
    model = build_model(config)
    write_elite(model, load_elite(folder))
    seen = _seen(config)
    expected = _elite_actions(folder, config, seen)
    np.testing.assert_allclose(model.predict(seen, deterministic=True)[0], expected, atol=3e-6)


@pytest.mark.parametrize("learner", ["ppo", "sac"])
def test_a_run_records_where_it_came_from_and_goes_on_without_the_elite(elite, tmp_path, learner):
    folder = elite(POINT, kind="controller", hidden=[5])
    original = load_elite(folder)
    steps = 128 if learner == "ppo" else 60
    # As in every SB3 run, the first steps of SAC are random and teach it nothing.
    options = {"n_steps": 32, "batch_size": 16} if learner == "ppo" else {"learning_starts": 200}
    run = {"algo": {"name": learner, **options}, "checkpoints": {"every": steps // 2}}
    code = main([
        "train", "--from", str(folder), "--algo", learner, "--steps", str(steps), "--quiet",
        "--out", str(tmp_path / "cli"), "env.n_envs=2",
        *[f"algo.{key}={value}" for key, value in options.items()],
    ])  # fmt: skip
    assert code == 0
    straight = ctrl.train(
        start_from=str(folder), env={"id": POINT, "n_envs": 2}, steps=steps,
        out=tmp_path / "straight", **run,
    )  # fmt: skip
    stopped = ctrl.train(
        start_from=str(folder), env={"id": POINT, "n_envs": 2}, steps=steps // 2,
        out=tmp_path / "stopped", **run,
    )  # fmt: skip
    shutil.rmtree(folder)
    assert straight.finished
    assert stopped.finished
    kept = RunFolder.open(tmp_path / "cli")
    assert kept.config().start_from == str(folder)
    assert kept.config().env.id == POINT
    copy = load_elite(kept.path / "elite")
    assert np.array_equal(copy.genome, original.genome)
    assert copy.numbers == {"reward": 0.5}
    ctrl.resume(tmp_path / "stopped", steps=steps)
    policies = [
        load_policy(RunFolder.open(tmp_path / name))[0].policy.state_dict()
        for name in ("straight", "stopped")
    ]
    # Learning rates are constant, so training in two parts is the same as in one.
    assert all((policies[0][name] == policies[1][name]).all() for name in policies[0])
    if learner == "sac":
        model, config = load_policy(RunFolder.open(tmp_path / "straight"))
        seen = _seen(config)
        save_elite(folder, original)
        expected = _elite_actions(folder, config, seen)
        np.testing.assert_allclose(model.predict(seen, deterministic=True)[0], expected, atol=3e-6)


def test_an_elite_brings_its_environment_but_not_how_it_was_run(elite):
    folder = elite(POINT, kind="controller", hidden=[5])
    found = load_elite(folder)
    options = {"horizon": 30}
    save_elite(folder, replace(found, env=EnvConfig(POINT, n_envs=3, threads=1, options=options)))
    config = _config(folder)
    assert config.env.options == options
    assert (config.env.n_envs, config.env.threads, config.algo.name) == (16, None, "ppo")
    assert _config(folder, env="Pendulum-v1").env.id == "Pendulum-v1"
    assert with_start_defaults({"env": POINT}) == {"env": {"id": POINT}}


def test_settings_of_the_user_stay(elite):
    folder = elite(POINT, kind="controller", hidden=[5])
    algo = {"name": "ppo", "n_steps": 64, "policy_kwargs": {"log_std_init": -2.0}}
    options = _config(folder, algo=algo).algo.options
    assert options["n_steps"] == 64
    assert options["policy_kwargs"]["log_std_init"] == -2.0
    assert options["policy_kwargs"]["net_arch"]["pi"] == [5]
    assert starting_from(_config(folder)) == _config(folder)


def test_what_cannot_start_from_an_elite_is_refused(elite, tmp_path):
    folder = elite(POINT, kind="controller", hidden=[5])
    with pytest.raises(UserError, match="recurrent_ppo cannot start from an elite"):
        _config(folder, algo="recurrent_ppo")
    with pytest.raises(UserError, match="raw observations"):
        _config(folder, normalize_observations=True)
    config = _config(folder, env="Pendulum-v1")
    with pytest.raises(UserError, match="27 genes, found in PointWalker-v0"):
        write_elite(build_model(config), load_elite(folder))
    algo = {"name": "ppo", "policy_kwargs": {"net_arch": [8]}}
    with pytest.raises(UserError, match=r"Leave policy_kwargs\.net_arch to the elite"):
        write_elite(build_model(_config(folder, algo=algo)), load_elite(folder))
    policy = elite("Pendulum-v1", kind="policy", algo="sac", policy_kwargs={"net_arch": [9]})
    with pytest.raises(UserError, match="same learner and policy_kwargs"):
        write_elite(build_model(_config(policy, algo="td3")), load_elite(policy))


def test_a_controller_of_nethack_is_refused_with_the_cure(elite):
    pytest.importorskip("minihack")
    folder = elite("MiniHack-Room-5x5-v0", kind="controller", hidden=[5])
    with pytest.raises(UserError, match=r"genome\.kind=policy"):
        write_elite(build_model(_config(folder, algo="dqn")), load_elite(folder))


def test_a_wrong_folder_is_a_sentence_and_writes_nothing(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--from", str(tmp_path / "no"), "--out", str(out), "--quiet"]) == 2
    assert "There is no elite" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(("learner", "text"), [("sac", "not for sac"), ("ppo", "controller")])
def test_the_policy_can_be_named_where_it_can_be_used(learner, text):
    name = "controller" if learner == "sac" else "controler"
    config = parse_config({"env": POINT, "algo": {"name": learner, "policy": name}})
    with pytest.raises(UserError, match=text):
        build_model(config)
    json.dumps(config.as_dict())
