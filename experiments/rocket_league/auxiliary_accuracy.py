"""Do the auxiliary tasks learn anything? Accuracy of reward prediction on matches it never saw.

    python experiments/rocket_league/auxiliary_accuracy.py

A policy over entities trains with both auxiliary tasks on Lucy-SKG's reward (`lucy_krc.yaml`, one
against one). One more rollout is then recorded, from which nothing is learned: on it, the predicted
sign of each reward is compared with always naming the most frequent one, and the error of the
rebuilt entities with that of their mean. The gain has to be at least 10 points in every seed.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import CallbackList
from torch import Tensor
from tqdm import tqdm

from ctrl.build import build_model
from ctrl.config import TrainConfig, apply_overrides, parse_config, read_config
from ctrl.objectives.auxiliary.actor_embeddings import observations_at
from ctrl.objectives.auxiliary.reward_prediction import CLASSES, reward_labels
from ctrl.objectives.auxiliary.state_representation import reconstruction_loss
from ctrl.run_folder import versions
from ctrl.tables import markdown_table

HERE = Path(__file__).resolve().parent
TASKS = ("reward_prediction", "state_representation")
POINTS = 10.0
"""By how much the accuracy must beat the most frequent class, in percentage points."""


def main() -> None:
    """Train, measure on a fresh rollout, print one table and write the results."""
    parser = argparse.ArgumentParser(description="Accuracy of the auxiliary tasks.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20_000, help="steps of all cars of each run")
    parser.add_argument("--results", type=Path, default=None, help="folder for the JSON")
    options = parser.parse_args()
    data = read_config(HERE / "lucy_krc.yaml")
    settings = [f"steps={options.steps}", *(f"objective.{task}=1" for task in TASKS)]
    config = parse_config(apply_overrides(data, settings))
    torch.set_num_threads(config.threads)
    seeds = tqdm(range(options.seeds), desc="training", unit="run", disable=None)
    found = [measured(replace(config, seed=seed)) for seed in seeds]
    reached = [each["gain_points"] >= POINTS for each in found]
    record = {
        "config": config.as_dict(),
        "seeds": found,
        "rule": f"accuracy beats the most frequent class by {POINTS} points in every seed",
        "passed": all(reached),
        "versions": versions(),
    }
    shown = [
        {
            "seed": seed,
            **{key: f"{value:.3f}" for key, value in each.items() if isinstance(value, float)},
        }
        for seed, each in enumerate(found)
    ]
    print(f"\n{markdown_table(shown, list(shown[0]))}\n")
    print("passed" if all(reached) else f"NOT passed: {reached}")
    if options.results is not None:
        options.results.mkdir(parents=True, exist_ok=True)
        text = json.dumps(record, indent=1)
        file = options.results / "rocket_league_auxiliary_accuracy.json"
        file.write_text(text + "\n", encoding="utf-8")


def measured(config: TrainConfig) -> dict[str, Any]:
    """Train once, then measure both tasks on one more rollout.

    Returns:
        ``accuracy`` and ``majority`` as shares, ``gain_points``, ``recall`` of each class,
        ``rebuilt`` and ``rebuilt_by_mean`` (smooth L1), steps and seconds of training.
    """
    model: Any = build_model(config)
    began = time.perf_counter()
    model.learn(config.steps)
    seconds = time.perf_counter() - began
    # One more rollout: `learn` ends with an update, so nothing is trained on this one.
    callback = CallbackList([])
    callback.init_callback(model)
    buffer = model.rollout_buffer
    model.collect_rollouts(model.env, callback, buffer, n_rollout_steps=model.n_steps)
    rollout = buffer.rollout
    observation = {key: torch.as_tensor(values) for key, values in buffer.observations.items()}
    term, rebuild = (model.objective.terms[task] for task in TASKS)
    actor = model.policy.actor_attention
    rows = torch.arange(rollout.T * rollout.B)
    with torch.no_grad():
        logits = torch.cat(
            [
                term.logits(actor, rollout, observation, part // rollout.B, part % rollout.B)
                for part in rows.split(512)
            ]
        )
        seen = observations_at(observation, rows, model.device)
        embedded = actor.embed(seen)
        rebuilt = rebuild.coder(rebuild.look(embedded.query, embedded).squeeze(1))
        entities = seen["entities"].float()
        mean = entities.mean(dim=0, keepdim=True).expand_as(entities)
        errors = [
            float(reconstruction_loss(each, entities, embedded.padding)) for each in (rebuilt, mean)
        ]
    label = reward_labels(buffer.total.flatten(), term.threshold)
    model.env.close()
    return {**accuracy(logits, label), "rebuilt": errors[0], "rebuilt_by_mean": errors[1],
            "steps": int(model.num_timesteps) - int(rollout.T * rollout.B),
            "train_seconds": seconds}  # fmt: skip


def accuracy(logits: Tensor, label: Tensor) -> dict[str, Any]:
    """Return accuracy, share of the most frequent class, and recall of each class."""
    guess = logits.argmax(dim=1)
    shares = torch.bincount(label, minlength=len(CLASSES)) / len(label)
    right, most = float((guess == label).float().mean()), float(shares.max())
    recall = {
        name: float((guess[label == index] == index).float().mean())
        for index, name in enumerate(CLASSES)
        if bool((label == index).any())
    }
    return {
        "accuracy": right,
        "majority": most,
        "gain_points": float(np.round(100.0 * (right - most), 6)),
        "shares": dict(zip(CLASSES, shares.tolist(), strict=True)),
        "recall": recall,
    }


if __name__ == "__main__":
    main()
