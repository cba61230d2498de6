"""Episodic returns: everything that an episode earns arrives at its last step."""

from __future__ import annotations

from typing import Any, ClassVar, final

import gymnasium
import numpy as np


@final
class EpisodicReturn(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Withholds the reward of every step and pays the sum at the end of the episode.

    This is the setting in which methods of return decomposition are compared (RUDDER,
    Arjona-Medina et al. 2019; RRD, Ren et al. 2022): the return of every episode, and with it the
    undiscounted value of every policy, is that of the dense task, but no step says what it was
    good for.

    Reward: 0.0 on every step but the last of an episode; on the last, the float64 sum of the dense
    rewards of all its steps, in their order, the last one included. The last step is the one that
    terminates or is truncated, so the wrapper belongs around the time limit. Observations, actions
    and ends are those of the dense task.

    ``info`` of a step: that of the dense task and ``dense_reward``, its reward of this step. Some
    learners can see ``info``; a method that must not know the dense reward must not read it.
    """

    info_keys: ClassVar[dict[str, str]] = {
        "dense_reward": "what the dense task pays for this step, in its own units",
    }

    def __init__(self, env: gymnasium.Env) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._earned = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; what an unfinished one had earned is dropped."""
        self._earned = 0.0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step once; see the class for the reward and ``info``."""
        observation, dense, terminated, truncated, info = self.env.step(action)
        self._earned += float(dense)
        reward = 0.0
        if terminated or truncated:
            reward, self._earned = self._earned, 0.0
        # The humanoids put arrays into info on which the simulation goes on writing.
        owned = {
            name: value.copy() if isinstance(value, np.ndarray) else value
            for name, value in info.items()
        }
        return observation, reward, terminated, truncated, {**owned, "dense_reward": float(dense)}
