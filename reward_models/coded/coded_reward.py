"""A generated program as a reward for any learner."""

from __future__ import annotations

import json
import logging
import weakref
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from reward_models.base import Extras, RewardModel
from reward_models.coded.columns import Carried
from reward_models.coded.critic import review
from reward_models.coded.faults import Fault, FaultKind, ProgramError
from reward_models.coded.limits import Limits
from reward_models.coded.program import Program
from reward_models.coded.runner import Runner, Values
from reward_models.coded.sandbox import shared_sandbox
from reward_models.coded.vectorised import RISK, VectorisedRunner
from reward_models.errors import RewardError, UnknownNameError, UserError
from reward_models.rollout import Rollout

TIERS = ("sandbox", "numpy")
ON_FAULT = ("continue", "stop")
_LOG = logging.getLogger(__name__)


@final
class CodedReward(RewardModel):
    """The reward that a program computes, step by step, in a sandbox.

    Programs are files of `Program.save`, with one of the conventions `signed` (Auto MC-Reward:
    values in 0, ±0.1, ±0.9, ±1, ±1.1), `components` (Eureka) or `scalar` (Text2Reward). They are
    reviewed when the reward is built. A rollout crosses into the sandbox in one call.

    ``state``, the memory of a program, is one dict for every column's episode: it is cleared where
    the episode ends for either reason, kept over rollouts while it is open, and part of
    ``state_dict()``. Columns share nothing, and neither do episodes. Of a quantity of the simulator
    the record has no value before an episode's first step; the value after that step stands in.

    When the program fails during training (an exception, a limit, a value that is not finite), the
    rollout gets no value of it at all. From that rollout on, and for good, the last good program
    pays, which is ``fallback``; where there is none, or it fails too, the term is undefined: it
    pays nothing and leaves every statistic, and the other terms go on. The fault is logged with its
    line as a warning and counted in the metric ``faults``. ``on_fault="stop"`` stops instead.

    Args:
        program: file of the program, or the program.
        fallback: file of the last good program, or that program, or None.
        on_fault: ``continue`` or ``stop``.
        tier: ``sandbox``; or ``numpy`` for a trusted program on whole arrays in this process, which
            can do everything that you can do (see `reward_models.coded.vectorised`).
        trust_code: must be true for ``tier="numpy"``.
        limits: of the sandbox: a `Limits`, or some of its fields by name.

    Raises:
        UserError: no such file, a damaged one, a program that the critic refuses, or code that is
            not trusted.
        MissingDependencyError: the sandbox is not installed.
    """

    def __init__(
        self,
        *,
        program: str | Path | Program,
        fallback: str | Path | Program | None = None,
        on_fault: str = "continue",
        tier: str = "sandbox",
        trust_code: bool = False,
        limits: Limits | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if tier not in TIERS:
            raise UnknownNameError("tier of coded rewards", tier, TIERS)
        if on_fault not in ON_FAULT:
            raise UnknownNameError("on_fault of coded rewards", on_fault, ON_FAULT)
        if tier == "numpy" and trust_code is not True:
            raise UserError(f"{RISK}. If you trust the code, set trust_code: true beside it.")
        self.on_fault, self.tier, self.limits = on_fault, tier, _limits(limits)
        given = [program, *([] if fallback is None else [fallback])]
        self.programs = tuple(
            one if isinstance(one, Program) else Program.load(one) for one in given
        )
        self._runners = [self._runner(one) for one in self.programs]
        self._retired: list[Fault | None] = [None for _ in self.programs]
        self._noted: dict[int, Fault] = {}
        self._carried: dict[int, Carried] = {}
        self._latest: tuple[Any, int, int | None, Values | None] | None = None
        read = [runner.anatomy for runner in self._runners]
        names = {quantity.name for one in read for quantity in one.quantities}
        self.requires = frozenset(name for name in names if not name.startswith("observation"))
        self.replayable = not any(one.has_memory for one in read)
        # Without the simulator everything comes from the observation, a goal in it included.
        self.goal_relabelling = self.replayable and not self.requires

    def _runner(self, program: Program) -> Runner | VectorisedRunner:
        if self.tier == "numpy":
            return VectorisedRunner(program)
        sandbox = shared_sandbox(self.limits)
        verdict = review(program.source, program.convention, program.inputs, sandbox=sandbox)
        if verdict.program is None:
            listed = "\n".join(f"  - {fault}" for fault in verdict.faults)
            raise UserError(f"The coded reward {program.sha256[:12]} is refused:\n{listed}")
        return Runner(program, sandbox)

    @property
    def active(self) -> int | None:
        """Which program pays: 0 the given one, 1 the fallback, None when all have failed."""
        return next((k for k, fault in enumerate(self._retired) if fault is None), None)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Why programs were retired."""
        return tuple(fault for fault in self._retired if fault is not None)

    def forward(self, rollout: Rollout) -> Tensor | tuple[Tensor, Extras]:
        """Return the reward and, as extras, its parts.

        These are ``sparse`` and ``dense`` before their signs are taken, or ``component_<name>``.

        Raises:
            RewardError: the program failed and ``on_fault`` is ``stop``.
        """
        _, values = self._values(rollout)
        if values is None:
            nothing = torch.zeros(rollout.T, rollout.B, device=rollout.device)
            return nothing, {"defined": torch.zeros_like(nothing, dtype=torch.bool)}
        parts = {name: _tensor(part, rollout) for name, part in values.parts.items()}
        return _tensor(values.reward, rollout), parts

    @torch.no_grad()
    def update(self, rollout: Rollout) -> dict[str, float]:
        """Keep what open episodes carry over, and retire programs that failed.

        Returns:
            ``faults``, the number of retired programs, and the mean of every part over the real
            steps.
        """
        active, values = self._values(rollout)
        for k, fault in self._noted.items():
            if self._retired[k] is None:
                self._retired[k] = fault
                self._carried = {}
        self._noted, self._latest = {}, None
        metrics = {"faults": float(len(self.faults))}
        if values is not None and active == self.active:
            self._carried = dict(values.carried)
            real = rollout.mask.cpu().numpy()
            if real.any():
                metrics |= {name: float(part[real].mean()) for name, part in values.parts.items()}
        return metrics

    def _values(self, rollout: Rollout) -> tuple[int | None, Values | None]:
        """Return which program has values for a rollout, and the values; changes no result."""
        # ``update`` is asked for the rollout that ``forward`` has just rewarded.
        if self._latest is not None:
            data, version, active, values = self._latest
            if data() is rollout.data and version == _version(rollout):
                return active, values
        active, values = self._computed(rollout)
        self._latest = (weakref.ref(rollout.data), _version(rollout), active, values)
        return active, values

    def _computed(self, rollout: Rollout) -> tuple[int | None, Values | None]:
        for k, runner in enumerate(self._runners):
            if self._retired[k] is not None:
                continue
            try:
                return k, runner.run(rollout, self._carried if k == self.active else {})
            except ProgramError as error:
                if self.on_fault == "stop":
                    name = f"coded {self.programs[k].sha256[:12]}"
                    raise RewardError(name, f"the program failed at {error.fault}") from error
                if k not in self._noted:
                    self._noted[k] = error.fault
                    _LOG.warning("%s", self._notice(k, error.fault))
        return None, None

    def _notice(self, k: int, fault: Fault) -> str:
        what = "the program" if k == 0 else "the last good program"
        rest = (
            "the last good program pays from now on"
            if k + 1 < len(self.programs)
            else "there is no other program, so the term pays nothing from now on"
        )
        return f"Coded reward {self.programs[k].sha256[:12]}: {what} failed at {fault} {rest}."

    # -- state ------------------------------------------------------------------------------

    def get_extra_state(self) -> Tensor:
        """Return hashes, faults and what open episodes carry over, as the bytes of JSON."""
        document = {
            "programs": [program.sha256 for program in self.programs],
            "retired": [None if fault is None else asdict(fault) for fault in self._retired],
            "carried": {str(column): asdict(one) for column, one in self._carried.items()},
        }
        return torch.tensor(list(json.dumps(document).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore what ``get_extra_state`` returned.

        Raises:
            UserError: it belongs to other programs, or is damaged.
        """
        try:
            document = json.loads(bytes(state.cpu().tolist()).decode())
            stored = [str(each) for each in document["programs"]]
            retired = [None if one is None else _fault(one) for one in document["retired"]]
            carried = {
                int(column): Carried(int(one["step"]), str(one["state"]), dict(one["rows"]))
                for column, one in document["carried"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"The stored state of a coded reward is damaged: {error}.") from error
        own = [program.sha256 for program in self.programs]
        if stored != own:
            raise UserError(
                f"The stored state belongs to the programs {[one[:12] for one in stored]}, this "
                f"reward has {[one[:12] for one in own]}: a file was changed since. Put the old "
                "file back, or begin a new run."
            )
        self._retired, self._carried = retired, carried
        self._noted, self._latest = {}, None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_latest": None}


def _limits(given: Limits | Mapping[str, Any] | None) -> Limits:
    if given is None or isinstance(given, Limits):
        return given or Limits()
    known = asdict(Limits())
    for name in given:
        if name not in known:
            raise UnknownNameError("limit of coded rewards", name, known)
    return Limits(**given)


def _fault(stored: Mapping[str, Any]) -> Fault:
    return Fault(FaultKind(stored["kind"]), int(stored["line"]), str(stored["message"]))


def _tensor(table: np.ndarray, rollout: Rollout) -> Tensor:
    return torch.as_tensor(table, dtype=torch.float32).to(rollout.device)


def _version(rollout: Rollout) -> int:
    """Return a number that changes when somebody writes into the record."""
    leaves: Any = rollout.data.values(include_nested=True, leaves_only=True)
    return sum(int(leaf._version) for leaf in leaves)
