"""Whole designs: repairs, selection by the task, records, and going on after any end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import ctrl
from ctrl.cli import main
from ctrl.design.config import parse_design
from ctrl.design.run import design, resume_design
from reward_models.coded.program import Program
from reward_models.errors import UnknownNameError, UserError

pytest.importorskip("pydantic_monty")

SMALL = {
    "env": {"id": "LavaGrid-v0", "observation": "one_hot", "n_envs": 2},
    "task": "Walk to the goal without falling into the lava.",
    "inputs": {"quantities": ["position", "goal_distance", "lava", "goal", "success"],
               "samples": 32},
    "rounds": 2,
    "judge": {"episodes": 4, "deterministic": False},
    "train": {"steps": 64, "algo": {"name": "ppo", "n_steps": 16, "batch_size": 16,
                                    "n_epochs": 1}},
}  # fmt: skip
FILES = ("history.jsonl", "best.py", "exchange.jsonl")


def records(folder):
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}


def attempts(folder):
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def test_a_design_from_baseline_to_a_program_that_trains_alone(tmp_path, monkeypatch):
    result = design({**SMALL, "final_seeds": 1}, out=tmp_path / "run")
    assert result.finished
    assert (result.rounds, result.accepted, result.refused) == (2, 2, 0)
    assert len(result.final) == 1
    found = attempts(tmp_path / "run")
    assert [attempt["round"] for attempt in found] == [0, 1, 2]
    assert sum(found[0]["trial"]["facts"]["causes"].values()) >= 1
    # The penalty of the second program is the count of the first one, and both name the parts.
    assert set(found[1]["trial"]["parts"]) == {"sparse", "dense"}
    assert set(found[1]["trial"]["facts"]["paid"]) == {"sparse", "dense", "total"}
    best = Program.load(tmp_path / "run" / "best.py")
    assert best.sha256 in {attempt["sha256"] for attempt in found}
    assert found[2]["sha256"] != found[1]["sha256"]
    page = (tmp_path / "run" / "history.html").read_text()
    assert "Changes from round 1, sample 1" in page
    assert "<script" not in page
    trained = ctrl.train(
        env=SMALL["env"], algo=SMALL["train"]["algo"], steps=64, out=tmp_path / "alone",
        reward={"best": {"use": f"{tmp_path / 'run' / 'best.py'}:program"}},
    )  # fmt: skip
    assert trained.finished


def test_the_scripted_loop_repairs_counts_and_selects(script, tmp_path):
    lava = script("lava_grid")
    trainers = []

    def make(config, metric):
        trainers.append(lava.QLearning(config, metric, seeds=2, episodes=5, last=3))
        return trainers[-1]

    config = lava.configuration(baseline=False)
    result = design(config, out=tmp_path / "run", make_trainer=make)
    first, second = attempts(tmp_path / "run")
    # The first reply has a syntax error and is repaired once.
    assert [bool(one["faults"]) for one in first["tries"]] == [True, False]
    assert first["tries"][0]["faults"][0].startswith("line 1: syntax")
    assert [bool(one["faults"]) for one in second["tries"]] == [False]
    for attempt, numbers in zip((first, second), trainers[0].by_program, strict=True):
        facts = attempt["trial"]["facts"]
        assert facts["causes"].get("lava", 0) == round(3 * sum(numbers["death"]))
        assert facts["successes"] == round(3 * sum(numbers["success"]))
        assert facts["episodes"] == 6
    scores = [first["trial"]["score"], second["trial"]["score"]]
    assert result.best_round == 1 + scores.index(max(scores))
    again = design(
        {**config, "backend": {"name": "replay", "path": str(tmp_path / "run" / "exchange.jsonl")}},
        out=tmp_path / "again", make_trainer=make,
    )  # fmt: skip
    assert again.best == result.best
    assert records(tmp_path / "again") == records(tmp_path / "run")


def test_the_committed_bar_is_what_the_page_asks_for():
    path = Path(__file__).parents[3] / "experiments" / "results" / "design-lava-grid.json"
    found = json.loads(path.read_text())["prepared_replies"]
    sparse, lured, around = found["attempts"]
    assert found["best_round"] == 2
    assert lured["refused"] == 1
    assert lured["causes"] == {"lava": 50 * found["seeds"]}
    assert min(around["success"]) >= 0.8
    assert around["success_mean"] >= sparse["success_mean"] + 0.6
    assert around["death_mean"] <= 0.25


def test_refused_programs_leave_the_round_failed_and_the_design_goes_on(tmp_path):
    replies = ["no code at all", "def sparse(:\n", *(["import os\n"] * 2)]
    config = {
        **SMALL, "baseline": False, "critic": {"retries": 1},
        "backend": {"name": "script", "replies": replies},
    }  # fmt: skip
    result = design(config, out=tmp_path / "run")
    assert (result.accepted, result.refused, result.best) == (0, 4, None)
    assert [len(attempt["tries"]) for attempt in attempts(tmp_path / "run")] == [2, 2]
    exchanges = (tmp_path / "run" / "exchange.jsonl").read_text().split("\n")[:-1]
    asked = [json.loads(line)["messages"] for line in exchanges]
    # Nothing could be run, so the second round asks what the first one asked.
    assert asked[2] == asked[0]
    assert not (tmp_path / "run" / "best.py").exists()


def test_trainings_go_on_from_the_best_policy_before_them_with_the_best_program_behind(tmp_path):
    design({**SMALL, "rounds": 3, "continue_training": True}, out=tmp_path / "run")
    found = attempts(tmp_path / "run")
    places = ["baseline", *(f"round_{number:02d}/sample_1" for number in (1, 2, 3))]
    folders = [tmp_path / "run" / "rounds" / place / "training" for place in places]
    configs = [yaml.safe_load((folder / "config.yaml").read_text()) for folder in folders]
    scores = [attempt["trial"]["score"] for attempt in found]
    assert configs[0]["start_from"] is None
    for number in (1, 2, 3):
        best = scores.index(max(scores[:number]))
        started = tmp_path / "run" / "rounds" / places[best] / "training"
        assert configs[number]["start_from"] == str(started.resolve())
        behind = configs[number]["reward"]["program"].get("fallback")
        if number == 1:
            assert behind is None
        else:
            best = 1 + scores[1:number].index(max(scores[1:number]))
            program = tmp_path / "run" / "rounds" / places[best] / "program.py"
            assert behind == str(program.resolve())


def reply(code):
    return f"Because.\n\n```python\n{code}\n```\n"


SCALAR = reply(
    "def compute_dense_reward(self, action):\n"
    "    return self.prev_obs['goal_distance'] - self.goal_distance"
)


@pytest.mark.parametrize(("convention", "replies"), [("scalar", [SCALAR]), ("components", None)])
def test_every_convention_trains_through_the_loop(tmp_path, convention, replies):
    config = {**SMALL, "convention": convention, "rounds": 1, "baseline": False}
    if replies:
        config["backend"] = {"name": "script", "replies": replies}
    result = design(config, out=tmp_path / "run")
    (attempt,) = attempts(tmp_path / "run")
    assert (result.accepted, result.best) == (1, attempt["trial"]["score"])
    paid = attempt["trial"]["facts"]["paid"]
    assert "total" in paid
    assert (len(paid) > 1) == (convention == "components")
    assert paid["total"]["nonzero"] > 0
    trained = ctrl.train(
        env=SMALL["env"], algo=SMALL["train"]["algo"], steps=64, out=tmp_path / "alone",
        reward={"best": {"use": f"{tmp_path / 'run' / 'best.py'}:program"}},
    )  # fmt: skip
    assert trained.finished


def test_a_model_may_object_to_the_logic_of_a_program_and_a_killed_design_asks_again(tmp_path):
    replies = [
        SCALAR, "REJECT: line 2 pays for going away.", SCALAR, "**ACCEPT**, it is right now.",
        SCALAR, "I cannot tell.",
    ]  # fmt: skip
    config = {
        **SMALL, "convention": "scalar", "baseline": False, "critic": {"model": True},
        "backend": {"name": "script", "replies": replies},
    }  # fmt: skip
    result = design(config, out=tmp_path / "run")
    assert (result.accepted, result.refused) == (2, 1)
    first, second = attempts(tmp_path / "run")
    assert [one["faults"] for one in first["tries"]] == [
        ["logic: line 2 pays for going away."], []
    ]  # fmt: skip
    # An answer that is neither yes nor no stops nothing.
    assert [(one["faults"], one["review"]) for one in second["tries"]] == [([], "I cannot tell.")]
    lines = (tmp_path / "run" / "exchange.jsonl").read_text().split("\n")[:-1]
    asked = [json.loads(line)["messages"] for line in lines]
    assert "logic: line 2 pays" in asked[2][-1]["content"]
    assert "compute_dense_reward" in asked[1][-1]["content"]
    assert "I cannot tell." in (tmp_path / "run" / "history.html").read_text()
    whole = records(tmp_path / "run")
    # As a process leaves it that was killed during the second round.
    history = tmp_path / "run" / "history.jsonl"
    history.write_text(history.read_text().split("\n")[0] + "\n")
    design(config, out=tmp_path / "run")
    assert records(tmp_path / "run") == whole


def test_a_design_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path):
    whole = design(SMALL, out=tmp_path / "whole")
    config = tmp_path / "design.yaml"
    config.write_text(json.dumps(SMALL))
    command = [sys.executable, "-m", "ctrl", "design", str(config), "--out", str(tmp_path / "cut")]
    process = subprocess.Popen(
        [*command, "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    history = tmp_path / "cut" / "history.jsonl"
    deadline = time.monotonic() + 120
    while process.poll() is None and not history.is_file():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(attempts(tmp_path / "cut")) < 3
    assert main(["resume", str(tmp_path / "cut"), "--quiet"]) == 0
    assert records(tmp_path / "cut") == records(tmp_path / "whole")
    again = design(SMALL, out=tmp_path / "cut")
    assert (again.best, again.best_round) == (whole.best, whole.best_round)
    more = resume_design(tmp_path / "cut", rounds=3)
    assert more.rounds == 3
    assert attempts(tmp_path / "cut")[:3] == attempts(tmp_path / "whole")


def test_another_configuration_in_the_same_folder_is_refused(tmp_path):
    design({**SMALL, "rounds": 1, "baseline": False}, out=tmp_path / "run")
    with pytest.raises(UserError, match="another configuration"):
        design({**SMALL, "rounds": 1}, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"task": " "}, UserError, "needs a task in words"),
        ({"train": {"seed": 3}}, UserError, "train.seed is set by the design"),
        ({"train": {"stepz": 3}}, UnknownNameError, "Did you mean 'steps'"),
        ({"backend": "opnai"}, UnknownNameError, "Did you mean 'openai'"),
        ({"convention": "sign"}, UnknownNameError, "Did you mean 'signed'"),
        ({"rounds": 0}, UserError, "rounds must be at least 1"),
        ({"inputs": {"quantities": "position"}}, UserError, "must be a list of names"),
        ({"critic": {"model": True}}, UserError, "the search has none"),
        ({"judge": {"episode": 3}}, UnknownNameError, "Did you mean 'episodes'"),
    ],
)
def test_mistakes_are_said_before_anything_is_written(change, error, said):
    with pytest.raises(error, match=said):
        parse_design({**SMALL, **change})


def test_unknown_quantities_and_metrics_have_a_nearest_name(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'position'"):
        design({**SMALL, "inputs": {"quantities": ["positon"]}}, out=tmp_path / "run")
    with pytest.raises(UnknownNameError, match="Did you mean 'success'"):
        design({**SMALL, "judge": {"metric": "sucess"}}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[3] / "experiments" / "design").glob("*.yaml")),
    ids=lambda file: file.stem,
)  # fmt: skip
def test_the_configurations_of_the_experiments_are_valid_and_the_same_in_yaml(file):
    config = parse_design(yaml.safe_load(file.read_text()))
    assert parse_design(yaml.safe_load(config.to_yaml())) == config
