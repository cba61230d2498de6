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


def take(alarms, metrics, returns, steps=2048):
    """Let alarms take a rollout, a long one unless said otherwise."""
    return alarms.update(metrics, returns, steps=steps)


def kinds(alarms):
    return [(alarm.kind, alarm.term) for alarm in alarms]


QUIET = (0.5, 1.0, 0.3, 0.5)


def test_a_healthy_mix_raises_nothing():
    alarms, random = RewardAlarms(["task", "hint"]), np.random.default_rng(0)
    for step in range(200):
        noise = random.normal(size=2)
        rollout = row(task=(0.6, noise[0], 1.0, 0.1 + noise[0]), hint=(0.4, noise[1], 1.0, 0.2))
        assert take(alarms, rollout, (step + 5 * noise[0], step + 5 * noise[1])) == []


def test_a_term_above_ninety_percent_is_named_once_and_only_after_ten_rollouts():
    alarms = RewardAlarms(["task", "hint"])
    dominant = row(task=(0.05, 1.0, 0.3, 0.05), hint=(0.95, 1.0, 0.3, 0.95))
    raised = [kinds(take(alarms, dominant, None)) for _ in range(12)]
    assert raised[:9] == [[]] * 9
    assert raised[9] == [("dominant", "hint")]
    assert raised[10:] == [[]] * 2
    assert alarms.counts()["dominant"] == 1
    take(alarms, row(task=QUIET, hint=QUIET), None)
    assert alarms.counts()["dominant"] == 0


def test_a_single_term_is_not_called_dominant():
    alarms = RewardAlarms(["task"])
    for _ in range(20):
        assert take(alarms, row(task=(1.0, 1.0, 0.3, 1.0)), None) == []


def test_a_term_that_never_changes_is_named():
    alarms = RewardAlarms(["task", "hint"])
    for _ in range(10):
        raised = take(alarms, row(task=(0.0, 0.0, 0.0, 0.0), hint=QUIET), None)
    assert kinds(raised) == [("constant", "task")]
    assert "0 at every step" in raised[0].message


def test_equal_means_of_changing_values_are_not_constant():
    alarms = RewardAlarms(["task", "hint"])
    for step in range(12):
        shifted = (0.5, float(step), 0.0, 0.5)  # constant in each rollout, another in the next
        assert take(alarms, row(task=QUIET, hint=shifted), None) == []


def test_a_sign_flip_is_named_and_a_wavering_sign_is_not():
    alarms, raised = RewardAlarms(["task", "hint"]), []
    for step in range(10):
        sign = 1.0 if step < 5 else -1.0
        raised = take(alarms, row(task=QUIET, hint=(0.5, 1.0, 0.3, sign)), None)
    assert kinds(raised) == [("sign_flip", "hint")]
    wavering = RewardAlarms(["task", "hint"])
    for step in range(30):
        sign = (-1.0) ** step
        assert take(wavering, row(task=QUIET, hint=(0.5, 1.0, 0.3, sign)), None) == []


def test_collecting_hints_instead_of_doing_the_task_is_named():
    hacking, learning, raised = RewardAlarms(["task", "hint"]), RewardAlarms(["task", "hint"]), []
    for step in range(20):
        part = step / 19
        raised += take(hacking, row(task=QUIET, hint=QUIET), (-part, part))
        assert take(learning, row(task=QUIET, hint=QUIET), (part, part)) == []
    assert kinds(raised) == [("proxy", "")]


def test_noise_on_a_plateau_seldom_looks_like_hacking():
    # Two independent trends at 2 standard errors: about 0.03 * 0.03 of all windows.
    random, windows = np.random.default_rng(1), 0
    for _ in range(400):
        alarms = RewardAlarms(["task", "hint"])
        for _ in range(20):
            windows += len(take(alarms, row(task=QUIET, hint=QUIET), tuple(random.normal(size=2))))
    assert windows <= 4


def test_a_restored_watch_raises_what_the_other_would_have():
    whole, first = RewardAlarms(["task", "hint"]), RewardAlarms(["task", "hint"])
    rows = [row(task=QUIET, hint=(0.95, 1.0, 0.3, 0.5)) for _ in range(10)]
    for rollout in rows[:6]:
        take(whole, rollout, (0.0, 1.0))
        take(first, rollout, (0.0, 1.0))
    second = RewardAlarms(["task", "hint"])
    second.restore(first.snapshot())
    for rollout in rows[6:]:
        assert take(whole, rollout, None) == take(second, rollout, None)
    assert kinds(whole.active) == [("dominant", "hint")]


