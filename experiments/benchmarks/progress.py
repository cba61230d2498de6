"""Measure what pictures cost a reward of progress: rendering, and reading them.

    python experiments/benchmarks/progress.py --json experiments/benchmarks/progress.json

The maze of ``experiments/dopamine/maze_policy.py``, in one process with one torch thread. Each turn
measures everything, in an order that moves on by one from turn to turn:

- ``action_without_cameras`` and ``action_with_cameras``: random actions, five steps of MuJoCo each;
  three cameras of 64 x 64 are rendered after every action and made 32 x 32.
- ``potential_of_states`` and ``potential_of_views``: ``ProgressPotential`` of a batch, by an
  untrained hop model of the size that the study uses.

Times are CPU time of the process, the threads of a software renderer included, in milliseconds per
action or per state: medians over the turns, and the best turn, which other work on the machine
disturbed least. A ratio is the median over the turns of the dear side over the cheap one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from reward_models.progress import HopModel, ProgressPotential
from reward_models.registry import load_reward

MAZE = Path(__file__).parents[1] / "dopamine" / "maze_policy.py"
VIEWS, LATENT = 3, 32
RATIOS = {
    "cameras": ("action_with_cameras", "action_without_cameras"),
    "views": ("potential_of_views", "potential_of_states"),
}
PACKAGES = ("ctrl", "gymnasium", "mujoco", "numpy", "torch")


def main() -> None:
    """Run the measurements, print the table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--actions", type=int, default=60)
    parser.add_argument("--states", type=int, default=64)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    load_before = os.getloadavg()
    maze_views = load_reward(f"{MAZE}:MazeViews")
    mazes = {seen: maze_views(cameras=seen) for seen in (False, True)}
    sides: dict[str, Callable[[], float]] = {
        "action_without_cameras": acting(mazes[False], options.actions),
        "action_with_cameras": acting(mazes[True], options.actions),
        "potential_of_states": reading(mazes[True], "state", options.states),
        "potential_of_views": reading(mazes[True], "views", options.states),
    }
    names = list(sides)
    for name in names:
        sides[name]()  # the first does not count
    turns: list[dict[str, float]] = []
    for repeat in range(options.repeats):
        start = repeat % len(names)
        order = names[start:] + names[:start]
        turns.append({name: sides[name]() for name in order})
    report: dict[str, Any] = {
        "settings": {key: value for key, value in vars(options).items() if key != "json"},
        "versions": {name: version(name) for name in PACKAGES},
        "machine": {
            "cpus": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "renderer": renderer(mazes[True]),
            "load_before": load_before,
            "load_after": os.getloadavg(),
        },
        "milliseconds": {},
        "ratios": {},
        "turns": turns,
    }
    for maze in mazes.values():
        maze.close()
    for name in names:
        times = [turn[name] for turn in turns]
        found = {"median": statistics.median(times), "best": min(times), "worst": max(times)}
        report["milliseconds"][name] = found
        print(f"{name:<24}{found['median']:>9.3f} ms   best {found['best']:.3f}", flush=True)
    for name, (dear, cheap) in RATIOS.items():
        ratios = [turn[dear] / turn[cheap] for turn in turns]
        found = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
        report["ratios"][name] = found
        print(f"{name:<24}{found['median']:>9.1f} times   [{found['min']:.1f}, {found['max']:.1f}]")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def acting(maze: Any, actions: int) -> Callable[[], float]:
    """Return a function that acts at random in a maze: CPU milliseconds per action."""
    maze.reset(seed=0)
    maze.action_space.seed(0)

    def measured() -> float:
        spent = 0.0
        for _ in range(actions):
            action = maze.action_space.sample()
            began = time.process_time()
            _, _, reached, _, _ = maze.step(action)
            spent += time.process_time() - began
            if reached:
                maze.reset()
        return 1000 * spent / actions

    return measured


def reading(maze: Any, key: str, states: int) -> Callable[[], float]:
    """Return a function that computes the potential of a batch: CPU milliseconds per state."""
    space = maze.observation_space[key]
    views = VIEWS if key == "views" else None
    model = HopModel(observation_space=space, views=views, latent_size=LATENT, seed=0)
    model.requires_grad_(False)
    potential = ProgressPotential(
        hop_model=model, observation_space=maze.observation_space, key=key, gamma=0.99
    )
    space.seed(0)
    batch = {key: torch.stack([torch.as_tensor(space.sample()) for _ in range(states)])}

    def measured() -> float:
        began = time.process_time()
        with torch.no_grad():
            potential.potential(batch)
        return 1000 * (time.process_time() - began) / states

    return measured


def renderer(maze: Any) -> str:
    """Return what draws the pictures, as OpenGL names it."""
    from OpenGL import GL

    maze.reset()  # so that its context is the current one
    name = GL.glGetString(GL.GL_RENDERER)
    return "unknown" if name is None else name.decode()


if __name__ == "__main__":
    main()
