"""The gradient of the outer objective through the optimum of the inner one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from reward_models.errors import UnknownNameError, UserError

Product = Callable[[Tensor], Tensor]
"""``p -> H p`` with the Hessian of the inner objective in the policy's parameters."""

_MOST_EXACT = 500


class Solver(ABC):
    """A way to ``u = (-H)^-1 v`` where only products with ``H`` are known.

    ``H`` is the Hessian of an objective that is maximised: negative definite at a strict optimum,
    so that ``-H`` is positive definite.
    """

    @abstractmethod
    def solve(self, product: Product, vector: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Return ``u``, or an approximation of it."""


@final
@dataclass(frozen=True)
class Neumann(Solver):
    """``u = alpha sum_{j=0..K} (I + alpha H)^j v`` (Gupta et al. 2023, algorithm 1).

    It converges to the solution with ``K`` where ``alpha |lambda|`` is below 2 for every eigenvalue
    of ``H``. Small ``alpha`` with small ``K`` is a damped step near ``alpha (K + 1) v``.

    Attributes:
        alpha: positive.
        terms: ``K``, at least 0; 0 is the first-order step ``alpha v``.
    """

    alpha: float = 1e-3
    terms: int = 5

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        if not 0.0 < self.alpha < float("inf"):
            raise UserError(
                f"alpha of the Neumann series must be positive and finite, got {self.alpha}. "
                "To leave the hypergradient out, use hypergradient: none."
            )
        if self.terms < 0:
            raise UserError(f"terms of the Neumann series must be at least 0, got {self.terms}.")

    def solve(self, product: Product, vector: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Sum the series."""
        power, total = vector, vector.clone()
        for _ in range(self.terms):
            power = power + self.alpha * product(power)
            total = total + power
        return self.alpha * total


@final
@dataclass(frozen=True)
class ConjugateGradient(Solver):
    """Conjugate gradient on ``(-H + damping I) u = v``.

    It stops where the residual is small, after ``iterations``, or at a direction of negative
    curvature, along which ``-H`` is not positive definite: what is found before it is returned, and
    the plain ``v`` where that direction is the first.

    Attributes:
        iterations: most of them, at least 1.
        tolerance: of the residual, relative to ``v``.
        damping: added to every eigenvalue, at least 0.
    """

    iterations: int = 20
    tolerance: float = 1e-10
    damping: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        if self.iterations < 1:
            raise UserError(f"iterations must be at least 1, got {self.iterations}.")
        _check_damping(self.damping)

    def solve(self, product: Product, vector: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Iterate."""
        found, residual = torch.zeros_like(vector), vector.clone()
        direction, squared = residual.clone(), residual @ residual
        limit = self.tolerance**2 * squared
        for iteration in range(self.iterations):
            if squared <= limit:
                break
            image = self.damping * direction - product(direction)
            curvature = direction @ image
            if curvature <= 0:
                return vector if iteration == 0 else found
            length = squared / curvature
            found = found + length * direction
            residual = residual - length * image
            before, squared = squared, residual @ residual
            direction = residual + (squared / before) * direction
        return found


@final
@dataclass(frozen=True)
class Exact(Solver):
    """A dense solve of ``(-H + damping I) u = v`` with the whole Hessian, up to 500 parameters.

    Attributes:
        damping: added to every eigenvalue, at least 0. Without it a Hessian without an inverse
            (a softmax without entropy bonus has one) gives the solution of least norm.
    """

    damping: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a negative damping."""
        _check_damping(self.damping)

    def solve(self, product: Product, vector: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Build the matrix column by column and solve."""
        size = vector.numel()
        if size > _MOST_EXACT:
            raise UserError(
                f"The exact hypergradient is for policies of up to {_MOST_EXACT} parameters, this "
                f"one has {size}. Use hypergradient: neumann or conjugate_gradient."
            )
        unit = torch.eye(size, dtype=vector.dtype, device=vector.device)
        matrix = self.damping * unit - torch.stack([product(row) for row in unit], -1)
        return torch.linalg.lstsq(matrix, vector.unsqueeze(-1), driver="gelsd").solution[:, 0]


SOLVERS: dict[str, type[Solver]] = {
    "neumann": Neumann,
    "conjugate_gradient": ConjugateGradient,
    "exact": Exact,
}


def make_solver(name: str, options: Mapping[str, Any] | None = None) -> Solver | None:
    """Build a solver by name; ``first_order`` is the Neumann series of one term.

    Args:
        name: ``neumann``, ``conjugate_gradient``, ``exact``, ``first_order`` or ``none``.
        options: fields of the class; of ``first_order`` only ``alpha``.

    Returns:
        The solver; None for ``none``, which leaves the outer level to the regulariser alone.

    Raises:
        UnknownNameError: no such solver.
        UserError: an option it does not have or that is out of range.
    """
    options = dict(options or {})
    if name == "none":
        return None
    try:
        if name == "first_order":
            return Neumann(terms=0, **options)
        if name in SOLVERS:
            return SOLVERS[name](**options)
    except TypeError as error:
        raise UserError(f"hypergradient: {name} cannot be built: {error}.") from error
    raise UnknownNameError("hypergradient", name, [*SOLVERS, "first_order", "none"])


def hypergradient(
    inner_gradient: Float[Tensor, " N"],
    outer_gradient: Float[Tensor, " N"],
    *,
    theta: Sequence[Tensor],
    phi: Sequence[Tensor],
    solver: Solver,
) -> list[Tensor]:
    """Return ``dJ_p(theta*(phi)) / dphi = v^T (-H)^-1 d(grad_theta J_phi) / dphi``.

    By the implicit function theorem at an inner optimum, where ``grad_theta J_phi = 0`` (Gupta et
    al. 2023, eq. 6). Products with ``H`` and with the mixed derivative come from autograd; neither
    matrix is built but by the exact solver.

    Args:
        inner_gradient: ``grad_theta J_phi``, one number per parameter in the order of ``theta``,
            built with ``create_graph=True``.
        outer_gradient: ``v = grad_theta J_p``.
        theta: parameters of the policy.
        phi: parameters of the reward and of the discount.
        solver: for ``(-H)^-1 v``.

    Returns:
        One tensor for each of ``phi``, 0 for those that the inner gradient does not depend on. No
        ``.grad`` is touched.

    Raises:
        UserError: a number that is not finite.
    """
    vector = outer_gradient.detach()

    def product(direction: Tensor) -> Tensor:
        found = torch.autograd.grad(
            inner_gradient, theta, direction, retain_graph=True, allow_unused=True,
            materialize_grads=True,
        )  # fmt: skip
        return flat(found)

    implicit = solver.solve(product, vector).detach()
    found = torch.autograd.grad(
        inner_gradient, phi, implicit, allow_unused=True, materialize_grads=True
    )
    parts = {"task's gradient": vector, "inverse Hessian product": implicit, "result": flat(found)}
    for name, part in parts.items():
        if not bool(part.isfinite().all()):
            raise UserError(
                f"The hypergradient is not finite (its {name} is not). Lower alpha (the "
                "series diverges where alpha times the largest curvature is above 2), add damping, "
                "or lower the learning rates."
            )
    return list(found)


def flat(tensors: Sequence[Tensor]) -> Float[Tensor, " N"]:
    """Return all numbers of the tensors, one after the other."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def _check_damping(damping: float) -> None:
    if not 0.0 <= damping < float("inf"):
        raise UserError(f"damping must be at least 0 and finite, got {damping}.")
