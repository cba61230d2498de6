"""The text that calls a program for many steps in one go, made for what the program reads."""

from __future__ import annotations

import ast
import copy
from typing import final

from reward_models.coded.anatomy import ARGUMENTS, INFO_KEYS, PREVIOUS, Anatomy, anatomy
from reward_models.coded.prelude import PRELUDE
from reward_models.coded.program import Convention, Program

PROGRAM_TEXT = 1
"""Which of `texts` holds the program, in the frames of errors."""

LINES_BEFORE = 1
"""Lines of that text before the program's own first line."""

_STORE = """
def _here(line):
    _say["line"] = line
"""
_SHOUT = """
def _here(line):
    _print(line)
"""


def texts(program: Program, *, trace: str = "") -> tuple[str, ...]:
    """Return what a session must be fed before the program can be called.

    The program becomes the body of a function, which is called anew for every episode of every
    column. So whatever it keeps outside of ``state`` (constants that it changes, default values,
    variables of closures) belongs to one column's episode and is shared with nobody.

    Args:
        program: the program.
        trace: ``store`` or ``shout``: note the line of every statement before it runs, to find
            where something happened whose line the interpreter does not tell.
    """
    parts = anatomy(program)
    if trace:
        here = _STORE if trace == "store" else _SHOUT
        return (PRELUDE + here, _wrapped(_traced(program.source), parts), _run(program, parts))
    return (PRELUDE, _wrapped(_plain(program.source), parts), _run(program, parts))


def _wrapped(source: str, parts: Anatomy) -> str:
    """Return the program as the body of a function, line for line."""
    inside = _inside_strings(source)
    lines = source.rstrip("\n").split("\n")
    body = [
        line if number in inside else f"    {line}" if line.strip() else ""
        for number, line in enumerate(lines, 1)
    ]
    made = ", ".join(parts.functions)
    return "\n".join(["def _program():", *body, f"    return ({made},)"]) + "\n"


def _inside_strings(source: str) -> set[int]:
    """Return the lines whose beginning belongs to a string, which must not be moved."""
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        text = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
        )
        if text:
            found.update(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))  # type: ignore[attr-defined]
    return found


def _plain(source: str) -> str:
    """Return the source with its imports replaced by what is there already."""
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
            before = lines[first].encode()[: node.col_offset].decode()
            after = lines[last].encode()[node.end_col_offset :].decode()
            blank = [before + _import(node)] + [""] * (last - first)
            blank[-1] += after
            lines[first : last + 1] = blank
    return "\n".join(lines)


def _import(node: ast.Import | ast.ImportFrom) -> str:
    """Return a statement on one line that has the effect of an import of the given modules."""
    made = []
    for alias in node.names:
        name = alias.asname or alias.name
        if isinstance(node, ast.Import):
            given = {"numpy": "np", "math": "math"}.get(alias.name)
        else:
            given = {"numpy": f"np.{alias.name}", "math": f"math.{alias.name}"}.get(
                node.module or ""
            )
        # Names of ``typing`` are used in annotations, which are never evaluated.
        if given is not None and given != name:
            made.append(f"{name} = {given}")
    return "; ".join(made) or "pass"


def _traced(source: str) -> str:
    """Return the program with a note of its line before every statement."""
    tree = _Noting().visit(copy.deepcopy(ast.parse(_plain(source))))
    return ast.unparse(ast.fix_missing_locations(tree))


