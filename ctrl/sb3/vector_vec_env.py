"""Natively vectorised environments as vector environments of Stable-Baselines3."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, final

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

import envs
from envs.errors import VectorizationError

_FINAL = frozenset({"final_obs", "_final_obs", "final_info", "_final_info"})


@final
class VectorVecEnv(VecEnv):
    """A ``gymnasium.vector.VectorEnv`` under SB3's interface, with exact ends of episodes.

    Ended columns get ``info["episode"]`` as from SB3's ``Monitor`` (task return ``r``, length
    ``l``, wall time ``t``), ``info["terminal_observation"]`` (the true one) and all quantities of
    the step. The infos of running columns are empty: building a dict per column and step costs
    more than stepping a small world. `info_columns` has the quantities of every column.

    Args:
        env: resets ended columns within the step (``AutoresetMode.SAME_STEP``) and gives
            ``infos["final_obs"]``.

    Attributes:
        env: the environments.
        terminated: bool ``[B]``, of the last step.
        truncated: bool ``[B]``, of the last step: cut off and not terminated.
        next_observation: true successors of the last step; None before the first.

    Raises:
        VectorizationError: the environments lose the final observation of an episode, because
            they reset one step late or leave resetting to the caller.
    """

    def __init__(self, env: VectorEnv) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise VectorizationError(
                f"{type(env).__name__} resets ended columns with {mode}, expected "
                "AutoresetMode.SAME_STEP: otherwise every episode has a step that never happened. "
                "Many of gymnasium's vector environments take autoreset_mode as an argument."
            )
        self.env = env
        self.render_mode = env.render_mode
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.terminated = np.zeros(self.num_envs, dtype=bool)
        self.truncated = np.zeros(self.num_envs, dtype=bool)
        self.next_observation: VecEnvObs | None = None
        self._columns: dict[str, np.ndarray] = {}
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._began = time.time()

    def reset(self) -> VecEnvObs:
        """Begin an episode in every column, with the seeds of `seed` where there are some."""
        seeds: Any = None if all(seed is None for seed in self._seeds) else list(self._seeds)
        observation, _ = self.env.reset(seed=seeds)
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:] = 0.0, 0
        self._columns = {}
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step every column once."""
        observation, reward, terminated, truncated, infos = self.env.step(self._actions)
        self.terminated, self.truncated = terminated, truncated & ~terminated
        done = terminated | truncated
        final = _stacked(infos.get("final_obs"), done)
        self._columns = _of_the_step(infos, done)
        self._returns += reward
        self._lengths += 1
        rows: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        self.next_observation = observation if final is None else _where(done, final, observation)
        if final is not None:
            for column in np.flatnonzero(done).tolist():
                rows[column] = self._finished(column, final)
        return observation, np.asarray(reward, dtype=np.float32), done, rows

    def _finished(self, column: int, final: Any) -> dict[str, Any]:
        info = {name: _plain(values[column]) for name, values in self._columns.items()}
        info["terminal_observation"] = _pick(final, column)
        info["TimeLimit.truncated"] = bool(self.truncated[column])
        info["episode"] = {
            "r": round(float(self._returns[column]), 6),
            "l": int(self._lengths[column]),
            "t": round(time.time() - self._began, 6),
        }
        self._returns[column], self._lengths[column] = 0.0, 0
        return info

    def info_columns(self, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Return the simulator's quantities of the last step by name, each ``[B, ...]``."""
        return self._columns

    def snapshot(self) -> dict[str, Any]:
        """Return the state of all columns, the running episodes and the seeds set for a reset.

        Raises:
            envs.SnapshotError: the environments cannot be saved exactly.
        """
        inner: Any = self.env
        if not hasattr(inner, "snapshot"):
            raise envs.SnapshotError(f"{type(self.env).__name__} cannot be saved exactly.")
        return {
            "columns": inner.snapshot(),
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "elapsed_seconds": time.time() - self._began,
            "seeds": list(self._seeds),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken, without a reset, bit for bit.

        Raises:
            envs.SnapshotError: the environments differ from the saved ones.
        """
        inner: Any = self.env
        inner.restore(tree["columns"])
        self._returns = np.array(tree["returns"])
        self._lengths = np.array(tree["lengths"])
        self._began = time.time() - tree["elapsed_seconds"]
        self._seeds = list(tree["seeds"])
        self._columns, self.next_observation = {}, None
        self.terminated = np.zeros(self.num_envs, dtype=bool)
        self.truncated = np.zeros(self.num_envs, dtype=bool)

    def close(self) -> None:
        """Close the environments."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the environments, once per column asked for."""
        return [getattr(self.env.unwrapped, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the environments, which all columns share.

        Raises:
            VectorizationError: for some of the columns only.
        """
        self._require_all(indices)
        setattr(self.env.unwrapped, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the environments once; its result is given for every column.

        Raises:
            VectorizationError: for some of the columns only.
        """
        self._require_all(indices)
        result = getattr(self.env.unwrapped, method_name)(*method_args, **method_kwargs)
        return [result] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Return whether the columns are inside a wrapper: SB3's ``Monitor`` counts as one here."""
        from stable_baselines3.common.monitor import Monitor

        found = issubclass(wrapper_class, Monitor)
        return [found] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return the picture of column 0; other columns have none."""
        picture: Any = self.env.render()
        return [picture, *[None] * (self.num_envs - 1)]

    def _require_all(self, indices: Any) -> None:
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise VectorizationError(
                "The columns of a natively vectorised environment share their attributes; leave "
                "out indices."
            )


def _of_the_step(infos: Mapping[str, Any], done: np.ndarray) -> dict[str, np.ndarray]:
    """Return the quantities of the step by name, ``[B, ...]``.

    Gymnasium's own vectors put those of an ended column into ``final_info``, and those of the next
    episode's first state beside it.
    """
    columns = {
        name: values
        for name, values in infos.items()
        if name not in _FINAL and not (name[:1] == "_" and name[1:] in infos)
    }
    for name, values in infos.get("final_info", {}).items():
        if isinstance(values, np.ndarray) and values.dtype != object and name[:1] != "_":
            columns[name] = _where(done, values, columns[name]) if name in columns else values
    return columns


def _stacked(final: Any, done: np.ndarray) -> Any:
    """Return final observations as arrays ``[B, ...]``; Gymnasium's own are one object a column."""
    if not (isinstance(final, np.ndarray) and final.dtype == object):
        return final
    rows = {column: final[column] for column in np.flatnonzero(done).tolist()}
    first = next(iter(rows.values()))
    if isinstance(first, Mapping):
        return {
            name: _spread({column: row[name] for column, row in rows.items()}, len(done))
            for name in first
        }
    return _spread(rows, len(done))


def _spread(rows: Mapping[int, Any], columns: int) -> np.ndarray:
    first = np.asarray(next(iter(rows.values())))
    array = np.zeros((columns, *first.shape), dtype=first.dtype)
    for column, row in rows.items():
        array[column] = row
    return array


def _where(done: np.ndarray, final: Any, observation: Any) -> Any:
    """Return ``final`` in the columns that ended and ``observation`` elsewhere, in new arrays."""
    if isinstance(observation, Mapping):
        return {name: _where(done, final[name], rows) for name, rows in observation.items()}
    successors = np.array(observation)
    successors[done] = final[done]
    return successors


def _pick(arrays: Any, column: int) -> Any:
    if isinstance(arrays, Mapping):
        return {name: _pick(values, column) for name, values in arrays.items()}
    return np.array(arrays[column])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else np.array(value)
