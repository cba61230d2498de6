"""A world for many agents at once: gymnasium's vector interface around a simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.actions import check_actions
from envs.errors import SnapshotError
from envs.simulation import BatchedSimulation, ColumnRandom, load
from envs.single import check_state

_NO_LIMIT = np.iinfo(np.int64).max


@final
class BatchedVectorEnv(VectorEnv[Any, Any, Any]):
    """All columns of a `BatchedSimulation` as a ``gymnasium.vector.VectorEnv``.

    An ended column is reset within the same step (``AutoresetMode.SAME_STEP``): the observation
    returned for it is the first of its next episode, and ``infos["final_obs"]`` holds the true
    last one. Every other entry of ``infos`` describes the transition, never the reset, and belongs
    to the caller.

    Args:
        simulation: ``"module:Class"`` of the world.
        num_envs: columns, B.
        max_episode_steps: time limit; None for none.
        render_mode: ``"rgb_array"`` (of column 0) or None.
        **options: of the world.

    Attributes:
        simulation: the world.
    """

    metadata = {  # noqa: RUF012
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": 20,
    }

    def __init__(
        self,
        simulation: str,
        num_envs: int,
        *,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        self.simulation: BatchedSimulation = load(simulation)(num_envs=num_envs, **options)
        self.num_envs = num_envs
        self.single_observation_space = self.simulation.observation_space
        self.single_action_space = self.simulation.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.render_mode = render_mode
        self._limit = _NO_LIMIT if max_episode_steps is None else max_episode_steps
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._random = ColumnRandom(num_envs)

    @property
    def info_keys(self) -> Mapping[str, str]:
        """Every name in ``infos``, with its meaning."""
        return self.simulation.info_keys

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every column.

        Args:
            seed: of column 0, column ``i`` gets ``seed + i``; or one per column; None goes on with
                the random numbers, or draws seeds from the operating system the first time.
            options: none are known.
        """
        seed = int(seed) if isinstance(seed, np.integer) else seed
        super().reset(seed=seed if isinstance(seed, int) else None)
        seeds = (
            [seed + column for column in range(self.num_envs)]
            if isinstance(seed, int)
            else [None] * self.num_envs
            if seed is None
            else list(seed)
        )
        if len(seeds) != self.num_envs:
            raise ValueError(f"Expected {self.num_envs} seeds, one per column, got {len(seeds)}.")
        for column, own in enumerate(seeds):
            if own is not None:
                self._random.seed(column, own)
            elif not self._random.is_seeded(column):
                self._random.seed(column, int(self.np_random.integers(2**63)))
        self._begin(np.arange(self.num_envs))
        return self.simulation.observe(), self.simulation.reset_info()

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every column once.

        Args:
            actions: ``[B, ...]``.

        Returns:
            Observations ``[B, ...]``, float64 rewards, terminated, truncated (each ``[B]``; both
            can be true), and ``infos``.

        Raises:
            envs.errors.ActionError: actions that are not of the action space.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if not self._random.is_seeded(0):
            raise gymnasium.error.ResetNeeded("Cannot call step() before calling reset().")
        actions = check_actions(actions, self.single_action_space, self.num_envs)
        outcome = self.simulation.step(actions, self._random)
        self._elapsed += 1
        truncated = self._elapsed >= self._limit
        observation = self.simulation.observe()
        infos: dict[str, Any] = dict(outcome.info)
        done = outcome.terminated | truncated
        if done.any():
            infos["final_obs"], infos["_final_obs"] = observation, done
            self._begin(np.flatnonzero(done))
            observation = self.simulation.observe()
        return observation, outcome.reward, outcome.terminated, truncated, infos

    def _begin(self, columns: np.ndarray) -> None:
        self.simulation.reset(columns, self._random)
        self._elapsed[columns] = 0

    def render(self) -> Any:
        """Return a picture of column 0, uint8 ``[H, W, 3]``, or None without ``render_mode``."""
        return None if self.render_mode is None else self.simulation.render()

    def snapshot(self) -> dict[str, Any]:
        """Return the state of all columns, their step counts and their random numbers."""
        return {
            "state": self.simulation.state(),
            "random": self._random.snapshot(),
            "elapsed": self._elapsed.copy(),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken, bit for bit.

        Raises:
            SnapshotError: the arrays are those of another world, other options or another number
                of columns.
        """
        if np.shape(tree["elapsed"]) != self._elapsed.shape:
            raise SnapshotError(
                f"The snapshot is of {len(tree['elapsed'])} columns, there are {self.num_envs}."
            )
        check_state(self.simulation, tree["state"])
        self.simulation.set_state(tree["state"])
        self._random.restore(tree["random"])
        self._elapsed[...] = tree["elapsed"]

    def close_extras(self, **kwargs: Any) -> None:
        """Free what the simulation holds."""
        # Gymnasium closes what it deletes, also after a constructor that refused its arguments.
        if hasattr(self, "simulation"):
            self.simulation.close()
