"""What programs are judged by: the task's own metric, never the reward they pay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from ctrl.design.analyzer import Facts
from reward_models.errors import UnknownNameError

AUTO, SUCCESS, RETURN = "auto", "success", "return"


@final
@dataclass(frozen=True)
class Metric:
    """The task metric of a design.

    Attributes:
        name: ``success`` (share of episodes that the environment calls successful), ``return``
            (mean task return), or a quantity of the environment: the share of episodes in which it
            was above 0 at some step.
    """

    name: str

    @classmethod
    def choose(cls, name: str, *, has_success: bool, quantities: Mapping[str, object]) -> Metric:
        """Return the metric of that name; ``auto`` is ``success`` where there is a flag.

        Args:
            name: of the metric.
            has_success: the environment says whether an episode succeeded.
            quantities: by name, one for each number in ``info``.

        Raises:
            UnknownNameError: no such quantity, or no success flag, with the nearest name.
        """
        if name == AUTO:
            return cls(SUCCESS if has_success else RETURN)
        valid = [RETURN, *([SUCCESS] if has_success else []), *quantities]
        if name not in valid:
            raise UnknownNameError("metric", name, [AUTO, *valid])
        return cls(name)

    @property
    def words(self) -> str:
        """What it is, for prompts and pages."""
        if self.name == SUCCESS:
            return "share of successful episodes"
        if self.name == RETURN:
            return "mean return of the task"
        return f"share of episodes in which {self.name} was above 0"

    def score(self, facts: Facts) -> float:
        """Return the metric of evaluated episodes."""
        return facts.task_return if self.name == RETURN else facts.success_rate

    def success(self, flag: bool | None, quantities: Mapping[str, np.ndarray]) -> bool | None:
        """Return whether one episode succeeded by this metric; None leaves it to its return.

        Args:
            flag: what the environment says, None where it says nothing.
            quantities: of the episode, ``[T]`` by name.
        """
        if self.name in (SUCCESS, RETURN):
            return flag
        return bool((quantities[self.name] > 0).any())

    @property
    def column(self) -> str | None:
        """The column of a training log with this metric over training; None where there is none."""
        columns = {SUCCESS: "evaluation/success_rate", RETURN: "evaluation/task_return"}
        return columns.get(self.name)
