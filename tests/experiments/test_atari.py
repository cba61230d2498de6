"""The Atari configurations train, resume exactly inside a game, and count rooms."""

import csv
from pathlib import Path

import pytest
import torch

import ctrl
from ctrl.cli import main
from ctrl.config import parse_config, read_config
from reward_models.registry import load_reward
from reward_models.rollout import Rollout

pytest.importorskip("ale_py")

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "experiments" / "atari"
SMALL = [
    "env.n_envs=2", "algo.n_steps=16", "algo.batch_size=16", "algo.n_epochs=1", "device=cpu",
    "reward.curiosity.embedding_size=16", "reward.curiosity.belief_size=16",
    "reward.curiosity.hidden=[16]", "reward.curiosity.horizon=3",
    "reward.curiosity.hindsight_size=4", "reward.curiosity.noise_size=4",
]  # fmt: skip


def progress(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open() as file:
        return list(csv.DictReader(file))


def small(name: str, out: Path, *more: str) -> None:
    path = str(FOLDER / name)
    assert main(["train", path, *SMALL, *more, "--out", str(out), "--quiet"]) == 0


def test_that_montezuma_trains_in_processes_and_resumes_inside_its_games(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)  # the configuration names the meter from there
    small("montezuma.yaml", tmp_path / "whole", "steps=96", "env.backend=threads")
    small("montezuma.yaml", tmp_path / "parts", "steps=64", "env.threads=2")
    resume = ["resume", str(tmp_path / "parts"), "--steps", "96", "--trust-code", "--quiet"]
    assert main(resume) == 0
    whole, parts = (
        (tmp_path / name / "final" / "policy.safetensors").read_bytes()
        for name in ("whole", "parts")
    )
    assert whole == parts
    rows = progress(tmp_path / "whole")
    assert {row["reward/rooms/ever"] for row in rows if row["reward/rooms/ever"]} == {"1.0"}
    # No episode has ended, and only curiosity pays.
    first = rows[0]
    assert float(first["reward/curiosity/share"]) == 1.0
    assert float(first["reward/curiosity/nonzero"]) > 0.0
    assert float(first["reward/task/weight"]) == 0.0


def test_that_bank_heist_trains_with_the_score_as_well(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    mixed = ["reward.task.weight=1", "reward.curiosity.weight=0.1", "env.backend=threads"]
    small("bank_heist.yaml", tmp_path / "run", "steps=64", *mixed)
    assert float(progress(tmp_path / "run")[0]["reward/task/weight"]) == 1.0


def test_that_network_distillation_trains_on_single_pictures(tmp_path):
    result = ctrl.train(
        env={"id": "MontezumaSticky-v0", "n_envs": 2, "stack": 1, "noise": "persistent"},
        algo={"name": "ppo", "n_steps": 32, "batch_size": 32, "n_epochs": 1},
        reward={"task": 0.0, "rnd": {"weight": 1.0, "latent_size": 16}},
        steps=128,
        out=tmp_path / "run",
        progress=False,
    )
    assert result.finished
    rows = progress(tmp_path / "run")
    assert float(rows[-2]["reward/rnd/mean"]) > 0.0


@pytest.mark.parametrize("name", ["montezuma.yaml", "bank_heist.yaml"])
def test_that_the_full_configuration_is_the_published_size(name):
    config = parse_config(read_config(FOLDER / name))
    frames = config.steps * config.env.options.get("frame_skip", 4)
    assert frames >= 1e8
    assert config.env.n_envs >= 64
    assert config.env.options["repeat_action_probability"] == 0.1
    rollout = config.env.n_envs * config.algo.options["n_steps"]
    assert rollout % config.algo.options["batch_size"] == 0
    assert config.reward["curiosity"].options["horizon"] == 8


# -- the meter ---------------------------------------------------------------------------


def rollout(room, visited, ended, mask=None) -> Rollout:
    shape = torch.tensor(room).shape
    nothing = torch.zeros(shape, dtype=torch.bool)
    observation = torch.zeros(*shape, 1)
    return Rollout(
        observation=observation, next_observation=observation, reward=torch.zeros(shape),
        action=torch.zeros(shape, dtype=torch.int64), truncated=nothing,
        terminated=torch.tensor(ended, dtype=torch.bool),
        mask=~nothing if mask is None else torch.tensor(mask, dtype=torch.bool),
        state={"room": torch.tensor(room), "rooms_visited": torch.tensor(visited)},
    )  # fmt: skip


def test_that_the_meter_counts_rooms_and_pays_nothing():
    rooms = load_reward(f"{FOLDER / 'rooms.py'}:Rooms")()
    first = rollout([[1, 1], [2, 1], [2, 0]], [[1, 1], [2, 1], [2, 2]], [[0, 0], [0, 0], [1, 0]])
    assert rooms(first).tolist() == [[0.0, 0.0]] * 3
    assert rooms.update(first) == {"ever": 3.0, "most": 2.0, "per_episode": 2.0}
    later = rollout([[1, 5], [1, 9]], [[1, 3], [1, 4]], [[0, 0], [1, 0]], [[1, 1], [1, 0]])
    again = load_reward(f"{FOLDER / 'rooms.py'}:Rooms")()
    again.load_state_dict(rooms.state_dict())
    # Room 9 is padding; the episode of the second column is open.
    assert again.update(later) == {"ever": 4.0, "most": 3.0, "per_episode": 1.0}
    assert "per_episode" not in again.update(rollout([[1, 1]], [[1, 1]], [[0, 0]]))
