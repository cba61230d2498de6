"""Finite Markov decision processes as arrays: the exact model of a tabular world."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

_ROUNDING = 1e-8

Outcomes = Iterable[tuple[float, int, float]]
"""What can follow a state and an action: (probability, next state, reward) each."""


@final
@dataclass(frozen=True, eq=False)
class FiniteMDP:
    """Transition and reward tables over S states and A actions.

    Terminal states are absorbing and pay nothing, so that sums over an infinite future and sums
    over an episode are the same. The discount is no part of it: it belongs to an objective. The
    arrays are read-only.

    Attributes:
        transition: float64 ``[S, A, S]``: P(s' | s, a); every row sums to 1.
        reward: float64 ``[S, A, S]``: r(s, a, s').
        terminal: bool ``[S]``: arriving there ends the episode.
        start: float64 ``[S]``: P(s_0).

    Raises:
        ValueError: shapes that do not fit, probabilities that are negative or do not sum to 1
            (within 1e-8), rewards that are not finite, a terminal state that is left or pays.
    """

    transition: np.ndarray
    reward: np.ndarray
    terminal: np.ndarray
    start: np.ndarray

    def __post_init__(self) -> None:
        """Check and freeze the arrays."""
        arrays = {
            "transition": np.array(self.transition, dtype=np.float64),
            "terminal": np.array(self.terminal, dtype=np.bool_),
            "start": np.array(self.start, dtype=np.float64),
        }
        shape = arrays["transition"].shape
        if len(shape) != 3 or shape[0] != shape[2] or 0 in shape:
            raise ValueError(f"Expected transition probabilities [S, A, S], got {shape}.")
        arrays["reward"] = self._broadcast(self.reward, shape)
        for name in ("terminal", "start"):
            if arrays[name].shape != shape[:1]:
                raise ValueError(f"Expected {name} of shape {shape[:1]}, got {arrays[name].shape}.")
        _check_probabilities("transition", arrays["transition"])
        _check_probabilities("start", arrays["start"])
        ends = np.flatnonzero(arrays["terminal"])
        if not (arrays["transition"][ends, :, ends] == 1).all():
            raise ValueError("A terminal state must lead to itself under every action.")
        if arrays["reward"][ends, :, ends].any():
            raise ValueError("A terminal state must pay nothing.")
        for name, values in arrays.items():
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    @staticmethod
    def _broadcast(reward: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        values = np.asarray(reward, dtype=np.float64)
        if values.shape == shape[:1]:
            raise ValueError(
                "A reward [S] could mean the state left or the state reached: "
                "give reward[:, None, None] or reward[None, None, :]."
            )
        if values.shape == shape[:2]:
            values = values[:, :, None]
        try:
            values = np.array(np.broadcast_to(values, shape))
        except ValueError:
            raise ValueError(f"Expected rewards {shape}, got {values.shape}.") from None
        if not np.isfinite(values).all():
            raise ValueError("Every reward must be finite.")
        return values

    @property
    def num_states(self) -> int:
        """S."""
        return self.transition.shape[0]

    @property
    def num_actions(self) -> int:
        """A."""
        return self.transition.shape[1]

    @property
    def expected_reward(self) -> np.ndarray:
        """Mean reward of a step, float64 ``[S, A]``."""
        return np.einsum("ijk,ijk->ij", self.transition, self.reward)

    def with_reward(self, reward: np.ndarray) -> FiniteMDP:
        """Return the same world under another reward.

        Args:
            reward: ``[S, A, S]``, ``[S, A]``, or anything that broadcasts to ``[S, A, S]`` with
                three axes. What it says about terminal states is dropped: they pay nothing.
        """
        values = self._broadcast(reward, self.transition.shape)
        values[self.terminal] = 0.0
        return replace(self, reward=values)


def from_outcomes(
    num_states: int,
    num_actions: int,
    outcomes: Callable[[int, int], Outcomes],
    *,
    start: int | np.ndarray,
    terminal: Sequence[int] | np.ndarray = (),
) -> FiniteMDP:
    """Build the tables from a rule.

    Args:
        num_states: S.
        num_actions: A.
        outcomes: of a state that is not terminal and an action. The same next state may come up
            more than once (the probabilities add), with one reward.
        start: the first state, or P(s_0) ``[S]``.
        terminal: numbers of the states that end the episode; they become absorbing.

    Raises:
        ValueError: one next state comes with two rewards, or see `FiniteMDP`.
    """
    transition = np.zeros((num_states, num_actions, num_states))
    reward = np.zeros_like(transition)
    ends = np.zeros(num_states, dtype=np.bool_)
    ends[np.asarray(terminal, dtype=np.int64)] = True
    for state in range(num_states):
        for action in range(num_actions):
            if ends[state]:
                transition[state, action, state] = 1.0
                continue
            for probability, following, paid in outcomes(state, action):
                cell = (state, action, following)
                if transition[cell] > 0 and reward[cell] != paid:
                    raise ValueError(f"{cell} comes with the rewards {reward[cell]} and {paid}.")
                if probability > 0:
                    transition[cell] += probability
                    reward[cell] = paid
    first = np.eye(num_states)[start] if isinstance(start, int) else start
    return FiniteMDP(transition, reward, ends, first)


def _check_probabilities(name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"{name} has an entry that is negative or not finite.")
    wrong = np.abs(values.sum(axis=-1) - 1) > _ROUNDING
    if wrong.any():
        where = tuple(np.argwhere(wrong)[0].tolist()) if wrong.ndim else ()
        raise ValueError(
            f"{name}{list(where) if where else ''} sums to {values.sum(axis=-1)[where]}, not to 1."
        )
