"""Norms of a reward, by which it is scaled and in which differences are measured."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from reward_models.compare.tables import Numbers
from reward_models.errors import UnknownNameError, UserError


class Norm(StrEnum):
    """Over all entries, or weighted by how likely each next state is."""

    L1 = "1"
    """Sum of absolute values."""
    L2 = "2"
    """Root of the sum of squares."""
    INF = "inf"
    """Largest absolute value."""
    WEIGHTED_1 = "weighted_1"
    """``sum P(s' | s, a) * |x|``."""
    WEIGHTED_2 = "weighted_2"
    """``(sum P(s' | s, a) * x^2)^(1/2)``."""
    WEIGHTED_INF = "weighted_inf"
    """``max P(s' | s, a) * |x|``."""
    NONE = "0"
    """No scaling; only to scale by, not to measure with."""

    @classmethod
    def of(cls, name: str) -> Norm:
        """Return the norm called ``name``.

        Raises:
            UnknownNameError: there is none, with the nearest one.
        """
        if name not in tuple(cls):
            raise UnknownNameError("norm", name, tuple(cls))
        return cls(name)


def norm_of(values: np.ndarray, norm: Norm | str, transition: np.ndarray) -> Numbers:
    """Return the norm of each array, ``[...]``.

    Args:
        values: ``[..., S, A, S]``.
        norm: which norm.
        transition: ``[S, A, S]``, for the weighted norms.

    Raises:
        UserError: norm ``0``, which is none.
    """
    absolute = np.abs(values).reshape(*values.shape[:-3], -1)
    weights = transition.reshape(-1)
    match Norm.of(norm):
        case Norm.L1:
            return absolute.sum(axis=-1)
        case Norm.L2:
            return np.sqrt((absolute**2).sum(axis=-1))
        case Norm.INF:
            return absolute.max(axis=-1)
        case Norm.WEIGHTED_1:
            return absolute @ weights
        case Norm.WEIGHTED_2:
            return np.sqrt(absolute**2 @ weights)
        case Norm.WEIGHTED_INF:
            return (absolute * weights).max(axis=-1)
        case Norm.NONE:
            raise UserError("'0' is no norm: it means that rewards are not scaled. Try '2'.")


def scaled(
    canonical: np.ndarray, norm: Norm | str, transition: np.ndarray, rounding: Numbers
) -> np.ndarray:
    """Return each array divided by its norm; exactly 0 where the norm is no more than rounding.

    A reward whose canonical form is 0 (a constant, or nothing but shaping) orders no policies. It
    would otherwise be rounding errors blown up to norm 1.

    Args:
        canonical: ``[..., S, A, S]``.
        norm: which norm; ``0`` does not scale.
        transition: ``[S, A, S]``.
        rounding: ``[...]``: how large the rounding errors of an entry are; relative to the reward,
            so that a small one is not taken for none.
    """
    if Norm.of(norm) is Norm.NONE:
        return canonical
    found = norm_of(canonical, norm, transition)
    entries = np.prod(canonical.shape[-3:])
    trivial = norm_of(canonical, Norm.L2, transition) <= np.sqrt(entries) * rounding
    divisor = np.asarray(np.where(trivial, 1.0, found))[..., None, None, None]
    return np.where(np.asarray(trivial)[..., None, None, None], 0.0, canonical / divisor)
