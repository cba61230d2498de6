"""Studies run, go on after an interruption, and are judged; on processes and on a Ray cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ctrl.cli import main
from ctrl.study.plan import read_study
from ctrl.study.results import findings, table
from ctrl.study.run import run_study
from reward_models import UnknownNameError, UserError

FUNCTION = """
import os
import numpy as np

def run(settings, seed):
    mark = settings.get("mark")
    if mark:
        with open(mark, "a") as file:
            file.write(f"{settings['mu']} {seed}\\n")
    if settings.get("fails") == seed:
        raise ValueError("no luck")
    if settings.get("dies") == seed:
        os.kill(os.getpid(), 9)
    noise = np.random.default_rng(seed).normal()
    return {"score": settings["mu"] + noise, "curves": {"walk": [[0, 1, 2], [0.0, noise, 1.0]]}}
"""
STUDY = """
study: shift
run: shift.py:run
seeds: 4
settings: {mark: MARK}
methods:
  low: {mu: 0.0}
  high: {mu: 3.0}
pass:
  - {claim: a shift of three is seen, metric: score, of: high, beats: low}
"""
TRAINING = """
study: tiny
seeds: 1
episodes: 3
settings:
  env: {id: PointMass-v0, n_envs: 2, max_episode_steps: 10}
  algo: {name: ppo, n_steps: 32, batch_size: 32, n_epochs: 1}
  steps: STEPS
  checkpoints: {every: 128}
