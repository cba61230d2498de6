"""The critic: a program is read, then run on samples; it judges only what the code does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from reward_models.coded.faults import Fault, FaultKind, ProgramError
from reward_models.coded.limits import Limits
from reward_models.coded.program import Convention, Program, as_convention
from reward_models.coded.quantities import ProgramInputs, Quantity
from reward_models.coded.runner import Runner, Values
from reward_models.coded.sandbox import Sandbox, shared_sandbox
from reward_models.coded.static_review import static_review
from reward_models.rollout import Rollout

_SAMPLE_STEPS, _SAMPLE_COLUMNS = 6, 3


@final
@dataclass(frozen=True)
class Verdict:
    """What the critic found.

    Attributes:
        program: the program, when there is no fault, else None.
        faults: in the order of lines.
    """

    program: Program | None
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults)) or "no faults"


def review(
    source: str,
    convention: Convention | str,
    inputs: ProgramInputs,
    samples: Rollout | None = None,
    *,
    limits: Limits | None = None,
    sandbox: Sandbox | None = None,
    parents: Iterable[str] = (),
) -> Verdict:
    """Review a program: its text first; only a text without faults runs, in the sandbox.

    The dry run covers the given samples and drawn ones: all quantities zero (empty inventories and
    messages), random numbers, first steps, terminations and truncations. Then the same steps come
    again one call at a time and with the columns in reverse. The values must be the same: whatever
    a program remembers must be in ``state``, and columns share nothing.

    Args:
        source: the program's text, as `extract_code` returns it.
        convention: what it must define.
        inputs: what it may read.
        samples: steps of the environment, with every declared quantity; drawn ones alone when None.
        limits: of each call; those of ``sandbox`` when it is given.
        sandbox: where the program runs; the process's own when None.
        parents: hashes of the programs it was made from.

    Returns:
        The program, or its faults, each with kind, line and message. All faults of the text come at
        once; of the dry run only the first.
    """
    convention = as_convention(convention)
    if sandbox is None:
        sandbox = shared_sandbox(limits or Limits())
    faults = static_review(source, convention, inputs, sandbox.limits)
    if faults:
        return Verdict(None, faults)
    program = Program(source, convention, inputs, tuple(parents))
    try:
        runner = Runner(program, sandbox)
        for rollout in [*sample_rollouts(inputs), *([] if samples is None else [samples])]:
            _dry_run(runner, rollout)
    except ProgramError as error:
        return Verdict(None, (error.fault,))
    return Verdict(program, ())


def _dry_run(runner: Runner, rollout: Rollout) -> None:
    values = runner.run(rollout)
    order = torch.arange(rollout.B - 1, -1, -1)
    reversed_columns = Rollout(
        continued=rollout.continued[order], **dict(rollout.data[:, order].items())
    )
    again = runner.run(reversed_columns)
    stepwise = runner.run(rollout, most=1)
    for other, back in ((again, order.numpy()), (stepwise, slice(None))):
        if not _equal(values, other, back):
            line = runner.line_of_memory()
            message = (
                "the same steps give other values in another order of columns or in smaller "
                "pieces; keep what you remember in state['name'] and nowhere else."
            )
            raise ProgramError(Fault(FaultKind.HIDDEN_MEMORY, line, message))


def _equal(values: Values, other: Values, back: np.ndarray | slice) -> bool:
    pairs = [
        (values.reward, other.reward),
        *((values.parts[k], other.parts[k]) for k in values.parts),
    ]
    return all(np.array_equal(one, two[:, back]) for one, two in pairs)


def sample_rollouts(inputs: ProgramInputs) -> list[Rollout]:
    """Draw records that have every declared quantity, the same ones at every call.

    Returns:
        One with zeros everywhere, and one of random numbers (normal, or small integers for integer
        quantities). Both have an episode that terminates, one that is truncated, one that goes on.
    """
    return [
        _rollout(inputs, np.random.default_rng(seed), scale) for seed, scale in ((0, 0), (1, 1))
    ]


def _rollout(inputs: ProgramInputs, random: np.random.Generator, scale: int) -> Rollout:
    size = (_SAMPLE_STEPS, _SAMPLE_COLUMNS)
    entries: dict[str, object] = {}
    for quantity in inputs.quantities:
        series = _series(quantity, random, scale)
        root, _, rest = quantity.name.partition(".")
        if root == "observation":
            _put(entries, "observation", rest, series[:-1])
            _put(entries, "next_observation", rest, series[1:])
        else:
            _put(entries, root, rest, series[1:])
    for key in ("observation", "next_observation"):
        entries.setdefault(key, torch.zeros(*size, 1))
    terminated, truncated = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.bool)
    terminated[2, 0] = truncated[3, 1] = True
    if inputs.action_shape:
        action = torch.as_tensor(scale * random.normal(size=(*size, *inputs.action_shape)))
    else:
        count = len(inputs.actions or (0, 0))
        action = torch.as_tensor(scale * random.integers(0, count, size=size))
    return Rollout(
        action=action, reward=torch.zeros(size), terminated=terminated, truncated=truncated,
        **entries,
    )  # fmt: skip


def _series(quantity: Quantity, random: np.random.Generator, scale: int) -> torch.Tensor:
    shape = (_SAMPLE_STEPS + 1, _SAMPLE_COLUMNS, *quantity.shape)
    if quantity.is_text:
        letters = scale * random.integers(32, 127, size=shape)
        return torch.as_tensor(letters.astype(np.uint8))
    kind = np.dtype(quantity.dtype)
    if kind.kind in "iub":
        return torch.as_tensor(
            (scale * random.integers(0, 2 if kind.kind == "b" else 9, size=shape)).astype(kind)
        )
    return torch.as_tensor((scale * random.normal(size=shape)).astype(kind))


def _put(entries: dict[str, object], root: str, rest: str, values: torch.Tensor) -> None:
    if not rest:
        entries[root] = values
        return
    level = entries.setdefault(root, {})
    *parents, leaf = rest.split(".")
    for parent in parents:
        level = level.setdefault(parent, {})  # type: ignore[attr-defined]
    level[leaf] = values  # type: ignore[index]
