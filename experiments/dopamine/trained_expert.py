"""Progress in a MuJoCo maze, learned from demonstrations of an expert that was itself trained.

For ``experiments/bars/dopamine-trained-expert.yaml``. PPO learns the U-shaped maze by the task's
own reward, helped by a potential. Its successful episodes are recorded as demonstrations; some of
them train the hop model, and the others, together with noisy ones of a scripted expert, test it.
"""

from __future__ import annotations

import json
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces

import ctrl
import envs
from ctrl.demonstrations import record_run
from ctrl.run_folder import RunFolder
from reward_models.demonstrations import read_demonstrations, record_demonstration
from reward_models.errors import UserError
from reward_models.progress import Fusion, HopModel, HopTraining, value_order_correlation
from reward_models.registry import load_reward

MAZE = Path(__file__).parent / "point_maze.py"
TASK, STRIDE, COLUMNS = "PointMazeGoal_UMaze-v0", 5, 16


def nearness(observation: torch.Tensor) -> torch.Tensor:
    """Return the potential that helps the expert: minus the way left, ``[*batch]``.

    Distances are those along x and y, through the passage at ``x = 1``, in lengths of the whole
    way from the start, about 6 m.
    """
    x, y, goal_x, goal_y = (observation[..., index] for index in (0, 1, 4, 5))
    before = (1 - x).abs() + (y - goal_y).abs() + 1 - goal_x
    after = (x - goal_x).abs() + (y - goal_y).abs()
    return -torch.where(y > 0, before, after) / 6.0


class Recorded(NamedTuple):
    """Frames ``[L, 6]`` of each successful episode, and how many of those played succeeded."""

    frames: list[np.ndarray]
    success: float


def order(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Return how well progress from a trained expert's episodes orders the time of other ones.

    Args:
        settings: ``steps`` and ``algo`` of the expert (as in a configuration); ``attempts``, how
            many episodes it plays by sampled actions, of which the first ``episodes`` that
            succeeded are used; ``demonstrations``, how many of those the hop model learns from;
            ``held_out`` and ``noise`` of the scripted expert; ``epochs``, ``pairs`` and
            ``jitter`` of the hop model.
        seed: of the expert, the episodes and the hop model.

    Returns:
        ``voc``, the mean rank correlation of time and progress over the expert's other episodes,
        and ``voc_scripted`` over the scripted ones; ``progress_at_end`` and
        ``progress_at_end_scripted``; ``expert_success``, the share of its attempts that reached
        the goal.

    Raises:
        UserError: the expert succeeded too seldom to learn from and to test.
    """
    torch.set_num_threads(1)
    expert = trained(settings["steps"], json.dumps(settings["algo"]), settings["attempts"], seed)
    count, used = settings["demonstrations"], expert.frames[: settings["episodes"]]
    shown, others = used[:count], used[count:]
    if not others:
        raise UserError(f"The expert succeeded {len(used)} times; expected more than {count}.")
    scripted = noisy(settings["held_out"], settings["noise"], seed)
    space = spaces.Box(-np.inf, np.inf, shown[0].shape[1:], np.float32)
    model = HopModel(observation_space=space, latent_size=32, seed=seed)
    plan = {name: settings[name] for name in ("epochs", "pairs", "jitter")}
    HopTraining(seed=seed, **plan).fit(model, shown)
    found = {"expert_success": expert.success}
    for tested, suffix in ((others, ""), (scripted, "_scripted")):
        along = [load_reward(f"{MAZE}:progress")(model, frames, Fusion()) for frames in tested]
        found[f"voc{suffix}"] = mean(value_order_correlation([0.0, *each]) for each in along)
        found[f"progress_at_end{suffix}"] = mean(each[-1] for each in along)
    return found


@lru_cache(maxsize=4)
def trained(steps: int, algo: str, attempts: int, seed: int) -> Recorded:
    """Train an expert and record where it succeeds; methods of one seed share it."""
    with tempfile.TemporaryDirectory() as folder:
        run, stored = Path(folder) / "run", Path(folder) / "demonstrations"
        ctrl.train(
            env={"id": TASK, "n_envs": COLUMNS, "threads": 1}, algo=json.loads(algo),
            reward={"way": {"use": f"potential:{__file__}:nearness"}},
            steps=steps, seed=seed, out=run, checkpoints={"every": 0},
        )  # fmt: skip
        played = record_run(
            RunFolder.open(run), episodes=attempts, out=stored, deterministic=False,
            minimum_return=1.0, trust_code=True,
        )  # fmt: skip
        frames = [every_fifth(each.observations) for each in read_demonstrations(stored)]
    return Recorded(frames, 1.0 - played["dropped"] / attempts)


def noisy(count: int, noise: float, seed: int) -> list[np.ndarray]:
    """Return the frames of successful episodes of the scripted expert, with noise."""
    env, expert, found = envs.make(TASK), load_reward(f"{MAZE}:Expert"), []
    attempt = 1000 * seed
    while len(found) < count:
        episode = record_demonstration(env, expert(noise, attempt), seed=attempt)
        if episode.terminations[-1]:
            found.append(every_fifth(episode.observations))
        attempt += 1
    env.close()
    return found


def every_fifth(observations: np.ndarray) -> np.ndarray:
    """Return every fifth frame, counted from the last, which is the goal; float32 ``[L, 6]``."""
    return observations[::-1][::STRIDE][::-1].astype(np.float32)


def mean(values: Any) -> float:
    """Return the mean of numbers that come one by one."""
    return float(np.mean(list(values)))
