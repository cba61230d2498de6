"""Our loop beside TRL's GRPOTrainer: one small model, one batch, one length, in one process.

    python experiments/benchmarks/language_trl.py --json experiments/benchmarks/language_trl.json

128 completions of at most 32 tokens in groups of 8 by a Qwen3 of 2 layers and 128 numbers' width
over bytes, one optimiser step each. The two take turns, so that whatever else the machine does
meets both; medians over steps. Generation is everything up to the rewards of a batch, an update the
rest.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ctrl.config import parse_config
from ctrl.llm.config import ModelConfig
from ctrl.llm.learner import LanguageLearner
from ctrl.llm.models import load_transformer
from ctrl.llm.trl import RewardFunction
from ctrl.run_folder import versions
from reward_models.mix import RewardMix

PROMPTS, GROUP, TOKENS = 16, 8, 32
SETTINGS = {
    "env": {"id": "Addition-v0", "operands": 2, "digits": 1},
    "algo": {
        "name": "grpo", "prompts": PROMPTS, "group_size": GROUP, "max_new_tokens": TOKENS,
        "learning_rate": 1e-6, "aggregation": "token-mean",
    },
}  # fmt: skip


class Ours:
    """Our learner, timed."""

    def __init__(self) -> None:
        self.learner = LanguageLearner(parse_config(SETTINGS))
        self.steps: list[float] = []
        self.generation: list[float] = []
        self.tokens: list[int] = []
        collect = self.learner.collect

        def timed() -> Any:
            began = time.perf_counter()
            found = collect()
            self.generation.append(time.perf_counter() - began)
            self.tokens.append(sum(len(e.replies[0].tokens) for e in found[0]))
            return found

        self.learner.collect = timed  # type: ignore[method-assign]

    def run(self, steps: int) -> None:
        """Do some steps."""
        for _ in range(steps):
            began = time.perf_counter()
            self.learner.iterate()
            self.steps.append(time.perf_counter() - began)


class Theirs:
    """TRL's trainer, timed."""

    def __init__(self, folder: str, steps: int) -> None:
        from datasets import Dataset
        from transformers import TrainerCallback
        from trl import GRPOConfig, GRPOTrainer

        model, tokenizer, _ = load_transformer(ModelConfig(), seed=0)
        self.steps: list[float] = []
        self.generation: list[float] = []
        self.tokens: list[int] = []
        outer = self

        class Timed(GRPOTrainer):
            def _generate_and_score_completions(self, inputs: Any) -> Any:
                began = time.perf_counter()
                found = super()._generate_and_score_completions(inputs)
                outer.generation.append(time.perf_counter() - began)
                outer.tokens.append(int(found["completion_mask"].sum()))
                return found

        class Clock(TrainerCallback):
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                self.began = time.perf_counter()

            def on_step_end(self, *_: Any, **__: Any) -> None:
                outer.steps.append(time.perf_counter() - self.began)

        data = Dataset.from_dict({"prompt": [f"{i % 10}+{i % 7}=\n> " for i in range(512)]})
        self.trainer = Timed(
            model=model, processing_class=tokenizer, train_dataset=data,
            reward_funcs=RewardFunction(RewardMix(gamma=1.0)), callbacks=[Clock()],
            args=GRPOConfig(
                output_dir=folder, max_steps=steps, per_device_train_batch_size=PROMPTS * GROUP,
                num_generations=GROUP, max_completion_length=TOKENS, learning_rate=1e-6,
                report_to=[], use_cpu=True, save_strategy="no", logging_steps=1000, bf16=False,
                disable_tqdm=True, gradient_checkpointing=False, temperature=1.0, beta=0.0,
            ),
        )  # fmt: skip

    def run(self) -> None:
        """Do as many steps as it was made for."""
        self.trainer.train()


def summary(timed: Ours | Theirs, skip: int) -> dict[str, float]:
    """Return medians without the first steps."""
    generation, tokens = timed.generation[skip:], timed.tokens[skip:]
    return {
        "step_seconds": median(timed.steps[skip:]),
        "generation_seconds": median(generation),
        "update_seconds": median(
            s - g for s, g in zip(timed.steps[skip:], generation, strict=True)
        ),
        "tokens_per_second": median(
            count / seconds for count, seconds in zip(tokens, generation, strict=True)
        ),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Ours(), Theirs(folder, options.steps)
        for _ in range(options.turns):
            theirs.run()
            ours.run(options.steps)
    found = {"ours": summary(ours, options.steps), "trl": summary(theirs, options.steps)}
    ratios = {
        "step": found["trl"]["step_seconds"] / found["ours"]["step_seconds"],
        "generation": found["ours"]["tokens_per_second"] / found["trl"]["tokens_per_second"],
        "update": found["trl"]["update_seconds"] / found["ours"]["update_seconds"],
    }
    result = {
        **found, "ratios": ratios, "threads": options.threads, "turns": options.turns,
        "steps": options.steps, "load": [before, os.getloadavg()[0]], "versions": versions(),
    }  # fmt: skip
    print(json.dumps({**found, "ratios": ratios}, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
