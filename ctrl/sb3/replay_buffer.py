"""Off-policy buffers that store raw transitions and recompute rewards when they are sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from ctrl.sb3.books import Books
from reward_models.errors import UserError
from reward_models.rollout import Rollout

if TYPE_CHECKING:
    _Buffer = ReplayBuffer
else:
    _Buffer = object


class PresentRewards:
    """An array ``[N, B]`` that is written with task rewards and read through the mix.

    SB3's buffers index their one-step rewards in every path (plain, dict, n-step and the real part
    of hindsight samples) before they sum or normalise anything. Standing in for that array is
    therefore enough to give all of them the rewards of the present models.

    Args:
        buffer: the buffer the indices refer to.
        raw: the task rewards, ``[N, B]``.
    """

    def __init__(self, buffer: _Rewarded, raw: np.ndarray) -> None:
        self.buffer, self.raw = buffer, raw
        self.shape, self.dtype, self.nbytes = raw.shape, raw.dtype, raw.nbytes

    def __setitem__(self, index: Any, reward: np.ndarray) -> None:
        self.raw[index] = reward

    def __getitem__(self, index: Any) -> np.ndarray:
        if self.buffer.books.mix.is_task_only:
            return self.raw[index]
        rows, columns = index
        rows, columns = np.broadcast_arrays(rows, columns)
        rollout = self.buffer.transitions(rows.ravel(), columns.ravel())
        return self.buffer.books.mix.total(rollout).cpu().numpy().reshape(rows.shape)


class _Rewarded(_Buffer):
    """Store raw transitions once; reward them with the present models at sampling time.

    Fresh transitions also go to the mix in arrival order, ``update_every`` at a time, which is
    when its models and scales learn.

    Args:
        books: rewards and books; every other argument is SB3's.
        update_every: transitions (over all columns) between two updates of the mix.
    """

    def __init__(self, *args: Any, books: Books, update_every: int = 256, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.books = books
        self._chunk = max(1, update_every // self.n_envs)
        self.rewards = PresentRewards(self, self.rewards)  # type: ignore[assignment]
        self.quantities: dict[str, np.ndarray] = {}
        # SB3 reconstructs the final observation of an episode from its normalised form, which
        # clips. The raw ones are kept for the reward models, by (row, column).
        self.keep_finals = False
        self.finals: dict[tuple[int, int], Any] = {}
        books.recorder.begin(self._chunk)

    def add(self, *step: Any) -> None:
        """Store one step of all columns, and let the mix learn when a chunk is complete."""
        row, recorder = self.pos, self.books.recorder
        for key, values in recorder.last_state().items():
            if key not in self.quantities:
                shape = (self.buffer_size, *values.shape)
                self.quantities[key] = np.zeros(shape, dtype=values.dtype)
            self.quantities[key][row] = values
        if self.keep_finals:
            finals = recorder.last_finals()
            for column in range(self.n_envs):
                self.finals.pop((row, column), None)
                if column in finals:
                    self.finals[row, column] = finals[column]
        super().add(*step)
        if recorder.length >= self._chunk:
            self.flush()

    def flush(self) -> None:
        """Let the mix learn from the steps that wait for a full chunk, and book them."""
        if self.books.recorder.length:
            self.books.collect()
            self.books.recorder.begin(self._chunk)

    def to_torch(self, array: np.ndarray, copy: bool = True) -> torch.Tensor:
        """Convert without SB3's copy: samples are gathered by index, so already copies."""
        return super().to_torch(array, copy=False)

    def transitions(self, rows: np.ndarray, columns: np.ndarray, **replaced: Any) -> Rollout:
        """Return stored transitions as a rollout ``[1, N]``, raw.

        Args:
            rows: positions in the buffer, ``[N]``.
            columns: environment indices, ``[N]``.
            **replaced: entries given instead of the stored ones, ``[1, N, ...]``.
        """
        timeouts = self.timeouts[rows, columns].astype(bool)
        done = self.dones[rows, columns].astype(bool)
        entries = {
            "observation": _gather(self.observations, rows, columns),
            "next_observation": self._successors(rows, columns),
            "action": self._executed(self.actions[rows, columns])[None],
            "reward": self.rewards.raw[rows, columns][None],  # type: ignore[attr-defined]
            "terminated": (done & ~timeouts)[None],
            "truncated": timeouts[None],
            **replaced,
        }
        state = {
            key.removeprefix("state."): values[rows, columns][None]
            for key, values in self.quantities.items()
            if key != "success"
        }
        if "success" in self.quantities:
            entries["success"] = self.quantities["success"][rows, columns][None]
        return Rollout(state=state or None, **entries)

    def _successors(self, rows: np.ndarray, columns: np.ndarray) -> Any:
        found = _gather(self.next_observations, rows, columns)
        if self.finals:
            for n in np.flatnonzero(self.dones[rows, columns]):
                final = self.finals.get((int(rows[n]), int(columns[n])))
                if final is None:
                    continue
                if isinstance(found, dict):
                    for key, value in found.items():
                        value[0, n] = final[key]
                else:
                    found[0, n] = final
        return found

    def _executed(self, stored: np.ndarray) -> np.ndarray:
        """Return the actions as executed; SB3 stores box actions scaled to [-1, 1]."""
        space = self.action_space
        actions = stored.reshape(len(stored), *(space.shape or ()))
        if isinstance(space, spaces.Box):
            actions = space.low + (0.5 * (actions + 1.0) * (space.high - space.low))
        return actions


class RewardedReplayBuffer(_Rewarded, ReplayBuffer):
    """``ReplayBuffer`` with the rewards of a mix."""


class RewardedDictReplayBuffer(_Rewarded, DictReplayBuffer):
    """``DictReplayBuffer`` with the rewards of a mix."""


class RewardedNStepReplayBuffer(_Rewarded, NStepReplayBuffer):
    """``NStepReplayBuffer``: one-step rewards are relabelled before they are summed."""


class RewardedHerReplayBuffer(_Rewarded, HerReplayBuffer):
    """``HerReplayBuffer``: the mix rewards hindsight transitions too, with their new goals."""

    def _get_virtual_samples(
        self, batch_indices: np.ndarray, env_indices: np.ndarray, env: VecNormalize | None = None
    ) -> DictReplayBufferSamples:
        if env is not None:
            raise UserError(
                "Hindsight replay under VecNormalize is refused: the new goal would reach the "
                "reward models normalised. Leave observation normalisation out."
            )
        samples = super()._get_virtual_samples(batch_indices, env_indices, env)
        if self.books.mix.is_task_only:
            return samples
        rollout = self.transitions(
            batch_indices,
            env_indices,
            observation={key: value[None] for key, value in samples.observations.items()},
            next_observation={key: value[None] for key, value in samples.next_observations.items()},
            reward=samples.rewards.reshape(1, -1),
        )
        total: torch.Tensor = self.books.mix.total(rollout)
        return samples._replace(rewards=total.reshape(-1, 1).to(samples.rewards))


def _gather(arrays: Any, rows: np.ndarray, columns: np.ndarray) -> Any:
    if isinstance(arrays, dict):
        return {key: value[rows, columns][None] for key, value in arrays.items()}
    return arrays[rows, columns][None]
