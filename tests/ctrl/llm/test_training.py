"""Whole runs: the loop, resuming to the bit, refusals, and defined results at the edges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import ctrl
from ctrl.checkpoint import load_tree, newest_checkpoint
from ctrl.config import parse_config
from ctrl.llm.algorithms import LANGUAGE_ALGORITHMS
from ctrl.llm.config import language_config
from reward_models.errors import RewardError, UserError

MODEL = {"layers": 1, "width": 32, "heads": 2, "context": 64}
ADDITION = {"id": "Addition-v0", "operands": 2, "digits": 1}


def settings(**algo):
    algo = {
        "name": "grpo", "model": MODEL, "prompts": 3, "group_size": 4, "max_new_tokens": 3,
        "warm_up": {"episodes": 8, "epochs": 1, "batch_size": 8}, **algo,
    }  # fmt: skip
    return {"env": ADDITION, "algo": algo, "steps": 48}


def weights(path: str | Path, name: str = "policy") -> torch.Tensor:
    tree = load_tree(newest_checkpoint(Path(path) / "checkpoints"))["learner"][name]
    return torch.cat([torch.as_tensor(value).flatten().float() for value in tree.values()])


@pytest.mark.parametrize("name", LANGUAGE_ALGORITHMS)
def test_every_learner_trains(name: str, tmp_path: Path) -> None:
    run = ctrl.train(
        **settings(name=name, minibatches=2, micro_batch=4), seed=1, out=tmp_path / "run"
    )
    assert run.finished
    assert run.steps >= 48
    assert 0.0 <= run.success_rate <= 1.0
    assert bool(weights(tmp_path / "run").isfinite().all())
    header = (tmp_path / "run" / "progress.csv").read_text().splitlines()[0]
    for column in ("reward/task/mean", "return/task", "train/entropy", "time/tokens_per_second"):
        assert column in header
    assert (tmp_path / "run" / "transformer" / "model.safetensors").is_file()
    sample = json.loads((tmp_path / "run" / "samples.jsonl").read_text().splitlines()[0])
    assert "=\n> " in sample["text"]


@pytest.mark.parametrize(
    ("reward", "algo"),
    [
        ({}, {"kl_weight": 0.1, "evaluation": None}),
        ({"count": 0.1}, {"name": "token_ppo", "model": {**MODEL, "lora_rank": 2}}),
    ],
)
def test_a_resumed_run_equals_the_uninterrupted_one(
    reward: dict, algo: dict, tmp_path: Path
) -> None:
    algo.pop("evaluation", None)
    if "count" in reward:
        reward = {"count": {"use": "count", "weight": 0.1, "keys": ["text"]}}
    shared = {**settings(**algo), "reward": reward}
    whole = ctrl.train(**shared, seed=3, out=tmp_path / "whole")
    part = ctrl.train(**{**shared, "steps": 24}, seed=3, out=tmp_path / "part")
    assert part.steps == 24
    ctrl.resume(tmp_path / "part", steps=48)
    assert whole.steps == 48
    assert torch.equal(weights(tmp_path / "whole"), weights(tmp_path / "part"))
    rows = [(tmp_path / name / "samples.jsonl").read_text() for name in ("whole", "part")]
    assert rows[0] == rows[1]


def test_micro_batches_do_not_change_the_update(tmp_path: Path) -> None:
    for name, cut in (("whole", None), ("cut", 5)):
        ctrl.train(**{**settings(micro_batch=cut), "steps": 12}, seed=2, out=tmp_path / name)
    assert torch.allclose(weights(tmp_path / "whole"), weights(tmp_path / "cut"), atol=1e-5)


def test_the_mix_pays_in_both_forms_of_steps(tmp_path: Path) -> None:
    def half(reward=None, **_):
        return torch.full((), 0.5)

    (tmp_path / "own.py").write_text(
        "import torch\ndef same(rollout):\n    return torch.full((rollout.T, rollout.B), 0.5)\n"
    )
    for score, length in (("turns", 1.0), ("tokens", None)):
        run = ctrl.train(
            **{**settings(score=score), "steps": 12},
            reward={"same": {"use": f"{tmp_path}/own.py:same", "weight": 1.0}},
            seed=2, out=tmp_path / score,
        )  # fmt: skip
        steps = length or float(run.terms["same"]) / 0.5
        assert run.terms["same"] == pytest.approx(0.5 * steps)
        assert run.shaped_return == pytest.approx(run.task_return + run.terms["same"])
    # One to three tokens a turn.
    assert 0.5 < run.terms["same"] <= 1.5


def test_dynamic_sampling_and_long_answers(tmp_path: Path) -> None:
    run = ctrl.train(
        **settings(name="dapo", sampling_rounds=2, overlong_cache=2, mask_cut=True),
        seed=0, out=tmp_path / "run",
    )  # fmt: skip
    # Twelve episodes a round; hardly any is right, so the second round is always asked for.
    assert run.steps % 24 == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algo": {"name": "grpoo"}}, "Did you mean 'grpo'"),
        ({"algo": {"group_sise": 4}}, "Did you mean 'group_size'"),
        ({"algo": {"group_size": 1}}, "algo.singleton: zero or raw"),
        ({"algo": {"minibatches": 5}}, "does not divide"),
        ({"algo": {"temperature": 0.0}}, "temperature must be above 0"),
        ({"algo": {"max_new_tokens": 60}}, "context holds 64"),
        ({"algo": {"model": {**MODEL, "layer": 3}}}, "Did you mean 'layers'"),
        ({"algo": {"estimator": "gea"}}, "Did you mean 'gae'"),
        ({"algo": {"name": "gspo", "aggregation": "token-mean"}}, "asks for algo.aggregation"),
        ({"algo": {"warm_up": {"episodes": 3, "share": 0.5}}}, "not both"),
        ({"env": {"id": "Adition-v0"}}, "Did you mean 'Addition-v0'"),
        ({"env": {**ADDITION, "digitz": 2}}, "Did you mean 'digits'"),
        ({"normalize_observations": True}, "without: normalize_observations"),
        ({"objective": {"entropy_bonus": {"targt": 1}}}, "Did you mean 'target'"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(
    changes: dict, message: str, tmp_path: Path
) -> None:
    algo = changes.pop("algo", {})
    with pytest.raises((UserError, RewardError), match=message):
        ctrl.train(**{**settings(**algo), **changes}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_record_key_that_is_not_there_is_refused_before_generation(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import torch\n"
        "from reward_models.base import RewardModel\n"
        "class Reads(RewardModel):\n"
        "    def __init__(self, *, key):\n"
        "        super().__init__()\n"
        "        self.requires = frozenset({key})\n"
        "    def forward(self, rollout):\n"
        "        return torch.zeros_like(rollout.reward)\n"
    )
    for key, algo, message in (
        ("segment", {}, "record of turns does not have"),
        ("value", {}, "record of turns does not have"),
        ("state.scor", {}, "Did you mean 'score'"),
        ("state.score", {"score": "tokens"}, "belongs to turns"),
    ):
        reward = {"own": {"use": f"{tmp_path}/own.py:Reads", "key": key}}
        with pytest.raises(UserError, match=message):
            ctrl.train(**settings(**algo), reward=reward, out=tmp_path / "run")
    for key, algo in (
        ("segment", {"score": "tokens"}),
        ("hidden", {"score": "tokens"}),
        ("hidden", {}),
        ("ref_log_prob", {"score": "tokens"}),
        ("state.score", {}),
        ("value", {"name": "turn_ppo"}),
    ):
        reward = {"own": {"use": f"{tmp_path}/own.py:Reads", "key": key}}
        place = tmp_path / f"{key}-{algo.get('score', 'turns')}"
        ctrl.train(**{**settings(**algo), "steps": 12}, reward=reward, out=place)


def test_groups_of_one_and_of_equals_have_defined_results(tmp_path: Path) -> None:
    alone = settings(group_size=1, prompts=4, singleton="zero")
    ctrl.train(**{**alone, "steps": 8}, seed=1, out=tmp_path / "zero")
    raw = settings(group_size=1, prompts=4, singleton="raw")
    ctrl.train(**{**raw, "steps": 8}, seed=1, out=tmp_path / "raw")
    # Nothing is ever right with random weights and no warm-up, so every group is equal.
    equal = settings(warm_up={}, prompts=2)
    before = {**equal, "algo": {**equal["algo"], "learning_rate": 0.0}}
    ctrl.train(**{**equal, "steps": 8}, seed=1, out=tmp_path / "equal")
    ctrl.train(**{**before, "steps": 8}, seed=1, out=tmp_path / "still")
    assert torch.equal(weights(tmp_path / "equal"), weights(tmp_path / "still"))


def test_evaluation_from_the_command_line(tmp_path: Path, capsys) -> None:
    from ctrl.cli import main

    ctrl.train(**settings(), evaluation={"every": 24, "episodes": 8}, out=tmp_path / "run")
    assert main(["eval", str(tmp_path / "run"), "--episodes", "6"]) == 0
    assert "success rate" in capsys.readouterr().out
    assert main(["eval", str(tmp_path / "run"), "--episodes", "6", "--best"]) == 0
    assert main(["eval", str(tmp_path / "run"), "--horizon", "10"]) == 2
    assert "policies that are networks" in capsys.readouterr().err
    assert main(["plot", str(tmp_path / "run")]) == 0


def test_the_settings_read_back(tmp_path: Path) -> None:
    config = parse_config(settings())
    assert parse_config(config.as_dict()) == config
    built = language_config(config.algo)
    assert (built.estimator, built.loss, built.model.width) == ("group", "clip", 32)
    assert language_config(parse_config(settings(name="dapo")).algo).high == 0.28
