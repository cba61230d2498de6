"""A program called step by step, for loops that have no record (tables, notebooks, debugging)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from reward_models.coded.limits import Limits
from reward_models.coded.program import Program
from reward_models.coded.runner import Runner
from reward_models.coded.sandbox import Sandbox, shared_sandbox
from reward_models.errors import UnknownNameError


@final
class Stepper:
    """One column of one environment: call it once per step, and `reset` at every episode's begin.

    Every call crosses into the sandbox, which costs many times what a step in a rollout costs; a
    learner should use `CodedReward`.

    Args:
        program: one that the critic has passed.
        sandbox: where it runs; the process's own when None.

    Attributes:
        components: the parts of the latest reward by name.
    """

    def __init__(self, program: Program, sandbox: Sandbox | None = None) -> None:
        self.program = program
        self._runner = Runner(program, sandbox or shared_sandbox(Limits()))
        self._words = {one.identifier: one for one in self._runner.anatomy.quantities}
        self.components: dict[str, float] = {}
        self.reset()

    def reset(self) -> None:
        """Begin an episode: the program's ``state`` is empty again."""
        self._step, self._state = 0, ""

    def __call__(
        self,
        prev_obs: Mapping[str, Any],
        action: Any,
        obs: Mapping[str, Any],
        *,
        terminated: bool = False,
        truncated: bool = False,
    ) -> float:
        """Return the reward of one step.

        Args:
            prev_obs: identifier -> value before the step: number, sequence or array, or string.
            action: executed.
            obs: the same after the step.
            terminated: the task ended the episode here.
            truncated: a limit ended the episode here.

        Raises:
            ProgramError: the program broke a rule.
            UnknownNameError: a quantity that the program reads is missing.
        """
        values = self._runner.call(
            now={word: [_value(obs, word)] for word in self._words},
            before={word: {0: _value(prev_obs, word)} for word in self._words},
            action=_plain(action),
            ends=(bool(terminated), bool(truncated)),
            step=self._step,
            state=self._state,
        )
        reward, self.components, self._state = values
        self._step += 1
        return reward


def _value(values: Mapping[str, Any], word: str) -> Any:
    if word not in values:
        raise UnknownNameError("quantity (the program reads it)", word, values)
    return _plain(values[word])


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else np.asarray(value).tolist()
