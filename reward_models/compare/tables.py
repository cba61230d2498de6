"""The arrays of a finite world that rewards are compared on, and their checks."""

from __future__ import annotations

import logging
import math

import numpy as np

from reward_models.errors import UserError

Numbers = np.ndarray | np.float64
"""An array over the leading axes of rewards, or one number where there are none."""

_ROUNDING = 1e-8
_LOG = logging.getLogger(__name__)


def checked_transition(transition: np.ndarray) -> np.ndarray:
    """Return transition probabilities as float64 ``[S, A, S]``.

    Raises:
        UserError: another shape, an entry that is negative or not finite, or a row that does not
            sum to 1 within 1e-8; the message names the row.
    """
    values = np.asarray(transition, dtype=np.float64)
    if values.ndim != 3 or values.shape[0] != values.shape[2] or 0 in values.shape:
        raise UserError(
            "Transition probabilities must be P[s, a, s'] of shape [S, A, S], "
            f"got {list(values.shape)}."
        )
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
        where = _first(wrong)
        raise UserError(
            f"Transition probabilities must be finite and not negative, got P{where} = "
            f"{values[tuple(where)]}."
        )
    sums = values.sum(axis=-1)
    wrong = np.abs(sums - 1.0) > _ROUNDING
    if wrong.any():
        where = _first(wrong)
        raise UserError(
            f"Every row of the transition probabilities must sum to 1, P{where} sums to "
            f"{float(sums[tuple(where)])!r}. Divide each row by its sum if that is what is meant."
        )
    return values


def checked_reward(reward: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Return rewards as float64 ``[..., S, A, S]`` over the states and actions of ``transition``.

    A reward ``[S, A]`` is broadcast over the next state, with a note in the log. Any number of
    leading axes holds further rewards over the same world, which are all treated at once.

    Raises:
        UserError: rewards over other states or actions, or a value that is not finite.
    """
    values, shape = np.asarray(reward, dtype=np.float64), transition.shape
    if values.shape == shape[:2]:
        _LOG.info("A reward %s has no axis of next states and is broadcast over them.", shape[:2])
        values = np.broadcast_to(values[:, :, None], shape)
    if values.shape[-3:] != shape:
        raise UserError(
            f"A reward must be R[s, a, s'] of shape {list(shape)}, like the transition "
            f"probabilities, got {list(values.shape)}. Rewards over different states or actions "
            "have no common transitions, so there is nothing to compare them on."
        )
    wrong = ~np.isfinite(values)
    if wrong.any():
        where = _first(wrong)
        raise UserError(f"Every reward must be finite, got {values[tuple(where)]} at {where}.")
    return values


def checked_discount(gamma: float) -> float:
    """Return the discount as a float.

    Raises:
        UserError: it does not lie in [0, 1): with 1 a policy may have no finite value.
    """
    if not (math.isfinite(gamma) and 0.0 <= gamma < 1.0):
        raise UserError(f"gamma must lie in [0, 1), got {gamma}; with 1, values may be infinite.")
    return float(gamma)


def checked_policy(policy: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Return action probabilities as float64 ``[S, A]``; uniform when None.

    Raises:
        UserError: another shape, or rows that are no probabilities.
    """
    states, actions = shape[:2]
    if policy is None:
        return np.full((states, actions), 1.0 / actions)
    values = np.asarray(policy, dtype=np.float64)
    if values.shape != (states, actions):
        raise UserError(
            f"A policy must be pi[s, a] of shape {[states, actions]}, got {list(values.shape)}."
        )
    return _probabilities("A policy", values)


def checked_weights(name: str, weights: np.ndarray | None, size: int) -> np.ndarray:
    """Return a distribution as float64 ``[size]``; uniform when None.

    Raises:
        UserError: another shape, or no probabilities.
    """
    if weights is None:
        return np.full(size, 1.0 / size)
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (size,):
        raise UserError(f"{name} must have shape {[size]}, got {list(values.shape)}.")
    return _probabilities(name, values)


def expected_reward(transition: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """Return ``E_{s'}[R(s, a, s')]``, float64 ``[..., S, A]``."""
    return (transition * reward).sum(axis=-1)


def _probabilities(name: str, values: np.ndarray) -> np.ndarray:
    good = np.isfinite(values).all() and (values >= 0).all()
    if not good or (np.abs(values.sum(axis=-1) - 1.0) > _ROUNDING).any():
        raise UserError(f"{name} must be probabilities that sum to 1, got {values.tolist()}.")
    return values


def _first(wrong: np.ndarray) -> list[int]:
    return [int(index) for index in np.argwhere(wrong)[0]]
