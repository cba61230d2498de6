"""One-shot adaptation in a MuJoCo maze: a hop model of several goals, and one look at another.

For ``experiments/bars/dopamine-new-goal.yaml``. A scripted expert drives a ball through the medium
maze. Demonstrations of several goals train one hop model; one demonstration of a new goal adapts
it; others to that goal, from other places and with noise, test it.
"""

from __future__ import annotations

import copy
import json
import os
from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

# Before MuJoCo is imported, which chooses its renderer then.
os.environ.setdefault("MUJOCO_GL", "egl")

import envs
from reward_models.progress import HopModel, HopTraining, ProgressReward, value_order_correlation
from reward_models.registry import load_reward
from reward_models.rollout import Rollout

MAZE = Path(__file__).parent / "point_maze.py"
TASK, STRIDE, VIEWS, SIDE = "PointMazeGoal_Medium-v0", 10, 3, 16
GOALS = ((1, 1), (1, 6), (3, 4), (4, 1), (6, 2), (6, 6))
NEW_GOALS = ((6, 5), (1, 2), (5, 1), (4, 6), (3, 2))
"""Row and column of the goals that are learned first, and of the new one of each seed."""
FAR = 5
PLACE = slice(0, 4)
"""What a model of states sees: place and speed, not where the goal is."""

_OF_SEVERAL_GOALS: dict[str, HopModel] = {}
"""The model trained last on the goals, which two methods begin with."""


def cells(walls: np.ndarray) -> list[tuple[int, int]]:
    """Return the free cells of a maze."""
    return [tuple(map(int, cell)) for cell in np.argwhere(~walls)]


