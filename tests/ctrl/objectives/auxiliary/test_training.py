"""Both tasks in a training run on the real simulator: logged, learned, resumed, and loaded."""

import csv
import shutil

import pytest
import torch

pytest.importorskip("RocketSim")

import ctrl
from ctrl.checkpoint import load_tree
from ctrl.evaluation import evaluate_run
from ctrl.run_folder import RunFolder

# The last minibatch of an epoch is smaller, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")

SETTINGS = {
    "env": {"id": "RocketLeague1v1-v0", "n_envs": 4, "observation": "entities", "start": "random"},
    "algo": {
        "name": "ppo", "policy": "entity", "n_steps": 24, "batch_size": 40, "n_epochs": 2,
        "policy_kwargs": {"features_extractor_kwargs": {"features_dim": 16}},
    },
    "seed": 2,
}  # fmt: skip
TASKS = {"reward_prediction": {"window": 6}, "state_representation": {"decoder": [32]}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "auxiliary"
    ctrl.train(steps=288, out=path, checkpoints={"every": 96, "keep": 9}, objective=TASKS,
               **SETTINGS)  # fmt: skip
    return path


def test_that_both_are_logged_and_their_heads_learn(run):
    with (run / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    for task in TASKS:
        # A row is written before its update, so the first one has none.
        losses = [row[f"objective/{task}/loss"] for row in rows[1:]]
        assert len(losses) >= 2
        assert all(float(loss) > 0 for loss in losses)
    first, last = (
        load_tree(run / "checkpoints" / f"step_{steps:012d}")["objective"] for steps in (96, 288)
    )
    for task, layer in (("reward_prediction", "head.weight"), ("state_representation", "coder.0")):
        names = [name for name in first if task in name and layer in name]
        assert names
        assert all(not torch.equal(first[name], last[name]) for name in names)


def test_that_a_resumed_run_is_the_same_bit_for_bit(run, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(run, again)
    for steps in (192, 288):
        shutil.rmtree(again / "checkpoints" / f"step_{steps:012d}")
    ctrl.resume(again)
    for part in ("policy", "objective"):
        ours, theirs = (
            load_tree(folder / "checkpoints" / "step_000000000288")[part] for folder in (again, run)
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_that_the_policy_is_loaded_without_its_tasks(run):
    assert evaluate_run(RunFolder.open(run), episodes=1)["episodes"] == 1
    assert not any("reward_prediction" in name for name in load_tree(run / "final")["policy"])
