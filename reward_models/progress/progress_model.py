"""The reward of progress: gold at the goal, and shaping by how far the task is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from torch import Tensor

from reward_models.base import RewardModel
from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.errors import UnknownNameError, UserError
from reward_models.potential import bound_discount, known_discount, shaping
from reward_models.progress.fusion import PERSPECTIVES, Fusion
from reward_models.progress.hop_model import HopModel
from reward_models.progress.hop_training import HopTraining
from reward_models.progress.observer import HopObserver, HopSource
from reward_models.rollout import Rollout

GOLD = ("progress", "success", "none")
ANCHORS = ("episode", "reference")


class Trace(NamedTuple):
    """Progress along a rollout, ``[T, B]`` each.

    Attributes:
        before: fused progress of the state that was left, as of when it was reached.
        after: of the state that was reached.
        confidence: weight of the update that led to it, in (0, 1].
        start: what was seen at the beginning of each step's episode, ``[T, B, *observation]``.
    """

    before: Tensor
    after: Tensor
    confidence: Tensor
    start: Tensor


@final
class ProgressReward(RewardModel):
    """Dopamine reward: ``r = gold + gamma P(s') - P(s)`` (Tan et al. 2025, arXiv 2512.23703).

    ``P`` is the progress in [0, 1] that a frozen hop model sees, fused over three perspectives (see
    `Fusion`); it is 0 at the beginning of every episode and depends on the episode so far. ``gold``
    is 1 once per episode, on the step that reaches the goal; for this reward the episode ends
    there: the progress reached counts as 0 in the shaping, and later steps are paid nothing. So the
    discounted sum over an episode is ``gamma^t`` of the gold and nothing else: however wrong the
    progress is, it changes how fast is learned and not what is best. At a time limit the progress
    reached is kept, because the learner bootstraps there.

    ``naive`` pays ``P(s') - P(s)`` without the discount and keeps the progress at an end: the
    semantic trap. Under ``gamma < 1`` it pays ``(1 - gamma) P`` for every step that is spent in
    states of high progress, so avoiding a risky last step may pay more than finishing.

    An environment that pays its own gold needs none from here (``gold: none``); with ``gold:
    success`` or ``progress``, put ``task: 0`` beside this term unless both are meant.

    Args:
        hop_model: folder of a saved hop model, a `Hop`, or a function ``hop(start, goal, before,
            after)`` of observations ``[N, ...]``.
        observation_space: of the environment.
        key: entry of a Dict observation that holds the views.
        perspectives: which estimates are fused: ``incremental``, ``forward``, ``backward``.
        consistency: factor of the consistency check, see `Fusion`; None does not check.
        anchor: forward hops start at the episode's first state (``episode``), or at the
            ``reference`` start.
        gold: ``progress`` (P of at least ``1 - delta``), the environment's ``success`` flag, or
            ``none``.
        delta: how far from complete the gold is paid, in [0, 1).
        naive: the difference of progress instead of shaping by it.
        reference_start: first moment of a demonstration; None takes the hop model's own.
        reference_goal: last moment, likewise.
        gamma: the learner's discount; None takes it from the mix.

    Extras: ``progress``, P of the state reached, and ``confidence``, w of the consistency check.

    Raises:
        UserError: a number out of its range, or a hop model for other observations.
        UnknownNameError: no such ``gold``, ``anchor``, perspective or key.
    """

    replayable = False

    def __init__(
        self,
        *,
        hop_model: HopSource,
        observation_space: spaces.Space,
        key: str | None = None,
        perspectives: Sequence[str] = PERSPECTIVES,
        consistency: float | None = None,
        anchor: str = "episode",
        gold: str = "progress",
        delta: float = 0.05,
        naive: bool = False,
        reference_start: Any = None,
        reference_goal: Any = None,
        gamma: float | None = None,
    ) -> None:
        super().__init__()
        for name, value, valid in (("gold", gold, GOLD), ("anchor", anchor, ANCHORS)):
            if value not in valid:
                raise UnknownNameError(name, value, valid)
        if not 0.0 <= delta < 1.0:
            raise UserError(f"delta must lie in [0, 1), got {delta}.")
        if gamma is not None and not 0.0 <= gamma <= 1.0:
            raise UserError(f"gamma must lie in [0, 1], got {gamma}.")
        self.fusion = Fusion(tuple(perspectives), consistency)
        self.anchor, self.gold, self.delta, self.naive = anchor, gold, delta, naive
        self.gamma = gamma
        self.observer = HopObserver(
            hop_model, observation_space=observation_space, key=key,
            reference_start=reference_start, reference_goal=reference_goal,
        )  # fmt: skip
        self.memory = ColumnMemory(
            progress=torch.zeros(()),
            over=torch.zeros((), dtype=torch.bool),
            start=self.observer.row(),
        )
        if gold == "success":
            self.requires = frozenset({"success"})

    def bind_discount(self, gamma: float) -> None:
        """Take over the learner's discount.

        Raises:
            UserError: the reward was built for another one.
        """
        self.gamma = bound_discount(self, self.gamma, gamma)

    def forward(self, rollout: Rollout) -> tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return gold plus shaping of every step, with ``progress`` and ``confidence``."""
        gamma = known_discount(self, self.gamma)
        trace = self.trace(rollout)
        fires, over = self._gold(rollout, trace)
        if self.naive:
            hint = trace.after - trace.before
        else:
            ends = rollout.terminated | fires
            hint = shaping(trace.before, trace.after, gamma=gamma, terminated=ends)
        reward = torch.where(over | ~rollout.mask, 0.0, fires.to(torch.float32) + hint)
        return reward, {"progress": trace.after, "confidence": trace.confidence}

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Remember where the open episodes stand; nothing is trained here (see `adapt`).

        Returns:
            ``progress_at_end`` of the episodes that ended, mean ``confidence``, and ``gold``, the
            share of steps that were paid it; each where there is such a step.
        """
        if not bool(rollout.mask.any()):
            return {}
        with torch.no_grad():
            trace = self.trace(rollout)
            fires, over = self._gold(rollout, trace)
            last = rollout.T - 1 - rollout.mask.flip(0).int().argmax(0)
            columns = torch.arange(rollout.B, device=last.device)
            kept = self.memory.read(rollout)
            seen = rollout.mask.any(0)
            found = {
                "progress": trace.after[last, columns],
                "over": (over | fires)[last, columns],
                "start": trace.start[last, columns].to(kept["start"].dtype),
            }
            self.memory.write(
                **{name: _where(seen, value, kept[name]) for name, value in found.items()}
            )
            metrics = {
                "confidence": float(trace.confidence[rollout.mask].mean()),
                "gold": float(fires[rollout.mask].float().mean()),
            }
            ends = rollout.done & rollout.mask
            if bool(ends.any()):
                metrics["progress_at_end"] = float(trace.after[ends].mean())
        return metrics

    def adapt(self, demonstration: Any, training: HopTraining | None = None) -> dict[str, float]:
        """Fit the hop model to a new goal by one demonstration of it (one-shot adaptation).

        Minimises ``mean (hop - label)^2`` over pairs of its moments and takes its ends as
        references. Episodes that are open go on from the progress they had, so their shaping still
        telescopes.

        Args:
            demonstration: observations ``[L, *observation]``, the last one at the goal.
            training: None takes 60 epochs with a learning rate of 3e-4.

        Returns:
            The metrics of the training.

        Raises:
            UserError: the hop model is a function, or the demonstration does not fit.
        """
        hop = self.observer.hop
        if not isinstance(hop, HopModel):
            raise UserError("Only a HopModel can be adapted; a function has nothing to train.")
        frames = torch.as_tensor(demonstration)
        hop.set_trainable(True)
        chosen = training or HopTraining(epochs=60, learning_rate=3e-4, swap_probability=0.0)
        metrics = chosen.fit(hop, [frames], standardise=False)
        hop.set_trainable(False)
        self.observer.set_references(frames[0], frames[-1])
        return metrics

    def trace(self, rollout: Rollout) -> Trace:
        """Return the progress along a rollout that goes on from what is remembered. Pure."""
        kept = self.memory.read(rollout)
        before = self.observer.read(rollout.observation)
        after = self.observer.read(rollout.next_observation)
        begins = self._begins(rollout)
        start = _latest(before, begins, kept["start"].to(before.dtype))
        hops = self._hops(before, after, begins, kept["start"])
        progress, found = kept["progress"], []
        for step in range(rollout.T):
            progress = torch.where(begins[step], 0.0, progress)
            reached, weight = self.fusion.step(progress, {n: hop[step] for n, hop in hops.items()})
            reached = torch.where(rollout.mask[step], reached, progress)
            found.append((progress, reached, weight))
            progress = reached
        if not found:
            nothing = torch.zeros(0, rollout.B)
            return Trace(nothing, nothing, nothing, start)
        left, reached, weight = (torch.stack(part) for part in zip(*found, strict=True))
        return Trace(left, reached, weight, start)

    def _hops(
        self, before: Tensor, after: Tensor, begins: Tensor, kept: Tensor
    ) -> dict[str, Tensor]:
        """Return the hops to each state reached, by perspective, ``[T, B]`` each."""
        look, names = self.observer, self.fusion.perspectives
        reached, found = look.encode(after), {}
        if "backward" in names:
            goal = look.encode(look.goal.unsqueeze(0))
            found["backward"] = look.hops(goal.expand_as(reached), reached)
        if set(names) == {"backward"}:
            return found
        left = look.encode(before)
        if "incremental" in names:
            found["incremental"] = look.hops(left, reached)
        if "forward" in names:
            if self.anchor == "reference":
                start = look.encode(look.start.unsqueeze(0)).expand_as(reached)
            else:
                start = _latest(left, begins, look.encode(kept.to(before.dtype)))
            found["forward"] = look.hops(start, reached)
        return found

    @staticmethod
    def _begins(rollout: Rollout) -> Bool[Tensor, "T B"]:
        """Return the first steps of episodes, and of pieces whose beginning is not known."""
        piece = rollout.episode_numbers()
        latest = torch.cat([torch.full_like(piece[:1], -1), piece[:-1]]).cummax(0).values
        goes_on = (piece == 0) & rollout.continued
        return rollout.mask & (piece > latest) & ~goes_on

    def _gold(self, rollout: Rollout, trace: Trace) -> tuple[Tensor, Tensor]:
        """Return where gold is paid, and where the episode was over before the step."""
        if self.gold == "none":
            nowhere = torch.zeros_like(rollout.mask)
            return nowhere, nowhere
        threshold = 1.0 - self.delta
        reached = rollout["success"] if self.gold == "success" else trace.after >= threshold
        begins, over = self._begins(rollout), self.memory.read(rollout)["over"]
        fires, before = [], []
        for step in range(rollout.T):
            over = over & ~begins[step]
            fire = reached[step] & ~over & rollout.mask[step]
            before.append(over)
            fires.append(fire)
            over = over | fire
        if not fires:
            return torch.zeros_like(rollout.mask), torch.zeros_like(rollout.mask)
        return torch.stack(fires), torch.stack(before)


def _latest(values: Tensor, begins: Bool[Tensor, "T B"], kept: Tensor) -> Tensor:
    """Return for each step the value at the latest beginning, ``kept`` where there is none."""
    steps = torch.arange(len(begins), device=begins.device)[:, None]
    place = torch.where(begins, steps, -1).cummax(0).values
    columns = torch.arange(begins.shape[1], device=begins.device)
    found = values[place.clamp_min(0), columns]
    return _where(place >= 0, found, kept.expand_as(found))


def _where(condition: Tensor, value: Tensor, other: Tensor) -> Tensor:
    wide = condition.reshape(*condition.shape, *[1] * (value.ndim - condition.ndim))
    return torch.where(wide, value, other)
