"""A vector-environment wrapper that keeps the raw record of what happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout

Arrays = Any
"""One array, or a dict of arrays where observations are dicts."""

_PER_STEP = ("action", "reward", "done", "truncated", "success")
# What vector environments put into infos for the learner; never a quantity of the simulator.
_SUCCESS = ("is_success", "success")
_BOOKKEEPING = {"terminal_observation", "TimeLimit.truncated", "episode", *_SUCCESS}


class Recorder(VecEnvWrapper):
    """Record raw observations, executed actions, task rewards and both end flags.

    It stands directly below a ``VecNormalize`` (or outermost without one), so that normalisation
    never reaches the record. It changes one thing only, on request: with ``open_bootstrap`` the
    reward handed up at a time limit is 0. SB3's on-policy collection then adds
    ``gamma * V(final observation)`` to exactly 0, and the buffer receives that bootstrap apart
    from the reward, which stays in the record.

    Args:
        venv: the environments.
        requires: record keys beyond the core ones that must be recorded: ``success``, ``state``
            or single quantities ``state.<name>``, taken from ``info["state"][name]`` or
            ``info[name]`` of every step.
        open_bootstrap: see above; on-policy learners need it.

    Raises:
        UserError: the environments lose the final observation of an episode, or do not say
            whether it was truncated; both would silently give wrong rewards and values.
        UnknownNameError: a required quantity is not in ``info``.
    """

    def __init__(
        self,
        venv: VecEnv,
        *,
        requires: frozenset[str] = frozenset(),
        open_bootstrap: bool = False,
    ) -> None:
        super().__init__(venv)
        self.open_bootstrap = open_bootstrap
        self.steps = 0
        self._record_success = "success" in requires
        self._all_state = "state" in requires
        self._quantities = tuple(
            sorted(key.removeprefix("state.") for key in requires if key.startswith("state."))
        )
        self._fast_infos = _has(venv, "info_columns")
        self._is_dict = isinstance(venv.observation_space, spaces.Dict)
        self._last: Arrays = None
        self._in_episode = np.zeros(venv.num_envs, dtype=bool)
        self._started_in_episode = self._in_episode
        self.length = 0
        self._capacity = 0

    # -- vector environment -----------------------------------------------------------------

    def reset(self) -> VecEnvObs:
        """Reset the environments; what was recorded so far is dropped."""
        observation = self.venv.reset()
        self._last = _copied(observation)
        self._in_episode[:] = False
        if self._capacity:
            self.begin(self._capacity)
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the executed actions and step."""
        self._actions = np.array(actions)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Record the step; see the class for the one change that may be made."""
        observation, rewards, dones, infos = self.venv.step_wait()
        truncated, finals = self._ends(dones, infos)
        if self.length == self._capacity:
            self._grow()
        t = self.length
        self._put("observation", t + 1, observation)
        self._action[t] = self._actions
        self._reward[t] = rewards
        self._done[t] = dones
        self._truncated[t] = truncated
        for column, final in finals.items():
            self._finals[t, column] = final
        self._record_infos(t, infos)
        self.length = t + 1
        self.steps += self.num_envs
        self._last = observation
        self._in_episode = ~dones
        if self.open_bootstrap and finals and truncated.any():
            rewards = np.where(truncated, np.float32(0), rewards)
        return observation, rewards, dones, infos

    def _ends(
        self, dones: np.ndarray, infos: list[dict[str, Any]]
    ) -> tuple[np.ndarray, dict[int, Any]]:
        """Return where the episode was truncated, and the final observations by column."""
        truncated = np.zeros(self.num_envs, dtype=bool)
        finals: dict[int, Any] = {}
        for column in np.flatnonzero(dones):
            info = infos[column]
            if info.get("terminal_observation") is None:
                raise UserError(
                    "The vector environment gives no info['terminal_observation'] at the end of "
                    "an episode, so the true successor is lost. Use ctrl's or SB3's vector "
                    "environments, or an adapter that keeps the final observation."
                )
            if "TimeLimit.truncated" not in info:
                raise UserError(
                    "The vector environment does not say in info['TimeLimit.truncated'] whether "
                    "an episode was truncated, so every time limit would count as failure. Use "
                    "ctrl's or SB3's vector environments, or an adapter that sets it."
                )
            truncated[column] = bool(info["TimeLimit.truncated"])
            finals[int(column)] = info["terminal_observation"]
        return truncated, finals

    # -- recording --------------------------------------------------------------------------

    def begin(self, capacity: int) -> None:
        """Start a new record of up to ``capacity`` steps (it grows when more are taken)."""
        self._capacity, self.length = capacity, 0
        # New arrays every time: reward models may keep references to an earlier rollout.
        self._observation = self._allocate(self.venv.observation_space, capacity + 1)
        if self._last is not None:
            self._put("observation", 0, self._last)
        size, space = (capacity, self.num_envs), self.venv.action_space
        self._action = np.empty((*size, *(space.shape or ())), dtype=space.dtype)
        self._reward = np.empty(size, dtype=np.float32)
        self._done = np.zeros(size, dtype=bool)
        self._truncated = np.zeros(size, dtype=bool)
        self._success = np.zeros(size, dtype=bool)
        self._state: dict[str, np.ndarray] = {}
        self._finals: dict[tuple[int, int], Any] = {}
        self._started_in_episode = self._in_episode.copy()

    def rollout(self, **learner: Any) -> Rollout:
        """Return the steps recorded since ``begin`` as a rollout ``[T, B]``.

        Args:
            **learner: quantities of the policy, ``[T, B]``, for example ``value``.
        """
        steps = self.length
        done, truncated = self._done[:steps], self._truncated[:steps]
        return Rollout(
            observation=_rows(self._observation, slice(0, steps)),
            action=self._action[:steps],
            next_observation=self._successors(steps),
            reward=self._reward[:steps],
            terminated=done & ~truncated,
            truncated=truncated,
            continued=self._started_in_episode,
            success=self._success[:steps] if self._record_success else None,
            state={name: rows[:steps] for name, rows in self._state.items()} or None,
            **learner,
        )

    def last_state(self) -> dict[str, np.ndarray]:
        """Return the required quantities of the latest step, ``[B, ...]`` by dotted key."""
        row = self.length - 1
        found = {f"state.{name}": rows[row] for name, rows in self._state.items()}
        if self._record_success:
            found["success"] = self._success[row]
        return found

    def last_finals(self) -> dict[int, Any]:
        """Return the raw final observations of the latest step, by column."""
        row = self.length - 1
        return {column: final for (t, column), final in self._finals.items() if t == row}

    def _successors(self, steps: int) -> Arrays:
        rows = _rows(self._observation, slice(1, steps + 1))
        if not self._finals:
            return rows
        rows = _copied(rows)
        for (t, column), final in self._finals.items():
            if self._is_dict:
                for key, value in rows.items():
                    value[t, column] = final[key]
            else:
                rows[t, column] = final
        return rows

    def _record_infos(self, t: int, infos: list[dict[str, Any]]) -> None:
        if not (self._record_success or self._all_state or self._quantities):
            return
        venv: Any = self.venv
        wanted = None if self._all_state else (*_SUCCESS, *self._quantities)
        columns = venv.info_columns(wanted) if self._fast_infos else {}
        if self._record_success:
            flags = columns.get("is_success", columns.get("success"))
            self._success[t] = (
                [bool(i.get("is_success", i.get("success", False))) for i in infos]
                if flags is None
                else flags
            )
        names = self._quantities
        if self._all_state:
            names = tuple(sorted({*names, *_numeric(infos[0]), *_numeric(columns)}))
        if not names:
            return
        for name in names:
            values = columns.get(name)
            if values is None:
                values = np.array([_quantity(info, name, venv) for info in infos])
            if name not in self._state:
                self._state[name] = np.zeros((self._capacity, *values.shape), dtype=values.dtype)
            self._state[name][t] = values

    # -- arrays -----------------------------------------------------------------------------

    def _allocate(self, space: spaces.Space, rows: int) -> Arrays:
        if isinstance(space, spaces.Dict):
            return {key: self._allocate(part, rows) for key, part in space.spaces.items()}
        return np.empty((rows, self.num_envs, *(space.shape or ())), dtype=space.dtype)

    def _put(self, name: str, row: int, value: Arrays) -> None:
        target = getattr(self, f"_{name}")
        if self._is_dict:
            for key, rows in target.items():
                rows[row] = value[key]
        else:
            target[row] = value

    def _grow(self) -> None:
        """Double the room; reached when more steps are taken than were announced."""
        if not self._capacity:
            self.begin(64)
            return
        extra = self._capacity
        self._observation = _padded(self._observation, extra)
        for name in ("_action", "_reward", "_done", "_truncated", "_success"):
            setattr(self, name, _padded(getattr(self, name), extra))
        self._state = {name: _padded(rows, extra) for name, rows in self._state.items()}
        self._capacity += extra

    # -- state ------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return the record so far and what it needs to continue."""
        steps = self.length
        places = list(self._finals)
        pending = {
            "capacity": self._capacity,
            "length": steps,
            "observation": _rows(self._observation, slice(0, steps + 1)),
            "state": {name: rows[:steps] for name, rows in self._state.items()},
            "started_in_episode": self._started_in_episode,
            "final_places": [list(place) for place in places],
            "finals": [_copied(self._finals[place]) for place in places],
            **{name: getattr(self, f"_{name}")[:steps] for name in _PER_STEP},
        }
        return {
            "steps": self.steps,
            "last": _copied(self._last),
            "in_episode": self._in_episode.copy(),
            "pending": pending,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue from a snapshot."""
        self.steps = int(tree["steps"])
        self._last = _copied(tree["last"])
        self._in_episode = np.array(tree["in_episode"], dtype=bool)
        pending = tree["pending"]
        self.begin(pending["capacity"])
        steps = self.length = pending["length"]
        for row in range(steps + 1):
            self._put("observation", row, _row(pending["observation"], row))
        for name in _PER_STEP:
            getattr(self, f"_{name}")[:steps] = pending[name]
        for name, rows in pending["state"].items():
            self._state[name] = np.zeros((self._capacity, *rows.shape[1:]), dtype=rows.dtype)
            self._state[name][:steps] = rows
        self._started_in_episode = np.array(pending["started_in_episode"], dtype=bool)
        self._finals = {
            (int(t), int(column)): final
            for (t, column), final in zip(pending["final_places"], pending["finals"], strict=True)
        }


def _has(venv: VecEnv, name: str) -> bool:
    return hasattr(type(venv), name) or name in vars(venv)


def _row(arrays: Arrays, row: int) -> Arrays:
    if isinstance(arrays, dict):
        return {key: value[row] for key, value in arrays.items()}
    return arrays[row]


def _rows(arrays: Arrays, rows: slice) -> Arrays:
    if isinstance(arrays, dict):
        return {key: value[rows] for key, value in arrays.items()}
    return arrays[rows]


def _copied(arrays: Arrays) -> Arrays:
    if isinstance(arrays, Mapping):
        return {key: np.array(value) for key, value in arrays.items()}
    return np.array(arrays)


def _padded(arrays: Arrays, extra: int) -> Arrays:
    if isinstance(arrays, dict):
        return {key: _padded(value, extra) for key, value in arrays.items()}
    return np.concatenate([arrays, np.zeros((extra, *arrays.shape[1:]), dtype=arrays.dtype)])


def _numeric(info: Mapping[str, Any]) -> list[str]:
    """Return the names of the simulator quantities in an info dict."""
    source = info.get("state", info)
    return [
        name
        for name, value in source.items()
        if name not in _BOOKKEEPING
        and isinstance(value, int | float | bool | np.number | np.bool_ | np.ndarray)
    ]


def _quantity(info: Mapping[str, Any], name: str, venv: Any) -> Any:
    state = info.get("state", {})
    if name in state:
        return state[name]
    if name in info:
        return info[name]
    columns = venv.info_columns() if _has(venv, "info_columns") else {}
    raise UnknownNameError(
        "simulator quantity (a reward asked for it by this name)", name,
        {*_numeric(info), *columns, *(state if isinstance(state, Mapping) else ())},
    )  # fmt: skip
