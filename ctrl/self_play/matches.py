"""Matches between two policies, counted: who wins, and how often the ball is touched and scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctrl.build import build_env
from ctrl.config import EnvConfig
from envs.rocket_league.recorded_starts import moments, save_moments
from envs.rocket_league.starts import Start
from envs.rocket_league.tasks import FAMILY
from reward_models.errors import UserError

Player = Callable[[Any], np.ndarray]
"""Observations of some cars to their actions; `ctrl.opponents.FrozenPolicy` is one."""

_SECONDS_PER_TICK = 1.0 / 120.0
_DEFAULT_TICKS = 8
_RATES = {"touches": "touch", "goals": "team_goal"}
_RECORD_EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Encounter:
    """What came of the matches between two players.

    Attributes:
        first: name of one player.
        second: name of the other.
        results: of every finished episode: 1 when the first scored, -1 when the second did, 0 when
            it ended without a goal.
        minutes: game time over all matches, unfinished episodes included.
        rates: ``touches`` and ``goals`` of the first and of the second per minute of game time.
    """

    first: str
    second: str
    results: tuple[int, ...]
    minutes: float
    rates: dict[str, tuple[float, float]]

    @property
    def counts(self) -> tuple[int, int, int]:
        """Episodes that the first won, that nobody won, and that it lost."""
        return tuple(self.results.count(result) for result in (1, 0, -1))  # type: ignore[return-value]


def play_matches(
    first: tuple[str, Player],
    second: tuple[str, Player],
    env: EnvConfig,
    *,
    minutes: float = 10.0,
    matches: int = 16,
    seed: int = 0,
    record: list[Start] | None = None,
) -> Encounter:
    """Let two policies play against each other, each half of the matches on either side.

    Args:
        first: name and policy.
        second: name and policy.
        env: a Rocket League task; its option ``opponent`` is not read.
        minutes: game time over all matches.
        matches: side by side, an even number.
        seed: of the matches and of both policies' draws.
        record: moments of play, one match at a time, are added to this list.

    Raises:
        UserError: the task has no two teams, or not such matches.
    """
    if matches < 2 or matches % 2:
        raise UserError(f"matches must be an even number, 2 or more, got {matches}.")
    if not minutes > 0.0:
        raise UserError(f"minutes must be above 0, got {minutes}.")
    blue, orange = teams(env)
    columns = blue + orange
    options = {key: value for key, value in env.options.items() if key != "opponent"}
    venv = build_env(
        EnvConfig(env.id, threads=1, options=options), n_envs=matches * columns, seed=seed
    )
    # Blue cars come first in every match; the first player is blue in every second one.
    match, place = np.divmod(np.arange(matches * columns), columns)
    is_first = (place < blue) == (match % 2 == 0)
    players = ((first[1], is_first), (second[1], ~is_first))
    for number, (player, _) in enumerate(players):
        _call(player, "seed", seed + number)
    seconds = options.get("tick_skip", _DEFAULT_TICKS) * _SECONDS_PER_TICK
    steps = max(1, round(60.0 * minutes / seconds / matches))
    record_every = max(1, round(_RECORD_EVERY_SECONDS / seconds))
    counted = {name: np.zeros(2) for name in _RATES}
    results: list[int] = []
    leaders = np.array([np.flatnonzero(is_first & (match == index))[0] for index in range(matches)])
    observation = venv.reset()
    for player, own in players:
        _call(player, "begin", np.ones(int(own.sum()), dtype=bool))
    for step in range(steps):
        if record is not None and step % record_every == 0:
            inner: Any = venv.get_attr("matches")[0]
            record += moments(inner.arenas.state, np.array([step // record_every % matches]))
        chosen = [player(_part(observation, own)) for player, own in players]
        actions = np.empty((len(is_first), *chosen[0].shape[1:]), dtype=chosen[0].dtype)
        for (_, own), part in zip(players, chosen, strict=True):
            actions[own] = part
        observation, rewards, dones, _ = venv.step(actions)
        happened: dict[str, Any] = venv.info_columns()  # type: ignore[attr-defined]
        for name, key in _RATES.items():
            values = happened[key]
            counted[name] += values[is_first].sum(), values[~is_first].sum()
        if dones.any():
            results += [int(np.sign(rewards[row])) for row in leaders if dones[row]]
            for player, own in players:
                _call(player, "begin", dones[own])
    venv.close()
    played = steps * matches * seconds / 60.0
    # Every car of a team has its goals.
    counted["goals"] /= blue
    rates = {name: (float(a / played), float(b / played)) for name, (a, b) in counted.items()}
    return Encounter(first[0], second[0], tuple(results), played, rates)


def teams(env: EnvConfig) -> tuple[int, int]:
    """Return how many cars each team of a task has.

    Raises:
        UserError: it is not a task with two equal teams.
    """
    listed = [task.options for task in FAMILY.tasks if task.name == env.id]
    sizes: dict[str, Any] = {**(listed[0] if listed else {}), **env.options}
    if listed and "blue" in sizes and sizes["blue"] == sizes["orange"]:
        return int(sizes["blue"]), int(sizes["orange"])
    raise UserError(
        f"Matches need a Rocket League task with two equal teams, got {env.id}. Take "
        "RocketLeague1v1-v0, RocketLeague2v2-v0 or RocketLeague3v3-v0."
    )


def save_recorded(path: Path, starts: list[Start], env: EnvConfig) -> None:
    """Write recorded moments of play, for ``env.start``.

    Raises:
        UserError: there are none, or the file cannot be written.
    """
    blue, orange = teams(env)
    try:
        save_moments(path, starts, blue=blue, orange=orange)
    except (OSError, ValueError) as error:
        raise UserError(f"Cannot write moments of play to {path}: {error}") from error


def _part(observation: Any, rows: np.ndarray) -> Any:
    if isinstance(observation, dict):
        return {name: values[rows] for name, values in observation.items()}
    return observation[rows]


def _call(player: Any, method: str, *arguments: Any) -> None:
    if hasattr(player, method):
        getattr(player, method)(*arguments)
