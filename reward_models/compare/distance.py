"""Distances between rewards of a finite world: STARC, and EPIC and DARD as they were published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from reward_models.compare.canonical import Canonical, canonicalise, dard, epic
from reward_models.compare.norms import Norm, norm_of, scaled
from reward_models.compare.tables import (
    Numbers,
    checked_discount,
    checked_reward,
    checked_transition,
    checked_weights,
)
from reward_models.errors import UserError


@final
@dataclass(frozen=True)
class Metric:
    """A distance between rewards: canonical form, norm to scale by, norm of the difference.

    ``s(R) = c(R) / n(c(R))``, ``d(R1, R2) = m(s(R1) - s(R2))`` (Skalse et al. 2024, definition 4).
    With VAL or Minimal and any of the norms this is a STARC metric: 0 exactly when both rewards
    order all policies alike. With ``n = m`` it lies in [0, 2]; ``d(R, -R) = 2``.

    Attributes:
        canonical: the canonical form c.
        norm: the norm n to scale by; ``0`` does not scale.
        distance: the norm m of the difference. (Names are turned into the enumerations.)
        tolerance: a form smaller than this, per entry and relative to the largest number that went
            into it, is rounding and becomes 0; rewards computed in float32 need about 3e-7.
    """

    canonical: Canonical | str = Canonical.VAL
    norm: Norm | str = Norm.L2
    distance: Norm | str = Norm.L2
    tolerance: float = 1e-12

    def __post_init__(self) -> None:
        """Turn plain names into the enumerations."""
        object.__setattr__(self, "canonical", Canonical.of(self.canonical))
        object.__setattr__(self, "norm", Norm.of(self.norm))
        object.__setattr__(self, "distance", Norm.of(self.distance))
        if self.distance is Norm.NONE:
            raise UserError("The distance needs a norm; '0' (no norm) is only for the scaling.")

    @classmethod
    def of(cls, name: str) -> Metric:
        """Return the metric called ``canonical-norm-distance``, for example ``"VAL-2-2"``.

        Raises:
            UserError: the name does not have three parts.
            UnknownNameError: one of them is unknown.
        """
        parts = name.lower().split("-")
        if len(parts) != 3:
            raise UserError(
                f"A metric is named canonical-norm-distance like VAL-2-2, got {name!r}."
            )
        return cls(Canonical.of(parts[0]), Norm.of(parts[1]), Norm.of(parts[2]))

    @property
    def name(self) -> str:
        """``canonical-norm-distance``."""
        return f"{self.canonical.upper()}-{self.norm}-{self.distance}"

    def standardise(
        self,
        transition: np.ndarray,
        reward: np.ndarray,
        *,
        gamma: float,
        policy: np.ndarray | None = None,
        states: np.ndarray | None = None,
        actions: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return ``c(R) / n(c(R))``, float64 ``[..., S, A, S]``; 0 for a reward without content.

        Args:
            transition: ``[S, A, S]``.
            reward: ``[..., S, A, S]``.
            gamma: discount in [0, 1).
            policy: of VAL, ``[S, A]``; uniform when None.
            states: ``D_S`` of EPIC, ``[S]``; uniform when None.
            actions: ``D_A`` of EPIC and DARD, ``[A]``; uniform when None.

        Raises:
            UserError: arrays that are no world or no reward over it, or gamma outside [0, 1).
        """
        transition = checked_transition(transition)
        reward = checked_reward(reward, transition)
        form = canonicalise(
            self.canonical, transition, reward, gamma=gamma, policy=policy, states=states,
            actions=actions, norm=Norm.L2 if self.norm is Norm.NONE else self.norm,
        )  # fmt: skip
        size = np.abs(reward).max(axis=(-3, -2, -1)) / (1.0 - checked_discount(gamma))
        return scaled(form, self.norm, transition, self.tolerance * size)

    def between(
        self,
        transition: np.ndarray,
        first: np.ndarray,
        second: np.ndarray,
        *,
        gamma: float,
        policy: np.ndarray | None = None,
        states: np.ndarray | None = None,
        actions: np.ndarray | None = None,
    ) -> Numbers:
        """Return the distances of rewards, float64 ``[...]`` (leading axes are broadcast).

        Arguments and errors as for `standardise`.
        """
        one, other = (
            self.standardise(
                transition, reward, gamma=gamma, policy=policy, states=states, actions=actions
            )
            for reward in (first, second)
        )
        return norm_of(one - other, self.distance, np.asarray(transition, dtype=np.float64))

    def matrix(
        self,
        transition: np.ndarray,
        rewards: Sequence[np.ndarray] | np.ndarray,
        *,
        gamma: float,
        policy: np.ndarray | None = None,
        states: np.ndarray | None = None,
        actions: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return all distances among N rewards ``[S, A, S]``, float64 ``[N, N]``.

        Arguments and errors as for `standardise`.
        """
        transition = checked_transition(transition)
        # One by one, so that the one that does not fit is named and not the array they would make.
        stacked = np.stack([checked_reward(reward, transition) for reward in rewards])
        forms = self.standardise(
            transition, stacked, gamma=gamma, policy=policy, states=states, actions=actions
        )
        return np.stack([norm_of(forms - form, self.distance, transition) for form in forms])


STARC = Metric()
"""VAL-2-2, the metric that the authors of STARC recommend."""


def epic_distance(
    transition: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    gamma: float,
    coverage: np.ndarray | None = None,
) -> Numbers:
    """Return the EPIC distance as published (Gleave et al. 2021, definition 4.7), in [0, 1].

    ``sqrt((1 - rho) / 2)`` with Pearson's correlation rho of the canonical forms over a coverage
    distribution D of transitions; the form uses the states and actions of D.

    Args:
        transition: ``[S, A, S]``; only its shape is used.
        first: ``[..., S, A, S]``.
        second: ``[..., S, A, S]``.
        gamma: discount in [0, 1).
        coverage: D ``[S, A, S]``, probabilities; uniform over all transitions, possible or not,
            when None.
    """
    shape = checked_transition(transition).shape
    size = int(np.prod(shape))
    flat = None if coverage is None else np.asarray(coverage, dtype=np.float64).reshape(-1)
    weights = checked_weights("The coverage", flat, size).reshape(shape)
    states, actions = weights.sum(axis=(1, 2)), weights.sum(axis=(0, 2))
    one, other = (
        epic(transition, reward, gamma=gamma, states=states, actions=actions)
        for reward in (first, second)
    )
    return pearson_distance(one, other, weights)


def dard_distance(
    transition: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    gamma: float,
    coverage: np.ndarray | None = None,
) -> Numbers:
    """Return the DARD distance as published (Wulfe et al. 2022, definition 5), in [0, 1].

    Like `epic_distance`, with the form of DARD and a coverage of possible transitions.

    Args:
        transition: ``[S, A, S]``.
        first: ``[..., S, A, S]``.
        second: ``[..., S, A, S]``.
        gamma: discount in [0, 1).
        coverage: probabilities of state and action ``[S, A]``, uniform when None; the next state
            comes from ``transition``.
    """
    transition = checked_transition(transition)
    shape = transition.shape[:2]
    flat = None if coverage is None else np.asarray(coverage, dtype=np.float64).reshape(-1)
    taken = checked_weights("The coverage", flat, shape[0] * shape[1]).reshape(shape)
    one, other = (
        dard(transition, reward, gamma=gamma, actions=taken.sum(axis=0))
        for reward in (first, second)
    )
    return pearson_distance(one, other, taken[..., None] * transition)


def pearson_distance(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> Numbers:
    """Return ``sqrt((1 - rho) / 2)`` with the weighted correlation rho of two arrays, in [0, 1].

    A constant array correlates with nothing: ``rho = 0``, or 1 between two constants.

    Args:
        first: ``[..., S, A, S]``, or samples ``[..., N]`` when ``weights`` has one axis.
        second: like ``first``.
        weights: probabilities of the entries.
    """
    axes = tuple(range(-weights.ndim, 0))

    def centred(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values = values - (weights * values).sum(axis=axes, keepdims=True)
        deviation = np.sqrt((weights * values**2).sum(axis=axes, keepdims=True))
        constant = deviation <= 1e-12 * np.maximum(1.0, np.abs(values).max(axes, keepdims=True))
        scaled_values = np.where(constant, 0.0, values / np.where(constant, 1.0, deviation))
        return scaled_values, constant[(..., *(0,) * weights.ndim)]

    (one, constant), (other, also) = centred(first), centred(second)
    correlation = np.where(constant & also, 1.0, (weights * one * other).sum(axis=axes))
    return np.sqrt(np.clip(1.0 - correlation, 0.0, 2.0) / 2.0)
