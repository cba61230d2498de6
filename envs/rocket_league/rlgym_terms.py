"""RLGym's reward functions beside the one that pays, so that each can be a term of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from envs.rocket_league.rlgym_components import ComponentError, component

PREFIX = "rlgym_"
"""What the names of the terms begin with in ``info``."""


@final
class RewardTerms:
    """The reward function of one match, together with others whose values are only reported.

    It has the interface of RLGym's reward functions and pays what the first one does; the others
    are called after it, with the same arguments.

    Args:
        paid: the reward function that pays; None pays nothing.
        terms: name -> reward function, as in `envs.rocket_league.rlgym_components.build_match`.

    Attributes:
        functions: the other reward functions by name.
        values: what each of them paid in the last step, by name and agent; empty after a reset.

    Raises:
        ComponentError: no mapping of names, or a reward function that does not fit.
    """

    def __init__(self, paid: Any, terms: Mapping[str, Any]) -> None:
        if not isinstance(terms, Mapping) or not all(
            isinstance(name, str) and name.isidentifier() for name in terms
        ):
            raise ComponentError(
                "reward_terms must be a mapping from names to reward functions, such as "
                f"{{touch: TouchReward}}, got {terms!r}."
            )
        self.paid = paid
        self.functions = {name: component("reward_fn", value) for name, value in terms.items()}
        self.values: dict[str, dict[Any, float]] = {}

    def reset(self, agents: list[Any], initial_state: Any, shared_info: dict[str, Any]) -> None:
        """Begin an episode."""
        self.values = {}
        for function in self._all():
            function.reset(agents, initial_state, shared_info)

    def get_rewards(
        self,
        agents: list[Any],
        state: Any,
        is_terminated: dict[Any, Any],
        is_truncated: dict[Any, Any],
        shared_info: dict[str, Any],
    ) -> dict[Any, float]:
        """Return what the first function pays, and keep what the others would."""
        arguments = agents, state, is_terminated, is_truncated, shared_info
        paid = {} if self.paid is None else self.paid.get_rewards(*arguments)
        self.values = {
            name: function.get_rewards(*arguments) for name, function in self.functions.items()
        }
        return paid

    def rows(self, agents: list[Any]) -> dict[str, list[float]]:
        """Return what the terms paid, by name in ``info``: one number per agent, 0 after a reset.

        Args:
            agents: in the order of the numbers.
        """
        return {
            f"{PREFIX}{name}": [
                float(self.values[name][agent]) if name in self.values else 0.0 for agent in agents
            ]
            for name in self.functions
        }

    def _all(self) -> list[Any]:
        first = [] if self.paid is None else [self.paid]
        return [*first, *self.functions.values()]


def described(terms: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the lines that ``info_keys`` has about terms."""
    return {f"{PREFIX}{name}": f"what the reward function {name!r} paid" for name in terms or {}}
