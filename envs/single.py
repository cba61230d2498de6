"""A world for one agent: gymnasium's interface around one column of a simulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import gymnasium
import numpy as np

from envs.actions import check_actions
from envs.errors import SnapshotError
from envs.simulation import Arrays, BatchedSimulation, ColumnRandom, load, pick


@final
class SingleEnv(gymnasium.Env[Any, Any]):
    """One column of a `BatchedSimulation` as a ``gymnasium.Env``.

    Time limits are left to gymnasium's ``TimeLimit``. With the same seed and actions it gives the
    trajectory of that column in `envs.vector.BatchedVectorEnv` bit for bit.

    Args:
        simulation: ``"module:Class"`` of the world.
        render_mode: ``"rgb_array"`` or None.
        **options: of the world.

    Attributes:
        simulation: the world, with one column.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, simulation: str, *, render_mode: str | None = None, **options: Any) -> None:
        self.simulation: BatchedSimulation = load(simulation)(num_envs=1, **options)
        self.observation_space = self.simulation.observation_space
        self.action_space = self.simulation.action_space
        self.render_mode = render_mode
        self._random = ColumnRandom(1)

    @property
    def info_keys(self) -> Mapping[str, str]:
        """Every name in ``info``, with its meaning."""
        return self.simulation.info_keys

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: starts the world's random numbers anew; None goes on with them. The first reset
                without a seed draws one from the operating system.
            options: none are known; anything in it is ignored, as gymnasium's own tasks do.
        """
        super().reset(seed=seed)
        if seed is not None or not self._random.is_seeded(0):
            self._random.seed(0, int(self.np_random.integers(2**63)) if seed is None else seed)
        self.simulation.reset(np.array([0]), self._random)
        return pick(self.simulation.observe(), 0), _first(self.simulation.reset_info())

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step once.

        Raises:
            envs.errors.ActionError: an action that is not of the action space.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if not self._random.is_seeded(0):
            raise gymnasium.error.ResetNeeded("Cannot call step() before calling reset().")
        actions = check_actions(np.asarray(action)[None], self.action_space, 1)
        outcome = self.simulation.step(actions, self._random)
        return (
            pick(self.simulation.observe(), 0),
            float(outcome.reward[0]),
            bool(outcome.terminated[0]),
            False,
            _first(outcome.info),
        )

    def render(self) -> Any:
        """Return a picture, uint8 ``[H, W, 3]``, or None without ``render_mode``."""
        return None if self.render_mode is None else self.simulation.render()

    def snapshot(self) -> dict[str, Any]:
        """Return the state of the world and of its random numbers; see `envs.snapshot`."""
        return {"state": self.simulation.state(), "random": self._random.snapshot()}

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken, bit for bit.

        Raises:
            SnapshotError: the arrays are those of another world or of other options.
        """
        check_state(self.simulation, tree["state"])
        self.simulation.set_state(tree["state"])
        self._random.restore(tree["random"])

    def close(self) -> None:
        """Free what the simulation holds."""
        self.simulation.close()


def check_state(simulation: BatchedSimulation, state: Mapping[str, np.ndarray]) -> None:
    """Raise where a saved state does not have the names and shapes of the present one.

    Raises:
        SnapshotError: the names or shapes differ.
    """
    present = simulation.state()
    shapes = {name: np.shape(values) for name, values in present.items()}
    saved = {name: np.shape(values) for name, values in state.items()}
    if shapes != saved:
        raise SnapshotError(
            f"The saved state of {type(simulation).__name__} has {saved}, expected {shapes}."
        )


def _first(info: Mapping[str, Arrays]) -> dict[str, Any]:
    """Return the only column of ``info``: numbers as those of Python, arrays as new arrays."""
    return {
        name: values[0].item() if values.ndim == 1 else np.array(values[0])
        for name, values in info.items()
    }
