"""Canonical forms of a reward: what is left of it without what cannot change the best policies.

Potential shaping ``R + gamma * Phi(s') - Phi(s)`` and redistribution over the next state (any
change with mean 0 under the transition probabilities) leave the order of all policies as it is. A
canonicalisation maps rewards that differ by these to the same array. The full ones (`val`,
`minimal`) remove both; `val_potential`, `epic`, `dard` and `minimal_potential` remove shaping only.

All functions take float64 arrays ``transition [S, A, S]`` and ``reward [..., S, A, S]`` (leading
axes are further rewards over the same world) and return an array like ``reward``. All but
`minimal_potential` under the L1 and Linf norms are linear in the reward.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from reward_models.compare.minimal import minimal, minimal_potential
from reward_models.compare.norms import Norm
from reward_models.compare.regret import evaluate_policy
from reward_models.compare.tables import (
    checked_discount,
    checked_policy,
    checked_reward,
    checked_transition,
    checked_weights,
    expected_reward,
)
from reward_models.errors import UnknownNameError

__all__ = [
    "Canonical",
    "canonicalise",
    "dard",
    "epic",
    "minimal",
    "minimal_potential",
    "val",
    "val_potential",
]


class Canonical(StrEnum):
    """Which canonical form is compared."""

    VAL = "val"
    """Value-adjusted levelling: the advantage of a fixed policy; removes all that it may."""
    VAL_POTENTIAL = "val_potential"
    """Shaping by the value of a fixed policy, without the mean over the next state."""
    EPIC = "epic"
    """Mean reward between independently drawn states; needs no transition probabilities."""
    DARD = "dard"
    """Mean reward between the possible successors of both states of a transition."""
    MINIMAL = "minimal"
    """The equivalent reward of the smallest L2 norm; removes all that it may."""
    MINIMAL_POTENTIAL = "minimal_potential"
    """The shaped reward of the smallest norm."""
    NONE = "none"
    """The reward itself."""

    @classmethod
    def of(cls, name: str) -> Canonical:
        """Return the form called ``name``.

        Raises:
            UnknownNameError: there is none, with the nearest one.
        """
        if name not in tuple(cls):
            raise UnknownNameError("canonicalisation", name, tuple(cls))
        return cls(name)


def val(
    transition: np.ndarray,
    reward: np.ndarray,
    *,
    gamma: float,
    policy: np.ndarray | None = None,
) -> np.ndarray:
    """Return ``E_{s'}[R(s, a, s') - V(s) + gamma * V(s')]`` with V of a fixed policy and this R.

    It equals the advantage of the policy, is the same for every next state, and averages to 0
    under the policy in every state. Rewards have the same form exactly when they differ by
    shaping and redistribution.

    Args:
        transition: ``[S, A, S]``.
        reward: ``[..., S, A, S]``.
        gamma: discount in [0, 1).
        policy: ``[S, A]``; uniform when None. It must not depend on the reward: the best policy of
            each reward would give a form that is neither linear nor right.
    """
    transition, reward, gamma = _checked(transition, reward, gamma)
    value = evaluate_policy(transition, reward, checked_policy(policy, transition.shape), gamma)
    following = np.einsum("sat,...t->...sa", transition, value)
    advantage = expected_reward(transition, reward) - value[..., None] + gamma * following
    return np.repeat(advantage[..., None], transition.shape[0], axis=-1)


def val_potential(
    transition: np.ndarray,
    reward: np.ndarray,
    *,
    gamma: float,
    policy: np.ndarray | None = None,
) -> np.ndarray:
    """Return ``R(s, a, s') - V(s) + gamma * V(s')``: `val` without the mean over the next state.

    It removes shaping but not redistribution. Arguments as for `val`.
    """
    transition, reward, gamma = _checked(transition, reward, gamma)
    value = evaluate_policy(transition, reward, checked_policy(policy, transition.shape), gamma)
    return _shaped(reward, value, gamma)


def epic(
    transition: np.ndarray,
    reward: np.ndarray,
    *,
    gamma: float,
    states: np.ndarray | None = None,
    actions: np.ndarray | None = None,
) -> np.ndarray:
    """Return the form of EPIC (Gleave et al. 2021, definition 4.2).

    ``R(s, a, s') + E[gamma * R(s', A, S') - R(s, A, S') - gamma * R(S, A, S')]`` with S, S' from
    ``states`` and A from ``actions``, all independent. The transition probabilities do not enter.

    Args:
        transition: ``[S, A, S]``.
        reward: ``[..., S, A, S]``.
        gamma: discount in [0, 1).
        states: ``D_S [S]``; uniform when None.
        actions: ``D_A [A]``; uniform when None.
    """
    transition, reward, gamma = _checked(transition, reward, gamma)
    states = checked_weights("The distribution of states", states, transition.shape[0])
    actions = checked_weights("The distribution of actions", actions, transition.shape[1])
    outgoing = np.einsum("...sat,a,t->...s", reward, actions, states)
    return _shaped(reward, outgoing, gamma) - gamma * (outgoing @ states)[..., None, None, None]


def dard(
    transition: np.ndarray,
    reward: np.ndarray,
    *,
    gamma: float,
    actions: np.ndarray | None = None,
) -> np.ndarray:
    """Return the form of DARD (Wulfe et al. 2022, definition 4).

    ``R(s, a, s') + E[gamma * R(s', A, S'') - R(s, A, S') - gamma * R(S', A, S'')]`` with A from
    ``actions`` (the same for both steps), ``S' ~ P(s, A)`` and ``S'' ~ P(s', A)``.

    Args:
        transition: ``[S, A, S]``.
        reward: ``[..., S, A, S]``.
        gamma: discount in [0, 1).
        actions: ``D_A [A]``; uniform when None.
    """
    transition, reward, gamma = _checked(transition, reward, gamma)
    actions = checked_weights("The distribution of actions", actions, transition.shape[1])
    outgoing = expected_reward(transition, reward) @ actions
    by_action = np.moveaxis(transition, 1, 0)
    # Sum over x and y of P(x | s, a) * P(y | t, a) * R(x, a, y), for every pair of s and t.
    between = by_action @ np.moveaxis(reward, -2, -3) @ np.swapaxes(by_action, -1, -2)
    across = np.einsum("a,...ast->...st", actions, between)
    return _shaped(reward, outgoing, gamma) - gamma * across[..., :, None, :]


def canonicalise(
    canonical: Canonical | str,
    transition: np.ndarray,
    reward: np.ndarray,
    *,
    gamma: float,
    policy: np.ndarray | None = None,
    states: np.ndarray | None = None,
    actions: np.ndarray | None = None,
    norm: Norm | str = Norm.L2,
) -> np.ndarray:
    """Return a canonical form by name; each form takes, of the arguments, those it knows.

    Args:
        canonical: which form.
        transition: ``[S, A, S]``.
        reward: ``[..., S, A, S]``.
        gamma: discount in [0, 1).
        policy: of the two ``val`` forms.
        states: of ``epic``.
        actions: of ``epic`` and ``dard``.
        norm: of ``minimal_potential``.

    Raises:
        UserError: arrays that are no world or no reward over it, or gamma outside [0, 1).
    """
    match Canonical.of(canonical):
        case Canonical.VAL:
            return val(transition, reward, gamma=gamma, policy=policy)
        case Canonical.VAL_POTENTIAL:
            return val_potential(transition, reward, gamma=gamma, policy=policy)
        case Canonical.EPIC:
            return epic(transition, reward, gamma=gamma, states=states, actions=actions)
        case Canonical.DARD:
            return dard(transition, reward, gamma=gamma, actions=actions)
        case Canonical.MINIMAL:
            return minimal(transition, reward, gamma=gamma)
        case Canonical.MINIMAL_POTENTIAL:
            return minimal_potential(transition, reward, gamma=gamma, norm=norm)
        case Canonical.NONE:
            return np.array(_checked(transition, reward, gamma)[1])


def _shaped(reward: np.ndarray, potential: np.ndarray, gamma: float) -> np.ndarray:
    """Return ``R + gamma * Phi(s') - Phi(s)`` with ``potential [..., S]``."""
    after, before = potential[..., None, None, :], potential[..., :, None, None]
    return reward + gamma * after - before


def _checked(
    transition: np.ndarray, reward: np.ndarray, gamma: float
) -> tuple[np.ndarray, np.ndarray, float]:
    transition = checked_transition(transition)
    return transition, checked_reward(reward, transition), checked_discount(gamma)