methods: {none: {}, rnd: {reward: {rnd: 0.1}}}
"""


@pytest.fixture
def shift(tmp_path):
    (tmp_path / "shift.py").write_text(FUNCTION)
    path = tmp_path / "shift.yaml"

    def write(text=STUDY):
        path.write_text(text.replace("MARK", str(tmp_path / "mark")))
        return path

    return write


def marks(tmp_path):
    return sorted((tmp_path / "mark").read_text().splitlines())


def test_a_study_runs_is_judged_and_written(shift, tmp_path, capsys):
    out = tmp_path / "out"
    code = main(["study", str(shift()), "--out", str(out), "--processes", "2", "--quiet"])
    printed = capsys.readouterr().out
    assert code == 0
    assert "pass  a shift of three is seen" in printed
    assert "shift: pass" in printed
    document = json.loads((out / "shift.json").read_text())
    assert document["passed"] is True
    assert [cell["seed"] for cell in document["cells"] if cell["method"] == "low"] == [0, 1, 2, 3]
    (summary,) = [s for s in document["summaries"] if s["method"] == "high"]
    assert summary["mean"] == pytest.approx(sum(summary["values"]) / 4)
    assert summary["interval"][0] < summary["mean"] < summary["interval"][1]
    (comparison,) = document["comparisons"]
    assert (comparison["method"], comparison["against"]) == ("high", "low")
    assert comparison["probability_of_improvement"] > 0.9
    assert set(document["sources"]) == {"shift.yaml", "shift.py"}
    assert (out / "shift.png").read_bytes()[:4] == b"\x89PNG"


def test_a_bar_that_is_missed_is_said_and_is_exit_code_1(shift, tmp_path, capsys):
    path = shift(STUDY.replace("of: high, beats: low", "of: low, at_least: 50"))
    assert main(["study", str(path), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    assert "SHORT OF THE BAR" in capsys.readouterr().out


def test_what_is_finished_is_not_run_again(shift, tmp_path):
    study = read_study(shift())
    run_study(study, out=tmp_path / "out", seeds=[0, 1], processes=2, quiet=True)
    run_study(study, out=tmp_path / "out", processes=2, quiet=True)
    assert marks(tmp_path) == sorted(f"{mu} {seed}" for mu in (0.0, 3.0) for seed in range(4))


def test_a_failing_cell_stops_no_other_and_runs_again(shift, tmp_path, capsys):
    path = shift(STUDY.replace("low: {mu: 0.0}", "low: {mu: 0.0, fails: 2}"))
    study = read_study(path)
    found, failures = run_study(study, out=tmp_path / "out", processes=2, quiet=True)
    assert list(failures) == ["low/default/seed_2"]
    assert "no luck" in failures["low/default/seed_2"]
    assert len(found.cells) == 7
    assert found.passed is None
    assert main(["study", str(path), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    assert "1 runs are missing" in capsys.readouterr().out
    assert marks(tmp_path).count("0.0 2") == 2


def test_a_killed_worker_is_a_failed_cell_and_no_hang(shift, tmp_path):
    study = read_study(shift(STUDY.replace("low: {mu: 0.0}", "low: {mu: 0.0, dies: 1}")))
    found, failures = run_study(study, out=tmp_path / "out", processes=1, quiet=True)
    assert list(failures) == ["low/default/seed_1"]
    assert "killed" in failures["low/default/seed_1"]
    assert len(found.cells) == 7


def test_a_changed_study_does_not_mix_with_what_was_run(shift, tmp_path):
    run_study(read_study(shift()), out=tmp_path / "out", processes=1, quiet=True)
    changed = read_study(shift(STUDY.replace("mu: 3.0", "mu: 4.0")))
    with pytest.raises(UserError, match="run with other settings"):
        run_study(changed, out=tmp_path / "out", quiet=True)


def test_a_rule_about_a_number_that_is_not_there_is_named(shift, tmp_path):
    study = read_study(shift(STUDY.replace("metric: score", "metric: scor")))
    with pytest.raises(UnknownNameError, match="Did you mean 'score'"):
        run_study(study, out=tmp_path / "out", processes=1, quiet=True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return {'score': float('nan')}", "expected a finite number"),
        ("return {'score': 'high'}", "expected a number"),
        ("return 3.0", "must return a mapping"),
    ],
)
def test_what_a_function_returns_is_checked(shift, tmp_path, body, message):
    path = shift()
    (tmp_path / "shift.py").write_text(f"def run(settings, seed):\n    {body}\n")
    _, failures = run_study(
        read_study(path), out=tmp_path / "out", seeds=[0], processes=1, quiet=True
    )
    assert all(message in reason for reason in failures.values())


def test_one_seed_gives_no_interval_and_says_so(shift, tmp_path):
    found, _ = run_study(
        read_study(shift(STUDY[: STUDY.index("pass:")])),
        out=tmp_path / "out", seeds=[0], processes=1, quiet=True,
    )  # fmt: skip
    assert "one seed: no interval" in table(found)
    assert found.passed is None
    assert findings(found.study, found.cells, ["x"]).verdicts == ()


def test_trainings_are_measured_and_a_killed_study_goes_on_to_the_same_weights(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(TRAINING.replace("STEPS", "1024"))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    found, failures = run_study(read_study(path), out=whole, processes=2, quiet=True)
    assert not failures
    assert {"task_return", "episode_length", "task_return_area"} <= set(found.metrics)

    command = [sys.executable, "-m", "ctrl", "study", str(path), "--out", str(broken),
               "--processes", "1", "--quiet"]  # fmt: skip
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    checkpoints = broken / "none/default/seed_0/run/checkpoints"
    until = time.monotonic() + 60
    while not list(checkpoints.glob("step_*")) and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(checkpoints.glob("step_*"))

    run_study(read_study(path), out=broken, processes=2, quiet=True)
    for method in ("none", "rnd"):
        left, right = (
            load_file(str(root / method / "default/seed_0/run/final/policy.safetensors"))
            for root in (whole, broken)
        )
        assert all((left[name] == right[name]).all() for name in left)


def test_two_nodes_of_a_ray_cluster_give_the_same_numbers(shift, tmp_path):
    pytest.importorskip("ray")
    # In a process of its own: Ray leaves threads and sockets behind in the driver.
    script = tmp_path / "cluster.py"
    script.write_text(
        "import sys\n"
        "from ray.cluster_utils import Cluster\n"
        "from ctrl.cli import main\n"
        "local = {'num_cpus': 1, 'object_store_memory': 10**8,\n"
        "         'include_dashboard': False}\n"
        "cluster = Cluster(initialize_head=True, head_node_args=local)\n"
        "cluster.add_node(**local)\n"
        "cluster.wait_for_nodes()\n"
        "code = main(['study', sys.argv[1], '--out', sys.argv[2], '--ray', cluster.address,\n"
        "             '--quiet'])\n"
        "cluster.shutdown()\n"
        "sys.exit(code)\n"
    )
    path = shift(STUDY.replace("settings: {mark: MARK}", "settings: {}"))
    done = subprocess.run(
        [sys.executable, str(script), str(path), str(tmp_path / "ray")],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run_study(read_study(path), out=tmp_path / "local", processes=2, quiet=True)
    for cell in read_study(path).cells():
        left, right = (
            json.loads(Path(tmp_path / place / cell.name / "cell.json").read_text())["metrics"]
            for place in ("ray", "local")
        )
        assert left == right


def test_no_cluster_at_the_address_is_a_sentence(shift, tmp_path, capsys):
    pytest.importorskip("ray")
    code = main(["study", str(shift()), "--out", str(tmp_path), "--ray", "127.0.0.1:1", "--quiet"])
    assert code == 2
    assert "no Ray cluster" in capsys.readouterr().err
