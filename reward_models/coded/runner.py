"""Running a program on a whole record: one call into the sandbox, whatever its size."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from reward_models.coded.anatomy import anatomy, required
from reward_models.coded.columns import Arrays, Carried, Part, calls, longest, parts_of
from reward_models.coded.driver import LINES_BEFORE, PROGRAM_TEXT, texts
from reward_models.coded.faults import Fault, FaultKind, ProgramError
from reward_models.coded.program import Convention, Program
from reward_models.coded.sandbox import Sandbox, SandboxError
from reward_models.rollout import Rollout

DEAD_ZONE = 1e-12
"""A smaller magnitude than this counts as zero where only the sign matters."""

_CALL = (
    "_run(now, fresh, actions, ends, pieces, actions_are_arrays, "
    "output_limit, state_limit)"
)  # fmt: skip
_UNPLACED = (FaultKind.TIME, FaultKind.MEMORY, FaultKind.CRASH)
_WHOLE = 2**62


@final
@dataclass(frozen=True)
class Values:
    """What a program said about a record.

    Attributes:
        reward: ``[T, B]`` float64, 0 on padding.
        parts: name -> ``[T, B]`` float64: ``sparse`` and ``dense`` before their signs are taken, or
            the named components.
        carried: column -> what its open episode leaves for the next record.
    """

    reward: np.ndarray
    parts: Mapping[str, np.ndarray]
    carried: Mapping[int, Carried]


@final
class Runner:
    """One program in a sandbox.

    Args:
        program: one that the critic has passed; others give faults when they run.
        sandbox: where it runs.

    Attributes:
        anatomy: what the program reads and remembers.
    """

    def __init__(self, program: Program, sandbox: Sandbox) -> None:
        self.program, self.sandbox = program, sandbox
        self.anatomy = anatomy(program)
        self._texts = texts(program)

    def run(
        self,
        rollout: Rollout,
        carried: Mapping[int, Carried] | None = None,
        *,
        most: int | None = None,
    ) -> Values:
        """Return the rewards of a record.

        Args:
            rollout: the record; padding is not looked at.
            carried: column -> what its open episode left before; it continues where the record says
                so. An episode whose beginning is unknown starts as if it began here.
            most: steps of one episode that go into one call at most, for tests.

        Raises:
            ProgramError: the program broke a rule, with its line, and the step where that is known.
        """
        known = dict(carried or {})
        arrays = Arrays(rollout, self.anatomy, self.program.inputs.action_shape)
        parts = parts_of(rollout, known, most or longest(arrays.numbers_per_step))
        shape = (rollout.T, rollout.B)
        found: dict[str, np.ndarray] = {}
        for group in calls(parts, arrays.numbers_per_step, most=most or _WHOLE):
            inputs = arrays.inputs(group, known)
            outcome = self._call(inputs, group)
            for name, numbers in _named(outcome).items():
                table = found.setdefault(name, np.zeros(shape))
                at = 0
                for part in group:
                    table[part.start : part.stop, part.column] = numbers[at : at + len(part)]
                    at += len(part)
            for part, state in zip(group, outcome["states"], strict=True):
                before = Carried() if part.begins else known[part.column]
                known.pop(part.column, None)
                if not part.ends:
                    known[part.column] = arrays.carried(part, before, state)
        return self._values(found, known, shape)

    def call(
        self,
        *,
        now: Mapping[str, list[Any]],
        before: Mapping[str, dict[int, Any]],
        action: Any,
        ends: tuple[bool, bool],
        step: int,
        state: str,
    ) -> tuple[float, dict[str, float], str]:
        """Run one step that is no part of a record; see `reward_models.coded.stepper`.

        Returns:
            The reward, its parts by name, and the packed state after the step.

        Raises:
            ProgramError: the program broke a rule.
        """
        inputs = {
            "now": now, "fresh": before, "actions": [action], "ends": [ends],
            "pieces": [(0, 1, step, state)], "actions_are_arrays": isinstance(action, list),
        }  # fmt: skip
        outcome = self._call(inputs, [Part(0, 0, 1, begins=step == 0, ends=any(ends))])
        numbers = {name: np.array([values]) for name, values in _named(outcome).items()}
        values = self._values(numbers, {}, (1, 1))
        parts = {name: float(table[0, 0]) for name, table in values.parts.items()}
        return float(values.reward[0, 0]), parts, outcome["states"][0]

    def _call(self, inputs: dict[str, Any], group: list[Part]) -> dict[str, Any]:
        limits, steps = self.sandbox.limits, sum(map(len, group))
        bounds = {"output_limit": limits.output, "state_limit": limits.state}
        try:
            outcome = self.sandbox.run(self._texts, _CALL, {**inputs, **bounds}, steps=steps)
        except SandboxError as error:
            raise ProgramError(self._fault(error, {**inputs, **bounds}, group)) from error
        return outcome

    def _values(
        self, found: dict[str, np.ndarray], carried: dict[int, Carried], shape: tuple[int, int]
    ) -> Values:
        if self.program.convention is Convention.SIGNED:
            parts = {name: found.get(name, np.zeros(shape)) for name in ("sparse", "dense")}
            return Values(signed(parts["sparse"], parts["dense"]), parts, carried)
        reward = found.pop("reward", np.zeros(shape))
        return Values(reward, found, carried)

    # -- where something went wrong -----------------------------------------------------------

    def _fault(self, error: SandboxError, inputs: dict[str, Any], group: list[Part]) -> Fault:
        message, steps = error.message, sum(map(len, group))
        if error.kind is FaultKind.TIME:
            allowed = self.sandbox.limits.seconds_for(steps)
            message = f"the call took longer than the {allowed:g} s allowed for {steps} steps"
        if error.kind not in _UNPLACED:
            at = self.sandbox.ask(self._texts, '_say["at"]', steps=steps)
            message += _step(at, group)
        own = [line - LINES_BEFORE for text, line in error.frames if text == PROGRAM_TEXT]
        if error.kind is FaultKind.STATE:
            return Fault(error.kind, self._line_of_state(), _sentence(message))
        inside = own and 1 <= own[-1] <= self.program.source.count("\n")
        line = own[-1] if inside else self._located(error, inputs, steps)
        return Fault(error.kind, line, _sentence(message))

    def _located(self, error: SandboxError, inputs: dict[str, Any], steps: int) -> int:
        """Run the program again with a note of every statement; return the last one's line."""
        heard: list[str] = []
        ended = error.kind in _UNPLACED
        traced = texts(self.program, trace="shout" if ended else "store")
        try:
            self.sandbox.run(traced, _CALL, inputs, steps=steps, heard=heard)
        except SandboxError:
            if ended:
                lines = "".join(heard).split("\n")[:-1]
                if lines and lines[-1].isdigit():
                    return int(lines[-1])
            else:
                line = self.sandbox.ask(traced, '_say["line"]', steps=steps)
                if line:
                    return int(line)
        return self._first_line()

    def line_of_memory(self) -> int:
        """Return a line that may keep values outside of ``state``: a constant or a default."""
        tree = ast.parse(self.program.source)
        lines = [node.lineno for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
        lines += [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.args.defaults
        ]
        return min(lines, default=self._first_line())

    def _first_line(self) -> int:
        found = required(ast.parse(self.program.source), self.program.convention)
        return found[0].lineno if found else 1

    def _line_of_state(self) -> int:
        """Return the first line that puts something into ``state``."""
        tree = ast.parse(self.program.source)
        lines = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute | ast.Subscript)
            and not (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load))
            and "state" in {getattr(node.value, "id", None), getattr(node.value, "attr", None)}
        ]
        return min(lines, default=self._first_line())


def signed(sparse: np.ndarray, dense: np.ndarray) -> np.ndarray:
    """Return ``1.0 sgn(sparse) + 0.1 sgn(dense)`` (Auto MC-Reward, figure 1).

    ``sgn(0) = 0``, and a magnitude below ``DEAD_ZONE`` is 0.
    """

    def sign(values: np.ndarray) -> np.ndarray:
        values = np.asarray(values, dtype=np.float64)
        return np.where(np.abs(values) < DEAD_ZONE, 0.0, np.sign(values))

    return 1.0 * sign(sparse) + 0.1 * sign(dense)


def _named(outcome: dict[str, Any]) -> dict[str, list[float]]:
    return {**outcome["values"], **{f"component_{k}": v for k, v in outcome["parts"].items()}}


def _step(at: Any, group: list[Part]) -> str:
    if not isinstance(at, int) or at < 0:
        return ""
    for part in group:
        if at < len(part):
            return f" (time step {part.start + at}, column {part.column})"
        at -= len(part)
    return ""


def _sentence(message: str) -> str:
    return message if message.endswith(".") else f"{message}."
