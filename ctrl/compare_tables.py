"""Reward models as tables of a tabular world."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from envs.worlds.tabular import TabularSimulation
from reward_models.base import RewardModel
from reward_models.compare.evaluate import reward_values
from reward_models.errors import UnknownNameError, UserError
from reward_models.mix import TaskReward
from reward_models.rollout import Rollout

_MOST_ENTRIES = 20_000_000
_CHUNK = 200_000


def reward_tables(simulation: TabularSimulation, models: Mapping[str, RewardModel]) -> np.ndarray:
    """Return what each reward pays for every transition of a tabular world.

    A model is asked about all pairs of states, also those between which no action leads. A
    terminal state pays nothing, as it does in the world. The task reward comes from the world's own
    table; the others are computed in float32 as ever.

    Args:
        simulation: the world.
        models: U rewards by name.

    Returns:
        float64 ``[U, S, A, S]``.

    Raises:
        UserError: the world is too large for tables, or see
            `reward_models.compare.evaluate.reward_values`.
        UnknownNameError: a reward asks for a quantity that the world does not report.
    """
    world = simulation.mdp
    shape = world.transition.shape
    size = int(np.prod(shape))
    if size * len(models) > _MOST_ENTRIES:
        raise UserError(
            f"Tables of {len(models)} rewards over {shape[0]} states and {shape[1]} actions are "
            "too large; estimate the distances instead, with --by-samples."
        )
    tables = np.empty((len(models), size))
    for number, model in enumerate(models.values()):
        if isinstance(model, TaskReward):
            tables[number] = world.reward.reshape(-1)
    others = {
        (number, name): model
        for number, (name, model) in enumerate(models.items())
        if not isinstance(model, TaskReward)
    }
    for start in range(0, size if others else 0, _CHUNK):
        cells = np.arange(start, min(start + _CHUNK, size))
        rollout = _transitions(
            simulation, cells, frozenset().union(*(m.requires for m in others.values()))
        )
        for (number, name), model in others.items():
            tables[number, cells] = reward_values(name, model, rollout)[0]
    found = tables.reshape(-1, *shape)
    found[:, world.terminal] = 0.0
    return found


def _transitions(
    simulation: TabularSimulation, cells: np.ndarray, requires: frozenset[str]
) -> Rollout:
    """Return the transitions with these numbers as a rollout ``[1, n]``."""
    world = simulation.mdp
    before, action, after = np.unravel_index(cells, world.transition.shape)
    simulation.set_state({"state": np.arange(world.num_states)})
    seen = simulation.observe()
    quantities = {name: table[after] for name, table in simulation.state_info.items()}
    for name, table in simulation.transition_info.items():
        quantities[name] = table[before, action, after]
    for key in requires:
        name = key.removeprefix("state.")
        if key not in ("state", "success") and name not in quantities:
            raise UnknownNameError(
                "simulator quantity (a reward asked for it by this name)", name, quantities
            )
    flag = quantities.get("is_success", np.zeros(len(cells), dtype=bool))
    return Rollout(
        observation=seen[before][None],
        action=action[None],
        next_observation=seen[after][None],
        reward=world.reward[before, action, after][None],
        terminated=(world.terminal[after] & ~world.terminal[before])[None],
        truncated=np.zeros((1, len(cells)), dtype=bool),
        success=np.asarray(flag, dtype=bool)[None],
        state={name: values[None] for name, values in quantities.items()},
    )
