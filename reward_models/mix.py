"""Named reward terms, combined, with the books kept apart."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reward_models.base import Order, RewardModel, as_reward_model, checked_output
from reward_models.errors import RewardError, UserError
from reward_models.rollout import Rollout
from reward_models.scale import RunningScale, Scale
from reward_models.schedules import Schedule, as_schedule

TASK = "task"
"""Name of the term that is the environment's own reward."""

_Raw = tuple[Tensor, Tensor, dict[str, Tensor]]
"""One term's raw values, where they are defined, and its other extras."""


class TaskReward(RewardModel):
    """The environment's own reward, as a term like any other."""

    task_free = False
    goal_relabelling = True

    def forward(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return ``rollout.reward``."""
        return rollout.reward


@dataclass(frozen=True)
class Term:
    """One reward term of a mix.

    Attributes:
        model: a reward model or a plain function.
        weight: factor, or a schedule over environment steps.
        scale: what the raw values are divided by before weighting (``Scale``); None takes the
            model's ``preferred_scale``.
        gate: optional model or function whose value multiplies the term, for example 0 or 1.
    """

    model: RewardModel | Callable[..., Any]
    weight: float | Schedule | Mapping[str, Any] = 1.0
    scale: Scale | str | None = None
    gate: RewardModel | Callable[..., Any] | None = None


@dataclass(frozen=True)
class MixedReward:
    """The rewards of one rollout, the terms kept apart (``K`` terms, in the order of ``names``).

    Attributes:
        names: the terms.
        raw: what each model returned, ``[T, B, K]``; zero where undefined or on padding.
        gates: what each term's gate returned (1 without one), ``[T, B, K]``, or None without gates.
        weights: weight of each term at this step of training, ``[K]``.
        divisors: what each term's raw values are divided by, ``[K]``.
        defined: false where a term has nothing to say, ``[T, B, K]``.
        total: the sum that the learner maximises, ``[T, B]``.
        keep: false where the step leaves every loss and statistic, ``[T, B]``, or None.
        extras: further named arrays ``[T, B]`` per term, as ``term/name``.
    """

    names: tuple[str, ...]
    raw: Float[Tensor, "T B K"]
    gates: Float[Tensor, "T B K"] | None
    weights: Float[Tensor, " K"]
    divisors: Float[Tensor, " K"]
    defined: Bool[Tensor, "T B K"]
    total: Float[Tensor, "T B"]
    keep: Bool[Tensor, "T B"] | None
    extras: dict[str, Tensor]

    def contributions(self) -> Float[Tensor, "T B K"]:
        """Return what each term adds to the total: ``gate * weight * raw / divisor``."""
        table = self.raw * (self.weights / self.divisors)
        return table if self.gates is None else table * self.gates


class RewardMix(torch.nn.Module):
    """Named reward terms whose weighted sum is what the learner maximises.

    ``total = sum_k gate_k * weight_k(steps) * raw_k / divisor_k``

    ``task``, the environment's own reward, is a term like any other; it is there with weight 1
    unless given. Rewards are never summed before this point, so every log, ledger and learner can
    have the parts.

    Args:
        terms: name -> ``Term``, or a model or plain function (weight 1), or a number (only for
            ``task``: its weight).
        gamma: the learner's discount; potentials and the return scale use it.

    Raises:
        UserError: an unusable name, weight or discount.

    Example:
        >>> import torch
        >>> mix = RewardMix({"effort": Term(lambda action: -action.square().sum(-1), weight=0.1)},
        ...                 gamma=0.99)
        >>> mix.names
        ('task', 'effort')
    """

    def __init__(
        self,
        terms: Mapping[str, Term | RewardModel | Callable[..., Any] | float] | None = None,
        *,
        gamma: float,
    ) -> None:
        super().__init__()
        if not 0.0 <= gamma <= 1.0:
            raise UserError(f"gamma must lie in [0, 1], got {gamma}.")
        self.gamma = gamma
        self.steps = 0
        given = {name: _as_term(name, term) for name, term in (terms or {}).items()}
        ordered = {TASK: given.pop(TASK, Term(TaskReward())), **given}
        self.names: tuple[str, ...] = tuple(ordered)
        self.models = torch.nn.ModuleDict()
        self.scales = torch.nn.ModuleDict()
        self.gates = torch.nn.ModuleDict()
        self.weights: dict[str, Schedule] = {}
        for name, term in ordered.items():
            if not name or "." in name or "/" in name:
                raise UserError(f"A term's name must be non-empty without '.' or '/': {name!r}.")
            if hasattr(self.models, name):
                raise UserError(f"{name!r} cannot name a term (torch uses it itself); rename it.")
            model = as_reward_model(term.model)
            model.bind_discount(gamma)
            self.models[name] = model
            scale = model.preferred_scale if term.scale is None else term.scale
            self.scales[name] = RunningScale(kind=scale, gamma=gamma)
            self.weights[name] = as_schedule(term.weight)
            if term.gate is not None:
                gate = as_reward_model(term.gate)
                gate.bind_discount(gamma)
                self.gates[name] = gate
        # With the task alone at weight 1 the total is the reward itself, to the last bit.
        self._only_task = (
            self.names == (TASK,)
            and isinstance(self.models[TASK], TaskReward)
            and self.scales[TASK].kind is Scale.NONE
            and not len(self.gates)
            and as_schedule(ordered[TASK].weight) == as_schedule(1.0)
        )

    # -- what the terms declare -------------------------------------------------------------

    def _all_models(self) -> list[tuple[str, RewardModel]]:
        gates = [(f"gate of {name}", gate) for name, gate in self.gates.items()]
        return [*self.models.items(), *gates]  # type: ignore[list-item]

    @property
    def is_task_only(self) -> bool:
        """The total is the environment's own reward, unchanged."""
        return self._only_task

    @property
    def requires(self) -> frozenset[str]:
        """Record keys beyond the core ones that some term reads."""
        return frozenset().union(*(model.requires for _, model in self._all_models()))

    def check_usable(self, use: str, refusal: Callable[[RewardModel], str | None]) -> None:
        """Refuse every term for which ``refusal(model)`` gives a reason.

        Raises:
            UserError: lists all refused terms with reasons, at once.
        """
        reasons = [(name, refusal(model)) for name, model in self._all_models()]
        refused = [f"  - {name}: {reason}" for name, reason in reasons if reason]
        if refused:
            raise UserError(f"These reward terms cannot be used for {use}:\n" + "\n".join(refused))

    # -- rewards ----------------------------------------------------------------------------

    @torch.no_grad()
    def rewards(self, rollout: Rollout) -> MixedReward:
        """Return the rewards of a rollout with the present models. Pure.

        Raises:
            RewardError: NaN, an infinity or a wrong shape, naming term, step, column and value.
        """
        return self._combine(rollout, {name: self._raw(name, rollout) for name in self.names})

    @torch.no_grad()
    def total(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return only the total of ``rewards``, as fast as possible. Pure."""
        if self._only_task:
            return rollout.reward
        return self.rewards(rollout).total

    def collect(self, rollout: Rollout, *, steps: int) -> tuple[MixedReward, dict[str, float]]:
        """Reward a fresh rollout and learn from it; rollouts come in arrival order.

        Every model's own ``order`` decides whether it learns before or after it rewards; scales
        learn from the rollout before they divide it.

        Args:
            rollout: the steps that were just collected.
            steps: environment steps done so far, for weight schedules.

        Returns:
            The rewards, and the models' metrics as ``term/metric``.
        """
        mixed, metrics, learn = self.collect_in_parts(rollout, steps=steps)
        metrics.update(learn())
        return mixed, metrics

    def collect_in_parts(
        self, rollout: Rollout, *, steps: int
    ) -> tuple[MixedReward, dict[str, float], Callable[[], dict[str, float]]]:
        """Do the part of ``collect`` that the learner waits for, and return the rest as a function.

        The rest is the learning of the models that reward first and declare ``concurrent_update``:
        it may run beside the learner's own update, on another thread, and must be done before the
        mix is used again.

        Args:
            rollout: the steps that were just collected.
            steps: environment steps done so far, for weight schedules.

        Returns:
            The rewards, the metrics so far, and a function that does the rest and returns its
            metrics; the function must be called once.
        """
        self.steps = steps
        metrics: dict[str, float] = {}
        with torch.no_grad():
            self._learn(Order.UPDATE_FIRST, rollout, metrics)
            raws = {name: self._raw(name, rollout) for name in self.names}
            kept = _kept(raws)
            for name, (raw, defined, _) in raws.items():
                valid = defined if kept is None else defined & kept
                self.scales[name].update(raw, rollout.done, valid)  # type: ignore[operator]
            mixed = self._combine(rollout, raws)
            self._learn(Order.REWARD_FIRST, rollout, metrics, concurrent=False)

        def rest() -> dict[str, float]:
            found: dict[str, float] = {}
            self._learn(Order.REWARD_FIRST, rollout, found, concurrent=True)
            return found

        return mixed, metrics, rest

    @property
    def has_concurrent_update(self) -> bool:
        """Some model that rewards first may learn beside the learner's own update."""
        return any(
            model.order == Order.REWARD_FIRST and model.concurrent_update
            for _, model in self._all_models()
        )

    def _learn(
        self,
        order: Order,
        rollout: Rollout,
        metrics: dict[str, float],
        *,
        concurrent: bool | None = None,
    ) -> None:
        """Let the models and gates of one order learn; a model in two places learns once.

        With ``concurrent`` given, only those whose ``concurrent_update`` equals it.
        """
        gates = [(f"{name}/gate", gate) for name, gate in self.gates.items()]
        models: list[tuple[str, Any]] = [*self.models.items(), *gates]
        learned: set[int] = set()
        for name, model in models:
            if concurrent is not None and model.concurrent_update != concurrent:
                continue
            if model.order == order and id(model) not in learned:
                learned.add(id(model))
                with torch.enable_grad(), _naming(name):
                    found = model.update(rollout)
                metrics.update({f"{name}/{key}": float(value) for key, value in found.items()})

    def _raw(self, name: str, rollout: Rollout) -> _Raw:
        """Return one term's checked raw values, where they are defined, and its extras."""
        return self._checked_output(name, self.models[name], rollout)

    def _checked_output(self, name: str, model: torch.nn.Module, rollout: Rollout) -> _Raw:
        origin = f" collected up to environment step {self.steps}"
        with _naming(name):
            output = model(rollout)
        return checked_output(name, output, rollout, origin=origin)

    def _combine(self, rollout: Rollout, raws: dict[str, _Raw]) -> MixedReward:
        raw = torch.stack([raws[name][0] for name in self.names], dim=-1)
        defined = torch.stack([raws[name][1] for name in self.names], dim=-1)
        gates = None
        if len(self.gates):
            gates = torch.ones_like(raw)
            for k, name in enumerate(self.names):
                if name in self.gates:
                    label = f"gate of {name}"
                    gates[..., k] = self._checked_output(label, self.gates[name], rollout)[0]
        weights = torch.tensor([self.weights[name].at(self.steps) for name in self.names])
        scales: list[Any] = [self.scales[name] for name in self.names]
        divisors = torch.tensor([scale.divisor() for scale in scales])
        weights, divisors = weights.to(raw), divisors.to(raw)
        extras = {
            f"{name}/{key}": value
            for name in self.names
            for key, value in raws[name][2].items()
            if key != "keep"
        }
        mixed = MixedReward(
            names=self.names, raw=raw, gates=gates, weights=weights, divisors=divisors,
            defined=defined, total=rollout.reward, keep=_kept(raws), extras=extras,
        )  # fmt: skip
        if self._only_task:
            return mixed
        contributions = mixed.contributions()
        object.__setattr__(mixed, "total", contributions.sum(-1))
        if not bool(mixed.total.isfinite().all()):
            t, b = (int(index) for index in (~mixed.total.isfinite()).nonzero()[0])
            k = int(contributions[t, b].abs().argmax())
            raise RewardError(
                self.names[k],
                f"contributes {float(contributions[t, b, k])} at time step {t}, column {b}: the "
                f"value {float(raw[t, b, k])} times weight {float(weights[k])} over divisor "
                f"{float(divisors[k])} makes the total overflow. Lower the weight.",
            )
        return mixed

    # -- state ------------------------------------------------------------------------------

    def get_extra_state(self) -> Tensor:
        """Return the step counter of the weight schedules, as a tensor."""
        return torch.tensor(self.steps, dtype=torch.int64)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the step counter."""
        self.steps = int(state)

    def freeze_scales(self, frozen: bool = True) -> None:
        """Stop (or resume) learning the divisors."""
        for scale in self.scales.values():
            scale.frozen = frozen  # type: ignore[assignment]


def _kept(raws: Mapping[str, _Raw]) -> Bool[Tensor, "T B"] | None:
    """Return where every term keeps the step, or None when no term says."""
    kept = None
    for _, _, extras in raws.values():
        if "keep" in extras:
            keep = extras["keep"].to(torch.bool)
            kept = keep if kept is None else kept & keep
    return kept


def _as_term(name: str, term: Term | RewardModel | Callable[..., Any] | float) -> Term:
    if isinstance(term, Term):
        return term
    if isinstance(term, int | float) and not isinstance(term, bool):
        if name != TASK:
            raise UserError(
                f"Term {name!r} is the number {term}; only {TASK!r} can be given by its weight "
                "alone. Write Term(model, weight=...)."
            )
        return Term(TaskReward(), weight=float(term))
    if isinstance(term, RewardModel) or callable(term):
        return Term(term)
    raise UserError(f"Term {name!r} must be a Term, a reward model or a function, got {term!r}.")


@contextmanager
def _naming(term: str) -> Iterator[None]:
    """Turn an exception inside a reward model into one that names the term and the line.

    Raises:
        RewardError: whatever the model raised, but for errors that already name a cure.
    """
    try:
        yield
    except (UserError, RewardError):
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise RewardError(
            term, f"raised {type(error).__name__}: {error} ({last.filename}, line {last.lineno})."
        ) from error


def column_metrics(mixed: MixedReward, mask: Bool[Tensor, "T B"]) -> dict[str, float]:
    """Return per-term numbers to log, over the real and kept steps of one rollout.

    ``<term>/mean``, ``/std`` and ``/nonzero`` describe the raw values where defined,
    ``/contribution`` is the mean of what the term adds to the total, ``/share`` its share of the
    summed absolute contributions, ``/weight`` the weight and ``/effective_weight`` weight divided
    by the scale's divisor.
    """
    if mixed.keep is not None:
        mask = mask & mixed.keep
    if not bool(mask.any()):
        return {}
    contributions = mixed.contributions()[mask]
    absolute = contributions.abs().mean(0)
    shares = absolute / absolute.sum().clamp_min(torch.finfo(absolute.dtype).tiny)
    found: dict[str, float] = {}
    for k, name in enumerate(mixed.names):
        values = mixed.raw[..., k][mixed.defined[..., k] & mask]
        count = values.numel()
        found[f"{name}/mean"] = float(values.mean()) if count else 0.0
        found[f"{name}/std"] = float(values.std()) if count > 1 else 0.0
        found[f"{name}/nonzero"] = float((values != 0).float().mean()) if count else 0.0
        found[f"{name}/contribution"] = float(contributions[:, k].mean())
        found[f"{name}/share"] = float(shares[k])
        found[f"{name}/weight"] = float(mixed.weights[k])
        found[f"{name}/effective_weight"] = float(mixed.weights[k] / mixed.divisors[k])
    return {key: value for key, value in found.items() if math.isfinite(value)}
