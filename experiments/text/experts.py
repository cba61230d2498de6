"""Every family of text environments, played by its scripted expert and by chance.

    python experiments/text/experts.py

For each environment: how often expert and chance succeed, turns of the expert, words and bytes of a
text, and turns per second with and without the time of resets. Chance picks among the admissible
commands; in puzzles it answers with a random expression or number of the right form. Written to
``experiments/results/text-experts.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from envs.text import TextEnvironment, TextTurn, make_text

Guess = Callable[[TextEnvironment, TextTurn, np.random.Generator], str]


def choose(env: TextEnvironment, turn: TextTurn, random: np.random.Generator) -> str:
    """Return one of the admissible commands."""
    commands = turn.admissible or ()
    return commands[int(random.integers(len(commands)))]


def expression(env: Any, turn: TextTurn, random: np.random.Generator) -> str:
    """Return the numbers of a countdown in random order with random operations."""
    numbers = random.permutation(env.question(turn.info["task_id"]).key[0]).tolist()
    signs = random.choice(list("+-*/"), len(numbers) - 1).tolist()
    return "".join(f"{n}{s}" for n, s in zip(numbers, [*signs, ""], strict=True))


def number(env: TextEnvironment, turn: TextTurn, random: np.random.Generator) -> str:
    """Return a whole number from -200 to 200."""
    return str(random.integers(-200, 201))


# Name, options, tasks, and how to guess.
ROWS: tuple[tuple[str, dict[str, Any], list[int], Guess], ...] = (
    ("Addition-v0", {}, list(range(500)), number),
    ("Countdown-v0", {"operands": 3}, list(range(500)), expression),
    ("Countdown-v0", {"operands": 4}, list(range(500)), expression),
    ("ModularChain-v0", {}, list(range(500)), number),
    ("LinearEquation-v0", {}, list(range(500)), number),
    *(
        ("ReasoningGym-v0", {"dataset": dataset, "size": 100}, list(range(50)), number)
        for dataset in ("chain_sum", "countdown", "gsm_symbolic", "knights_knaves", "mini_sudoku")
    ),
    ("TextWorld-W2-O3-Q4-v0", {}, list(range(50001, 50011)), choose),
    ("TextWorld-W4-O6-Q8-v0", {}, list(range(50001, 50006)), choose),
    ("TextWorld-W8-O12-Q4-v0", {}, list(range(50001, 50006)), choose),
    ("TextWorld-Simple-v0", {}, [50002], choose),
    ("TextWorld-Cooking-v0", {}, [5], choose),
    ("TextWorld-CoinCollector-v0", {}, [5], choose),
    ("TextWorld-TreasureHunter-v0", {}, [5], choose),
    *(
        (f"BabyAI-{level}-v0", {}, list(range(100)), choose)
        for level in ("GoToLocal", "OpenDoor", "PickupLoc", "PutNextLocal")
    ),
    ("MiniHack-Room-5x5-v0", {}, list(range(200)), choose),
    ("MiniHack-Room-Random-5x5-v0", {}, list(range(200)), choose),
    ("MiniHack-Room-Random-15x15-v0", {}, list(range(100)), choose),
    ("ScienceWorld-v0", {"science_task": "find-animal"}, [0, 1, 2], choose),
    ("ScienceWorld-v0", {"science_task": "boil"}, [0, 1], choose),
)


def main() -> None:
    """Play all rows, print them, and write them down."""
    parser = argparse.ArgumentParser(description="Experts and chance in text environments.")
    parser.add_argument("--json", type=Path, default=Path("experiments/results/text-experts.json"))
    parser.add_argument("--only", default="", help="rows whose name or options hold this text")
    options = parser.parse_args()
    load, rows = os.getloadavg(), []
    known = json.loads(options.json.read_text())["rows"] if options.only else []
    for name, settings, tasks, guess in ROWS:
        if options.only not in f"{name} {settings}":
            rows += [row for row in known if (row["name"], row["options"]) == (name, settings)]
            continue
        if name.startswith("ScienceWorld") and shutil.which("java") is None:
            continue
        rows.append({"name": name, "options": settings, **measure(name, settings, tasks, guess)})
        print(json.dumps(rows[-1]), flush=True)
    found = {
        "rows": rows,
        "versions": {
            package: version(package)
            for package in ("textworld", "scienceworld", "minigrid", "nle", "minihack",
                            "reasoning-gym")
        },
        "machine": {"python": platform.python_version(), "cpus": os.cpu_count(), "load": load},
    }  # fmt: skip
    options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(name: str, settings: dict[str, Any], tasks: list[int], guess: Guess) -> dict[str, Any]:
    """Return what expert and chance did in the same tasks."""
    experts = {"with_expert": True} if name.startswith("ScienceWorld") else {}
    env = make_text(name, **settings, **experts)
    for task in tasks:  # games are made here, not in the time that is measured
        if name.startswith("TextWorld"):
            env.reset(task=task)
    expert = play(env, tasks, lambda turn: env.expert())
    env.close()
    env, random = make_text(name, **settings), np.random.default_rng(0)
    # Where there are few tasks, chance gets more than one try.
    again = tasks * max(1, (30 if name.startswith("TextWorld") else 1) // len(tasks))
    chance = play(env, again, lambda turn: guess(env, turn, random))
    env.close()
    return {
        "episodes": len(tasks),
        "expert_success": expert["success"],
        "expert_turns": expert["turns"],
        "chance_episodes": len(again),
        "chance_success": chance["success"],
        "text_words": round(float(np.mean(chance["words"])), 1),
        "text_bytes": round(float(np.mean(chance["bytes"])), 1),
        "turns_per_second": round(chance["count"] / chance["stepping"], 1),
        "resets_per_second": round(len(again) / chance["resetting"], 1),
    }


def play(
    env: TextEnvironment, tasks: list[int], act: Callable[[TextTurn], str | None]
) -> dict[str, Any]:
    """Return successes, mean turns, sizes of texts and seconds; no advice ends an episode."""
    won, turns, words, sizes = 0, [], [], []
    resetting = stepping = 0.0
    for task in tasks:
        began = time.perf_counter()
        turn = env.reset(task=task)
        resetting += time.perf_counter() - began
        while not (turn.terminated or turn.truncated):
            words.append(len(turn.text.split()))
            sizes.append(len(turn.text.encode()))
            command = act(turn)
            if command is None:
                break
            began = time.perf_counter()
            turn = env.step(command)
            stepping += time.perf_counter() - began
        won += turn.info["won"]
        turns.append(turn.info["turn"])
    return {
        "success": won / len(tasks),
        "turns": round(float(np.mean(turns)), 2),
        "count": sum(turns),
        "words": words,
        "bytes": sizes,
        "resetting": resetting,
        "stepping": stepping,
    }


if __name__ == "__main__":
    main()
