"""A mix as reward function of the real TRL."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from ctrl.llm.config import ModelConfig
from ctrl.llm.models import load_transformer
from ctrl.llm.trl import RewardFunction
from reward_models.errors import RewardError, UserError
from reward_models.mix import RewardMix, Term


def right(completions, answer, **_):
    return [float(text == wanted) for text, wanted in zip(completions, answer, strict=True)]


def length(action) -> torch.Tensor:
    return (action > 0).sum(-1).float()


def test_the_total_of_the_mix_with_terms_in_the_log() -> None:
    mix = RewardMix({"length": Term(length, weight=-0.5)}, gamma=1.0)
    function = RewardFunction(mix, task=right)
    logged = {}
    found = function(
        prompts=["1+1=", "2+2="], completions=["2", "11"], answer=["2", "4"],
        log_metric=lambda name, value: logged.update({name: value}),
    )  # fmt: skip
    assert found == [0.5, -1.0]
    assert logged["reward/task/mean"] == 0.5
    assert logged["reward/length/mean"] == 1.5
    chat = [[{"role": "assistant", "content": "abc"}]]
    assert function(prompts=chat, completions=chat, answer=["x"]) == [-1.5]


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="for each of 2 completions, got 1"):
        RewardFunction(RewardMix(gamma=1.0), task=lambda **_: [1.0])(
            prompts=["a", "b"], completions=["a", "b"]
        )

    from reward_models.function import FunctionReward

    model = FunctionReward(lambda rollout: rollout["hidden"].sum(-1))
    model.requires = frozenset({"hidden"})
    with pytest.raises(UserError, match="reads hidden, which TRL does not hand over"):
        RewardFunction(RewardMix({"own": model}, gamma=1.0))
    with pytest.raises(RewardError, match=r"'wild'.*nan"):
        RewardFunction(RewardMix({"wild": lambda action: action.sum(-1) * torch.nan}, gamma=1.0))(
            prompts=["a"], completions=["b"]
        )


def test_the_real_trainer_trains_on_it(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    with warnings.catch_warnings():
        # What TRL and its own dependencies warn about is theirs.
        warnings.simplefilter("ignore")
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        model, tokenizer, _ = load_transformer(ModelConfig(layers=1, width=32, heads=2), seed=0)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        mix = RewardMix({"length": Term(length, weight=0.1)}, gamma=1.0)
        function = RewardFunction(mix, task=right)
        seen = []
        task = function.task
        function.task = lambda **given: seen.append(sorted(given)) or task(**given)
        data = Dataset.from_dict({"prompt": ["1+1=", "2+3="] * 4, "answer": ["2", "5"] * 4})
        trainer = GRPOTrainer(
            model=model, processing_class=tokenizer, reward_funcs=function, train_dataset=data,
            args=GRPOConfig(
                output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=8,
                num_generations=4, max_completion_length=4, learning_rate=1e-3, report_to=[],
                use_cpu=True, save_strategy="no", logging_steps=1, disable_tqdm=True, bf16=False,
                gradient_checkpointing=False,
            ),
        )  # fmt: skip
        trainer.train()
    assert len(seen) >= 2
    assert {"answer", "completion_ids", "completions", "prompts"} <= set(seen[0])
    assert any(not torch.equal(before[n], v) for n, v in trainer.model.state_dict().items())
    rewards = [row for row in trainer.state.log_history if "rewards/ctrl_mix/mean" in row]
    assert rewards
    assert 0.0 < rewards[0]["rewards/ctrl_mix/mean"] <= 1.5
