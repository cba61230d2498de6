"""What a program's text says about itself: its functions, what it reads, and what it remembers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from reward_models.coded.program import Convention, Program
from reward_models.coded.quantities import ProgramInputs, Quantity
from reward_models.errors import UserError

SIGNED_PARAMETERS = ("prev_obs", "action", "obs", "info", "state")
SCALAR_PARAMETERS = ("self", "action")
PREVIOUS = "prev_"
ARGUMENTS = ("prev_obs", "obs", "action", "info", "state")
INFO_KEYS = ("step", "terminated", "truncated")
REQUIRED_FUNCTIONS = {
    Convention.SIGNED: ("sparse", "dense"),
    Convention.COMPONENTS: ("compute_reward",),
    Convention.SCALAR: ("compute_dense_reward",),
}


@final
@dataclass(frozen=True)
class Anatomy:
    """The parts of a program that decide what crosses into the sandbox.

    A quantity counts as read when its identifier stands in the text as a string, a parameter or an
    attribute of ``self``; nothing else is sent, so a key that is put together at run time is
    unknown there.

    Attributes:
        functions: names of the functions of the convention, in the order of their calls.
        parameters: of the only function (``components`` convention), else those of the convention.
        quantities: what the program reads.
        reads_previous: it looks at values before the step.
        reads_info: it looks at ``info``.
        reads_state: it may keep values from step to step.
        reads_step: the number of the step in its episode matters.
    """

    functions: tuple[str, ...]
    parameters: tuple[str, ...]
    quantities: tuple[Quantity, ...]
    reads_previous: bool
    reads_info: bool
    reads_state: bool
    reads_step: bool

    @property
    def has_memory(self) -> bool:
        """Whether a step's value depends on earlier steps of its episode."""
        simulator = any(quantity.name.startswith("state.") for quantity in self.quantities)
        return self.reads_state or self.reads_step or (self.reads_previous and simulator)


def anatomy(program: Program) -> Anatomy:
    """Read a program.

    Raises:
        UserError: a function of its convention is not there.
        SyntaxError: its text is no Python; `static_review` says it better.
    """
    tree = ast.parse(program.source)
    names = REQUIRED_FUNCTIONS[program.convention]
    if len(required(tree, program.convention)) < len(names):
        raise UserError(
            f"A program of the {program.convention} convention must define {' and '.join(names)}."
        )
    return of_tree(tree, program.convention, program.inputs)


def of_tree(tree: ast.Module, convention: Convention, inputs: ProgramInputs) -> Anatomy:
    """Read a parsed program; the functions of the convention must be there."""
    functions = tuple(function.name for function in required(tree, convention))
    parameters: tuple[str, ...]
    parameters = SIGNED_PARAMETERS if convention is Convention.SIGNED else SCALAR_PARAMETERS
    if convention is Convention.COMPONENTS:
        parameters = tuple(arg.arg for arg in required(tree, convention)[0].args.args)
    words = set(strings(tree))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if convention is Convention.SCALAR:
        attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        words |= attributes
        names |= attributes & set(ARGUMENTS)
    if convention is Convention.COMPONENTS:
        names &= set(parameters) | {"obs", "prev_obs"}
        words |= {name.removeprefix(PREVIOUS) for name in parameters} | set(parameters)
    previous = "prev_obs" in names or any(
        name.startswith(PREVIOUS) and name != "prev_obs" for name in parameters
        if convention is Convention.COMPONENTS
    )  # fmt: skip
    return Anatomy(
        functions=functions,
        parameters=parameters,
        quantities=tuple(one for one in inputs.quantities if one.identifier in words),
        reads_previous=previous,
        reads_info="info" in names,
        reads_state="state" in names,
        reads_step="info" in names and "step" in words,
    )


def required(tree: ast.Module, convention: Convention) -> list[ast.FunctionDef]:
    """Return the functions of the convention that are there, in the order of their calls.

    In the ``components`` convention the first function stands in for ``compute_reward``.
    """
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    names = REQUIRED_FUNCTIONS[convention]
    if convention is Convention.COMPONENTS and names[0] not in found:
        names = tuple(found)[:1]
    return [found[name] for name in names if name in found]


def strings(tree: ast.AST) -> Iterator[str]:
    """Return all string constants."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
