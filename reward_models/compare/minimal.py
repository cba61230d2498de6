"""Canonical forms that are the smallest reward of an equivalence class."""

from __future__ import annotations

import numpy as np

from reward_models.compare.norms import Norm
from reward_models.compare.tables import (
    checked_discount,
    checked_reward,
    checked_transition,
    expected_reward,
)
from reward_models.errors import UserError


def minimal(transition: np.ndarray, reward: np.ndarray, *, gamma: float) -> np.ndarray:
    """Return the equivalent reward of the smallest L2 norm, over shaping and redistribution.

    Of all rewards with the mean x(s, a), ``x * P(s' | s, a) / sum_s' P^2`` is the smallest, with
    the square ``x^2 / sum P^2``; what remains is a least-squares problem in the potential, which
    is solved exactly. Linear in the reward.

    Args:
        transition: ``[S, A, S]``.
        reward: ``[..., S, A, S]``.
        gamma: discount in [0, 1).
    """
    transition = checked_transition(transition)
    reward, gamma = checked_reward(reward, transition), checked_discount(gamma)
    states, actions, _ = transition.shape
    squares = (transition**2).sum(axis=-1)
    shaping = gamma * transition - np.eye(states)[:, None, :]
    scale = 1.0 / np.sqrt(squares)
    mean = expected_reward(transition, reward)
    rows = (shaping * scale[..., None]).reshape(states * actions, states)
    targets = (mean * scale).reshape(-1, states * actions).T
    # The discount is below 1, so no potential but 0 leaves every mean as it is: full column rank.
    potential = np.linalg.lstsq(rows, -targets, rcond=None)[0].T.reshape(*mean.shape[:-2], states)
    shaped = mean + np.einsum("sat,...t->...sa", shaping, potential)
    return (shaped / squares)[..., None] * transition


def minimal_potential(
    transition: np.ndarray, reward: np.ndarray, *, gamma: float, norm: Norm | str = Norm.L2
) -> np.ndarray:
    """Return ``R + gamma * Phi(s') - Phi(s)`` with the Phi that minimises a norm.

    It removes shaping but not redistribution. For the two L2 norms it is exact and linear in the
    reward. For the others a linear program is solved per reward; where it has several solutions,
    which one is returned is up to the solver, and rewards that differ by shaping alone may then
    come out different.

    Args:
        transition: ``[S, A, S]``.
        reward: ``[..., S, A, S]``.
        gamma: discount in [0, 1).
        norm: which norm, see `Norm`.

    Raises:
        UserError: norm ``0``, which is none, or the solver failed.
    """
    transition = checked_transition(transition)
    reward, gamma = checked_reward(reward, transition), checked_discount(gamma)
    norm = Norm.of(norm)
    if norm is Norm.NONE:
        raise UserError("minimal_potential minimises a norm, and '0' is none. Try '2'.")
    if norm in (Norm.L2, Norm.WEIGHTED_2):
        weights = transition if norm is Norm.WEIGHTED_2 else np.ones_like(transition)
        potential = _least_squares(reward, weights, gamma)
    else:
        flat = reward.reshape(-1, *transition.shape)
        found = [_linear_program(one, transition, norm, gamma) for one in flat]
        potential = np.array(found).reshape(*reward.shape[:-3], transition.shape[0])
    return reward + gamma * potential[..., None, None, :] - potential[..., :, None, None]


def _least_squares(reward: np.ndarray, weights: np.ndarray, gamma: float) -> np.ndarray:
    """Return the potential ``[..., S]`` that minimises the weighted sum of squares."""
    pairs = weights.sum(axis=1)
    weighted = (weights * reward).sum(axis=-2)
    normal = np.diag(pairs.sum(axis=1) + gamma**2 * pairs.sum(axis=0)) - gamma * (pairs + pairs.T)
    right = weighted.sum(axis=-1) - gamma * weighted.sum(axis=-2)
    return np.linalg.solve(normal, right[..., None])[..., 0]


def _linear_program(
    reward: np.ndarray, transition: np.ndarray, norm: Norm, gamma: float
) -> np.ndarray:
    """Return the potential ``[S]`` that minimises an L1 or Linf norm of one reward."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, hstack, identity, vstack

    states = len(reward)
    weights = transition if norm in (Norm.WEIGHTED_1, Norm.WEIGHTED_INF) else None
    weight = np.ones(reward.size) if weights is None else weights.reshape(-1)
    used = np.flatnonzero(weight)
    before, _, after = (index.reshape(-1)[used] for index in np.indices(reward.shape))
    row = np.arange(used.size)
    values = np.concatenate([gamma * weight[used], -weight[used]])
    # Entries of the same place are added, which is right for s' = s.
    shaping = csr_matrix(
        (values, (np.concatenate([row, row]), np.concatenate([after, before]))),
        shape=(used.size, states),
    )
    target = (weight * reward.reshape(-1))[used]
    # Bounds on the absolute values: one per entry for L1, one for all of them for Linf.
    summed = norm in (Norm.L1, Norm.WEIGHTED_1)
    bound = -identity(used.size, format="csr") if summed else csr_matrix(-np.ones((used.size, 1)))
    bounds = bound.shape[1]
    result = linprog(
        np.concatenate([np.zeros(states), np.ones(bounds)]),
        A_ub=vstack([hstack([shaping, bound]), hstack([-shaping, bound])]),
        b_ub=np.concatenate([-target, target]),
        bounds=[(None, None)] * states + [(0, None)] * bounds,
        method="highs",
    )
    if not result.success:
        raise UserError(f"No potential that minimises the {norm} norm was found: {result.message}")
    return result.x[:states]
