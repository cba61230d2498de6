"""All shapers and loss terms of a run, by name."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ctrl.objectives.hooks import AdvantageShaper, LossTerm, PolicyOutput
from reward_models.errors import TrainingError, UserError
from reward_models.rollout import Rollout


@dataclass(frozen=True)
class Weighted:
    """A loss term and what it is multiplied by.

    Attributes:
        term: the loss term.
        weight: at least 0.
    """

    term: LossTerm
    weight: float = 1.0


class ObjectiveError(TrainingError):
    """A part of the objective broke its contract during training; the message names it."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(f"Part {part!r} of the objective {message}")
        self.part, self.message = part, message


class Objective(torch.nn.Module):
    """A chain of advantage shapers and a weighted sum of loss terms.

    Args:
        parts: shapers, loss terms (weight 1) or `Weighted` terms by name; shapers act in this
            order.

    Raises:
        UserError: a part of another kind, a negative weight or an unusable name.
    """

    def __init__(
        self, parts: Mapping[str, AdvantageShaper | LossTerm | Weighted] | None = None
    ) -> None:
        super().__init__()
        self.shapers = torch.nn.ModuleDict()
        self.terms = torch.nn.ModuleDict()
        self.weights: dict[str, float] = {}
        for name, part in (parts or {}).items():
            if not name or "." in name or "/" in name:
                raise UserError(f"A part's name must be non-empty without '.' or '/': {name!r}.")
            if isinstance(part, AdvantageShaper):
                self.shapers[name] = part
                continue
            weighted = part if isinstance(part, Weighted) else Weighted(part)
            if not isinstance(weighted.term, LossTerm):
                raise UserError(
                    f"objective.{name} must be an AdvantageShaper or a LossTerm, got "
                    f"{type(weighted.term).__name__}."
                )
            if not weighted.weight >= 0.0:
                raise UserError(f"objective.{name}.weight must be >= 0, got {weighted.weight}.")
            self.terms[name] = weighted.term
            self.weights[name] = float(weighted.weight)
        modules: list[Any] = [*self.shapers.values(), *self.terms.values()]
        self.requires: frozenset[str] = frozenset().union(*(part.requires for part in modules))

    @property
    def is_empty(self) -> bool:
        """Nothing is shaped and nothing is added."""
        return not len(self.shapers) and not len(self.terms)

    def bind(self, policy: torch.nn.Module) -> None:
        """Let the loss terms make what depends on the policy."""
        for term in self.terms.values():
            term.bind(policy)  # type: ignore[operator]

    @torch.no_grad()
    def shape(self, rollout: Rollout, advantage: Tensor) -> Tensor:
        """Return the advantages after every shaper, in order.

        Raises:
            ObjectiveError: a shaper returned another shape, or a number on a real step that is
                not finite; names it.
        """
        for name, shaper in self.shapers.items():
            with _naming(name):
                shaped = shaper(rollout, advantage)
            if shaped.shape != advantage.shape:
                raise ObjectiveError(
                    name,
                    f"returned advantages of shape {tuple(shaped.shape)}, expected [T, B] = "
                    f"{tuple(advantage.shape)}.",
                )
            wrong = ~shaped.isfinite() & rollout.mask
            if bool(wrong.any()):
                t, b = (int(index) for index in wrong.nonzero()[0])
                raise ObjectiveError(
                    name, f"returned {float(shaped[t, b])} at time step {t}, column {b}."
                )
            advantage = shaped.detach()
        return advantage

    def loss(
        self, rollout: Rollout, policy_output: PolicyOutput
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the weighted sum of the loss terms, a scalar, and metrics as ``name/metric``.

        Raises:
            ObjectiveError: a term that is no finite scalar; names it.
        """
        total = policy_output.log_prob.new_zeros(())
        metrics: dict[str, float] = {}
        for name, term in self.terms.items():
            with _naming(name):
                value, found = term(rollout, policy_output)
            if value.ndim != 0 or not bool(value.isfinite()):
                raise ObjectiveError(
                    name,
                    f"returned {value.tolist() if value.numel() == 1 else tuple(value.shape)}, "
                    "expected a finite scalar.",
                )
            total = total + self.weights[name] * value
            metrics[f"{name}/loss"] = float(value.detach())
            metrics.update({f"{name}/{key}": float(number) for key, number in found.items()})
        return total, metrics

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Let every part learn from a finished rollout; return metrics as ``name/metric``."""
        metrics: dict[str, float] = {}
        for name, part in (*self.shapers.items(), *self.terms.items()):
            with _naming(name):
                found: dict[str, float] = part.update(rollout)  # type: ignore[operator]
            metrics.update({f"{name}/{key}": float(number) for key, number in found.items()})
        return metrics


@contextmanager
def _naming(name: str) -> Any:
    """Name the part in an error that it raises.

    Raises:
        ObjectiveError: whatever it raised, but for errors that already name a cure.
    """
    try:
        yield
    except (UserError, TrainingError):
        raise
    except Exception as error:
        raise ObjectiveError(name, f"raised {type(error).__name__}: {error}") from error
