"""How far a behaviour is from what was seen before: the mean distance to its neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from reward_models.errors import UserError


def novelty(
    points: NDArray[np.floating],
    references: NDArray[np.floating],
    k: int = 15,
    *,
    drop_nearest: bool = True,
) -> NDArray[np.float64]:
    """Return the mean Euclidean distance of every point to its ``k`` nearest references.

    ``N(x) = mean(d_1 ... d_k)`` over the ascending distances ``d_0 <= d_1 <= ...`` of ``x`` to the
    references (Lehman and Stanley 2011; without ``d_0``, which is ``x`` itself or a duplicate, as
    in Paolo et al. 2021). It does not depend on the order of the references nor on the origin, and
    scales with the unit of length.

    Args:
        points: descriptors ``[n, b]``; none (``n = 0``) gives an empty answer.
        references: descriptors ``[m, b]`` they are compared with, ``m >= 0``.
        k: neighbours that count; all that there are, while there are fewer.
        drop_nearest: leave out the nearest reference, for points that are references themselves.

    Returns:
        Float64 ``[n]``, not negative; 0 where no reference is left.

    Raises:
        UserError: ``k < 1``, sizes that do not fit each other, or NaN or infinity in a descriptor.
    """
    points, references = _checked("points", points), _checked("references", references)
    if k < 1:
        raise UserError(f"Novelty needs at least k = 1 neighbour, got k = {k}.")
    if points.shape[1] != references.shape[1]:
        raise UserError(
            f"Descriptors must have one length, got points with {points.shape[1]} numbers and "
            f"references with {references.shape[1]}; describe the references again."
        )
    if not len(points) or not len(references):
        return np.zeros(len(points))
    dropped = int(drop_nearest)
    # Splits at the middle of the cell: the other kind takes quadratic time on equal points.
    tree = KDTree(references, balanced_tree=False)
    nearest = tree.query(points, k=range(1 + dropped, k + dropped + 1))[0]
    # Neighbours that do not exist are infinitely far.
    exist = np.isfinite(nearest)
    return np.where(exist, nearest, 0.0).sum(-1) / np.maximum(exist.sum(-1), 1)


def _checked(name: str, descriptors: NDArray[np.floating]) -> NDArray[np.float64]:
    array = np.ascontiguousarray(descriptors, dtype=np.float64)
    if array.ndim != 2 or not array.shape[1]:
        raise UserError(
            f"{name} must be descriptors [n, b] with b >= 1 numbers each, got shape "
            f"{list(array.shape)}."
        )
    if not np.isfinite(array).all():
        raise UserError(
            f"{name} must be finite, got {int((~np.isfinite(array)).any(-1).sum())} of "
            f"{len(array)} descriptors with NaN or infinity."
        )
    return array
