"""`ctrl search` as a user meets it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ctrl.checkpoint import load_tree, newest_checkpoint
from ctrl.cli import main

SMALL = [
    "search", "--env", "pointwalker", "--quiet", "method.population_size=10", "method.sigma=0.5",
    "genome.hidden=[5]",
]  # fmt: skip


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failed(capsys, *arguments):
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr().err
    assert code == 2, said
    assert "Traceback" not in said
    return said


def test_the_whole_way_from_a_search_to_a_trained_policy(inside, capsys):
    words = [*SMALL, "--method", "novelty", "--budget", "50", "--seed", "1", "--out", "found"]
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert document["evaluations"] == 50
    assert document["finished"]
    assert "finished" in failed(capsys, "resume", "found")
    assert main(["resume", "found", "--budget", "70", "--quiet"]) == 0
    assert "70 evaluations" in capsys.readouterr().out
    elite = sorted((inside / "found" / "elites").iterdir())[0]
    train = ["train", "--from", str(elite), "--steps", "256", "--out", "on", "--quiet"]
    assert main([*train, "env.n_envs=2", "algo.n_steps=64", "algo.batch_size=64"]) == 0
    assert (inside / "on" / "final").is_dir()


def test_a_file_and_words_after_it(inside, capsys):
    (inside / "mine.yaml").write_text(
        "env: PointWalker-v0\nmethod: {name: random, batch_size: 10}\nbudget: 90\n"
    )
    assert main(["search", "mine.yaml", "--budget", "20", "--out", "found", "--quiet"]) == 0
    assert "20 evaluations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "--budget", "10"], "--env"),
        ([*SMALL, "--method", "noveltyy"], "Did you mean 'novelty'"),
        ([*SMALL, "method.sgma=1"], "Did you mean 'sigma'"),
        ([*SMALL, "genome.kind=controler"], "Did you mean 'controller'"),
        ([*SMALL, "observe=positon"], "Did you mean 'position'"),
        ([*SMALL, "--reward", "rnd"], "learn"),
        ([*SMALL, "--processes", "0"], "at least 1"),
        ([*SMALL, "--bugdet", "10"], "--budget"),
        (["search", "--env", "Pendulum-v1"], "bounds"),
    ],
)
def test_mistakes_cost_one_line(inside, capsys, arguments, said):
    assert said in failed(capsys, *arguments)
    assert not (inside / "runs").exists()


def test_options_of_searches_are_refused_for_training_runs(inside, capsys):
    small = ["env.n_envs=2", "algo.n_steps=64", "algo.batch_size=64"]
    assert main(["train", "--env", "PointMass-v0", "--steps", "128", "--out", "r", "--quiet",
                 *small]) == 0  # fmt: skip
    capsys.readouterr()
    assert "searches" in failed(capsys, "resume", "r", "--budget", "10")
    assert main([*SMALL, "--method", "novelty", "--budget", "10", "--out", "s"]) == 0
    capsys.readouterr()
    assert "--budget" in failed(capsys, "resume", "s", "--steps", "10")
    assert "is a search" in failed(capsys, "eval", "s")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_after_the_generation_and_resume_goes_on(inside):
    words = [*SMALL, "--method", "novelty", "--budget", "100000", "--out", "cut"]
    process = subprocess.Popen([sys.executable, "-m", "ctrl", *words], stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list((inside / "cut").glob("progress.csv")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert b"ctrl resume cut" in said
    used = load_tree(newest_checkpoint(inside / "cut" / "checkpoints"))["used"]
    assert 0 < used < 100_000
    assert main(["resume", "cut", "--budget", str(used + 20), "--quiet"]) == 0
