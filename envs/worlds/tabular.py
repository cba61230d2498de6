"""Many copies of a finite world stepped by its own tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.simulation import Arrays, BatchedSimulation, ColumnRandom, Outcome
from envs.worlds.mdp import FiniteMDP
from envs.worlds.options import choice

_PIXELS_PER_CELL, _FREE = 16, 235
_AGENT = np.array([40, 90, 200], dtype=np.uint8)


@final
class TabularSimulation(BatchedSimulation):
    """B independent copies of a finite Markov decision process.

    The tables that step it are the ones that `tables` returns: exact solutions and what an agent
    experiences come from the same numbers. A world in which every step has one outcome draws no
    random numbers.

    Args:
        num_envs: columns, B.
        mdp: the world.
        observations: the ways in which it can be seen, by name: an int64 table ``[S]`` (seen as
            ``Discrete``) or a float table ``[S, D]`` (seen as ``Box``), looked up by state.
        observation: which of them to use.
        state_info: quantities of the state arrived at, by name: tables ``[S, ...]``.
        transition_info: quantities of a step, by name: tables that broadcast to ``[S, A, S]``.
            Zero in the info of a reset.
        info_keys: one line for each name in the two mappings.
        cells: int64 ``[S, 2]``: row and column of a state in the picture; by default one row.
        picture: uint8 ``[H, W, 3]``: colour of every cell; light grey by default.

    Attributes:
        mdp: the world's tables.
        state_info: see above.
        transition_info: see above, broadcast to ``[S, A, S]``; read-only views.

    Raises:
        ValueError: an unknown ``observation``.
    """

    def __init__(
        self,
        num_envs: int,
        mdp: FiniteMDP,
        *,
        observations: Mapping[str, np.ndarray],
        observation: str,
        state_info: Mapping[str, np.ndarray],
        info_keys: Mapping[str, str],
        transition_info: Mapping[str, np.ndarray] | None = None,
        cells: np.ndarray | None = None,
        picture: np.ndarray | None = None,
    ) -> None:
        self.num_envs = num_envs
        self.mdp = mdp
        states, actions = mdp.num_states, mdp.num_actions
        self.action_space = spaces.Discrete(actions)
        self._observed = np.array(observations[choice("observation", observation, observations)])
        self.observation_space = _space(self._observed)
        self.state_info = {"state_index": np.arange(states), **state_info}
        self.transition_info = {
            name: np.broadcast_to(table, mdp.transition.shape)
            for name, table in (transition_info or {}).items()
        }
        self.info_keys = {
            "state_index": "number of the state in the tables, int64 []",
            **info_keys,
        }
        self._cells = np.argwhere(np.ones((1, states))) if cells is None else cells
        shape = (*(self._cells.max(axis=0) + 1).tolist(), 3)
        self._picture = np.full(shape, _FREE, dtype=np.uint8) if picture is None else picture
        self._compile()
        self._state = np.zeros(num_envs, dtype=np.int64)

    def _compile(self) -> None:
        """Turn the dense tables into lists of the outcomes that can happen, ``[S * A, K]``."""
        rows = self.mdp.transition.reshape(-1, self.mdp.num_states)
        count = int((rows > 0).sum(axis=1).max())
        # A stable sort puts the possible states first, in their own order.
        following = np.argsort(rows == 0, axis=1, kind="stable")[:, :count]
        bounds = np.take_along_axis(rows, following, axis=1).cumsum(axis=1)
        # The last possible outcome takes what rounding left of 1; impossible ones are never chosen.
        last = (rows > 0).sum(axis=1, keepdims=True) - 1
        bounds[np.arange(count) >= last] = 2.0
        self._count = count
        self._bounds = bounds
        self._following = following.reshape(-1)
        self._reward = self._outcomes(self.mdp.reward, following)
        self._transition_info = {
            name: self._outcomes(table, following) for name, table in self.transition_info.items()
        }
        starts = np.flatnonzero(self.mdp.start)
        self._only_start = int(starts[0]) if starts.size == 1 else None
        self._start_bounds = self.mdp.start.cumsum()
        self._start_bounds[starts[-1] :] = 2.0

    def _outcomes(self, table: np.ndarray, following: np.ndarray) -> np.ndarray:
        rows = table.reshape(-1, self.mdp.num_states)
        return np.take_along_axis(rows, following, axis=1).reshape(-1)

    def reset(self, columns: np.ndarray, random: ColumnRandom) -> None:
        """Draw a first state from the start distribution."""
        if self._only_start is not None:
            self._state[columns] = self._only_start
            return
        drawn = [random.generator(column).random() for column in columns.tolist()]
        self._state[columns] = np.searchsorted(self._start_bounds, drawn, side="right")

    def observe(self) -> Arrays:
        """Return the chosen observation of the states, ``[B]`` or ``[B, D]``."""
        return self._observed[self._state]

    def step(self, actions: np.ndarray, random: ColumnRandom) -> Outcome:
        """Move every column along its table."""
        row = self._state * self.mdp.num_actions + actions
        place = row * self._count
        if self._count > 1:
            place += (random.uniform() >= self._bounds[row]).sum(axis=1)
        self._state = self._following[place]
        info = {name: table[self._state] for name, table in self.state_info.items()}
        for name, values in self._transition_info.items():
            info[name] = values[place]
        return Outcome(self._reward[place], self.mdp.terminal[self._state], info)

    def reset_info(self) -> dict[str, np.ndarray]:
        """Return the quantities of the present states; those of a step are zero."""
        info = {name: table[self._state] for name, table in self.state_info.items()}
        for name, values in self._transition_info.items():
            info[name] = np.zeros(self.num_envs, dtype=values.dtype)
        return info

    def state(self) -> dict[str, np.ndarray]:
        """Return the states, int64 ``[B]``."""
        return {"state": self._state.copy()}

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over states."""
        self._state = np.array(state["state"], dtype=np.int64)

    def render(self) -> np.ndarray:
        """Return the cells, 16 pixels each, and the agent of column 0 in blue."""
        image = self._picture.repeat(_PIXELS_PER_CELL, axis=0).repeat(_PIXELS_PER_CELL, axis=1)
        row, column = self._cells[self._state[0]] * _PIXELS_PER_CELL
        image[row + 3 : row + 13, column + 3 : column + 13] = _AGENT
        return image


