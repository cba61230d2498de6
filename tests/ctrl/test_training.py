import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import ctrl
from ctrl.checkpoint import load_tree, newest_checkpoint, save_tree
from ctrl.ledger import episode_ledger
from ctrl.run_folder import RunFolder
from reward_models import RewardError, RewardModel, Rollout, Term, UserError

ENV = {"id": "Hopper-v5", "n_envs": 2}
PPO = {"name": "ppo", "n_steps": 64, "batch_size": 64, "n_epochs": 2}


def weights(folder):
    return load_file(str(folder / "final" / "policy.safetensors"))


def equal(a, b):
    left, right = weights(a), weights(b)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def curve(folder):
    with (folder / "progress.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    ignored = {"time/fps", "time/time_elapsed", "time/iterations"}
    return [{k: v for k, v in row.items() if k not in ignored and v != ""} for row in rows]


def test_that_a_run_folder_holds_what_it_should(tmp_path):
    out = tmp_path / "run"
    result = ctrl.train(env=ENV, algo=PPO, reward={"rnd": 0.1}, steps=512, out=out)
    assert result.finished
    assert result.steps == 512
    assert set(result.terms) == {"task", "rnd"}
    for name in ("config.yaml", "versions.json", "progress.csv", "result.json"):
        assert (out / name).is_file()
    assert (out / "final" / "policy.safetensors").is_file()
    assert json.loads((out / "result.json").read_text())["steps"] == 512
    assert json.loads((out / "versions.json").read_text())["torch"]
    events = EventAccumulator(str(out)).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"return/task", "return/shaped", "return/term/rnd", "reward/rnd/share"} <= tags


def test_that_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        ctrl.train(
            env=ENV, algo=PPO, reward={"icm": 0.1}, steps=256, seed=seed, out=tmp_path / name
        )
    assert equal(tmp_path / "a", tmp_path / "b")
    assert curve(tmp_path / "a") == curve(tmp_path / "b")
    assert not equal(tmp_path / "a", tmp_path / "c")


def test_that_a_folder_in_use_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(UserError, match="not empty"):
        ctrl.train(env=ENV, algo=PPO, steps=128, out=tmp_path)


