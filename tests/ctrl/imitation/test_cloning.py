import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stable_baselines3.common.logger import Logger

import ctrl
from ctrl.checkpoint import newest_checkpoint
from ctrl.config import CloningConfig
from ctrl.evaluation import evaluate_run
from ctrl.imitation.cloning import BehaviourCloning
from ctrl.run_folder import RunFolder
from reward_models.errors import UserError

TAUGHT = {"epochs": 50, "batch_size": 64, "learning_rate": 1e-2}


def _teach(model, folder, seed=0, **settings):
    model.set_logger(Logger(None, []))
    config = CloningConfig(demonstrations=folder, **{**TAUGHT, **settings})
    return BehaviourCloning(model, config, seed=seed).run()


def _errors(model, episodes):
    actions, _ = model.predict(episodes.observations[:-1], deterministic=True)
    return np.abs(actions - episodes.actions).mean()


@pytest.mark.parametrize("algo", ["sac", "tqc", "td3", "ddpg", "ppo"])
def test_a_linear_expert_is_learned(algo, write, learner, expert_episodes):
    unseen = expert_episodes(12)[-1]
    model = learner(algo)
    before = _errors(model, unseen)
    result = _teach(model, write(expert_episodes(10)))
    assert before > 0.3
    assert _errors(model, unseen) < 0.1
    assert result.error < 0.1
    assert (result.episodes, result.transitions) == (10, 600)


def test_choices_are_learned(write, learner, expert_episodes):
    model = learner("ppo", env="CartPole-v1")
    result = _teach(model, write(expert_episodes(10, discrete=True)))
    assert result.error < 0.05


def test_actions_have_the_environments_units(write, learner, expert_episodes):
    pendulum = learner("sac", env="Pendulum-v1", options={"policy_kwargs": {"net_arch": [32]}})
    rng = np.random.default_rng(1)
    episodes = [
        _proportional(template, rng.uniform(-1, 1, (101, 3)).astype(np.float32), gain=2.0)
        for template in expert_episodes(4, 100)
    ]
    # The spaces in the metadata are not those of the environment; only the arrays count.
    _teach(pendulum, write(episodes), epochs=100)
    actions, _ = pendulum.predict(np.array([[0.8, 0, 0], [-0.4, 0, 0]]), deterministic=True)
    np.testing.assert_allclose(actions[:, 0], [1.6, -0.8], atol=0.15)


def _proportional(template, states, gain):
    actions = (gain * states[:-1, :1]).astype(np.float32)
    return replace(template, observations=states, actions=actions)


def test_the_best_weights_on_held_out_steps_are_kept(write, learner, expert_episodes):
    episodes = expert_episodes(2, 20)
    # Noise that only memory can explain: the held-out loss gets worse while training goes on.
    rng = np.random.default_rng(2)
    noisy = [
        replace(e, actions=np.clip(rng.normal(size=e.actions.shape), -1, 1).astype(np.float32))
        for e in episodes
    ]
    model = learner("td3", options={"policy_kwargs": {"net_arch": [256, 256]}})
    losses = []
    cloning = BehaviourCloning(
        model,
        CloningConfig(write(noisy), learning_rate=1e-2, validation=0.5, patience=10),
        seed=0,
    )
    cloning._log = lambda epoch, loss, held_out, error: losses.append(held_out)
    result = cloning.run()
    assert result.epochs == len(losses) == result.best_epoch + 10 < 200
    assert result.validation_loss == min(losses)
    assert losses[-1] > min(losses)
    observations, targets = cloning._tensors()
    torch.manual_seed(0)
    _, held_out = BehaviourCloning(model, cloning.config, seed=0)._split()
    assert cloning._judge(observations, targets, held_out)[0] == result.validation_loss


def test_whole_episodes_are_held_out_where_there_are_enough(write, learner, expert_episodes):
    folder = write(expert_episodes(10, 7))
    cloning = BehaviourCloning(learner("td3"), CloningConfig(folder, validation=0.2), seed=0)
    training, held_out = cloning._split()
    assert len(held_out) == 14
    assert sorted(np.bincount(held_out // 7, minlength=10)) == [0] * 8 + [7, 7]
    assert sorted([*training.tolist(), *held_out.tolist()]) == list(range(70))
    few = BehaviourCloning(
        learner("td3"), CloningConfig(folder, validation=0.2, episodes=3), seed=0
    )
    training, held_out = few._split()
    assert (len(training), len(held_out)) == (17, 4)


@pytest.mark.parametrize("algo", ["sac", "ppo"])
def test_critics_and_the_learners_generators_stay_as_they_were(
    algo, write, learner, expert_episodes
):
    model = learner(algo)
    before = {k: v.clone() for k, v in model.policy.state_dict().items()}
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - SB3 uses it
    _teach(model, write(expert_episodes(2)), epochs=2)
    after = model.policy.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert not any("critic" in key or "value" in key for key in changed)
    assert torch.equal(state[0], torch.get_rng_state())
    assert np.array_equal(state[1], np.random.get_state()[1])  # noqa: NPY002
    assert all(parameter.grad is None for parameter in model.policy.parameters())


def test_the_normaliser_begins_with_the_demonstrations(write, learner, expert_episodes):
    episodes = expert_episodes(5)
    model = learner("ppo", normalize_observations=True)
    _teach(model, write(episodes), epochs=1)
    frames = np.concatenate([each.observations for each in episodes])
    np.testing.assert_allclose(model.env.obs_rms.mean, frames.mean(0), atol=1e-4)
    np.testing.assert_allclose(model.env.obs_rms.var, frames.var(0), rtol=1e-2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"episodes": 11}, "episodes is 11, and .* has 10"),
        ({"demonstrations": "nowhere"}, "no data set in nowhere"),
    ],
)
def test_unusable_data_are_refused(settings, message, write, learner, expert_episodes):
    given = {"demonstrations": write(expert_episodes(10)), **settings}
    with pytest.raises(UserError, match=message):
        BehaviourCloning(learner("td3"), CloningConfig(**given), seed=0)


