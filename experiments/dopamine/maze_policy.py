"""What shaping by learned progress does for PPO that drives a ball through a MuJoCo maze.

For ``experiments/bars/dopamine-maze-policy.yaml``. A scripted expert's demonstrations train the hop
model, on states or on what three cameras show; PPO, which sees the state only, then learns from the
task's own reward, 1 at the goal, with and without shaping.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

# Before MuJoCo is imported, which chooses its renderer then.
os.environ.setdefault("MUJOCO_GL", "egl")

import ctrl
import envs
from ctrl.run_curves import find_runs
from ctrl.study.measures import mean_height
from reward_models.progress import HopModel, HopTraining, save_hop_model
from reward_models.registry import load_reward

MAZE = Path(__file__).parent / "point_maze.py"
BASE, TASK, SIZE, VIEWS, COLUMNS = "PointMazeGoal_UMaze-v0", "PointMazeViews-v0", 32, 3, 16
REPEAT, LIMIT = 5, 60
"""Steps of the maze per action, and actions in an episode: 300 steps, as in the maze itself."""
SEES_STATE = {
    "features_extractor": "chosen_keys",
    "features_extractor_kwargs": {"keys": ["state"]},
}
SUCCESS_RATE, ENOUGH = "rollout/success_rate", 0.8


class MazeViews(gymnasium.Env):
    """The U-shaped maze with pictures beside the state; an action acts for five steps.

    Observation: ``state`` float32 ``[6]`` and, unless ``cameras`` is false, ``views`` uint8
    ``[3, 32, 32, 3]``.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, cameras: bool = True, render_mode: str | None = None) -> None:
        self.maze = envs.make(BASE, max_episode_steps=LIMIT * REPEAT + 1, render_mode=render_mode)
        self.maze.reset(seed=0)
        self.cameras = load_reward(f"{MAZE}:Cameras")(self.maze) if cameras else None
        parts: dict[str, spaces.Space] = {"state": spaces.Box(-np.inf, np.inf, (6,), np.float32)}
        if cameras:
            parts["views"] = spaces.Box(0, 255, (VIEWS, SIZE, SIZE, 3), np.uint8)
        self.observation_space = spaces.Dict(parts)
        self.action_space = self.maze.action_space
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        state, info = self.maze.reset(seed=seed, options=options)
        return self._observed(state), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act for five steps, or until the goal is reached."""
        for _ in range(REPEAT):
            state, reward, reached, _, info = self.maze.step(action)
            if reached:
                break
        return self._observed(state), float(reward), bool(reached), False, info

    def render(self) -> Any:
        """Return a picture."""
        return self.maze.render()

    def close(self) -> None:
        """Close the renderers."""
        if self.cameras is not None:
            self.cameras.close()
        self.maze.close()

    def _observed(self, state: np.ndarray) -> dict[str, np.ndarray]:
        found = {"state": state.astype(np.float32)}
        if self.cameras is not None:
            views = self.cameras()
            cut = views.shape[1] // SIZE
            small = views.reshape(VIEWS, SIZE, cut, SIZE, cut, 3).mean((2, 4))
            found["views"] = small.astype(np.uint8)
        return found


if TASK not in gymnasium.registry:
    gymnasium.register(TASK, entry_point=MazeViews, max_episode_steps=LIMIT)


def policy(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train PPO with a reward of progress that was learned from demonstrations of an expert.

    Args:
        settings: ``steps``, ``algo`` and ``reward`` (as in a configuration; the folder of the hop
            model is filled in), ``demonstrations`` (their number), ``noise`` of the expert,
            ``epochs`` and ``jitter`` of the hop model, ``input``, what it sees (``state`` or
            ``views``), and ``cameras``, whether pictures are rendered.
        seed: of demonstrations, model and learner.

    Returns:
        ``success``, the mean height of the curve of the success rate of the last 100 training
        episodes; ``steps_to_80``, when it reached 0.8 (all steps where it did not);
        ``success_rate``, its last value; ``steps_per_second`` of the training; and the curve. It
        begins when every column has ended an episode: those that end before are successes only.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        terms: dict[str, Any] = {name: dict(term) for name, term in settings["reward"].items()}
        for term in terms.values():
            if str(term.get("use", "")).startswith("progress"):
                stored = save_hop_model(hop_model(settings, seed), Path(folder) / "hop")
                term.update(hop_model=str(stored), key=settings["input"])
        run, cameras, algo = Path(folder) / "run", settings["cameras"], settings["algo"]
        result = ctrl.train(
            env={"id": TASK, "n_envs": COLUMNS, "threads": 1, "cameras": cameras},
            algo={**algo, "policy_kwargs": {**SEES_STATE, **algo.get("policy_kwargs", {})}},
            reward=terms, steps=settings["steps"], seed=seed, out=run, checkpoints={"every": 0},
        )  # fmt: skip
        steps, rates = find_runs(run)[0].curve(SUCCESS_RATE)
    counted = np.asarray(steps) >= COLUMNS * LIMIT
    steps, rates = np.asarray(steps)[counted], np.asarray(rates)[counted]
    reached = np.flatnonzero(rates >= ENOUGH)
    return {
        "success": mean_height(steps, rates),
        "steps_to_80": float(steps[reached[0]]) if len(reached) else float(settings["steps"]),
        "success_rate": float(rates[-1]),
        "steps_per_second": result.steps / result.seconds,
        "curves": {"success_rate": [steps.tolist(), rates.tolist()]},
    }


def hop_model(settings: dict[str, Any], seed: int) -> HopModel:
    """Train a hop model on every second frame of demonstrations of the scripted expert."""
    shown, looks = demonstrations(settings, seed), settings["input"]
    env = MazeViews(cameras=looks == "views")
    space = env.observation_space[looks]
    env.close()
    views = VIEWS if looks == "views" else None
    model = HopModel(observation_space=space, views=views, latent_size=32, seed=seed)
    jitter = 0.0 if looks == "views" else settings["jitter"]
    HopTraining(epochs=settings["epochs"], jitter=jitter, pairs=500, seed=seed).fit(model, shown)
    return model


def demonstrations(settings: dict[str, Any], seed: int) -> list[np.ndarray]:
    """Return every second frame ``[L, ...]`` of successful episodes of the scripted expert."""
    looks, noise, found = settings["input"], settings["noise"], []
    env, expert = MazeViews(cameras=looks == "views"), load_reward(f"{MAZE}:Expert")
    attempt = 1000 * seed
    while len(found) < settings["demonstrations"]:
        observation, _ = env.reset(seed=attempt)
        drive, frames, reached = expert(noise, attempt), [observation[looks]], False
        while not reached and len(frames) <= LIMIT:
            observation, _, reached, _, _ = env.step(drive(observation["state"], {}))
            frames.append(observation[looks])
        if reached:
            # The last frame is the goal, so counting starts there.
            found.append(np.stack(frames[::-1][::2][::-1]))
        attempt += 1
    env.close()
    return found
