"""What an environment tells about itself: documented quantities, their ranges, sampled steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import gymnasium
import numpy as np
from gymnasium import spaces

import envs
from ctrl.build import alone, build_env
from ctrl.config import EnvConfig
from ctrl.design.ranges import Range, measure
from ctrl.opponents import without_opponent
from ctrl.sb3.recorder import Recorder
from envs.checking.interface import documentation
from reward_models.coded.quantities import TEXT, ProgramInputs, Quantity, size
from reward_models.errors import UnknownNameError
from reward_models.rollout import Rollout

EVERYTHING = frozenset({"success", "state"})
"""Record keys under which a rollout holds all quantities of the simulator."""

_LARGEST = 64
_TEXT_LENGTH = 32
_COLUMNS = 4
_FLAGS = ("is_success", "success")


@final
@dataclass(frozen=True)
class Surroundings:
    """What is known about an environment before anything is designed.

    Attributes:
        inputs: what a program may read.
        ranges: of the numbers among it, by identifier.
        samples: steps of a random policy, for dry runs and ranges.
        has_success: the environment says whether an episode succeeded.
        quantities: names of all quantities of the simulator, also those that programs do not get.
    """

    inputs: ProgramInputs
    ranges: dict[str, Range]
    samples: Rollout
    has_success: bool
    quantities: tuple[str, ...]


def explore(
    config: EnvConfig,
    *,
    task: str,
    quantities: Sequence[str] | None,
    actions: Sequence[str] | None,
    steps: int,
    seed: int,
) -> Surroundings:
    """Read an environment's documentation and let a random policy act in it.

    Args:
        config: the environment.
        task: in words.
        quantities: identifiers of those that programs get; None for the observation and all
            documented quantities of at most 64 numbers, texts not among them.
        actions: names of the actions of a discrete space; None for numbers alone.
        steps: environment steps, over four columns.
        seed: of environment and actions.

    Raises:
        UnknownNameError: no such quantity, with the nearest one.
        UserError: the environment cannot be made.
    """
    venv = build_env(alone(config), n_envs=_COLUMNS, seed=seed)
    recorder = Recorder(venv, requires=EVERYTHING)
    try:
        recorder.seed(seed)
        recorder.reset()
        venv.action_space.seed(seed)
        rows = max(2, steps // _COLUMNS)
        recorder.begin(rows)
        for _ in range(rows):
            recorder.step(np.array([venv.action_space.sample() for _ in range(_COLUMNS)]))
        rollout = recorder.rollout()
    finally:
        recorder.close()
    meanings, has_success, limit = _documented(config)
    examples = {
        key.removeprefix("state."): rollout[key][0, 0].numpy()
        for key in sorted(rollout.keys())
        if key.startswith("state.")
    }
    inputs = ProgramInputs.from_spaces(
        _numbers(venv.observation_space, set(examples)),
        venv.action_space,
        task=task,
        state=examples,
        meanings=meanings,
        actions=actions,
        max_steps=limit,
    )
    inputs = _chosen(inputs, quantities, has_success)
    values = {
        quantity.identifier: rollout[quantity.name].numpy()
        for quantity in inputs.quantities
        if not quantity.is_text
    }
    return Surroundings(inputs, measure(rollout, values), rollout, has_success, tuple(examples))


def _documented(config: EnvConfig) -> tuple[dict[str, str], bool, int | None]:
    """Return the meanings of quantities, whether success is reported, and the time limit."""
    env = envs.make(config.id, **without_opponent(alone(config)).options)
    try:
        found = documentation(env)
        meanings = {str(k): str(v) for k, v in found.items()} if isinstance(found, Mapping) else {}
        env.reset(seed=0)
        env.action_space.seed(0)
        *_, info = env.step(env.action_space.sample())
        limit = None if env.spec is None else env.spec.max_episode_steps
        return meanings, any(flag in info for flag in _FLAGS), limit
    finally:
        env.close()


def _numbers(space: gymnasium.Space[Any], taken: set[str]) -> gymnasium.Space[Any]:
    """Return a Dict space without what the simulator's quantities have under the same name."""
    if not isinstance(space, spaces.Dict):
        return space
    return spaces.Dict({key: part for key, part in space.spaces.items() if key not in taken})


def _chosen(
    inputs: ProgramInputs, wanted: Sequence[str] | None, has_success: bool
) -> ProgramInputs:
    """Return the inputs with the quantities that programs get, messages as text."""
    everything = [_as_text(quantity) for quantity in inputs.quantities]
    if has_success:
        meaning = "whether the task is solved"
        everything.append(Quantity("success", "bool", (), "", meaning))
    names = [quantity.identifier for quantity in everything]
    for name in wanted or ():
        if name not in names:
            raise UnknownNameError("quantity", name, names)
    chosen = tuple(
        quantity
        for quantity in everything
        if (quantity.identifier in wanted if wanted is not None else _is_small(quantity))
    )
    return replace(inputs, quantities=chosen)


def _as_text(quantity: Quantity) -> Quantity:
    if (
        quantity.dtype == "uint8"
        and len(quantity.shape) == 1
        and quantity.shape[0] >= _TEXT_LENGTH
        and "message" in quantity.identifier
    ):
        return replace(quantity, dtype=TEXT)
    return quantity


def _is_small(quantity: Quantity) -> bool:
    return not quantity.is_text and 0 < size(quantity) <= _LARGEST
