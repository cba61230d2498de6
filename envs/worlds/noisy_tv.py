"""Noisy televisions around any environment: noise that a curious agent cannot learn to predict.

The noise is added to what the agent sees and changes nothing else: dynamics, rewards and ends are
those of the environment inside. It comes from its own random numbers, seeded by ``reset(seed)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

import envs
from envs.actions import check_actions
from envs.simulation import pick
from envs.worlds.television import Television

_INFO_KEYS = {
    "tv": "1 in a step that asked for a new picture, else 0; always 0 unless kind is on_demand",
    "tv_redrawn": "1 in a step in which the noise changed, else 0",
}


@final
class NoisyTV(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """A noisy television around one environment.

    Observation, action and ``info`` (``tv``, ``tv_redrawn``) as `Television` says; everything else
    is the environment's own. With the same seed and actions it shows what column 0 of
    `NoisyTVVector` shows.

    Args:
        env: the environment inside.
        **options: see `Television`.
    """

    def __init__(self, env: gymnasium.Env, **options: Any) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, **options)
        super().__init__(env)
        self._television = Television(1, env.observation_space, env.action_space, **options)
        self.observation_space = self._television.observation_space
        self.action_space = self._television.action_space

    @property
    def info_keys(self) -> Mapping[str, str]:
        """Every name in ``info``, with its meaning, where the environment inside tells its own."""
        return _info_keys(self.env)

    @property
    def tv_state(self) -> dict[str, Any]:
        """The noise and its random numbers, as `envs.snapshot` saves them."""
        return self._television.snapshot()

    @tv_state.setter
    def tv_state(self, tree: Mapping[str, Any]) -> None:
        self._television.restore(tree)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; see the environment inside."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._television.seed(0, seed)
        self._television.reset(np.array([0]))
        return self._observe(observation), {**info, "tv": 0, "tv_redrawn": 0}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment inside, then the noise."""
        inner, asked = self._television.split(np.asarray(action)[None])
        # Not every engine takes numpy numbers: an action that is not touched goes on as it came.
        passed = inner[0].item() if inner[0].ndim == 0 else inner[0]
        if self.action_space == self.env.action_space:
            passed = action
        observation, reward, terminated, truncated, info = self.env.step(passed)
        self._television.step(asked)
        events = {name: int(values[0]) for name, values in self._television.info(asked).items()}
        return self._observe(observation), reward, terminated, truncated, {**info, **events}

    def _observe(self, observation: Any) -> Any:
        return pick(self._television.observe(_batch(observation)), 0)


