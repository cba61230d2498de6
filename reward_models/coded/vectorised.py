"""Programs on whole numpy arrays, in our own process: fast, and only for code that you trust.

What runs here can do everything that you can do: read and delete your files, open connections,
start processes, never end. No limit of `reward_models.coded.limits` holds.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np

from reward_models.coded.anatomy import ARGUMENTS, PREVIOUS, anatomy
from reward_models.coded.columns import Arrays, Carried
from reward_models.coded.faults import Fault, FaultKind, ProgramError
from reward_models.coded.program import Convention, Program
from reward_models.coded.runner import Values, signed
from reward_models.errors import UserError
from reward_models.rollout import Rollout

RISK = (
    "tier: numpy runs the program in this process with all your rights: it can read and delete "
    "files, open connections, start processes and never end, and no limit of time or memory holds"
)
_FILE = "<coded reward>"


@final
class _Subject:
    """The environment as an object with attributes."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)


@final
class VectorisedRunner:
    """One trusted program that works on all steps at once.

    The functions have the parameters of their convention, but every quantity is a numpy array
    ``[N, ...]`` of all real steps, ``action`` is ``[N, ...]``, and values are arrays ``[N]``.
    The module is executed once; a program may use all of Python.

    Args:
        program: without ``state``, ``info['step']`` and earlier values of the simulator, which need
            steps in their order.

    Attributes:
        anatomy: what the program reads.

    Raises:
        UserError: it needs steps in their order, or cannot be executed.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        try:
            self.anatomy = anatomy(program)
        except (SyntaxError, ValueError) as error:
            raise UserError(f"The program is no Python: {error}.") from error
        if self.anatomy.has_memory:
            raise UserError(
                "A program for tier: numpy sees all steps at once, so it cannot use state, "
                "info['step'] or earlier values of the simulator. Use tier: sandbox."
            )
        namespace: dict[str, Any] = {
            "np": np, "math": math, "ACTIONS": program.inputs.actions or (),
            "__name__": "coded_reward",
        }  # fmt: skip
        try:
            exec(compile(program.source, _FILE, "exec"), namespace)
            self._functions: list[Callable[..., Any]] = [
                namespace[name] for name in self.anatomy.functions
            ]
        except Exception as error:
            raise UserError(
                f"The program fails while it is loaded: {type(error).__name__}: {error}."
            ) from error

    def run(self, rollout: Rollout, carried: Mapping[int, Carried] | None = None) -> Values:
        """Return the rewards of a record; ``carried`` is not looked at.

        Raises:
            ProgramError: the program raised, or returned something else than finite ``[N]``.
        """
        arrays = Arrays(rollout, self.anatomy, self.program.inputs.action_shape)
        real = rollout.mask.cpu().numpy()
        now = {word: values[real] for word, values in arrays.now.items()}
        before = {word: values[real] for word, values in arrays.before.items()}
        info = {"terminated": arrays.terminated[real], "truncated": arrays.truncated[real]}
        given = {"prev_obs": before, "obs": now, "action": arrays.action[real]}
        given |= {"info": info, "state": {}}
        outputs = [self._call(function, given) for function in self._functions]
        if self.program.convention is Convention.SIGNED:
            parts = {
                name: self._table(name, value, real)
                for name, value in zip(self.anatomy.functions, outputs, strict=True)
            }
            return Values(signed(parts["sparse"], parts["dense"]), parts, {})
        named: Mapping[str, Any] = {}
        total = outputs[0]
        if self.program.convention is Convention.COMPONENTS:
            if not (isinstance(total, tuple) and len(total) == 2 and isinstance(total[1], Mapping)):
                raise self._error(FaultKind.RETURN_TYPE, "expected (total, dict of components)")
            total, named = total
        parts = {f"component_{key}": self._table(key, part, real) for key, part in named.items()}
        return Values(self._table("reward", total, real), parts, {})

    def _call(self, function: Callable[..., Any], given: dict[str, Any]) -> Any:
        now, before = given["obs"], given["prev_obs"]
        try:
            if self.program.convention is Convention.SIGNED:
                return function(*(given[name] for name in self.anatomy.parameters))
            if self.program.convention is Convention.SCALAR:
                return function(_Subject({**given, **now}), given["action"])
            values = [
                given[name]
                if name in ARGUMENTS
                else (now[name] if name in now else before[name.removeprefix(PREVIOUS)])
                for name in self.anatomy.parameters
            ]
            return function(*values)
        except Exception as error:
            raise self._error(
                FaultKind.EXCEPTION, f"{type(error).__name__}: {error}", error
            ) from error

    def _table(self, name: str, value: Any, real: np.ndarray) -> np.ndarray:
        count = int(real.sum())
        try:
            numbers = np.broadcast_to(np.asarray(value, dtype=np.float64), (count,))
        except (TypeError, ValueError):
            raise self._error(
                FaultKind.RETURN_TYPE, f"{name} must be numbers [N], got {np.shape(value)}"
            ) from None
        if not np.isfinite(numbers).all():
            raise self._error(FaultKind.NOT_FINITE, f"{name} has a value that is not finite")
        table = np.zeros(real.shape)
        table[real] = numbers
        return table

    def _error(
        self, kind: FaultKind, message: str, error: BaseException | None = None
    ) -> ProgramError:
        frames = traceback.extract_tb(None if error is None else error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == _FILE and frame.lineno]
        first = self._functions[0].__code__.co_firstlineno
        return ProgramError(Fault(kind, lines[-1] if lines else first, f"{message}."))
