"""Distances between rewards from samples of any environment, with their errors and noise floor.

Nothing here steps an environment: it gets arrays of transitions under a fixed policy, and of
actions tried in the same states. N counts transitions, n states, K actions tried in a state, M
successors drawn for an action, R rewards, D sizes of an observation, G groups of samples.

All forms are linear in the reward, so that they are computed for all rewards at once, and
estimated from the same samples for all of them: equal rewards are at distance 0, and errors that
two rewards share cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from reward_models.compare.distance import pearson_distance
from reward_models.compare.features import FourierFeatures
from reward_models.compare.norms import Norm
from reward_models.errors import UserError

Form = Callable[[int | None], np.ndarray]
"""Canonical values ``[n, K, M, R]`` of all rewards; with a group, as if it had not been sampled."""

PEARSON = "pearson"
"""Names the published distance of EPIC and DARD, in place of a norm."""

# Relative: rewards are computed in float32.
_ZERO = 1e-8


@final
@dataclass(frozen=True, eq=False)
class Visits:
    """Transitions under the fixed policy whose values level the rewards.

    Attributes:
        observations: ``[N, D]``.
        next_observations: ``[N, D]``, the true successors.
        continues: ``[N]``: 0 where the task ended (nothing follows), else 1, also at time limits.
        rewards: ``[N, R]``.
        groups: int ``[N]``: which of the G groups, from 0; samples of different groups should be
            independent (other episodes).
    """

    observations: np.ndarray
    next_observations: np.ndarray
    continues: np.ndarray
    rewards: np.ndarray
    groups: np.ndarray


@final
@dataclass(frozen=True, eq=False)
class Tried:
    """States in which K actions of the fixed policy were tried, M times each.

    Attributes:
        observations: ``[n, D]``.
        next_observations: ``[n, K, M, D]``.
        continues: ``[n, K, M]``.
        rewards: ``[n, K, M, R]``.
        groups: int ``[n]``, as in `Visits`.
    """

    observations: np.ndarray
    next_observations: np.ndarray
    continues: np.ndarray
    rewards: np.ndarray
    groups: np.ndarray


@final
class SampledVal:
    """The VAL form ``E_{s'}[R - V(s) + gamma * V(s')]`` with V from least squares.

    V is linear in random features and solves the projected Bellman equation of the visited
    transitions (LSTD, Bradtke and Barto 1996), one factorisation for all rewards. It is linear in
    the reward, and a potential that is linear in the features changes V by exactly itself, from
    any number of samples: the form of a shaped reward is then that of the reward.

    With more than one action per state, the level V(s) is the mean of ``R + gamma * V(s')`` over
    the actions tried, which is what V(s) is by Bellman's equation and takes the error of V there
    out; with one action it is the value of the features.

    Args:
        visits: for V.
        tried: where the form is taken.
        gamma: discount in [0, 1).
        seed: of the random features.
        features: how many random cosines; by default 512, or a tenth of the transitions.
        ridge: added to the diagonal of the equations, which have entries of about 1/2.
    """

    def __init__(
        self,
        visits: Visits,
        tried: Tried,
        *,
        gamma: float,
        seed: int,
        features: int | None = None,
        ridge: float = 1e-6,
    ) -> None:
        if not 0.0 <= gamma < 1.0:
            raise UserError(f"gamma must lie in [0, 1), got {gamma}; with 1, values are infinite.")
        fitted = min(512, len(visits.observations) // 10) if features is None else features
        phi = FourierFeatures(visits.observations, size=fitted, seed=seed)
        self._tried, self._gamma = tried, gamma
        groups = int(visits.groups.max()) + 1
        size = phi(visits.observations[:1]).shape[-1]
        self._ridge = ridge * np.eye(size)
        self._ridge[0, 0] = 0.0  # the constant is free, so that a constant reward has an exact V
        self._system = np.zeros((groups, size, size))
        self._paid = np.zeros((groups, size, visits.rewards.shape[-1]))
        self._count = np.bincount(visits.groups, minlength=groups).astype(np.float64)
        for group in range(groups):
            rows = visits.groups == group
            now = phi(visits.observations[rows])
            after = phi(visits.next_observations[rows]) * visits.continues[rows, None]
            self._system[group] = now.T @ (now - gamma * after)
            self._paid[group] = now.T @ visits.rewards[rows]
        self._now = phi(tried.observations)
        self._after = phi(tried.next_observations) * tried.continues[..., None]

    def __call__(self, without: int | None = None) -> np.ndarray:
        """Return ``[n, K, M, R]``, of the states and with the V that leave a group out.

        The form is the mean over M; the parts have independent errors of the dynamics.
        """
        groups = np.arange(len(self._count)) != (-1 if without is None else without)
        states = self._tried.groups != (-1 if without is None else without)
        count = self._count[groups].sum()
        system = self._system[groups].sum(axis=0) / count + self._ridge
        weights = np.linalg.solve(system, self._paid[groups].sum(axis=0) / count)
        q = self._tried.rewards[states] + self._gamma * (self._after[states] @ weights)
        if q.shape[1] == 1:
            return q - (self._now[states] @ weights)[:, None, None]
        return q - q.mean(axis=1, keepdims=True)


def epic_form(
    rewards: np.ndarray,
    outgoing: np.ndarray,
    next_outgoing: np.ndarray,
    mean_outgoing: np.ndarray,
    gamma: float,
) -> np.ndarray:
    """Return the EPIC form of samples, ``[n, R]``.

    Args:
        rewards: ``R(s, a, s')``, ``[n, R]``.
        outgoing: mean of ``R(s, A, S')`` over sampled A and S', ``[n, R]``.
        next_outgoing: mean of ``R(s', A, S')``, ``[n, R]``; 0 where the task ended.
        mean_outgoing: mean of ``R(S, A, S')`` over sampled S as well, ``[R]``.
        gamma: discount.
    """
    return rewards + gamma * next_outgoing - outgoing - gamma * mean_outgoing


def dard_form(
    rewards: np.ndarray,
    outgoing: np.ndarray,
    next_outgoing: np.ndarray,
    across: np.ndarray,
    gamma: float,
) -> np.ndarray:
    """Return the DARD form of samples, ``[n, R]``.

    Args:
        rewards: ``R(s, a, s')``, ``[n, R]``.
        outgoing: mean of ``R(s, A, S')`` over sampled A and the S' that follow s, ``[n, R]``.
        next_outgoing: mean of ``R(s', A, S'')`` with the S'' that follow s', ``[n, R]``.
        across: mean of ``R(S', A, S'')`` with the same A, S' and S'', ``[n, R]``.
        gamma: discount.
    """
    return rewards + gamma * next_outgoing - outgoing - gamma * across


def fixed_form(values: np.ndarray, groups: np.ndarray) -> Form:
    """Return a `Form` of values ``[n, R]`` that were computed state by state."""
    values = values[:, None, None]

    def form(without: int | None = None) -> np.ndarray:
        return values if without is None else values[groups != without]

    return form


@final
@dataclass(frozen=True, eq=False)
class SampledDistances:
    """Distances between R rewards, estimated.

    Attributes:
        distance: ``[R, R]``.
        error: their standard errors, ``[R, R]``, from leaving out one group of samples at a time
            (the jackknife): features, the choice of states and potentials are taken as given.
        floor: distance of each reward to copies of itself with a random potential whose shaping
            has the deviation of the reward, mean over the copies, ``[R]``. The true VAL distance
            is 0, so smaller distances than this are noise (of larger or rougher potentials there
            remains more). 0 where ``trivial``.
        trivial: bool ``[R]``: the canonical form is 0 up to rounding; the reward orders nothing.
    """

    distance: np.ndarray
    error: np.ndarray
    floor: np.ndarray
    trivial: np.ndarray


def sampled_distances(
    form: Form,
    combine: np.ndarray,
    deviations: np.ndarray,
    scales: np.ndarray,
    *,
    groups: int,
    norm: Norm | str = Norm.L2,
    distance: Norm | str = Norm.L2,
) -> SampledDistances:
    """Estimate the distances between rewards from their canonical forms.

    ``n(c) = (mean |c|^p)^(1/p)`` over the samples, and the maximum for ``inf``; samples come from
    the dynamics, so the weighted norms are the same as the others.

    Where an action was tried several times, inner products are taken between different outcomes,
    whose errors are independent: for L2 as norm and distance the randomness of the dynamics then
    does not make rewards look farther apart than they are. Other norms have that bias.

    Args:
        form: of the columns: U rewards, then C shaping terms of deviation 1.
        combine: ``[R, U]``: the rewards to compare, as sums of the columns.
        deviations: ``[R]``: of each reward over the transitions, for the floor; 0 for a constant.
        scales: ``[R]``: the largest number that went into each form, which says what is rounding.
        groups: G, at least 2.
        norm: to scale by; ``0`` does not scale.
        distance: of the difference, or ``"pearson"``.

    Raises:
        UserError: an unknown norm, or ``0`` as the distance.
    """
    norm = Norm.of(norm)
    distance = distance if distance == PEARSON else Norm.of(distance)
    if distance is Norm.NONE:
        raise UserError("The distance needs a norm; '0' (no norm) is only for the scaling.")
    rewards, columns = combine.shape
    raw = form(None)
    copies = raw.shape[-1] - columns
    width = np.where(deviations > 0, deviations, 1.0)
    # Every reward, and with each shaping term every reward again.
    shaped = [np.hstack([combine, np.zeros((rewards, copies))])]
    for copy in range(copies):
        term = np.zeros((rewards, copies))
        term[:, copy] = width
        shaped.append(np.hstack([combine, term]))
    everything = np.tile(scales, copies + 1)
    found, trivial = _pairs(raw @ np.vstack(shaped).T, norm, distance, _ZERO * everything)
    left_out = np.stack([
        _pairs(form(group) @ shaped[0].T, norm, distance, _ZERO * scales)[0]
        for group in range(groups)
    ])  # fmt: skip
    spread = ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)
    each = np.arange(rewards)
    floors = [found[each, each + (copy + 1) * rewards] for copy in range(copies)]
    floor = np.mean(floors, axis=0) if copies else np.zeros(rewards)
    return SampledDistances(
        distance=found[:rewards, :rewards],
        error=np.sqrt((groups - 1) / groups * spread),
        floor=np.where(trivial[:rewards], 0.0, floor),
        trivial=trivial[:rewards],
    )


def _pairs(
    values: np.ndarray, norm: Norm, distance: Norm | str, rounding: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return all distances ``[R, R]`` among ``[n, K, M, R]``, and which forms are 0 ``[R]``."""
    plain = values.mean(axis=2).reshape(-1, values.shape[-1])
    trivial = _size(plain, Norm.L2) <= rounding
    if distance == PEARSON:
        weights = np.full(len(plain), 1.0 / len(plain))
        columns = plain.T
        return np.stack([pearson_distance(one, columns, weights) for one in columns]), trivial
    squared = (Norm.L2, Norm.WEIGHTED_2)
    if values.shape[2] > 1 and distance in squared and norm in (*squared, Norm.NONE):
        return _from_products(_products(values), norm, trivial)
    if norm is not Norm.NONE:
        size = np.where(trivial, 1.0, _size(plain, norm))
        plain = np.where(trivial, 0.0, plain / size)
    measure = Norm.of(distance)
    return np.stack([_size(one[:, None] - plain, measure) for one in plain.T]), trivial


def _products(values: np.ndarray) -> np.ndarray:
    """Return the mean inner products ``[R, R]`` of different outcomes of an action."""
    outcomes = values.shape[2]
    total = values.sum(axis=2).reshape(-1, values.shape[-1])
    same = values.reshape(-1, values.shape[-1])
    return (total.T @ total - same.T @ same) / (len(total) * outcomes * (outcomes - 1))


def _from_products(
    products: np.ndarray, norm: Norm, trivial: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    squares = products.diagonal()
    # A form whose outcomes agree no more than by chance has no size that is above the noise.
    trivial = trivial | (squares <= 0.0)
    scale = np.where(trivial, 0.0, 1.0)
    if norm is not Norm.NONE:
        scale = scale / np.sqrt(np.where(trivial, 1.0, squares))
    scaled = products * scale[:, None] * scale
    squares = scaled.diagonal()
    found = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * scaled, 0.0))
    np.fill_diagonal(found, 0.0)
    return found, trivial


def _size(values: np.ndarray, norm: Norm) -> np.ndarray:
    """Return the norm of each column ``[n, R]``, as a mean over the samples."""
    absolute = np.abs(values)
    if norm in (Norm.INF, Norm.WEIGHTED_INF):
        return absolute.max(axis=0)
    if norm in (Norm.L1, Norm.WEIGHTED_1):
        return absolute.mean(axis=0)
    return np.sqrt((absolute**2).mean(axis=0))
