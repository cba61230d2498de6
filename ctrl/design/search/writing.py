"""From parts to the text of a program, with its thoughts before it and as comments in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctrl.design.search.parts import Part, Sketch, describe, mark, statements
from reward_models.coded.program import Convention
from reward_models.errors import UserError

_EVENT_SHARE, _DENSE_SHARE = 1.0, 0.1


def write(
    sketch: Sketch, sizes: Mapping[str, int], convention: Convention, thoughts: Sequence[str]
) -> str:
    """Return a reply like that of a language model: thoughts, then one fenced program.

    Args:
        sketch: the parts.
        sizes: numbers of entries of the vectors among the quantities, by name.
        convention: ``signed`` or ``components``; in the latter every part is a component, events
            worth 1 and the others 0.1 times their weight.
        thoughts: why these parts.

    Raises:
        UserError: another convention.
    """
    if convention == Convention.SIGNED:
        code = [
            *_function("sparse", sketch.sparse, sizes, sketch),
            "",
            "",
            *_function("dense", sketch.dense, sizes, None),
        ]
    elif convention == Convention.COMPONENTS:
        code = _components(sketch, sizes)
    else:
        raise UserError(
            f"The search designer writes signed and components programs, not {convention} ones; "
            "set convention=signed."
        )
    words = "\n".join(f"- {thought}" for thought in thoughts)
    return f"{words}\n\n```python\n" + "\n".join(code) + "\n```\n"


def _function(
    name: str, parts: Sequence[Part], sizes: Mapping[str, int], sketch: Sketch | None
) -> list[str]:
    body = [] if sketch is None else [mark(sketch)]
    body.append("value = 0.0")
    for number, part in enumerate(parts):
        body += [f"# {describe(part)}", *statements(part, number, sizes)]
    body.append("return value")
    return [f"def {name}(prev_obs, action, obs, info, state):", *_indented(body)]


def _components(sketch: Sketch, sizes: Mapping[str, int]) -> list[str]:
    body, names = [mark(sketch)], []
    parts = [(part, _EVENT_SHARE) for part in sketch.sparse]
    parts += [(part, _DENSE_SHARE) for part in sketch.dense]
    for number, (part, share) in enumerate(parts):
        name = f"{part.kind}_{'_'.join(part.names)}"
        names.append(name if name not in names else f"{name}_{number}")
        body += [
            f"# {describe(part)}",
            "value = 0.0",
            *statements(part, number, sizes, by_name=True),
            f"{names[-1]} = {share!r} * value",
        ]
    total = " + ".join(names) or "0.0"
    listed = ", ".join(f'"{name}": {name}' for name in names)
    body.append(f"return {total}, {{{listed}}}")
    read = dict.fromkeys(name for part, _ in parts for name in part.names)
    before = [f"prev_{name}" for name in read]
    parameters = ", ".join([*read, *before, "info", "state"])
    return [f"def compute_reward({parameters}):", *_indented(body)]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]
