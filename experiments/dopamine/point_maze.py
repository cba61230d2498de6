"""Progress in a MuJoCo maze, from state vectors and from rendered pictures of three cameras.

For ``experiments/bars/dopamine-point-maze.yaml``. A scripted expert drives the ball through the
U-shaped maze; one of its episodes trains the hop model, others with noise test it.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

# Before MuJoCo is imported, which chooses its renderer then.
os.environ.setdefault("MUJOCO_GL", "egl")

import envs
from reward_models.demonstrations import record_demonstration
from reward_models.progress import (
    Fusion,
    HopModel,
    HopTraining,
    ProgressReward,
    value_order_correlation,
)
from reward_models.rollout import Rollout

TASK, SIZE, STRIDE = "PointMazeGoal_UMaze-v0", 64, 10
CORNERS = np.array([[1.0, 1.0], [1.0, -1.0]])
CAMERAS = ({"azimuth": 90.0, "elevation": -90.0}, {"azimuth": 60.0, "elevation": -50.0},
           {"azimuth": 150.0, "elevation": -50.0})  # fmt: skip


class Expert:
    """Drives to the corners of the maze one after the other and then to the goal."""

    def __init__(self, noise: float, seed: int) -> None:
        self.noise, self.random, self.passed = noise, np.random.default_rng(seed), 0

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        """Return the force ``[2]`` for an observation of the ball."""
        place, speed, goal = observation[:2], observation[2:4], observation[4:6]
        way = [*CORNERS, goal]
        if self.passed < 2 and np.linalg.norm(way[self.passed] - place) < 0.3:
            self.passed += 1
        force = 2.0 * (way[self.passed] - place) - 0.8 * speed
        force = force + self.noise * self.random.standard_normal(2)
        return np.clip(force, -1.0, 1.0).astype(np.float32)


class Cameras:
    """Renders the maze from several sides."""

    def __init__(self, env: Any) -> None:
        import mujoco

        self.maze = env.unwrapped
        self.renderer = mujoco.Renderer(self.maze.model, SIZE, SIZE)
        self.cameras = []
        for angles in CAMERAS:
            camera = mujoco.MjvCamera()
            camera.distance = 6.0
            camera.azimuth, camera.elevation = angles["azimuth"], angles["elevation"]
            self.cameras.append(camera)

    def __call__(self) -> np.ndarray:
        """Return what the cameras show, uint8 ``[3, 64, 64, 3]``."""
        views = []
        for camera in self.cameras:
            self.renderer.update_scene(self.maze.data, camera)
            views.append(self.renderer.render().copy())
        return np.stack(views)

    def close(self) -> None:
        """Give back the renderer, which must not outlive the interpreter's other modules."""
        self.renderer.close()


class Recorder:
    """Acts like an expert and takes pictures at every tenth step."""

    def __init__(self, expert: Expert, cameras: Cameras | None) -> None:
        self.expert, self.cameras = expert, cameras
        self.frames: list[np.ndarray] = []
        self.steps = 0

    def __call__(self, observation: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        """Return the expert's action."""
        if self.cameras is not None and self.steps % STRIDE == 0:
            self.frames.append(self.cameras())
        self.steps += 1
        return self.expert(observation, info)


def demonstrations(count: int, noise: float, seed: int, pictures: bool) -> list[np.ndarray]:
    """Return every tenth frame of successful episodes, states or pictures, up to the goal."""
    env = envs.make(TASK)
    env.reset(seed=seed)
    cameras = Cameras(env) if pictures else None
    found: list[np.ndarray] = []
    attempt = seed
    while len(found) < count:
        attempt += 1
        recorder = Recorder(Expert(noise, attempt), cameras)
        episode = record_demonstration(env, recorder, seed=attempt)
        if episode.terminations[-1]:
            states = episode.observations[:-1:STRIDE].astype(np.float32)
            found.append(np.stack(recorder.frames) if pictures else states)
    if cameras is not None:
        cameras.close()
    env.close()
    return found


def order(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Return how well progress from one demonstration orders the time of five noisy ones.

    Args:
        settings: ``input`` (``state`` or ``pictures``), ``view`` (one of the cameras, None for
            all), ``epochs``, ``noise``, ``perspectives``.
        seed: of the demonstrations and the model.
    """
    torch.set_num_threads(1)
    pictures, view = settings["input"] == "pictures", settings["view"]
    shown = demonstrations(1, 0.0, 100 * seed, pictures)
    shown += demonstrations(settings["held_out"], settings["noise"], 100 * seed + 50, pictures)
    if pictures and view is not None:
        shown = [frames[:, view] for frames in shown]
    first = shown[0]
    space = (
        spaces.Box(0, 255, first.shape[1:], np.uint8)
        if pictures
        else spaces.Box(-np.inf, np.inf, first.shape[1:], np.float32)
    )
    views = len(CAMERAS) if pictures and view is None else None
    model = HopModel(observation_space=space, views=views, latent_size=32, seed=seed)
    training = HopTraining(epochs=settings["epochs"], swap_probability=0.0, seed=seed)
    loss = training.fit(model, [first])["loss"]
    fusion = Fusion(tuple(settings["perspectives"]))
    found = [progress(model, frames, fusion) for frames in shown[1:]]
    return {
        "voc": float(np.mean([value_order_correlation([0.0, *each]) for each in found])),
        "progress_at_end": float(np.mean([each[-1] for each in found])),
        "loss": loss,
        "frames": float(len(first)),
    }


def progress(model: HopModel, frames: np.ndarray, fusion: Fusion) -> np.ndarray:
    """Return the progress after every frame but the first."""
    space: Any = model.observation_space
    reward = ProgressReward(
        hop_model=model, observation_space=space, gold="none",
        perspectives=tuple(fusion.perspectives), consistency=fusion.consistency,
    )  # fmt: skip
    steps, seen = len(frames) - 1, torch.as_tensor(frames)[:, None]
    flags = torch.zeros(steps, 1, dtype=torch.bool)
    rollout = Rollout(
        observation=seen[:-1], next_observation=seen[1:], action=torch.zeros(steps, 1),
        reward=torch.zeros(steps, 1), terminated=flags, truncated=flags,
    )  # fmt: skip
    with torch.no_grad():
        return reward.trace(rollout).after[:, 0].numpy()
