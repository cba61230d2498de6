"""`ctrl demos`, behaviour cloning and the fixed horizon as a user meets them."""

import json

import pytest

from ctrl.cli import main
from reward_models.demonstrations import read_demonstrations

SMALL = ["env.n_envs=2", "env.max_episode_steps=20", "algo.n_steps=32", "algo.batch_size=32"]
TRAIN = ["train", "--env", "PointMass-v0", "--quiet", *SMALL]


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _json(capsys):
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def _refused(capsys, *words):
    assert main(words) == 2
    return capsys.readouterr().err


def test_the_way_from_an_expert_to_its_clone(inside, capsys):
    assert main([*TRAIN, "--steps", "64", "--out", "expert"]) == 0
    capsys.readouterr()
    assert main(["demos", "expert", "--episodes", "3", "--seed", "7", "--name", "lab/mass-v1"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()[1:4]] == ["7", "8", "9"]
    assert "lab/mass-v1: 3 episodes, 60 steps" in said
    assert "0 terminated, 3 truncated" in said
    folder = inside / "expert" / "demonstrations"
    assert said.splitlines()[-1] == "expert/demonstrations"
    assert [each.seed for each in read_demonstrations(folder)] == [7, 8, 9]

    assert main(["demos", "--show", "expert/demonstrations", "--json"]) == 0
    shown = _json(capsys)
    assert (shown["episodes"], shown["steps"]) == (3, 60)
    assert shown["reward_per_step"] < 0

    clone = ["behaviour_cloning=expert/demonstrations", "behaviour_cloning.epochs=2", "steps=0"]
    assert main([*TRAIN, *clone, "--out", "cloned", "--json"]) == 0
    assert _json(capsys)["steps"] == 0
    config = (inside / "cloned" / "config.yaml").read_text()
    assert f"demonstrations: {folder}" in config
    assert main(["eval", "cloned", "--episodes", "2", "--horizon", "50", "--json"]) == 0
    found = _json(capsys)
    assert (found["horizon"], found["stretches"], found["horizon_ends_mean"]) == (50, 2, 2.0)
    low, high = found["horizon_return_interval"]
    assert low <= found["horizon_return_mean"] <= high


def test_dropped_episodes_are_counted_aloud(inside, capsys):
    assert main([*TRAIN, "--steps", "64", "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["demos", "run", "--episodes", "4", "--out", "all", "--json"]) == 0
    returns = sorted(row["task_return"] for row in _json(capsys)["played"])
    words = ["demos", "run", "--episodes", "4", "--out", "some", "--minimum-return"]
    assert main([*words, str(returns[1])]) == 0
    said = capsys.readouterr().out
    assert "dropped 1 episodes below the minimum return" in said
    assert said.count("(dropped)") == 1
    assert len(read_demonstrations(inside / "some")) == 3


def test_mistakes_name_the_cure(inside, capsys):
    assert "--show DIR" in _refused(capsys, "demos")
    assert "--show DIR" in _refused(capsys, "demos", "run", "--show", "folder")
    assert "no data set in nowhere" in _refused(capsys, "demos", "--show", "nowhere")
    assert "does not exist" in _refused(capsys, "demos", "nowhere")
    assert main([*TRAIN, "--steps", "64", "--out", "run"]) == 0
    capsys.readouterr()
    assert "at least 1 step" in _refused(capsys, "eval", "run", "--horizon", "0")
    assert "dataset_id must look like" in _refused(
        capsys, "demos", "run", "--episodes", "1", "--out", "demos", "--name", "no version"
    )
    assert not (inside / "demos").exists()
    cloned = [*TRAIN, "steps=0", "--out", "cloned"]
    assert "steps must be at least 1" in _refused(capsys, *cloned)
    assert "no data set" in _refused(capsys, *cloned, "behaviour_cloning=nowhere")
    assert "Did you mean 'epochs'" in _refused(capsys, *cloned, "behaviour_cloning.epoch=3")
    assert main(["demos", "run", "--episodes", "1"]) == 0
    capsys.readouterr()
    learner = ["--algo", "dqn", "behaviour_cloning=run/demonstrations", "--out", "cloned"]
    words = ["train", "--env", "CartPole-v1", "--quiet", *learner]
    assert "DQN acts by comparing values" in _refused(capsys, *words)
    assert not (inside / "cloned").exists()
