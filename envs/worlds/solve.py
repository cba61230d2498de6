"""Exact solutions of finite worlds: values, optimal policies and occupancies."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.worlds.mdp import FiniteMDP

_SWEEPS = 1_000_000


class Solution(NamedTuple):
    """An optimal solution.

    Attributes:
        value: float64 ``[S]``; 0 at terminal states.
        q: float64 ``[S, A]``.
        policy: int64 ``[S]``: the best action; of equally good ones the first.
    """

    value: np.ndarray
    q: np.ndarray
    policy: np.ndarray


def value_iteration(mdp: FiniteMDP, gamma: float, *, tolerance: float = 1e-12) -> Solution:
    """Return the optimal values and actions under discounting.

    Args:
        mdp: the world; see `FiniteMDP.with_reward` for another reward.
        gamma: discount in [0, 1]. With 1 the values must be finite, as where every policy that
            collects reward ends.
        tolerance: the sweeps stop when no value moves by more than this, relative to the largest.

    Raises:
        ValueError: a discount outside [0, 1], or values that do not settle.
    """
    _check_discount(gamma)
    reward, value = mdp.expected_reward, np.zeros(mdp.num_states)
    for _ in range(_SWEEPS):
        q = reward + gamma * mdp.transition @ value
        before, value = value, q.max(axis=1)
        change = np.abs(value - before).max()
        if change <= tolerance * max(1.0, np.abs(value).max()):
            return Solution(value, q, _first_best(q))
    raise ValueError(f"The values with gamma={gamma} do not settle: they may be infinite.")


def evaluate_policy(mdp: FiniteMDP, policy: np.ndarray, gamma: float) -> np.ndarray:
    """Return the value of every state under a policy, by solving the linear equations.

    Args:
        mdp: the world.
        policy: action probabilities ``[S, A]``, or one action per state ``[S]``.
        gamma: discount in [0, 1]. With 1 the policy must reach an end from every state.

    Returns:
        float64 ``[S]``; 0 at terminal states.

    Raises:
        ValueError: a discount outside [0, 1], a policy of another shape, or with ``gamma=1`` a
            policy that may go on for ever.
    """
    chain, probabilities = _chain(mdp, policy, gamma)
    _check_ends(mdp, chain, gamma)
    reward = (probabilities * mdp.expected_reward).sum(axis=1)
    going = ~mdp.terminal
    value = np.zeros(mdp.num_states)
    value[going] = np.linalg.solve(
        np.eye(going.sum()) - gamma * chain[np.ix_(going, going)], reward[going]
    )
    return value


def occupancy(mdp: FiniteMDP, policy: np.ndarray, gamma: float) -> np.ndarray:
    """Return how often a policy takes each action in each state, discounted.

    Args:
        mdp: the world.
        policy: see `evaluate_policy`.
        gamma: see `evaluate_policy`.

    Returns:
        float64 ``[S, A]``: the sum over t of ``gamma^t P(s_t = s, a_t = a)`` for states that are
        not terminal (0 at these). Without terminal states it sums to ``1 / (1 - gamma)``.
    """
    chain, probabilities = _chain(mdp, policy, gamma)
    _check_ends(mdp, chain, gamma)
    going = ~mdp.terminal
    visits = np.zeros(mdp.num_states)
    visits[going] = np.linalg.solve(
        np.eye(going.sum()) - gamma * chain[np.ix_(going, going)].T, mdp.start[going]
    )
    return visits[:, None] * probabilities


def finite_horizon(mdp: FiniteMDP, horizon: int, gamma: float = 1.0) -> Solution:
    """Return the optimal solution of an episode of at most ``horizon`` steps.

    Args:
        mdp: the world.
        horizon: steps, H; at least 1.
        gamma: discount in [0, 1].

    Returns:
        The arrays of `Solution` with a leading axis of time: value ``[H + 1, S]`` (the last row is
        0), q ``[H, S, A]``, policy ``[H, S]``.

    Raises:
        ValueError: no step, or a discount outside [0, 1].
    """
    _check_discount(gamma)
    if horizon < 1:
        raise ValueError(f"The horizon must be at least 1 step, got {horizon}.")
    reward, values, qs = mdp.expected_reward, [np.zeros(mdp.num_states)], []
    for _ in range(horizon):
        qs.append(reward + gamma * mdp.transition @ values[-1])
        values.append(qs[-1].max(axis=1))
    q = np.stack(qs[::-1])
    return Solution(np.stack(values[::-1]), q, np.stack([_first_best(row) for row in q]))


def finite_horizon_value(
    mdp: FiniteMDP, policy: np.ndarray, horizon: int, gamma: float = 1.0
) -> np.ndarray:
    """Return the expected return of the next ``horizon`` steps under a policy, ``[S]``.

    Args:
        mdp: the world.
        policy: ``[S, A]`` or ``[S]``, the same at every step, or with a leading axis of time
            ``[H, S, A]`` or ``[H, S]`` (integers).
        horizon: steps, H.
        gamma: discount in [0, 1].

    Raises:
        ValueError: see `evaluate_policy`.
    """
    timed = policy.ndim == (2 if policy.dtype.kind in "iu" else 3)
    if timed and len(policy) != horizon:
        raise ValueError(f"Expected a policy for {horizon} steps, got {len(policy)}.")
    reward, value = mdp.expected_reward, np.zeros(mdp.num_states)
    chains = (_chain(mdp, one, gamma) for one in (policy[::-1] if timed else [policy]))
    chain, probabilities = next(chains)
    for step in range(horizon):
        if timed and step:
            chain, probabilities = next(chains)
        value = (probabilities * reward).sum(axis=1) + gamma * chain @ value
    return value


def _chain(mdp: FiniteMDP, policy: np.ndarray, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the Markov chain ``[S, S]`` under a policy, and the policy as ``[S, A]``."""
    _check_discount(gamma)
    shape = (mdp.num_states, mdp.num_actions)
    table = np.eye(mdp.num_actions)[policy] if policy.ndim == 1 else policy
    if table.shape != shape or not np.allclose(table.sum(axis=1), 1) or (table < 0).any():
        raise ValueError(
            f"Expected action probabilities {shape} that sum to 1, or one action per state, "
            f"got an array {policy.shape}."
        )
    return np.einsum("ij,ijk->ik", table, mdp.transition), table


def _check_ends(mdp: FiniteMDP, chain: np.ndarray, gamma: float) -> None:
    """Raise where sums without discount need not exist: an end must be reachable everywhere."""
    ending, grown = np.zeros_like(mdp.terminal), mdp.terminal
    while gamma == 1 and (grown != ending).any():
        ending = grown
        grown = ending | (chain[:, ending].sum(axis=1) > 0)
    if gamma == 1 and not grown.all():
        raise ValueError("With gamma=1 the policy must reach an end from every state.")


def _first_best(q: np.ndarray) -> np.ndarray:
    """Return the best action per row; differences of rounding do not count."""
    best = q.max(axis=1, keepdims=True)
    return np.argmax(q >= best - 1e-9 * np.maximum(1.0, np.abs(best)), axis=1)


def _check_discount(gamma: float) -> None:
    if not 0 <= gamma <= 1:
        raise ValueError(f"The discount must lie in [0, 1], got {gamma}.")
