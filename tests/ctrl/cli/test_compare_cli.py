"""``ctrl compare`` as a user meets it."""

import json

import pytest

from ctrl.cli import main

SMALL = ["--steps", "400", "--samples", "40", "--actions", "3"]
MINE = """
def still(observation):
    return -observation[..., 2].abs()

def height(observation):
    return observation[..., 0]

def of_another_task(observation):
    return observation[..., 16]
"""


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def failed(capsys, *words):
    try:
        code = main(["compare", *words])
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr().err
    assert code == 2, said
    assert "Traceback" not in said
    return said


def test_the_matrix_is_printed_written_and_drawn(inside, capsys):
    rewards = ["task", "task+potential:mine.py:height=2", "mine.py:still", "task=-1"]
    words = ["compare", *rewards, "--env", "Pendulum-v1", *SMALL, "--out", "found", "--json"]
    assert main(words) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    document = json.loads(lines[-1])
    assert document["rewards"] == rewards
    assert document["distance"][0][1] < 0.2 < document["distance"][0][2]
    assert document["distance"][0][3] > 1.99
    assert lines[0].startswith("VAL-2-2")
    assert lines[2].startswith("1 task ")
    assert json.loads((inside / "found" / "compare.json").read_text()) == document
    assert (inside / "found" / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_a_tabular_world_with_an_option_of_it(inside, capsys):
    words = ["compare", "task", "constant", "--env", "TwoGoalGrid-v0"]
    assert main([*words, "env.observation=coordinates", "--canonical", "minimal", "--json"]) == 0
    document = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert document["exact"]
    assert document["standard_error"] is None
    assert document["metric"] == "MINIMAL-2-2"
    assert (inside / "runs" / "compare-TwoGoalGrid-v0" / "compare.png").is_file()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["task", "tsk", "--env", "Pendulum-v1"], "Did you mean 'task'"),
        (["task", "constant", "--env", "Pendulm-v1"], "Did you mean 'Pendulum-v1'"),
        (["task", "constant", "--env", "Pendulum-v1", "--cannonical", "val"],
         "Did you mean '--canonical'"),
        (["task", "constant", "--env", "Pendulum-v1", "--canonical", "epik"],
         "Did you mean 'epic'"),
        (["task", "--env", "Pendulum-v1"], "at least two different rewards"),
        (["task", "constant", "--env", "Pendulum-v1", "--gamma", "1"], "must lie in [0, 1)"),
        (["task", "constant", "--env", "Pendulum-v1", "env.grvity=3"], "grvity"),
        (["task", "mine.py:stil", "--env", "Pendulum-v1"], "Did you mean 'still'"),
        (["task", "mine.py:of_another_task", "--env", "Pendulum-v1", *SMALL],
         "Rewards over different spaces cannot be compared"),
        (["task", "constant", "--env", "Pendulum-v1", *SMALL, "--out", "mine.py"],
         "Cannot write the picture"),
    ],
)  # fmt: skip
def test_that_mistakes_name_the_cure(inside, capsys, words, hint):
    assert hint in failed(capsys, *words)
