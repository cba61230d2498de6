"""A generated reward program and its file: text with a hash, never a module that is imported."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import final

from reward_models.coded.quantities import ProgramInputs
from reward_models.errors import UnknownNameError, UserError

_FIRST = "# A coded reward of ctrl, format 1: data for the sandbox, checked by its hash."
_LAST = "# End of the header; the program begins below."
_FENCES = (re.compile(r"```(?:python|py|Python)\b[^\n]*\n(.*?)```", re.S),
           re.compile(r"```[^\n]*\n(.*?)```", re.S))  # fmt: skip


class Convention(StrEnum):
    """What a program defines, and how its values become a reward.

    Everywhere ``obs`` and ``prev_obs`` map the identifiers of the quantities to their values after
    and before the step; ``info`` holds ``step`` (0 at an episode's first), ``terminated`` and
    ``truncated``; ``state`` is a dict that lasts until the episode ends.
    """

    SIGNED = "signed"
    """``sparse`` and ``dense`` of ``(prev_obs, action, obs, info, state)``; the reward is
    ``1.0 sgn(sparse) + 0.1 sgn(dense)`` (Auto MC-Reward, figure 1)."""
    COMPONENTS = "components"
    """``compute_reward`` (or the first function), whose parameters name quantities,
    ``prev_<quantity>``, ``action``, ``info`` or ``state``; returns the total and a dict of named
    parts (Eureka)."""
    SCALAR = "scalar"
    """``compute_dense_reward(self, action)``, where ``self`` has the quantities as attributes, and
    ``prev_obs``, ``info`` and ``state``; returns the reward (Text2Reward)."""


@final
@dataclass(frozen=True)
class Program:
    """The text of a program, what it may read, and where it comes from.

    Attributes:
        source: Python text, as the author wrote it.
        convention: a `Convention` or its name.
        inputs: what the program may read.
        parents: hashes of the programs it was made from.

    Raises:
        UnknownNameError: no such convention.
    """

    source: str
    convention: Convention
    inputs: ProgramInputs
    parents: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "convention", as_convention(self.convention))
        # One kind of line ends, so that the file that is written has the hash of the program.
        lines = self.source.replace("\r\n", "\n").replace("\r", "\n")
        object.__setattr__(self, "source", lines.rstrip() + "\n")
        object.__setattr__(self, "parents", tuple(self.parents))

    @property
    def sha256(self) -> str:
        """Hash over everything: convention, inputs, parents and source."""
        return hashlib.sha256(self._hashed().encode()).hexdigest()

    def _hashed(self) -> str:
        described = self.inputs.to_json()
        quantities = described.pop("quantities")
        lines = [
            f"# convention: {self.convention}",
            f"# parents: {json.dumps(list(self.parents))}",
            f"# inputs: {json.dumps(described)}",
            *(f"# quantity: {json.dumps(quantity)}" for quantity in quantities),
            _LAST,
        ]
        return "\n".join(lines) + "\n" + self.source

    def save(self, path: str | Path) -> None:
        """Write an ordinary readable ``.py`` file: a header of comments, then the source."""
        text = f"{_FIRST}\n# sha256: {self.sha256}\n{self._hashed()}"
        Path(path).write_text(text, encoding="utf-8", newline="\n")

    @classmethod
    def load(cls, path: str | Path) -> Program:
        """Read what ``save`` wrote; the file is read as text and never executed.

        Raises:
            UserError: no such file, no such header, or a text that does not have its hash.
        """
        try:
            text = Path(path).read_bytes().decode("utf-8").replace("\r\n", "\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"Cannot read a coded reward from {path}: {error}.") from error
        head, found, source = text.partition(f"\n{_LAST}\n")
        lines = head.split("\n")
        if not found or lines[0] != _FIRST:
            raise UserError(
                f"{path} is no coded reward: its first line must be {_FIRST!r}. Write such files "
                "with Program.save."
            )
        try:
            stated = _field(lines[1], "sha256")
            described = json.loads(_field(lines[4], "inputs"))
            described["quantities"] = [json.loads(_field(line, "quantity")) for line in lines[5:]]
            parents = json.loads(_field(lines[3], "parents"))
            convention = as_convention(_field(lines[2], "convention"))
            inputs = ProgramInputs.from_json(described)
            program = cls(source, convention, inputs, tuple(str(parent) for parent in parents))
        except (IndexError, ValueError, TypeError) as error:
            raise UserError(f"The header of {path} is damaged: {error}.") from error
        if program.sha256 != stated:
            raise UserError(
                f"{path} does not have the hash of its header: it was changed after it was "
                f"reviewed (stated {stated[:12]}, found {program.sha256[:12]}). Review it again "
                "and save it with Program.save."
            )
        return program


def as_convention(name: str) -> Convention:
    """Return the convention of that name.

    Raises:
        UnknownNameError: there is none, with the nearest one.
    """
    try:
        return Convention(name)
    except ValueError:
        raise UnknownNameError("convention of coded rewards", name, list(Convention)) from None


def is_program_file(path: str | Path) -> bool:
    """Whether a file begins like a saved program; reads its first line only."""
    try:
        with Path(path).open("rb") as file:
            return file.readline(len(_FIRST) + 2).rstrip() == _FIRST.encode()
    except OSError:
        return False


def program_file(use: str) -> str | None:
    """Return the path in ``path.py:name`` when that file is a saved program, else None."""
    place, _, _ = use.rpartition(":")
    return place if place.endswith(".py") and is_program_file(Path(place).expanduser()) else None


def extract_code(text: str) -> str:
    """Return the program in a language model's reply.

    The first fence marked as Python is taken, else the first fence, else the whole text. Lines
    before the first function are dropped, except for constants: prose, and imports, which a program
    does not need.
    """
    for fence in _FENCES:
        found = fence.search(text)
        if found:
            text = found.group(1)
            break
    lines = text.strip("\n").split("\n")
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        body = []
    start = next((at for at, node in enumerate(body) if isinstance(node, ast.FunctionDef)), None)
    if start is not None:
        return _without(text, [node for node in body[:start] if not _names_a_value(node)])
    first = next((at for at, line in enumerate(lines) if re.match(r"(async )?def ", line)), None)
    if first is None:
        return "\n".join(lines) + "\n"
    kept = [line for line in lines[:first] if _is_constant(line)]
    return "\n".join([*kept, *lines[first:]]).rstrip() + "\n"


def _names_a_value(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign | ast.AnnAssign)


def _without(text: str, dropped: list[ast.stmt]) -> str:
    """Return the text without the lines of some statements."""
    gone = {line for node in dropped for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    lines = text.split("\n")
    kept = [line for number, line in enumerate(lines, 1) if number not in gone]
    return "\n".join(kept).strip("\n").rstrip() + "\n"


def _is_constant(line: str) -> bool:
    """Whether a line by itself gives a name to a value."""
    try:
        body = ast.parse(line).body
    except (SyntaxError, ValueError):
        return False
    return len(body) == 1 and _names_a_value(body[0])


def _field(line: str, name: str) -> str:
    start = f"# {name}: "
    if not line.startswith(start):
        raise ValueError(f"expected a line {start!r}, got {line[:60]!r}")
    return line.removeprefix(start)