@final
class _Noting(ast.NodeTransformer):
    """Puts ``_here(line)`` before every statement."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list) and statements:
                noted: list[ast.stmt] = []
                for statement in statements:
                    noted += [*ast.parse(f"_here({statement.lineno})").body, statement]
                setattr(node, field, noted)
        return node


def _run(program: Program, parts: Anatomy) -> str:
    """Return the text of ``_run``, which works through pieces of episodes.

    Its arguments are lists over all steps, piece after piece: ``now`` and ``fresh`` (the values
    before a step, where they are not those after the step before) by identifier, ``actions``,
    ``ends`` (terminated, truncated), and ``pieces``: first and last place, number of the first step
    in its episode, and the stored state. It returns the lists of values by name, and the states
    after each piece.
    """
    words = [quantity.identifier for quantity in parts.quantities]
    arrays = {
        quantity.identifier: "Array" if len(quantity.shape) == 1 else "_nested"
        for quantity in parts.quantities
        if quantity.shape and not (quantity.is_text and len(quantity.shape) == 1)
    }
    lines = [
        f"ACTIONS = {program.inputs.actions or ()!r}",
        "def _run(now, fresh, actions, ends, pieces, actions_are_arrays, output, most):",
        '    _say["left"] = output',
    ]
    for word in words:
        lines.append(f"    now_{word} = now[{word!r}]")
        lines.append(f"    fresh_{word} = fresh[{word!r}]")
    for word, made in arrays.items():
        lines.append(f"    now_{word} = [{made}(v) for v in now_{word}]")
        lines.append(f"    fresh_{word} = {{k: {made}(v) for k, v in fresh_{word}.items()}}")
    lines += [
        "    if actions_are_arrays:",
        "        actions = [_nested(v) for v in actions]",
        "    results = {}",
        "    states = []",
        *(f"    out_{name} = []" for name in _outputs(program.convention)),
        "    parts_out = {}",
        "    none = Inputs({})",
        "    info = prev_obs = obs = none",
        "    for start, stop, first, packed in pieces:",
        f"        {', '.join(parts.functions)}, = _program()",
        "        state = _unpack(json.loads(packed)) if packed else {}",
        "        for i in range(start, stop):",
        '            _say["at"] = i',
    ]
    body = [f"q_{word} = now_{word}[i]" for word in words]
    if parts.reads_previous:
        body += [
            f"p_{word} = fresh_{word}[i] if i in fresh_{word} else now_{word}[i - 1]"
            for word in words
        ]
        named = ", ".join(f"{word!r}: p_{word}" for word in words)
        body.append(f"prev_obs = Inputs({{{named}}})")
    named = ", ".join(f"{word!r}: q_{word}" for word in words)
    body.append(f"obs = Inputs({{{named}}})")
    if parts.reads_info:
        values = ("i - start + first", "ends[i][0]", "ends[i][1]")
        named = ", ".join(f"{key!r}: {value}" for key, value in zip(INFO_KEYS, values, strict=True))
        body.append(f"info = Inputs({{{named}}})")
    body.append("action = actions[i]")
    body += _calls(program, parts, words)
    lines += [f"            {line}" for line in body]
    keep = "_stored(state, most)" if parts.reads_state else '""'
    lines += [
        f"        states.append({keep})",
        *(f"    results[{name!r}] = out_{name}" for name in _outputs(program.convention)),
        '    return {"values": results, "parts": parts_out, "states": states}',
    ]
    return "\n".join(lines) + "\n"


def _outputs(convention: Convention) -> tuple[str, ...]:
    return ("sparse", "dense") if convention is Convention.SIGNED else ("reward",)


_NUMBER = """\
if type({name}) is not float or {name} - {name} != 0.0:
    {name} = _number({name}, {what!r})
out_{name}.append({name})
"""

_PARTS = """\
if not isinstance(reward, tuple) or _len(reward) != 2 or not isinstance(reward[1], dict):
    raise TypeError("[coded] return_type: expected (total, dict of components)")
reward, parts = reward
if not parts_out:
    if _len(parts) > 32:
        raise ValueError("[coded] components: more than 32 components")
    for name in parts:
        if not isinstance(name, str) or not name.isidentifier() or _len(name) > 64:
            raise ValueError(f"[coded] components: {name!r} is no usable name of a component")
        parts_out[name] = []
if _len(parts) != _len(parts_out) or not all([name in parts_out for name in parts]):
    raise ValueError("[coded] components: every step must have the same components")
for name, part in parts.items():
    parts_out[name].append(_number(part, f"component {name!r}"))
"""


def _calls(program: Program, parts: Anatomy, words: list[str]) -> list[str]:
    """Return the lines that call the program for one step and keep its values."""
    if program.convention is Convention.SIGNED:
        text = ""
        for name in parts.functions:
            # The author's names may hide nothing here: results go to names of their own.
            text += f"value_{name} = {name}(prev_obs, action, obs, info, state)\n"
            text += _NUMBER.format(name=f"value_{name}", what=f"{name}(...)").replace(
                f"out_value_{name}", f"out_{name}"
            )
        return text.splitlines()
    function = parts.functions[0]
    if program.convention is Convention.COMPONENTS:
        text = f"reward = {function}({', '.join(map(_argument, parts.parameters))})\n" + _PARTS
    else:
        text = "me = Subject()\n" + "".join(f"me.{word} = q_{word}\n" for word in words)
        text += "me.obs = obs\nme.prev_obs = prev_obs\nme.info = info\nme.state = state\n"
        text += f"reward = {function}(me, action)\n"
    return (text + _NUMBER.format(name="reward", what=f"{function}(...)")).splitlines()


def _argument(parameter: str) -> str:
    """Return the name in ``_run`` of what a parameter of the program asks for."""
    if parameter in ARGUMENTS:
        return parameter
    if parameter.startswith(PREVIOUS):
        return f"p_{parameter.removeprefix(PREVIOUS)}"
    return f"q_{parameter}"