def test_data_of_another_environment_are_refused_before_anything_is_written(
    write, tmp_path, expert_episodes
):
    folder = write(expert_episodes(2))
    for env, message in (("Hopper-v5", "shape"), ("PointMass-v0", "outside of")):
        if env == "PointMass-v0":
            folder = write(expert_episodes(2, scale=1.5), "wild")
        with pytest.raises(UserError, match=message):
            ctrl.train(env=env, algo="td3", behaviour_cloning=folder, steps=0, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _weights(folder):
    return load_file(str(folder / "final" / "policy.safetensors"))


def _rows(folder):
    ignored = {"time/fps", "time/time_elapsed", "time/iterations"}
    with (folder / "progress.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return [{k: v for k, v in row.items() if k not in ignored and v != ""} for row in rows]


def test_cloning_alone_is_a_run_that_can_be_evaluated_and_trained_on(
    write, tmp_path, expert_episodes
):
    out = tmp_path / "cloned"
    cloning = {"demonstrations": write(expert_episodes()), **TAUGHT}
    algo = {"name": "td3", "policy_kwargs": {"net_arch": [32, 32]}, "learning_starts": 0}
    settings = {"env": "PointMass-v0", "algo": algo, "evaluation": {"every": 100, "episodes": 2}}
    result = ctrl.train(**settings, behaviour_cloning=cloning, steps=0, out=out)
    assert (result.finished, result.steps, result.task_return) == (True, 0, None)
    rows = [row for row in _rows(out) if "behaviour_cloning/epoch" in row]
    assert [row["behaviour_cloning/epoch"] for row in rows] == [
        str(k + 1) for k in range(len(rows))
    ]
    assert float(rows[-1]["behaviour_cloning/loss"]) < float(rows[0]["behaviour_cloning/loss"])
    cloned = evaluate_run(RunFolder.open(out), episodes=8)
    ctrl.train(**settings, steps=1, out=tmp_path / "untrained")
    untrained = evaluate_run(RunFolder.open(tmp_path / "untrained"), episodes=8)
    assert cloned["task_return_interval"][0] > untrained["task_return_interval"][1]
    longer = ctrl.resume(out, steps=60)
    assert (longer.finished, longer.steps) == (True, 60)


@pytest.mark.parametrize("algo", ["ppo", "td3"])
def test_a_run_that_resumes_after_cloning_is_the_uninterrupted_one(
    algo, write, tmp_path, expert_episodes
):
    options = {"ppo": {"n_steps": 32, "batch_size": 32}, "td3": {"learning_starts": 20}}[algo]
    whole, part = tmp_path / "whole", tmp_path / "part"
    ctrl.train(
        env={"id": "PointMass-v0", "n_envs": 2},
        algo={"name": algo, "policy_kwargs": {"net_arch": [16]}, **options},
        behaviour_cloning={"demonstrations": write(expert_episodes(3)), "epochs": 3},
        normalize_observations=algo == "ppo",
        evaluation={"every": 64, "episodes": 2},
        checkpoints={"every": 64, "keep": 9},
        diagnostics={"lipschitz": 64, "samples": 8},
        steps=128,
        out=whole,
    )
    shutil.copytree(whole, part)
    shutil.rmtree(part / "final")
    shutil.rmtree(part / "best")
    for checkpoint in (part / "checkpoints").iterdir():
        if checkpoint.name != "step_000000000000":
            shutil.rmtree(checkpoint)
    assert newest_checkpoint(part / "checkpoints") is not None
    ctrl.resume(part)
    first, second = _weights(whole), _weights(part)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert _rows(whole) == _rows(part)
    assert any("lipschitz/critic" in row for row in _rows(whole))
    assert "evaluation/task_return" in _rows(whole)[3]