def tables(env: Any) -> FiniteMDP:
    """Return the tables of a tabular world.

    Args:
        env: an environment as `envs.make` or `envs.make_vec` returns it, or a simulation.

    Raises:
        TypeError: the world has no tables.
    """
    inner = getattr(env, "unwrapped", env)
    simulation = getattr(inner, "simulation", inner)
    if not isinstance(simulation, TabularSimulation):
        raise TypeError(f"{env} has no transition tables; only the tabular worlds have.")
    return simulation.mdp


def one_hot(index: np.ndarray) -> np.ndarray:
    """Return the observation with a 1 at the place of ``index``, float32 ``[S, max + 1]``."""
    return np.eye(int(index.max()) + 1, dtype=np.float32)[index]


def scaled(coordinates: np.ndarray) -> np.ndarray:
    """Return coordinates ``[S, D]`` scaled to [-1, 1] each, float32; 0 where all are equal."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    width = np.where(high > low, high - low, 1)
    return np.where(high > low, 2 * (coordinates - low) / width - 1, 0).astype(np.float32)


def _space(table: np.ndarray) -> gymnasium.Space[Any]:
    if table.ndim == 1:
        return spaces.Discrete(int(table.max()) + 1)
    bounded = np.abs(table).max() <= 1
    low, high = (table.min() if bounded and table.min() >= 0 else -1.0, 1.0)
    if not bounded:
        low, high = -np.inf, np.inf
    return spaces.Box(float(low), float(high), table.shape[1:], np.float32)
