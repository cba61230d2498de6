"""Film one episode of a policy, without a display."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

import envs
from ctrl.config import EnvConfig
from reward_models.errors import MissingDependencyError, UserError

_FORMATS = (".mp4", ".gif")
_CURE = (
    "Rendering without a display needs EGL: on Debian or Ubuntu `apt-get install libegl1 libgl1`. "
    "With a display or OSMesa set MUJOCO_GL=glfw or MUJOCO_GL=osmesa."
)


def film(
    model: BaseAlgorithm,
    config: EnvConfig,
    path: Path,
    *,
    seed: int,
    max_steps: int = 1000,
) -> Path:
    """Write a video of one deterministic episode.

    Args:
        model: the learner; its observation normaliser is applied.
        config: the environment.
        path: ``.mp4`` or ``.gif``.
        seed: of the episode.
        max_steps: the film ends there at the latest.

    Returns:
        The path of the video.

    Raises:
        UserError: another file type, or the environment cannot render.
        MissingDependencyError: no video writer, or no way to render here.
    """
    if path.suffix not in _FORMATS:
        raise UserError(f"A video is written as {' or '.join(_FORMATS)}, got {str(path)!r}.")
    try:
        import imageio.v2 as imageio
    except ImportError as error:
        raise MissingDependencyError(
            "Videos need imageio: pip install 'ctrl[mujoco]' (or imageio imageio-ffmpeg)."
        ) from error
    frames, rate = _frames(model, config, seed, max_steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        imageio.mimsave(path, frames, duration=1000.0 / rate, loop=0)
    else:
        # One pixel alignment keeps frame sizes as rendered; every player reads yuv420p.
        imageio.mimsave(path, frames, fps=rate, macro_block_size=2)
    return path


def _frames(
    model: BaseAlgorithm, config: EnvConfig, seed: int, max_steps: int
) -> tuple[list[Any], float]:
    env: Any = None
    if "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        env = envs.make(config.id, render_mode="rgb_array", **config.options)
        observation, _ = env.reset(seed=seed)
        frames = [env.render()]
        state, start, ended = None, np.ones(1, dtype=bool), False
        while not ended and len(frames) <= max_steps:
            action, state = model.predict(
                _batched(model, observation), state=state, episode_start=start, deterministic=True
            )
            observation, _, terminated, truncated, _ = env.step(action[0])
            ended, start = terminated or truncated, np.zeros(1, dtype=bool)
            frames.append(env.render())
    except TypeError as error:
        raise UserError(f"Environment {config.id!r} cannot render: {error}.") from error
    except UserError:
        raise
    except Exception as error:  # the renderers raise their own kinds, bare Exception among them
        raise MissingDependencyError(f"{_CURE} The renderer said: {error}") from error
    finally:
        if env is not None:
            env.close()
    if frames[0] is None:
        raise UserError(f"Environment {config.id!r} renders no images.")
    return frames, float(env.metadata.get("render_fps") or 30)


def _batched(model: BaseAlgorithm, observation: Any) -> Any:
    if isinstance(observation, dict):
        batch: Any = {key: np.asarray(value)[None] for key, value in observation.items()}
    else:
        batch = np.asarray(observation)[None]
    return model.env.normalize_obs(batch) if isinstance(model.env, VecNormalize) else batch