@final
class NoisyTVVector(VectorWrapper):
    """A noisy television around a vector environment.

    Args:
        env: a vector environment that resets ended columns within the same step and gives true
            final observations as arrays, such as those of `envs.make_vec`.
        **options: see `Television`.

    Raises:
        TypeError: an environment with another kind of reset.
    """

    def __init__(self, env: VectorEnv, **options: Any) -> None:
        super().__init__(env)
        if env.metadata.get("autoreset_mode") is not AutoresetMode.SAME_STEP:
            raise TypeError(
                f"{env} must reset ended columns within the same step (AutoresetMode.SAME_STEP)."
            )
        self._television = Television(
            env.num_envs, env.single_observation_space, env.single_action_space, **options
        )
        self.single_observation_space = self._television.observation_space
        self.single_action_space = self._television.action_space
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.action_space = batch_space(self.single_action_space, env.num_envs)

    @property
    def info_keys(self) -> Mapping[str, str]:
        """Every name in ``infos``, with its meaning, where the environment inside tells its own."""
        return _info_keys(self.env)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every column; see the environment inside."""
        observation, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        count = self.num_envs
        seeds: Sequence[int | None] = (
            [None] * count
            if seed is None
            else [seed + column for column in range(count)]
            if isinstance(seed, int)
            else seed
        )
        for column, own in enumerate(seeds):
            self._television.seed(column, own)
        self._television.reset(np.arange(count))
        nothing = np.zeros(count, dtype=np.int64)
        infos = {**infos, "tv": nothing, "tv_redrawn": nothing.copy()}
        return self._television.observe(observation), infos

    def step(  # type: ignore[override]
        self, actions: Any
    ) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every column, then the noise."""
        actions = check_actions(actions, self.single_action_space, self.num_envs)
        inner, asked = self._television.split(actions)
        observation, reward, terminated, truncated, infos = self.env.step(inner)
        self._television.step(asked)
        infos = {**infos, **self._television.info(asked)}
        done = terminated | truncated
        if done.any():
            infos["final_obs"] = self._television.observe(infos["final_obs"])
            self._television.reset(np.flatnonzero(done))
        return self._television.observe(observation), reward, terminated, truncated, infos

    def snapshot(self) -> dict[str, Any]:
        """Return the state of the environment inside and of the noise."""
        return {"env": self.env.snapshot(), "tv": self._television.snapshot()}  # type: ignore[attr-defined]

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken."""
        self.env.restore(tree["env"])  # type: ignore[attr-defined]
        self._television.restore(tree["tv"])


def make(
    *,
    inner: str = "SerpentineMaze-v0",
    kind: str = "iid",
    place: str = "channels",
    key: str | None = None,
    size: int = 16,
    rows: int = 5,
    columns: int = 5,
    low: int | None = None,
    high: int | None = None,
    scale: float = 1.0,
    probability: float = 1.0,
    trigger: int | None = None,
    idle: int | None = None,
    **options: Any,
) -> gymnasium.Env:
    """Make an environment by name with a noisy television around it.

    Args:
        inner: name of the environment inside; it keeps its own time limit.
        kind: see `Television`, as for all others.
        place: where the noise goes.
        key: entry of a dict observation.
        size: numbers or letters.
        rows: height of a block of cells.
        columns: width of a block of cells.
        low: lowest value of a cell.
        high: highest value of a cell.
        scale: of channels.
        probability: of a redraw.
        trigger: action that asks for a picture.
        idle: action while an added one asks.
        **options: of the environment inside.

    Raises:
        envs.errors.EnvironmentNameError: no environment is called ``inner``.
        envs.errors.MissingSimulatorError: its simulator is not installed.
        TypeError: see `Television`, as for all others.
    """
    return NoisyTV(
        envs.make(inner, **options), kind=kind, place=place, key=key, size=size, rows=rows,
        columns=columns, low=low, high=high, scale=scale, probability=probability,
        trigger=trigger, idle=idle,
    )  # fmt: skip


def make_vec(
    num_envs: int, *, inner: str = "SerpentineMaze-v0", render_mode: str | None = None,
    max_episode_steps: int | None = None, **options: Any,
) -> VectorEnv:  # fmt: skip
    """Make the vectorised form of `make`, for environments that have one themselves.

    Args:
        num_envs: columns, B.
        inner: name of the environment inside.
        render_mode: of the environment inside.
        max_episode_steps: a time limit; that of the environment inside goes on to hold as well.
        **options: of the television, and of the environment inside.

    Raises:
        envs.errors.VectorizationError: the environment inside has no vectorised form.
    """
    noise = {name: options.pop(name) for name in _TELEVISION_OPTIONS if name in options}
    limits = (max_episode_steps, gymnasium.spec(inner).max_episode_steps)
    options["max_episode_steps"] = min((limit for limit in limits if limit), default=None)
    return NoisyTVVector(
        envs.make_vec(inner, num_envs, render_mode=render_mode, **options), **noise
    )


_TELEVISION_OPTIONS = (
    "kind", "place", "key", "size", "rows", "columns", "low", "high", "scale", "probability",
    "trigger", "idle",
)  # fmt: skip


def _batch(observation: Any) -> Any:
    """Return one observation as a batch of one; values that are no arrays are left alone."""
    if isinstance(observation, Mapping):
        return {name: _batch(values) for name, values in observation.items()}
    return np.asarray(observation)[None]


def _info_keys(env: Any) -> Mapping[str, str]:
    inner = getattr(env, "info_keys", None) or getattr(env.unwrapped, "info_keys", {})
    return {**inner, **_INFO_KEYS}
