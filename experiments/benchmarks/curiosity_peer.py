"""Time the reward modules of the exploration toolkit RLeXplore, for ``curiosity.py``.

Runs in an interpreter of its own, where ``rllte-core`` and torch are installed and ctrl need not
be, on one torch thread. Reads one JSON request a line and answers with one JSON object a line:

- ``{"versions": true}`` -> the versions of what is installed there;
- ``{"module": "RND", "actions": "discrete", "arrays": PATH, "options": {...}}`` -> ``compute`` and
  ``update``, each the seconds of CPU time of this process, the error that it ended with, or null
  where there is nothing to do. The module is built, and run once without being timed, at the first
  such request.

``compute`` is what a user of the toolkit runs to get the rewards of a rollout: ``watch`` after each
step for modules that have one, then ``compute``, whose own training is switched off there and timed
as ``update``.
"""

from __future__ import annotations

import json
import platform
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

warnings.simplefilter("ignore")


class Envs(gymnasium.vector.VectorEnv):
    """Columns of random observations, which the toolkit's normalisation steps when it is built."""

    def __init__(self, observation: np.ndarray, action: np.ndarray, choices: int) -> None:
        self.num_envs = observation.shape[1]
        self.single_observation_space = spaces.Box(-np.inf, np.inf, observation.shape[2:])
        self.single_action_space = (
            spaces.Discrete(choices) if choices else spaces.Box(-1, 1, action.shape[2:])
        )
        self.observation_space = gymnasium.vector.utils.batch_space(
            self.single_observation_space, self.num_envs
        )
        self.action_space = gymnasium.vector.utils.batch_space(
            self.single_action_space, self.num_envs
        )
        self.rng = np.random.default_rng(0)

    def reset(self, **_: Any) -> tuple[torch.Tensor, dict]:
        """Return observations and no information."""
        return self._draw(), {}

    def step(self, actions: Any) -> tuple[Any, ...]:
        """Return the next observations; nothing ends."""
        zeros = torch.zeros(self.num_envs)
        return self._draw(), zeros, zeros.bool(), zeros.bool(), {}

    def _draw(self) -> torch.Tensor:
        shape = (self.num_envs, *self.single_observation_space.shape)
        return torch.from_numpy(self.rng.standard_normal(shape, dtype=np.float32))


class Timed:
    """One module of the toolkit with the samples it is timed on."""

    def __init__(self, module: str, actions: str, arrays: str, options: dict[str, Any]) -> None:
        from rllte.common.prototype import BaseReward
        from rllte.xplore import reward

        with np.load(arrays) as file:
            drawn = dict(file)
        discrete = actions == "discrete"
        action = drawn[f"action_{actions}"][..., None] if discrete else drawn[f"action_{actions}"]
        choices = int(drawn["choices"]) if discrete else 0
        self.samples = {
            "observations": torch.from_numpy(drawn["observation"]),
            "actions": torch.from_numpy(action),
            "rewards": torch.zeros(action.shape[:2]),
            "terminateds": torch.from_numpy(drawn["terminated"]).float(),
            "truncateds": torch.from_numpy(drawn["truncated"]).float(),
            "next_observations": torch.from_numpy(drawn["next_observation"]),
        }
        torch.manual_seed(0)
        self.module = getattr(reward, module)(
            Envs(drawn["observation"], action, choices), **options
        )
        learners = getattr(self.module, "rewards", None) or [self.module]
        self.watching = [one for one in learners if type(one).watch is not BaseReward.watch]
        self.trainings = [(one, one.update) for one in learners]
        self.measure()

    def measure(self) -> dict[str, float | str | None]:
        """Return what one ``compute`` and one ``update`` take."""
        return {"compute": timed(self.compute), "update": timed(self.update)}

    def compute(self) -> None:
        """Compute the rewards of the samples without learning from them."""
        for learner, _ in self.trainings:
            learner.update = lambda samples: None
        if self.watching:
            for t in range(len(self.samples["rewards"])):
                step = {key: value[t] for key, value in self.samples.items()}
                for learner in self.watching:
                    learner.watch(**step)
        # Memories reach the rewards only where the toolkit is told to synchronise.
        self.module.compute(self.samples, sync=True)

    def update(self) -> None:
        """Learn from the samples."""
        for _, training in self.trainings:
            training(self.samples)


def timed(function: Callable[[], None]) -> float | str | None:
    """Return the seconds of CPU time that a call takes, its error, or None without any."""
    began = time.process_time()
    try:
        function()
    except NotImplementedError:  # the toolkit's way to say that there is nothing to learn
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return time.process_time() - began


def main() -> None:
    """Answer requests until the input ends."""
    torch.set_num_threads(1)
    modules: dict[tuple[str, str], Timed] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "versions" in request:
            names = ("rllte-core", "torch", "numpy", "gymnasium")
            answer: dict[str, Any] = {name: version(name) for name in names}
            answer["python"] = platform.python_version()
        else:
            key = (request["module"], request["actions"])
            try:
                if key not in modules:
                    modules[key] = Timed(**request)
                answer = modules[key].measure()
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=ANSWERS, flush=True)


# The toolkit prints; answers must stay the only lines on the standard output.
ANSWERS, sys.stdout = sys.stdout, sys.stderr

if __name__ == "__main__":
    main()
