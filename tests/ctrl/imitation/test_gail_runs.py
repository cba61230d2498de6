"""Adversarial imitation through whole runs: every kind of learner, NetHack, and resuming."""

import csv
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file

import ctrl
from ctrl.checkpoint import ARRAYS
from ctrl.demonstrations import record_run
from ctrl.run_folder import RunFolder

# The learners that share the others' code are slow checks.
slow = pytest.mark.bar
SMALL = {"net_arch": [16, 16]}
OFF_POLICY = {"learning_starts": 64, "batch_size": 32, "policy_kwargs": SMALL, "update_every": 64}
PPO = {"name": "ppo", "n_steps": 64, "batch_size": 64, "n_epochs": 2}


def _gail(demonstrations, **options):
    gail = {"use": "gail", "demonstrations": demonstrations, "batch_size": 32, "hidden_size": 16}
    return {"task": 0.0, "gail": {**gail, **options}}


def _rows(folder):
    """Return the numbers of the rollouts that the discriminator has learned from."""
    with (folder / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [
        {key: float(value) for key, value in row.items() if value and key.startswith("reward/")}
        for row in rows
        if row["reward/gail/loss"]
    ]
    assert found
    assert all(math.isfinite(value) for row in found for value in row.values())
    return found


@pytest.fixture
def demonstrations(write, expert_episodes):
    return write(expert_episodes(count=4, steps=40))


@pytest.mark.parametrize(
    "algo",
    [
        pytest.param(PPO, id="ppo"),
        pytest.param({"name": "td3", "n_steps": 3, **OFF_POLICY}, id="td3"),
        pytest.param({"name": "tqc", **OFF_POLICY}, id="tqc", marks=slow),
        pytest.param({"name": "ddpg", **OFF_POLICY}, id="ddpg", marks=slow),
    ],
)
def test_every_kind_of_learner_imitates(algo, demonstrations, tmp_path):
    result = ctrl.train(
        env={"id": "PointMass-v0", "n_envs": 2},
        algo=algo,
        reward=_gail(demonstrations, steps=40, learning_rate=0.005),
        steps=384,
        checkpoints={"every": 0},
        out=tmp_path / "run",
    )
    assert result.finished
    rows = _rows(tmp_path / "run")
    # The task pays nothing; what is learned from is the discriminator's, never negative.
    assert all(row["reward/task/contribution"] == 0 for row in rows)
    assert all(row["reward/gail/mean"] > 0 for row in rows)
    accuracy = rows[-1]["reward/gail/expert_accuracy"] + rows[-1]["reward/gail/policy_accuracy"]
    assert accuracy / 2 > 0.6


def test_a_resumed_imitation_is_the_uninterrupted_one(demonstrations, tmp_path):
    settings = {
        "env": {"id": "PointMass-v0", "n_envs": 2},
        "algo": {"name": "sac", **OFF_POLICY},
        "reward": _gail(demonstrations, absorbing=True),
        "diagnostics": {"lipschitz": 100},
    }
    whole, cut = (tmp_path / name for name in ("whole", "cut"))
    ctrl.train(steps=400, checkpoints={"every": 200}, out=whole, **settings)
    # As it lay there when it was killed after its first checkpoint, which is no multiple of 64:
    # some fresh transitions wait for the discriminator.
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "final")
    shutil.rmtree(cut / "checkpoints" / "step_000000000400")
    assert ctrl.resume(cut).steps == 400
    one, other = (load_file(str(run / "final" / "policy.safetensors")) for run in (whole, cut))
    assert all(torch.equal(one[key], other[key]) for key in one)
    # So are the discriminator and everything that it will draw.
    last = [sorted((run / "checkpoints").iterdir())[-1] for run in (whole, cut)]
    assert last[0].name == last[1].name
    one, other = (load_file(str(each / ARRAYS)) for each in last)
    learned = [key for key in one if "gail" in key]
    assert any("discriminator" in key for key in learned)
    equal = {"rtol": 0, "atol": 0, "equal_nan": True}
    assert all(torch.allclose(one[key].double(), other[key].double(), **equal) for key in learned)
    assert _rows(whole)[-1] == _rows(cut)[-1]


def test_nethack_is_imitated_from_dicts_and_choices(tmp_path):
    pytest.importorskip("nle")
    pytest.importorskip("minihack")
    env = {"id": "MiniHack-Room-5x5-v0", "n_envs": 2}
    algo = {**PPO, "n_steps": 32, "batch_size": 32, "n_epochs": 1}
    plain = {"env": env, "algo": algo, "checkpoints": {"every": 0}}
    ctrl.train(steps=64, out=tmp_path / "random", **plain)
    # An untrained policy, by sampled actions: it finds the stairs of the small room by chance.
    shown = record_run(
        RunFolder.open(tmp_path / "random"), episodes=2, out=tmp_path / "demos", deterministic=False
    )
    assert shown["episodes"] == 2
    assert shown["steps"] > 1
    gail = _gail(str(tmp_path / "demos"), one_hot_actions=True, latent_size=16, steps=4)
    result = ctrl.train(steps=2 * 64, reward=gail, out=tmp_path / "run", **plain)
    assert result.finished
    rows = _rows(tmp_path / "run")
    assert len(rows) == 2
    assert {"reward/gail/penalty", "reward/gail/gradient"} <= set(rows[-1])
