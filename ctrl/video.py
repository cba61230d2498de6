"""Film one episode of a policy, without a display."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

import envs
from ctrl.config import EnvConfig
from ctrl.opponents import with_opponent
from ctrl.pictures.terminal import draw_terminal
from reward_models.errors import MissingDependencyError, UserError

_FORMATS = (".mp4", ".gif")
_CURE = (
    "Rendering without a display needs EGL: on Debian or Ubuntu `apt-get install libegl1 libgl1`. "
    "With a display or OSMesa set MUJOCO_GL=glfw or MUJOCO_GL=osmesa."
)
_PICTURE, _TEXT = "rgb_array", "ansi"


class Film(NamedTuple):
    """The pictures of one episode.

    Attributes:
        frames: uint8 ``[H, W, 3]`` each, of one size: before the first step and after every one.
        rate: frames per second.
        task_return: undiscounted, up to the last frame.
        ended: the episode ended with the last frame; false where the film was cut.
    """

    frames: list[np.ndarray]
    rate: float
    task_return: float
    ended: bool


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
    _check(path)
    found = take_frames(model, config, seed=seed, max_steps=max_steps)
    return write_video(found.frames, found.rate, path)


def write_video(
    frames: Sequence[np.ndarray], rate: float, path: Path, *, largest: int | None = None
) -> Path:
    """Write frames as a video.

    Args:
        frames: uint8 ``[H, W, 3]``, all of one size; at least one.
        rate: frames per second.
        path: ``.mp4`` or ``.gif``.
        largest: an ``.mp4`` for a page: scaled to at most this width, and compressed more.

    Raises:
        UserError: another file type, or the file cannot be written.
        MissingDependencyError: no video writer.
    """
    imageio = _check(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".gif":
            imageio.mimsave(path, frames, duration=1000.0 / rate, loop=0)
            return path
        options: dict[str, Any] = {}
        if largest is not None:
            scaling = f"scale='min({largest},iw)':-2:flags=lanczos"
            options = {
                "quality": None,
                "output_params": ["-vf", scaling, "-crf", "30", "-movflags", "+faststart"],
            }
        # Every player reads yuv420p, which needs even sizes.
        even = [np.pad(f, ((0, f.shape[0] % 2), (0, f.shape[1] % 2), (0, 0)), "edge")
                for f in frames]  # fmt: skip
        imageio.mimsave(path, even, fps=rate, macro_block_size=2, **options)
    except OSError as error:
        raise UserError(f"Cannot write the video {path}: {error}.") from error
    return path


def take_frames(
    model: BaseAlgorithm, config: EnvConfig, *, seed: int, episode: int = 0, max_steps: int = 1000
) -> Film:
    """Run one deterministic episode and picture every state.

    An environment that renders pictures gives them itself; one that renders text, and prefers
    that, is drawn as a terminal.

    Args:
        model: the learner; its observation normaliser is applied.
        config: the environment.
        seed: of the environment.
        episode: which episode after the reset with ``seed``, from 0, as in `ctrl.ledger`.
        max_steps: the film ends there at the latest.

    Raises:
        UserError: the environment cannot render.
        MissingDependencyError: no way to render here.
    """
    with rendering(config) as env:
        state = None
        for number in range(episode + 1):
            filming = number == episode
            observation, _ = env.reset(seed=seed if number == 0 else None)
            frames = [picture_of(env.render(), config.id)] if filming else []
            total, ended, start = 0.0, False, np.ones(1, dtype=bool)
            while not ended and len(frames) <= max_steps:
                action, state = model.predict(
                    _batched(model, observation), state=state, episode_start=start,
                    deterministic=True,
                )  # fmt: skip
                observation, reward, terminated, truncated, _ = env.step(action[0])
                ended, start = bool(terminated or truncated), np.zeros(1, dtype=bool)
                total += float(reward)
                if filming:
                    frames.append(picture_of(env.render(), config.id))
        rate = float(env.metadata.get("render_fps") or 30)
    return Film(frames, rate, total, ended)


@contextmanager
def rendering(config: EnvConfig) -> Iterator[Any]:
    """Make one copy of an environment in the mode in which it is best pictured.

    Args:
        config: the environment; a ``render_mode`` among its options is kept.

    Yields:
        The Gymnasium environment; it is closed at the end.

    Raises:
        UserError: the environment cannot render.
        MissingDependencyError: no way to render here.
    """
    env: Any = None
    if "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")
    options = {key: item for key, item in with_opponent(config).items() if key != "render_mode"}
    mode = config.options.get("render_mode")
    try:
        if mode is None:
            env = envs.make(config.id, **options)
            mode = _best_mode(env.metadata)
            env.close()
            if mode is None:
                raise UserError(f"Environment {config.id!r} renders no images.")
        env = envs.make(config.id, render_mode=mode, **options)
        yield env
    except (TypeError, NotImplementedError) as error:
        raise UserError(f"Environment {config.id!r} cannot render: {error}") from error
    except UserError:
        raise
    except Exception as error:  # the renderers raise their own kinds, bare Exception among them
        raise MissingDependencyError(f"{_CURE} The renderer said: {error}") from error
    finally:
        if env is not None:
            env.close()


def _best_mode(metadata: dict[str, Any]) -> str | None:
    """Return the mode to film in: pictures, unless there is only text or text is preferred."""
    modes = metadata.get("render_modes") or ()
    preferred = metadata.get("preferred_render_mode")
    order = (_TEXT, _PICTURE) if preferred == _TEXT else (_PICTURE, _TEXT)
    return next((mode for mode in order if mode in modes), None)


def picture_of(rendered: Any, name: str) -> np.ndarray:
    """Return what an environment rendered as a picture, uint8 ``[H, W, 3]``; text is drawn.

    Raises:
        UserError: it is neither.
    """
    if isinstance(rendered, str):
        return draw_terminal(rendered)
    if not isinstance(rendered, np.ndarray):
        raise UserError(f"Environment {name!r} renders no images.")
    return rendered


def _check(path: Path) -> Any:
    """Return imageio, or say why no video can be written there."""
    if path.suffix not in _FORMATS:
        raise UserError(f"A video is written as {' or '.join(_FORMATS)}, got {str(path)!r}.")
    try:
        import imageio.v2 as imageio
    except ImportError as error:
        raise MissingDependencyError(
            "Videos need imageio: pip install 'ctrl[mujoco]' (or imageio imageio-ffmpeg)."
        ) from error
    return imageio


def _batched(model: BaseAlgorithm, observation: Any) -> Any:
    if isinstance(observation, dict):
        batch: Any = {key: np.asarray(value)[None] for key, value in observation.items()}
    else:
        batch = np.asarray(observation)[None]
    return model.env.normalize_obs(batch) if isinstance(model.env, VecNormalize) else batch
