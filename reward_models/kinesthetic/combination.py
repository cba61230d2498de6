"""Kinesthetic reward combination: several things that must hold together, as one number."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.combine import Child, Combination
from reward_models.errors import UserError

_TOLERANCE = 1e-3


def kinesthetic_combination(
    components: Sequence[Tensor] | Tensor,
) -> Float[Tensor, "*batch"]:
    """Return ``sgn |c_1 ... c_n|^(1/n)``, the signed geometric mean of Lucy-SKG.

    ``sgn`` is +1 where no component is negative, otherwise -1: two negative components do not make
    a positive whole. The size lies between the smallest and the largest size of a component, and
    one zero makes all of it zero. For two components of which one is never negative, as a closeness
    is, the sign is that of the other one.

    Args:
        components: n of them, ``[...]`` each, or ``[n, ...]``; in [-1, 1]. What lies outside is
            clipped, with a warning when it does so by more than 0.001.

    Returns:
        In [-1, 1], float32 at least.

    Raises:
        UserError: there is no component.
    """
    if len(components) == 0:
        raise UserError("A kinesthetic combination needs at least one component.")
    values = components if isinstance(components, Tensor) else torch.stack(list(components))
    values = values if values.is_floating_point() else values.to(torch.float32)
    size = values.abs()
    if size.numel() and (largest := float(size.max())) > 1.0 + _TOLERANCE:
        warnings.warn(
            f"A component of a kinesthetic combination is {largest:.6g} in size; components must "
            "lie in [-1, 1] and are clipped there.",
            stacklevel=2,
        )
    mean = size.clamp_max(1.0).prod(0) ** (1.0 / len(values))
    return torch.where((values < 0.0).any(0), -mean, mean)


@final
class KinestheticCombination(Combination):
    """`kinesthetic_combination` of any rewards whose values lie in [-1, 1].

    Args:
        models: see `reward_models.combine.Combination`.
    """

    def __init__(self, *, models: Mapping[str, Child] | Sequence[Child]) -> None:
        super().__init__(models=models)

    def combine(self, values: Float[Tensor, "K T B"]) -> Float[Tensor, "T B"]:
        """Combine the children."""
        return kinesthetic_combination(values)
