"""Building objectives from configurations, and the parts that ship."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ctrl
from ctrl.config import parse_config
from ctrl.objectives.entropy_bonus import EntropyBonus
from ctrl.objectives.hooks import PolicyOutput, Source
from ctrl.objectives.objective import Objective
from ctrl.objectives.reference_divergence import ReferenceDivergence
from ctrl.objectives.registry import OBJECTIVES, build_objective
from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout


def rollout(t: int = 3, b: int = 2, **keys) -> Rollout:
    zeros, flags = torch.zeros(t, b), torch.zeros(t, b, dtype=torch.bool)
    return Rollout(
        observation=zeros, action=zeros, next_observation=zeros, reward=zeros, terminated=flags,
        truncated=flags, **keys,
    )  # fmt: skip


def output(record: Rollout, **keys) -> PolicyOutput:
    rows = torch.zeros(record.T, record.B, dtype=torch.int64)
    source = Source(record, record.observation, record.reward, rows, rows)
    return PolicyOutput(
        **{"log_prob": torch.zeros(record.T, record.B), "entropy": None, "value": None, **keys},
        policy=torch.nn.Identity(), source=source,
    )  # fmt: skip


def test_every_listed_part_is_built_by_its_name() -> None:
    for name in OBJECTIVES:
        data = {"env": "CartPole-v1", "objective": {name: {}}}
        built = build_objective(parse_config(data).objective)
        assert not built.is_empty
        assert name in (*built.shapers, *built.terms)


def test_a_number_is_a_weight_and_the_text_reads_back() -> None:
    config = parse_config({"env": "CartPole-v1", "objective": {"entropy_bonus": 0.1}})
    assert config.objective["entropy_bonus"].weight == 0.1
    assert parse_config(config.as_dict()) == config


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({"entropy_bonu": {}}, "Did you mean 'entropy_bonus'"),
        ({"entropy_bonus": {"targe": 1.0}}, "Did you mean 'target'"),
        ({"whitened": 0.5}, "has no weight"),
        ({"entropy_bonus": -1.0}, "must be >= 0"),
        ({"mine": {"use": "ctrl.config:TrainConfig"}}, "AdvantageShaper or a LossTerm"),
        ({"mine": {"use": "nowhere.py:Term"}}, "there is no file"),
        ({"reference_divergence": {}}, "do not record ref_log_prob"),
    ],
)
def test_mistakes_are_named(objective: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        ctrl.train(env="CartPole-v1", objective=objective, steps=64, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_resumes_with_its_objective(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import torch\nfrom ctrl.objectives.hooks import LossTerm\n"
        "class Head(LossTerm):\n"
        "    def bind(self, policy):\n"
        "        self.head = torch.nn.Linear(64, 1)\n"
        "    def forward(self, rollout, output):\n"
        "        return self.head(output.hidden).square().mean(), {}\n"
    )
    objective = {
        "entropy_bonus": {"target": 0.5, "initial": 0.2, "step": 0.01},
        "head": {"use": f"{tmp_path}/own.py:Head"},
    }
    settings = {
        "env": {"id": "CartPole-v1", "n_envs": 2}, "algo": {"n_steps": 32, "batch_size": 32},
        "objective": objective,
    }  # fmt: skip
    whole = ctrl.train(**settings, steps=256, out=tmp_path / "whole")
    part = ctrl.train(**settings, steps=128, out=tmp_path / "part", checkpoints={"every": 128})
    with pytest.raises(UserError, match=r"objective head: .*own\.py:Head"):
        ctrl.resume(part.run_folder, steps=256)
    ctrl.resume(part.run_folder, steps=256, trust_code=True)
    from ctrl.checkpoint import load_tree, newest_checkpoint

    trees = [
        load_tree(newest_checkpoint(tmp_path / name / "checkpoints")) for name in ("whole", "part")
    ]
    for key in ("policy", "objective"):
        for name, value in trees[0][key].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(trees[1][key][name])), name
    assert "terms.head.head.weight" in trees[0]["objective"]
    assert whole.steps == 256


def test_the_entropy_bonus_adapts_after_a_rollout_and_leaves_padding_out() -> None:
    term = EntropyBonus(target=1.0, step=0.1, initial=0.2)
    objective = Objective({"entropy": term})
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    record = rollout(mask=mask)
    entropy = torch.tensor([[0.3, 0.6], [0.9, torch.nan], [torch.inf, 7.0]], requires_grad=True)
    loss, metrics = objective.loss(record, output(record, entropy=entropy))
    assert float(loss.detach()) == pytest.approx(-0.2 * 0.6)
    loss.backward()
    expected = torch.where(mask, -0.2 / 3, 0.0)
    assert torch.allclose(entropy.grad, expected)
    objective.update(record)
    _, metrics = objective.loss(record, output(record, entropy=entropy))
    assert metrics["entropy/coefficient"] == pytest.approx(0.3)
    high = torch.full((3, 2), 1.5)
    objective.update(record)
    objective.loss(record, output(record, entropy=high))
    objective.update(record)
    _, metrics = objective.loss(record, output(record, entropy=high))
    assert metrics["entropy/coefficient"] == 0.0
    again = EntropyBonus(target=1.0, step=0.1, initial=0.2)
    again.load_state_dict(term.state_dict())
    assert float(again._weight) == pytest.approx(float(term._weight))


def test_an_entropy_of_another_kind_is_refused() -> None:
    from dataclasses import replace

    from ctrl.objectives.entropy import EntropyTag

    record = rollout()
    given = output(record, entropy=torch.zeros(3, 2))
    with pytest.raises(UserError, match="support 'full' and got 'nucleus'"):
        EntropyBonus()(record, replace(given, tag=EntropyTag(support="nucleus", gradient=True)))
    with pytest.raises(UserError, match="has no closed form"):
        EntropyBonus()(record, output(record))


def test_the_reference_divergence_has_a_gradient_where_tokens_are_valid_only() -> None:
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    record = rollout(mask=mask, ref_log_prob=torch.full((3, 2), -1.5))
    log_prob = torch.full((3, 2), -1.0, requires_grad=True)
    loss, metrics = ReferenceDivergence()(record, output(record, log_prob=log_prob))
    assert float(loss.detach()) == pytest.approx(0.1065307, abs=1e-6)
    loss.backward()
    assert torch.allclose(log_prob.grad, torch.where(mask, 0.3934693 / 3, 0.0), atol=1e-6)
    assert metrics["divergence"] == pytest.approx(0.1065307, abs=1e-6)
    with pytest.raises(UnknownNameError, match="k3"):
        ReferenceDivergence(estimator="k4")