def way(walls: np.ndarray, start: tuple[int, int], goal: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the cells of a shortest way, both ends among them."""
    before: dict[tuple[int, int], tuple[int, int] | None] = {start: None}
    waiting = deque([start])
    while waiting:
        row, column = cell = waiting.popleft()
        for near in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            if not walls[near] and near not in before:
                before[near] = cell
                waiting.append(near)
    found: list[tuple[int, int]] = []
    at: tuple[int, int] | None = goal
    while at is not None:
        found.append(at)
        at = before[at]
    return found[::-1]


class Driver:
    """Drives along the cells of a way, with noise on the force."""

    def __init__(self, points: np.ndarray, noise: float, random: np.random.Generator) -> None:
        self.points, self.noise, self.random, self.passed = points, noise, random, 0

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Return the force ``[2]`` for an observation of the ball."""
        place, speed, goal = observation[:2], observation[2:4], observation[4:6]
        way = [*self.points[1:-1], goal]
        if self.passed < len(way) - 1 and np.linalg.norm(way[self.passed] - place) < 0.45:
            self.passed += 1
        force = 2.0 * (way[self.passed] - place) - 0.8 * speed
        force = force + self.noise * self.random.standard_normal(2)
        return np.clip(force, -1.0, 1.0).astype(np.float32)


class Recorder:
    """Records every tenth frame of demonstrations, as states or as small pictures."""

    def __init__(self, seed: int, pictures: bool) -> None:
        self.env = envs.make(TASK)
        self.env.reset(seed=seed)
        self.maze: Any = self.env.unwrapped.robot_env.maze  # type: ignore[attr-defined]
        self.walls = np.array([[cell == 1 for cell in row] for row in self.maze.maze_map])
        self.random = np.random.default_rng(seed)
        self.cameras = load_reward(f"{MAZE}:Cameras")(self.env) if pictures else None

    def __call__(self, goal: tuple[int, int], noise: float) -> np.ndarray:
        """Return a demonstration ``[L, ...]`` that reaches a goal from a place far from it."""
        while True:
            starts = [c for c in cells(self.walls) if len(way(self.walls, c, goal)) > FAR]
            start = starts[self.random.integers(len(starts))]
            frames = self._drive(start, goal, noise)
            if frames is not None:
                return frames

    def close(self) -> None:
        """Close the maze and its renderer."""
        if self.cameras is not None:
            self.cameras.close()
        self.env.close()

    def _drive(self, start: Any, goal: Any, noise: float) -> np.ndarray | None:
        places = [self.maze.cell_rowcol_to_xy(np.array(c)) for c in way(self.walls, start, goal)]
        driver = Driver(np.array(places), noise, self.random)
        ends = {"reset_cell": np.array(start), "goal_cell": np.array(goal)}
        observation, _ = self.env.reset(options=ends)
        frames, done, reached = [self._frame(observation)], False, False
        while not done:
            for _ in range(STRIDE):
                observation, _, reached, late, _ = self.env.step(driver(observation))
                done = bool(reached or late)
                if done:
                    break
            frames.append(self._frame(observation))
        return np.stack(frames) if reached else None

    def _frame(self, observation: np.ndarray) -> np.ndarray:
        if self.cameras is None:
            return observation[PLACE].astype(np.float32)
        views = self.cameras()
        # Small enough for one core; read as numbers, whose means tell where the ball is.
        cut = views.shape[1] // SIDE
        small = views.reshape(VIEWS, SIDE, cut, SIDE, cut, 3).mean((2, 4)) / 255.0
        return small.reshape(VIEWS, -1).astype(np.float32)


@lru_cache(maxsize=2)
def recorded(pictures: bool, each: int, held_out: int, seed: int) -> tuple[Any, Any, Any]:
    """Return demonstrations of the goals, one of the new goal, and more of that to test with."""
    record, new = Recorder(seed, pictures), NEW_GOALS[seed % len(NEW_GOALS)]
    known = [record(goal, 0.3) for goal in GOALS for _ in range(each)]
    shown = record(new, 0.0)
    tests = [record(new, 0.5) for _ in range(held_out)]
    record.close()
    return known, shown, tests


def adapted(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Return how well progress towards a new goal is told after one demonstration of it.

    Args:
        settings: ``input`` (``state`` or ``pictures``), ``model``: ``adapted`` (trained on the
            goals, then on the one demonstration), ``unadapted`` (trained on the goals; the ends of
            the demonstration are its references) or ``one_shot`` (trained on that alone);
            ``each``, demonstrations per goal; ``held_out``, to test with; ``epochs``,
            ``adapting_epochs``, ``alone_epochs``, ``jitter``.
        seed: of the demonstrations and the model; chooses the new goal.

    Returns:
        ``voc``, the mean rank correlation of time and progress over the tests, ``voc_worst``,
        ``progress_at_end`` and ``short_of_goal``, the mean of ``|1 - progress|`` there.
    """
    torch.set_num_threads(1)
    pictures, kind = settings["input"] == "pictures", settings["model"]
    known, shown, tests = recorded(pictures, settings["each"], settings["held_out"], seed)
    plan = {"jitter": settings["jitter"], "pairs": settings["pairs"], "seed": seed}
    if kind == "one_shot":
        model = untrained(shown, pictures, seed)
        training = HopTraining(epochs=settings["alone_epochs"], swap_probability=0.0, **plan)
        training.fit(model, [shown])
    else:
        key = json.dumps([settings[name] for name in ("input", "each", "epochs")] + [plan])
        if key not in _OF_SEVERAL_GOALS:
            model = untrained(shown, pictures, seed)
            tasks = [number for number in range(len(GOALS)) for _ in range(settings["each"])]
            HopTraining(epochs=settings["epochs"], **plan).fit(model, known, tasks=tasks)
            _OF_SEVERAL_GOALS.clear()
            _OF_SEVERAL_GOALS[key] = model
        model = copy.deepcopy(_OF_SEVERAL_GOALS[key])
    reward = ProgressReward(
        hop_model=model, observation_space=model.observation_space, gold="none",
        reference_start=shown[0], reference_goal=shown[-1],
    )  # fmt: skip
    if kind == "adapted":
        epochs = settings["adapting_epochs"]
        reward.adapt(
            shown,
            HopTraining(epochs=epochs, learning_rate=3e-4, swap_probability=0.0, **plan),
        )
    found = [along(reward, frames) for frames in tests]
    order = [value_order_correlation([0.0, *each]) for each in found]
    ends = np.array([each[-1] for each in found])
    return {
        "voc": float(np.mean(order)),
        "voc_worst": float(np.min(order)),
        "progress_at_end": float(ends.mean()),
        "short_of_goal": float(np.abs(1.0 - ends).mean()),
    }


def untrained(shown: np.ndarray, pictures: bool, seed: int) -> HopModel:
    """Return a new model for demonstrations such as ``shown``."""
    space = spaces.Box(-np.inf, np.inf, shown.shape[1:], np.float32)
    views = VIEWS if pictures else None
    return HopModel(observation_space=space, views=views, latent_size=32, seed=seed)


def along(reward: ProgressReward, frames: np.ndarray) -> np.ndarray:
    """Return the progress after every frame but the first."""
    steps, seen = len(frames) - 1, torch.as_tensor(frames)[:, None]
    flags = torch.zeros(steps, 1, dtype=torch.bool)
    rollout = Rollout(
        observation=seen[:-1], next_observation=seen[1:], action=torch.zeros(steps, 1),
        reward=torch.zeros(steps, 1), terminated=flags, truncated=flags,
    )  # fmt: skip
    with torch.no_grad():
        return reward.trace(rollout).after[:, 0].numpy()
