"""What can be wrong with a generated program, and where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import final


class FaultKind(StrEnum):
    """The kinds of faults; the first group is seen without running the program."""

    SYNTAX = "syntax"
    """It is no Python, or uses a statement that the sandbox does not know."""
    SIZE = "size"
    """The text is too long or nested too deeply."""
    MISSING_FUNCTION = "missing_function"
    """A function of the convention is not there."""
    SIGNATURE = "signature"
    """A function of the convention has other parameters, or is no ordinary function."""
    NO_RETURN = "no_return"
    """Some path through a function of the convention returns nothing."""
    IMPORT = "import"
    """An import of something else than ``math``, ``numpy`` or ``typing``."""
    DUNDER = "dunder"
    """A name or attribute that begins with an underscore: the way into an interpreter."""
    FORBIDDEN_NAME = "forbidden_name"
    """A function that reads files, runs text, looks into objects or is not repeatable."""
    FORBIDDEN_STATEMENT = "forbidden_statement"
    """``global``, ``class``, ``with``, ``del``, an assignment to an attribute and the like."""
    UNBOUNDED_LOOP = "unbounded_loop"
    """``while True`` (or another constant) without a way out."""
    UNDECLARED = "undeclared"
    """A name or an input that nobody declared."""

    MUTATION = "mutation"
    """It changes its inputs (seen in the text or when it runs)."""
    TIME = "time"
    """The call took longer than allowed."""
    MEMORY = "memory"
    """The call took more memory than allowed."""
    RECURSION = "recursion"
    """Calls are nested too deeply."""
    OUTPUT = "output"
    """It prints more than allowed."""
    DIVISION = "division"
    """A division by zero."""
    EXCEPTION = "exception"
    """Any other exception."""
    RETURN_TYPE = "return_type"
    """A value that is no real number, or not what the convention asks for."""
    NOT_FINITE = "not_finite"
    """NaN or an infinity."""
    COMPONENTS = "components"
    """The dictionary of components changes its names, or they cannot name anything."""
    STATE = "state"
    """``state`` holds something that cannot be stored, or too much."""
    HIDDEN_MEMORY = "hidden_memory"
    """Values depend on something else than the inputs and ``state``."""
    CRASH = "crash"
    """The worker process died."""


@final
@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: what is wrong.
        line: 1-based line of the program's source.
        message: what was expected, what came, and the cure, in one or two sentences.
    """

    kind: FaultKind
    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.kind}: {self.message}"


class ProgramError(Exception):
    """A program broke a rule while it ran; carries the `Fault`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault
