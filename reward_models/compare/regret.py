"""What it costs to follow the best policy of another reward: exact values, policies and regret."""

from __future__ import annotations

import numpy as np

from reward_models.compare.tables import (
    Numbers,
    checked_discount,
    checked_reward,
    checked_transition,
    checked_weights,
    expected_reward,
)
from reward_models.errors import TrainingError

# Relative to the largest value: actions closer than this are equally good, and a reward whose
# policies are all closer than this (a shaping term, up to rounding) orders nothing.
_TIE = 1e-11
_TRIVIAL = 1e-8
_MOST_ITERATIONS = 1000


def evaluate_policy(
    transition: np.ndarray, reward: np.ndarray, policy: np.ndarray, gamma: float
) -> np.ndarray:
    """Return the values of states under one policy, ``(I - gamma * P_pi)^-1 r_pi``.

    Args:
        transition: ``[S, A, S]``.
        reward: ``[..., S, A, S]``.
        policy: ``[S, A]``.
        gamma: discount in [0, 1).

    Returns:
        float64 ``[..., S]``.
    """
    chain = np.einsum("sa,sat->st", policy, transition)
    paid = (policy * expected_reward(transition, reward)).sum(axis=-1)
    system = np.eye(len(transition)) - gamma * chain
    return np.linalg.solve(system, paid.reshape(-1, len(system)).T).T.reshape(paid.shape)


def optimal_policies(transition: np.ndarray, reward: np.ndarray, *, gamma: float) -> np.ndarray:
    """Return a best policy of each reward by policy iteration, all rewards at once.

    Of equally good actions the lowest is taken.

    Args:
        transition: ``[S, A, S]``.
        reward: ``[..., S, A, S]``.
        gamma: discount in [0, 1).

    Returns:
        int64 ``[..., S]``.

    Raises:
        UserError: arrays that are no world or no reward over it, or gamma outside [0, 1).
    """
    transition = checked_transition(transition)
    reward, gamma = checked_reward(reward, transition), checked_discount(gamma)
    return _optimal(transition, expected_reward(transition, reward), gamma)


def returns(
    transition: np.ndarray,
    reward: np.ndarray,
    policies: np.ndarray,
    *,
    gamma: float,
    start: np.ndarray | None = None,
) -> Numbers:
    """Return the expected discounted return of deterministic policies.

    Args:
        transition: ``[S, A, S]``.
        reward: ``[..., S, A, S]``.
        policies: int64 ``[..., S]``, one for each reward (axes are broadcast).
        gamma: discount in [0, 1).
        start: probabilities of the first state ``[S]``; uniform when None.

    Returns:
        float64 ``[...]``.
    """
    transition = checked_transition(transition)
    reward, gamma = checked_reward(reward, transition), checked_discount(gamma)
    start = checked_weights("The start distribution", start, len(transition))
    return _values(transition, expected_reward(transition, reward), policies, gamma) @ start


def regret(
    transition: np.ndarray,
    reward: np.ndarray,
    used: np.ndarray,
    *,
    gamma: float,
    start: np.ndarray | None = None,
) -> Numbers:
    """Return what is lost under ``reward`` by following the best policy of ``used``.

    ``(max_pi J - J(pi_used)) / (max_pi J - min_pi J)``, in [0, 1]; 0 where all policies are worth
    the same.

    Args:
        transition: ``[S, A, S]``.
        reward: ``[..., S, A, S]``: what counts.
        used: ``[..., S, A, S]``: what the policy is the best for (leading axes are broadcast).
        gamma: discount in [0, 1).
        start: probabilities of the first state ``[S]``; uniform when None.

    Returns:
        float64 ``[...]``.

    Raises:
        UserError: arrays that are no world or no reward over it, or gamma outside [0, 1).
    """
    transition = checked_transition(transition)
    reward, used = checked_reward(reward, transition), checked_reward(used, transition)
    gamma = checked_discount(gamma)
    start = checked_weights("The start distribution", start, len(transition))
    paid = expected_reward(transition, reward)
    best, worst, followed = (
        _values(transition, paid, policy, gamma) @ start
        for policy in (
            _optimal(transition, paid, gamma),
            _optimal(transition, -paid, gamma),
            _optimal(transition, expected_reward(transition, used), gamma),
        )
    )
    span = best - worst
    trivial = span <= _TRIVIAL * np.abs(paid).max(axis=(-2, -1)) / (1.0 - gamma)
    lost = np.where(trivial, 0.0, (best - followed) / np.where(trivial, 1.0, span))
    return np.clip(lost, 0.0, 1.0)  # rounding can take it out of the range


def mean_regret(
    transition: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    gamma: float,
    start: np.ndarray | None = None,
) -> Numbers:
    """Return the mean of `regret` in both directions; arguments and result as there."""
    forth = regret(transition, first, second, gamma=gamma, start=start)
    back = regret(transition, second, first, gamma=gamma, start=start)
    return (forth + back) / 2.0


def _optimal(transition: np.ndarray, paid: np.ndarray, gamma: float) -> np.ndarray:
    """Return best policies ``[..., S]`` for mean rewards ``[..., S, A]``."""
    policy = paid.argmax(axis=-1)
    for _ in range(_MOST_ITERATIONS):
        value = _values(transition, paid, policy, gamma)
        q = paid + gamma * np.einsum("sat,...t->...sa", transition, value)
        best = q.max(axis=-1, keepdims=True)
        slack = _TIE * np.abs(q).max(axis=(-2, -1), keepdims=True)
        taken = np.take_along_axis(q, policy[..., None], axis=-1)
        better = (best > taken + slack)[..., 0]
        if not better.any():
            return (q >= best - slack).argmax(axis=-1)
        policy = np.where(better, q.argmax(axis=-1), policy)
    raise TrainingError(f"Policy iteration did not settle in {_MOST_ITERATIONS} iterations.")


def _values(
    transition: np.ndarray, paid: np.ndarray, policy: np.ndarray, gamma: float
) -> np.ndarray:
    """Return the values ``[..., S]`` of deterministic policies ``[..., S]``."""
    states = np.arange(len(transition))
    shape = np.broadcast_shapes(paid.shape[:-1], policy.shape)
    chain = transition[states, policy]
    taken = np.take_along_axis(
        np.broadcast_to(paid, (*shape, paid.shape[-1])),
        np.broadcast_to(policy, shape)[..., None],
        axis=-1,
    )
    return np.linalg.solve(np.eye(len(states)) - gamma * chain, taken)[..., 0]
