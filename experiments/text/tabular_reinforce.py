"""Tabular REINFORCE on one game of TextWorld: can it be learned at all, and from which reward?

    python experiments/text/tabular_reinforce.py

A softmax over the admissible commands for every text of the game's state (room and inventory), so
that nothing but the environment is in question. Learned is from the walkthrough's own signal (its
intermediate reward divided by the length of the quest, and 1 for winning), and from winning alone.
Written are success and returns of every episode to ``experiments/results/text-tabular.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from envs.text import TextEnvironment, make_text

GAME, TASK, QUEST = "TextWorld-W2-O3-Q4-v0", 50001, 4
DISCOUNT, LEARNING_RATE, BASELINE_RATE = 0.9, 1.0, 0.2


def main() -> None:
    """Train with every seed and both rewards, print a table, and write everything down."""
    parser = argparse.ArgumentParser(description="Tabular REINFORCE on one game of TextWorld.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=150)
    parser.add_argument("--json", type=Path, default=Path("experiments/results/text-tabular.json"))
    options = parser.parse_args()
    env = make_text(GAME, text="state")
    found: dict[str, Any] = {"game": GAME, "task": TASK, "episodes": options.episodes}
    found["random"] = random_success(env, 150, seed=0)
    for reward in ("intermediate", "win"):
        runs = [learn(env, reward, seed, options.episodes) for seed in range(options.seeds)]
        found[reward] = runs
        last = [run["success_last_50"] for run in runs]
        print(f"{reward}: success in the last 50 of {options.episodes}: {last}")
    print(f"random choice: {found['random']:.3f}")
    options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    env.close()


def learn(env: TextEnvironment, reward: str, seed: int, episodes: int) -> dict[str, Any]:
    """Return what one run learned: success by episode, and seconds."""
    random = np.random.default_rng(seed)
    logits: dict[str, dict[str, float]] = defaultdict(dict)
    baseline: dict[str, float] = defaultdict(float)
    successes = []
    began = time.perf_counter()
    for _ in range(episodes):
        turn = env.reset(task=TASK)
        steps: list[tuple[str, tuple[str, ...], np.ndarray, int, float]] = []
        while not (turn.terminated or turn.truncated):
            state, commands = turn.text, turn.admissible or ()
            values = np.array([logits[state].setdefault(command, 0.0) for command in commands])
            weights = np.exp(values - values.max())
            chances = weights / weights.sum()
            chosen = int(random.choice(len(commands), p=chances))
            turn = env.step(commands[chosen])
            gained = float(turn.info["won"])
            if reward == "intermediate":
                gained += turn.info["state"]["intermediate_reward"] / QUEST
            steps.append((state, commands, chances, chosen, gained))
        value = 0.0
        for state, commands, chances, chosen, gained in reversed(steps):
            value = gained + DISCOUNT * value
            advantage = value - baseline[state]
            baseline[state] += BASELINE_RATE * advantage
            for place, command in enumerate(commands):
                slope = float(place == chosen) - chances[place]
                logits[state][command] += LEARNING_RATE * advantage * slope
        successes.append(int(turn.info["won"]))
    return {
        "seed": seed,
        "success_last_50": float(np.mean(successes[-50:])),
        "successes": successes,
        "seconds": round(time.perf_counter() - began, 2),
    }


def random_success(env: TextEnvironment, episodes: int, seed: int) -> float:
    """Return how often a random choice among the admissible commands wins."""
    random = np.random.default_rng(seed)
    won = 0
    for _ in range(episodes):
        turn = env.reset(task=TASK)
        while not (turn.terminated or turn.truncated):
            commands = turn.admissible or ()
            turn = env.step(commands[int(random.integers(len(commands)))])
        won += turn.info["won"]
    return won / episodes


if __name__ == "__main__":
    main()