@pytest.mark.parametrize(
    ("algo", "extra"),
    [
        (PPO, {"normalize_observations": True, "reward": {"rnd": 0.1}}),
        ({**PPO, "use_sde": True}, {}),
        ({"name": "recurrent_ppo", "n_steps": 64, "batch_size": 64, "n_epochs": 1}, {}),
        ({"name": "sac", "learning_starts": 50}, {"reward": {"rnd": {"weight": 1.0}}}),
        ({"name": "td3", "learning_starts": 50, "action_noise": 0.1, "n_steps": 3}, {}),
    ],
    ids=["ppo", "sde", "recurrent", "sac", "td3"],
)
def test_that_an_interrupted_run_equals_an_uninterrupted_one(tmp_path, algo, extra):
    """The first run stops itself at a checkpoint, as Ctrl-C does."""
    settings = {
        "env": ENV if algo["name"] in ("ppo", "recurrent_ppo") else "Hopper-v5",
        "algo": algo,
        "steps": 384 if algo["name"] in ("ppo", "recurrent_ppo") else 150,
        "checkpoints": {"every": 100},
        **extra,
    }
    ctrl.train(**settings, out=tmp_path / "whole")
    script = f"""
import ctrl.sb3.callbacks as c, ctrl
save = c.Checkpoints._on_rollout_start
def stop(self):
    self.stop_requested = self.model.num_timesteps >= 100
    save(self)
c.Checkpoints._on_rollout_start = stop
result = ctrl.train(**{settings!r}, out={str(tmp_path / "cut")!r})
assert not result.finished
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)
    assert not (tmp_path / "cut" / "final").exists()
    result = ctrl.resume(tmp_path / "cut")
    assert result.finished
    assert equal(tmp_path / "whole", tmp_path / "cut")
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")


def test_that_a_killed_run_continues_bit_for_bit(tmp_path):
    arguments = [
        "train", "--env", "Hopper-v5", "--steps", "4096", "--quiet", "env.n_envs=2",
        "algo.n_steps=64", "algo.batch_size=64", "checkpoints.every=512",
    ]  # fmt: skip
    command = [sys.executable, "-W", "ignore", "-m", "ctrl", *arguments, "--out"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL)
    with subprocess.Popen([*command, str(tmp_path / "cut")], stdout=subprocess.DEVNULL) as process:
        checkpoints = tmp_path / "cut" / "checkpoints"
        while process.poll() is None and newest_checkpoint(checkpoints) is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "cut" / "final").exists()
    ctrl.resume(tmp_path / "cut")
    assert equal(tmp_path / "whole", tmp_path / "cut")
    assert curve(tmp_path / "whole") == curve(tmp_path / "cut")


def test_that_a_finished_run_is_not_resumed_but_can_be_extended(tmp_path):
    ctrl.train(env=ENV, algo=PPO, steps=128, out=tmp_path / "run")
    with pytest.raises(UserError, match=r"is finished.*--steps"):
        ctrl.resume(tmp_path / "run")
    assert ctrl.resume(tmp_path / "run", steps=256).steps == 256


class Spoils(RewardModel):
    """Returns a bad value from the third rollout on."""

    def __init__(self, value):
        super().__init__()
        self.value = value
        self.register_buffer("rollouts", torch.zeros((), dtype=torch.int64))

    def forward(self, rollout: Rollout) -> torch.Tensor:
        reward = torch.ones(rollout.T, rollout.B)
        if self.rollouts >= 2:
            reward[7, 1] = self.value
        return reward

    def update(self, rollout: Rollout) -> dict[str, float]:
        self.rollouts += 1
        return {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_that_a_bad_value_stops_the_run_and_keeps_the_last_good_state(tmp_path, value):
    with pytest.raises(RewardError) as caught:
        ctrl.train(env=ENV, algo=PPO, reward={"bad": Spoils(value)}, steps=1024, out=tmp_path / "r")
    message = str(caught.value)
    assert "'bad'" in message
    assert "time step 7, column 1" in message
    assert str(value) in message
    kept = newest_checkpoint(tmp_path / "r" / "checkpoints")
    assert kept is not None
    assert str(kept) in message
    policy = load_tree(kept)["policy"]
    assert all(torch.isfinite(tensor).all() for tensor in policy.values())


def test_that_a_wrong_shape_stops_the_run_with_both_shapes(tmp_path):
    def flat(reward: torch.Tensor) -> torch.Tensor:
        return reward.sum(0)

    with pytest.raises(RewardError, match=r"\[T, B\] = \[64, 2\].*got \[2\]"):
        ctrl.train(env=ENV, algo=PPO, reward={"flat": flat}, steps=128, out=tmp_path / "run")


def test_that_an_exception_in_a_reward_names_the_term_and_the_line(tmp_path):
    def crash(observation: torch.Tensor) -> torch.Tensor:
        return observation[..., 99]

    with pytest.raises(RewardError, match=r"'crash': raised IndexError.*test_training\.py, line"):
        ctrl.train(env=ENV, algo=PPO, reward={"crash": crash}, steps=128, out=tmp_path / "run")


def test_that_a_misspelt_quantity_is_found_before_anything_is_written(tmp_path):
    def typo(x_velocty: torch.Tensor) -> torch.Tensor:
        return x_velocty

    with pytest.raises(UserError, match="Did you mean 'x_velocity'"):
        ctrl.train(env=ENV, algo=PPO, reward={"typo": typo}, steps=128, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_that_a_short_off_policy_run_is_logged_and_booked_to_its_end(tmp_path):
    env = {"id": "Hopper-v5", "max_episode_steps": 20}
    sac = {"name": "sac", "learning_starts": 1000}
    result = ctrl.train(env=env, algo=sac, reward={"constant": 1.0}, steps=50, out=tmp_path / "run")
    assert result.task_return is not None
    assert result.terms["constant"] == 20.0
    rows = curve(tmp_path / "run")
    assert rows[-1]["time/total_timesteps"] == "50"
    assert float(rows[-1]["return/term/constant"]) == 20.0


def test_that_a_resumed_run_keeps_the_best_policy(tmp_path):
    evaluation = {"every": 128, "episodes": 2}
    ctrl.train(env=ENV, algo=PPO, steps=256, out=tmp_path / "run", evaluation=evaluation)
    best = tmp_path / "run" / "best"
    tree = load_tree(best)
    save_tree({**tree, "task_return": 1e9}, best)
    ctrl.resume(tmp_path / "run", steps=512)
    assert load_tree(best)["task_return"] == 1e9
    assert load_tree(best)["policy"].keys() == tree["policy"].keys()
    logged = [row for row in curve(tmp_path / "run") if "evaluation/task_return" in row]
    assert [row["time/total_timesteps"] for row in logged][-1] == "512"


def test_that_python_objects_train_and_resume_with_the_objects(tmp_path):
    reward = {"effort": Term(lambda action: -action.square().sum(-1), weight=0.1)}
    ctrl.train(env=ENV, algo=PPO, reward=reward, steps=128, out=tmp_path / "run")
    with pytest.raises(UserError, match=r"terms="):
        ctrl.resume(tmp_path / "run", steps=256)
    with pytest.raises(UserError, match=r"reward objects for effort"):
        episode_ledger(RunFolder.open(tmp_path / "run"), trust_code=True)
    assert ctrl.resume(tmp_path / "run", steps=256, terms=reward).steps == 256


def test_that_evaluation_keeps_the_best_policy_and_changes_no_weight(tmp_path):
    ctrl.train(env=ENV, algo=PPO, steps=384, out=tmp_path / "plain")
    ctrl.train(
        env=ENV, algo=PPO, steps=384, out=tmp_path / "evaluated",
        evaluation={"every": 128, "episodes": 2},
    )  # fmt: skip
    assert equal(tmp_path / "plain", tmp_path / "evaluated")
    assert (tmp_path / "evaluated" / "best" / "state.json").is_file()
    rows = curve(tmp_path / "evaluated")
    assert any("evaluation/task_return" in row for row in rows)


def test_that_environments_that_cannot_be_saved_begin_new_episodes(tmp_path):
    """A Box2D-free stand-in for such a simulator: SB3's own vector environment has no snapshot."""
    env = {**ENV, "backend": "dummy"}
    ctrl.train(env=env, algo=PPO, steps=256, out=tmp_path / "run")
    result = ctrl.resume(tmp_path / "run", steps=512)
    assert result.steps == 512
    assert np.isfinite(result.steps_per_second)
