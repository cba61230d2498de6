"""Run by ``torchrun`` in two processes: prints whether both have the same weights, and steps."""

from __future__ import annotations

import json

import torch

from ctrl.config import parse_config
from ctrl.llm.learner import LanguageLearner
from reward_models.errors import UserError

SETTINGS = {
    "env": {"id": "Addition-v0", "operands": 2, "digits": 1},
    "algo": {
        "name": "grpo", "model": {"layers": 1, "width": 32, "heads": 2, "context": 64},
        "prompts": 3, "group_size": 4, "max_new_tokens": 3, "learning_rate": 0.001,
        "warm_up": {"episodes": 8, "epochs": 1, "batch_size": 8},
    },
    "reward": {"length": {"use": "tests/ctrl/llm/share_gradients.py:length", "weight": 0.1}},
}  # fmt: skip


def length(action: torch.Tensor) -> torch.Tensor:
    """Return how many bytes a command has."""
    return (action > 0).sum(-1).float()


def main() -> None:
    """Train two rollouts in each process and compare."""
    learner = LanguageLearner(parse_config(SETTINGS))
    accelerator = learner.accelerator
    before = torch.cat([p.detach().flatten() for p in learner.policy.parameters()])
    learner.warm_up()
    texts = []
    for _ in range(2):
        _, episodes = learner.iterate()
        texts.append([episode.task for episode in episodes])
    after = torch.cat([p.detach().flatten() for p in learner.policy.parameters()])
    both = accelerator.gather(after.unsqueeze(0))
    tasks = accelerator.gather(torch.tensor(texts).unsqueeze(0))
    try:
        LanguageLearner(parse_config({**SETTINGS, "reward": {"rnd": 0.1}}))
        refused = ""
    except UserError as error:
        refused = str(error)
    if accelerator.is_main_process:
        found = {
            "processes": len(both),
            "equal": bool(torch.equal(both[0], both[-1])),
            "changed": bool((after != before).any()),
            "other_tasks": bool((tasks[0] != tasks[-1]).any()),
            "steps": learner.steps,
            "refused": refused,
        }
        print(json.dumps(found))


if __name__ == "__main__":
    main()