def test_short_rollouts_are_watched_over_as_many_steps_as_longer_ones():
    # A sparse reward that is met every 200 steps, in rollouts of 8: ten of those say nothing yet.
    alarms, raised = RewardAlarms(["task", "hint"]), []
    for number in range(500):
        met = number % 25 == 24
        task = (0.5, 0.125, 0.35, 0.1) if met else (0.0, 0.0, 0.0, 0.0)
        raised += take(alarms, row(task=task, hint=QUIET), None, steps=8)
        assert alarms.active == ()
    assert raised == []


@pytest.mark.parametrize(("steps", "rollouts"), [(1, 1000), (8, 130), (99, 20), (100, 10)])
def test_a_constant_term_is_named_after_ten_rollouts_and_a_thousand_steps(steps, rollouts):
    alarms, third = RewardAlarms(["task", "hint"]), (0.5, 1 / 3, 0.0, 0.5)
    numbers = row(task=third, hint=QUIET)
    raised = [take(alarms, numbers, None, steps=steps) for _ in range(rollouts)]
    assert [bool(found) for found in raised] == [False] * (rollouts - 1) + [True]
    assert kinds(raised[-1]) == [("constant", "task")]


def test_short_rollouts_with_different_constants_are_not_constant():
    alarms = RewardAlarms(["task", "hint"])
    for number in range(400):
        each = (0.5, float(number % 2), 0.0, 0.5)
        assert take(alarms, row(task=each, hint=QUIET), None, steps=8) == []


def test_shares_of_short_rollouts_are_weighted_by_their_steps():
    loud, quiet = row(task=QUIET, hint=(1.0, 1, 0.3, 1)), row(task=QUIET, hint=(0.5, 1, 0.3, 1))
    for first, found in ((90, ["dominant"]), (10, [])):
        alarms, raised = RewardAlarms(["task", "hint"]), []
        for _ in range(10):
            raised += take(alarms, loud, None, steps=first)
            raised += take(alarms, quiet, None, steps=100 - first)
        assert [kind for kind, _ in kinds(raised)] == found


def test_a_restored_watch_goes_on_with_the_rollouts_that_were_being_put_together():
    numbers = row(task=QUIET, hint=(0.95, 1.0, 0.3, 0.5))
    whole, first = RewardAlarms(["task", "hint"]), RewardAlarms(["task", "hint"])
    for number in range(120):
        for alarms in (whole, first):
            take(alarms, numbers, (float(number), -float(number)), steps=8)
    second = RewardAlarms(["task", "hint"])
    second.restore(first.snapshot())
    raised = [
        (take(whole, numbers, None, steps=8), take(second, numbers, None, steps=8))
        for _ in range(30)
    ]
    assert all(one == other for one, other in raised)
    assert sum(len(one) for one, _ in raised) == 1
    assert str(whole.snapshot()) == str(second.snapshot())


def test_training_prints_and_keeps_alarms(tmp_path, capsys):
    def loud(observation):
        return 100.0 + observation[..., 0]

    ctrl.train(
        env={"id": "HalfCheetahGoal-v0", "n_envs": 8},
        algo={"name": "ppo", "n_steps": 16, "batch_size": 128, "n_epochs": 1},
        reward={"loud": loud}, steps=16 * 8 * 12, out=tmp_path / "run",
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "run/alarms.jsonl").read_text().splitlines()]
    assert {(entry["kind"], entry["term"]) for entry in rows} == {
        ("dominant", "loud"),
        ("constant", "task"),
    }
    assert rows[0]["step"] == 1280
    assert "Alarm at step 1280 (dominant): 'loud' has 100%" in capsys.readouterr().out
    header = (tmp_path / "run/progress.csv").read_text().splitlines()[0]
    assert {"alarm/dominant", "alarm/proxy"} <= set(header.split(","))


@pytest.mark.parametrize("stop", [False, True])
def test_alarms_after_the_checkpoint_are_not_kept_twice(tmp_path, stop):
    settings = {
        "env": {"id": "HalfCheetahGoal-v0", "n_envs": 2},
        "algo": {"name": "ppo", "n_steps": 64, "batch_size": 128, "n_epochs": 1},
        "reward": {"constant": 1.0}, "out": tmp_path / "run", "checkpoints": {"every": 256},
    }  # fmt: skip
    ctrl.train(steps=1536, **settings)
    whole = (tmp_path / "run/alarms.jsonl").read_text()
    if stop:
        with (tmp_path / "run/alarms.jsonl").open("a") as file:
            file.write(json.dumps({"step": 10_000, "kind": "x", "term": "", "message": ""}) + "\n")
        ctrl.resume(tmp_path / "run", steps=1792)
    assert (tmp_path / "run/alarms.jsonl").read_text() == whole
