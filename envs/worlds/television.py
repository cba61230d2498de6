"""A noisy television: which part of an observation it changes and which action switches it on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.simulation import ColumnRandom
from envs.worlds.options import choice
from envs.worlds.screens import IntegerScreen, RealScreen, Screen

PLACES = ("channels", "cells", "message")
_SEED_KEY = 0x7E1E  # keeps the noise apart from a world that is seeded with the same number


@final
class Television:
    """Where the noise goes and how it is switched on, for B columns of an environment.

    Args:
        num_envs: columns, B.
        observation_space: of one column, without the noise.
        action_space: of one column, without the television.
        kind: ``iid``, ``brownian`` or ``on_demand``; see `envs.worlds.screens.Screen`.
        place: ``channels``: ``size`` numbers appended to an observation vector; ``cells``: a block
            of ``rows x columns`` whole numbers written over the upper right corner of a picture or
            a map, such as NetHack's glyphs; ``message``: ``size`` letters and a full stop written
            over a line of characters, such as NetHack's message (the rest of it becomes 0). While
            an on-demand television is blank, channels are 0 and cells and messages are the
            environment's own.
        key: of the entry to change, where observations are a dict; None elsewhere.
        size: numbers or letters.
        rows: height of the block of cells.
        columns: width of the block of cells.
        low: lowest value of a cell; the lowest of its space by default.
        high: highest value of a cell; the highest of its space by default.
        scale: standard deviation of the channels.
        probability: of a redraw per step with ``iid``.
        trigger: with ``on_demand`` and discrete actions, the action that asks for a new picture;
            None adds one action for it, after which the environment inside gets ``idle``. With
            continuous actions one more number is added to the action, and a positive one asks.
        idle: action of the environment inside while the added action is chosen.

    Attributes:
        observation_space: with the noise.
        action_space: with the television.
        screen: the noise.

    Raises:
        TypeError: the observations or actions have no place for it; the message says why.
        ValueError: an unknown kind, place or key, or sizes that do not fit.
    """

    def __init__(
        self,
        num_envs: int,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        *,
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
    ) -> None:
        self._place, self._key = choice("place", place, PLACES), key
        self._num_envs, self._random = num_envs, ColumnRandom(num_envs)
        target = _entry(observation_space, key)
        dtype: Any = target.dtype
        self.screen: Screen
        if place == "channels":
            _require(target, place, 1, "f")
            if size < 1:
                raise ValueError(f"Expected at least 1 channel, got {size}.")
            real = RealScreen(
                num_envs, size, dtype, kind=kind, probability=probability, scale=scale
            )
            noise = np.full(size, real.bound, dtype=dtype)
            changed = spaces.Box(
                np.concatenate([target.low, -noise]), np.concatenate([target.high, noise]),
                dtype=dtype,
            )  # fmt: skip
            self.screen = real
        else:
            shape: tuple[int, ...] = target.shape[:0]
            if place == "cells":
                _require(target, place, 2, "iu")
                shape = (rows, columns, *target.shape[2:])
                fits = 0 < rows <= target.shape[0] and 0 < columns <= target.shape[1]
                values = (
                    int(target.low.min()) if low is None else low,
                    int(target.high.max()) if high is None else high,
                )
            else:
                _require(target, place, 1, "iu")
                shape, values = (size,), (ord("a"), ord("z"))
                fits = 0 < size < target.shape[0]
            if not fits:
                raise ValueError(f"Noise of shape {shape} does not fit into {target.shape}.")
            self.screen = IntegerScreen(
                num_envs, shape, dtype, kind=kind, probability=probability,
                low=values[0], high=values[1],
            )  # fmt: skip
            changed = spaces.Box(
                np.minimum(target.low, values[0]).astype(dtype),
                np.maximum(target.high, values[1]).astype(dtype),
                dtype=dtype,
            )
        self.observation_space = _replaced(observation_space, key, changed)
        self._set_actions(action_space, trigger, idle)

    def _set_actions(
        self, space: gymnasium.Space[Any], trigger: int | None, idle: int | None
    ) -> None:
        self._trigger, self._idle = trigger, idle
        self.action_space = space
        if self.screen.kind != "on_demand":
            if trigger is not None or idle is not None:
                raise ValueError("trigger and idle are for kind='on_demand'.")
            return
        if isinstance(space, spaces.Box) and len(space.shape) == 1:
            if trigger is not None or idle is not None:
                raise ValueError(
                    "trigger and idle are for discrete actions; continuous ones get one more "
                    "number, which asks for a new picture when it is positive."
                )
            self.action_space = spaces.Box(
                np.append(space.low, -1.0).astype(space.dtype),
                np.append(space.high, 1.0).astype(space.dtype),
                dtype=space.dtype,  # type: ignore[arg-type]
            )
            return
        if not isinstance(space, spaces.Discrete):
            raise TypeError(f"An on-demand television needs Discrete or flat Box actions: {space}.")
        valid = range(int(space.start), int(space.start + space.n))
        needed = "idle" if trigger is None else "trigger"
        value = idle if trigger is None else trigger
        if value not in valid or (trigger is not None and idle is not None):
            raise ValueError(
                f"An on-demand television needs either trigger (the action that switches it on) or "
                f"idle (the action of the environment while an added one does), from {valid}; got "
                f"{needed}={value}."
            )
        if trigger is None:
            self.action_space = spaces.Discrete(int(space.n) + 1, start=int(space.start))

    def split(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the actions for the environment inside, and who asks for a picture (``[B]``)."""
        if self.screen.kind != "on_demand":
            return actions, np.zeros(self._num_envs, dtype=np.bool_)
        if isinstance(self.action_space, spaces.Box):
            return actions[..., :-1], actions[..., -1] > 0
        if self._trigger is not None:
            return actions, actions == self._trigger
        last = self.action_space.start + self.action_space.n - 1  # type: ignore[attr-defined]
        asked = actions == last
        inner = actions.copy()
        inner[asked] = self._idle
        return inner, asked

    def seed(self, column: int, seed: int | None) -> None:
        """Start the noise of a column anew; None draws a seed the first time and then goes on."""
        if seed is None and self._random.is_seeded(column):
            return
        entropy = None if seed is None else [seed, _SEED_KEY]
        sequence = np.random.SeedSequence(entropy)
        self._random.seed(column, int(sequence.generate_state(1, np.uint64)[0]))

    def reset(self, columns: np.ndarray) -> None:
        """Begin an episode in some columns."""
        self.screen.reset(columns, self._random)

    def step(self, asked: np.ndarray) -> None:
        """Go on by a step."""
        self.screen.step(asked, self._random)

    def observe(self, observation: Any) -> Any:
        """Return observations ``[B, ...]`` with the noise in them, in new arrays."""
        if self._key is not None:
            changed = self._write(observation[self._key])
            return {**observation, self._key: changed}
        return self._write(observation)

    def _write(self, values: np.ndarray) -> np.ndarray:
        screen = self.screen
        shown = screen.shown.reshape(-1, *(1,) * len(screen.shape))
        if self._place == "channels":
            return np.concatenate([values, np.where(shown, screen.values, 0)], axis=1)
        values = np.array(values)
        if self._place == "cells":
            rows, columns = screen.shape[:2]
            part = values[:, :rows, values.shape[2] - columns :]
            part[...] = np.where(shown, screen.values, part)
        else:
            line = np.zeros_like(values)
            line[:, : screen.shape[0]] = screen.values
            line[:, screen.shape[0]] = ord(".")
            values = np.where(shown, line, values)
        return values

    def info(self, asked: np.ndarray) -> dict[str, np.ndarray]:
        """Return the events of a step, int64 ``[B]`` each."""
        return {
            "tv": asked.astype(np.int64),
            "tv_redrawn": self.screen.redrawn.astype(np.int64),
        }

    def snapshot(self) -> dict[str, Any]:
        """Return the noise and its random numbers."""
        return {"screen": self.screen.state(), "random": self._random.snapshot()}

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue from a snapshot."""
        self.screen.set_state(tree["screen"])
        self._random.restore(tree["random"])


def _entry(space: gymnasium.Space[Any], key: str | None) -> spaces.Box:
    """Return the space that the noise changes."""
    if key is not None:
        if not isinstance(space, spaces.Dict):
            raise TypeError(f"key={key!r} is for observations that are a dict, not for {space}.")
        space = space.spaces[choice("key", key, space.spaces)]
    elif isinstance(space, spaces.Dict):
        raise ValueError(f"Say which entry of the observation with key=..., from {list(space)}.")
    if not isinstance(space, spaces.Box):
        raise TypeError(f"The noise needs observations that are arrays (Box), not {space}.")
    return space


def _require(space: spaces.Box, place: str, axes: int, kinds: str) -> None:
    """Raise where the arrays of a space are not of the kind that a place needs."""
    enough = len(space.shape) >= axes if place == "cells" else len(space.shape) == axes
    if not enough or np.dtype(space.dtype).kind not in kinds:
        wanted = "numbers of floating point" if kinds == "f" else "whole numbers"
        raise TypeError(f"place={place!r} needs {wanted} with {axes} axes, not {space}.")


def _replaced(space: gymnasium.Space[Any], key: str | None, entry: spaces.Box) -> Any:
    """Return a space with one entry replaced."""
    if not isinstance(space, spaces.Dict):
        return entry
    return spaces.Dict({name: entry if name == key else own for name, own in space.items()})
