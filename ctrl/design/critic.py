"""From a designer's text to a program that passed the Critic, or to sentences about its faults."""

from __future__ import annotations

from dataclasses import replace
from typing import final

from ctrl.design.attempts import Try
from ctrl.design.environment import Surroundings
from ctrl.design.prompts import objection
from reward_models.coded.critic import review
from reward_models.coded.limits import Limits
from reward_models.coded.program import Convention, Program, extract_code
from reward_models.coded.sandbox import Sandbox

_FAULTS = 20
LOGIC = "logic"
"""Kind of the faults that a language model found; those of the code have a `FaultKind`."""


@final
class Critic:
    """Review programs by what they do on steps of the environment.

    Args:
        around: the environment.
        convention: of the programs.
    """

    def __init__(self, around: Surroundings, convention: Convention) -> None:
        self._around, self._convention = around, convention
        self._sandbox = Sandbox(Limits())

    def __enter__(self) -> Critic:
        return self

    def __exit__(self, *error: object) -> None:
        self._sandbox.close()

    def review(self, reply: str, parents: tuple[str, ...]) -> tuple[Program | None, Try]:
        """Return the program in a reply, or None, and what was found.

        Args:
            reply: of a designer.
            parents: hashes of the programs it was made from.
        """
        source = extract_code(reply)
        verdict = review(
            source, self._convention, self._around.inputs, self._around.samples,
            sandbox=self._sandbox, parents=parents,
        )  # fmt: skip
        faults = tuple(str(fault) for fault in verdict.faults[:_FAULTS])
        return verdict.program, Try(reply, source, faults)


def reviewed(one: Try, said: str) -> Try:
    """Return a text that runs, with what a language model said about it.

    Only a clear objection is a fault: an answer that says neither yes nor no stops nothing.
    """
    why = objection(said)
    faults = () if why is None else (f"{LOGIC}: {why}",)
    return replace(one, faults=faults, review=said or "(nothing)")
