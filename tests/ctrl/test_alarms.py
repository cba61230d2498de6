"""Alarms are raised for what they are about, once, and not for noise."""

import json

import numpy as np
import pytest

import ctrl
from ctrl.alarms import RewardAlarms


def row(**terms):
    """Return the numbers of a rollout: per term its share, mean, deviation and contribution."""
    names = ("share", "mean", "std", "contribution")
    return {
        f"{term}/{name}": value
        for term, values in terms.items()
        for name, value in zip(names, values, strict=True)
    }


def kinds(alarms):
    return [(alarm.kind, alarm.term) for alarm in alarms]


QUIET = (0.5, 1.0, 0.3, 0.5)


def test_a_healthy_mix_raises_nothing():
    alarms, random = RewardAlarms(["task", "hint"]), np.random.default_rng(0)
    for step in range(200):
        noise = random.normal(size=2)
        rollout = row(task=(0.6, noise[0], 1.0, 0.1 + noise[0]), hint=(0.4, noise[1], 1.0, 0.2))
        assert alarms.update(rollout, (step + 5 * noise[0], step + 5 * noise[1])) == []


def test_a_term_above_ninety_percent_is_named_once_and_only_after_ten_rollouts():
    alarms = RewardAlarms(["task", "hint"])
    dominant = row(task=(0.05, 1.0, 0.3, 0.05), hint=(0.95, 1.0, 0.3, 0.95))
    raised = [kinds(alarms.update(dominant, None)) for _ in range(12)]
    assert raised[:9] == [[]] * 9
    assert raised[9] == [("dominant", "hint")]
    assert raised[10:] == [[]] * 2
    assert alarms.counts()["dominant"] == 1
    alarms.update(row(task=QUIET, hint=QUIET), None)
    assert alarms.counts()["dominant"] == 0


def test_a_single_term_is_not_called_dominant():
    alarms = RewardAlarms(["task"])
    for _ in range(20):
        assert alarms.update(row(task=(1.0, 1.0, 0.3, 1.0)), None) == []


def test_a_term_that_never_changes_is_named():
    alarms = RewardAlarms(["task", "hint"])
    for _ in range(10):
        raised = alarms.update(row(task=(0.0, 0.0, 0.0, 0.0), hint=QUIET), None)
    assert kinds(raised) == [("constant", "task")]
    assert "0 at every step" in raised[0].message


def test_equal_means_of_changing_values_are_not_constant():
    alarms = RewardAlarms(["task", "hint"])
    for step in range(12):
        shifted = (0.5, float(step), 0.0, 0.5)  # constant in each rollout, another in the next
        assert alarms.update(row(task=QUIET, hint=shifted), None) == []


def test_a_sign_flip_is_named_and_a_wavering_sign_is_not():
    alarms, raised = RewardAlarms(["task", "hint"]), []
    for step in range(10):
        sign = 1.0 if step < 5 else -1.0
        raised = alarms.update(row(task=QUIET, hint=(0.5, 1.0, 0.3, sign)), None)
    assert kinds(raised) == [("sign_flip", "hint")]
    wavering = RewardAlarms(["task", "hint"])
    for step in range(30):
        sign = (-1.0) ** step
        assert wavering.update(row(task=QUIET, hint=(0.5, 1.0, 0.3, sign)), None) == []


def test_collecting_hints_instead_of_doing_the_task_is_named():
    hacking, learning, raised = RewardAlarms(["task", "hint"]), RewardAlarms(["task", "hint"]), []
    for step in range(20):
        part = step / 19
        raised += hacking.update(row(task=QUIET, hint=QUIET), (-part, part))
        assert learning.update(row(task=QUIET, hint=QUIET), (part, part)) == []
    assert kinds(raised) == [("proxy", "")]


def test_noise_on_a_plateau_seldom_looks_like_hacking():
    # Two independent trends at 2 standard errors: about 0.03 * 0.03 of all windows.
    random, windows = np.random.default_rng(1), 0
    for _ in range(400):
        alarms = RewardAlarms(["task", "hint"])
        for _ in range(20):
            windows += len(alarms.update(row(task=QUIET, hint=QUIET), tuple(random.normal(size=2))))
    assert windows <= 4


def test_a_restored_watch_raises_what_the_other_would_have():
    whole, first = RewardAlarms(["task", "hint"]), RewardAlarms(["task", "hint"])
    rows = [row(task=QUIET, hint=(0.95, 1.0, 0.3, 0.5)) for _ in range(10)]
    for rollout in rows[:6]:
        whole.update(rollout, (0.0, 1.0))
        first.update(rollout, (0.0, 1.0))
    second = RewardAlarms(["task", "hint"])
    second.restore(first.snapshot())
    for rollout in rows[6:]:
        assert whole.update(rollout, None) == second.update(rollout, None)
    assert kinds(whole.active) == [("dominant", "hint")]


def test_training_prints_and_keeps_alarms(tmp_path, capsys):
    def loud(observation):
        return 100.0 + observation[..., 0]

    ctrl.train(
        env={"id": "HalfCheetahGoal-v0", "n_envs": 2},
        algo={"name": "ppo", "n_steps": 16, "batch_size": 32, "n_epochs": 1},
        reward={"loud": loud}, steps=16 * 2 * 12, out=tmp_path / "run",
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "run/alarms.jsonl").read_text().splitlines()]
    assert {(entry["kind"], entry["term"]) for entry in rows} == {
        ("dominant", "loud"),
        ("constant", "task"),
    }
    assert rows[0]["step"] == 320
    assert "Alarm at step 320 (dominant): 'loud' has 100%" in capsys.readouterr().out
    header = (tmp_path / "run/progress.csv").read_text().splitlines()[0]
    assert {"alarm/dominant", "alarm/proxy"} <= set(header.split(","))


@pytest.mark.parametrize("stop", [False, True])
def test_alarms_after_the_checkpoint_are_not_kept_twice(tmp_path, stop):
    settings = {
        "env": {"id": "HalfCheetahGoal-v0", "n_envs": 2},
        "algo": {"name": "ppo", "n_steps": 16, "batch_size": 32, "n_epochs": 1},
        "reward": {"constant": 1.0}, "out": tmp_path / "run", "checkpoints": {"every": 64},
    }  # fmt: skip
    ctrl.train(steps=384, **settings)
    whole = (tmp_path / "run/alarms.jsonl").read_text()
    if stop:
        with (tmp_path / "run/alarms.jsonl").open("a") as file:
            file.write(json.dumps({"step": 10_000, "kind": "x", "term": "", "message": ""}) + "\n")
        ctrl.resume(tmp_path / "run", steps=448)
    assert (tmp_path / "run/alarms.jsonl").read_text() == whole
