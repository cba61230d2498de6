"""Evaluation of a transformer policy by the task alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ctrl.checkpoint import load_tree
from ctrl.config import TrainConfig
from ctrl.evaluation import Evaluation
from ctrl.llm.decoding import Decoder
from ctrl.llm.episodes import Episode, EpisodeCollector
from ctrl.llm.learner import LanguageLearner
from ctrl.llm.warm_up import draw_tasks
from ctrl.run_folder import RunFolder


def evaluate_learner(
    learner: LanguageLearner, *, episodes: int, seed: int, deterministic: bool = False
) -> dict[str, Any]:
    """Play episodes of tasks drawn with a seed of their own; nothing of training changes.

    Args:
        learner: whose policy and environments are used.
        episodes: how many, at least 1.
        seed: of the tasks and of the sampling.
        deterministic: take the likeliest token; by default tokens are sampled as in training.

    Returns:
        The numbers of ``ctrl.evaluation.Evaluation.summary`` (lengths in turns), ``tokens_mean``
        (of the policy) and ``seed``.
    """
    generator = torch.Generator(learner.policy.device)
    generator.manual_seed(seed)
    decoder = Decoder(
        learner.policy, max_new_tokens=learner.settings.max_new_tokens, stops=learner.text.stops,
        generator=generator, greedy=deterministic,
    )  # fmt: skip
    tasks = draw_tasks(learner.tasks, episodes, torch.Generator().manual_seed(seed))
    collector = EpisodeCollector(
        decoder, learner.vector, learner.text, context=learner.policy.context
    )
    return {**summary(collector.collect(tasks, list(range(episodes)))), "seed": seed}


def summary(episodes: list[Episode]) -> dict[str, Any]:
    """Return the task's numbers of finished episodes; ``length_mean`` counts turns."""
    found = Evaluation(
        returns=tuple(episode.task_return for episode in episodes),
        lengths=tuple(len(episode.replies) for episode in episodes),
        successes=tuple(episode.success for episode in episodes),
    )
    tokens = [sum(len(reply.tokens) for reply in episode.replies) for episode in episodes]
    return {**found.summary(), "tokens_mean": float(np.mean(tokens))}


def evaluate_language_run(
    run: RunFolder,
    config: TrainConfig,
    *,
    episodes: int,
    seed: int,
    best: bool = False,
    deterministic: bool = False,
) -> dict[str, Any]:
    """Evaluate the policy of a run folder; see ``ctrl.evaluation.evaluate_run``."""
    learner = LanguageLearner(replace(config, reward={}, objective={}))
    learner.restore_policy(load_tree(run.policy_folder(best=best)))
    found = evaluate_learner(learner, episodes=episodes, seed=seed, deterministic=deterministic)
    learner.close()
    return {**found, "run_folder": str(run.path)}
