"""What an episode left behind, for counting: quantities, rewards, and what the program paid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from reward_models.rollout import Rollout


@dataclass(frozen=True)
class EpisodeLog:
    """One finished episode of T steps.

    Attributes:
        quantities: documented quantities after every step, ``[T, ...]`` by name.
        reward: the task reward, ``[T]``.
        paid: what the program paid, ``[T]`` by part; ``total`` is their sum as it was trained on.
            Empty where no program was tried.
        terminated: the task itself ended the episode; false where a time limit cut it.
        success: the task's own success flag; None where the environment has none.
    """

    quantities: Mapping[str, np.ndarray]
    reward: np.ndarray
    paid: Mapping[str, np.ndarray] = field(default_factory=dict)
    terminated: bool = False
    success: bool | None = None

    def __len__(self) -> int:
        return len(self.reward)


def finished_episodes(
    rollout: Rollout,
    *,
    wanted: int,
    paid: Mapping[str, np.ndarray],
    success: Callable[[bool, Mapping[str, np.ndarray]], bool | None],
) -> list[EpisodeLog]:
    """Cut a rollout into the episodes that an evaluation counts.

    Every column gives its equal share of the episodes, its first ones, so short episodes are not
    over-represented.

    Args:
        rollout: recorded from a reset on, ``[T, B]``, with ``state`` and ``success``.
        wanted: how many episodes; later ones are left out.
        paid: what the program paid, ``[T, B]`` by part.
        success: from the record's flag at the last step and the quantities of an episode to
            whether it succeeded; None leaves it to its return.
    """
    share = [(wanted + column) // rollout.B for column in range(rollout.B)]
    quantities = _leaves(rollout)
    reward, terminated = rollout.reward.numpy(), rollout.terminated.numpy()
    flags = rollout["success"].numpy()
    taken = [0] * rollout.B
    found: list[EpisodeLog] = []
    for episode in rollout.episodes():
        column = episode.column
        if episode.open_end or taken[column] >= share[column]:
            continue
        taken[column] += 1
        steps = slice(episode.start, episode.stop)
        last = episode.stop - 1
        own = {name: rows[steps, column] for name, rows in quantities.items()}
        found.append(
            EpisodeLog(
                quantities=own,
                reward=reward[steps, column],
                paid={name: rows[steps, column] for name, rows in paid.items()},
                terminated=bool(terminated[last, column]),
                success=success(bool(flags[last, column]), own),
            )
        )
    return found


def _leaves(rollout: Rollout) -> dict[str, np.ndarray]:
    if "state" not in rollout:
        return {}
    return {str(name): rows.numpy() for name, rows in rollout["state"].items()}
