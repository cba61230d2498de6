"""Corridors and rings: a television that never stops being new, and a lure away from the goal."""

from __future__ import annotations

import numpy as np

from envs.worlds.mdp import from_outcomes
from envs.worlds.options import choice
from envs.worlds.tabular import TabularSimulation, one_hot

_PATTERNS, _PIXELS = 8, 16
_TELEVISIONS = ("on_demand", "iid", "brownian", "off")


def corridor_tv(
    num_envs: int,
    *,
    length: int = 40,
    tv: str = "on_demand",
    pattern_seed: int = 0,
    observation: str = "screen",
) -> TabularSimulation:
    """A corridor to explore, with a television that shows one of eight random patterns.

    Actions: 0 left, 1 right, 2 television, which keeps the position; the ends of the corridor stop
    a move. Start at position 0, with a blank screen; no reward, no end. A state of the tables is a
    pair: ``state_index = position * 9 + screen``, screen 0 being blank.

    Args:
        num_envs: columns, B.
        length: positions, N.
        tv: ``on_demand``: action 2 shows a pattern drawn anew, the others blank the screen;
            ``iid``: every step draws one; ``brownian``: every step moves to one of the two
            neighbours in the ring of patterns (from blank to any); ``off``: always blank, and
            action 2 does nothing. Except on demand, action 2 is just waiting.
        pattern_seed: of the eight fixed patterns, 16 numbers N(0, 1) each.
        observation: ``screen`` (float32 ``[N + 16]``: the position one-hot, then the pattern or
            zeros), ``index`` (the position), ``one_hot`` (the same, ``[N]``) or ``state_index``.

    Raises:
        ValueError: an unknown ``tv``, or fewer than 2 positions.
    """
    return _television(num_envs, length, tv, pattern_seed, observation, ring=False)


def ring_tv(
    num_envs: int,
    *,
    length: int = 10,
    tv: str = "on_demand",
    pattern_seed: int = 0,
    observation: str = "screen",
) -> TabularSimulation:
    """The corridor of `corridor_tv` closed to a ring.

    Args:
        num_envs: columns, B.
        length: positions, N.
        tv: see `corridor_tv`.
        pattern_seed: see `corridor_tv`.
        observation: see `corridor_tv`.

    Raises:
        ValueError: see `corridor_tv`.
    """
    return _television(num_envs, length, tv, pattern_seed, observation, ring=True)


def _television(
    num_envs: int, length: int, tv: str, pattern_seed: int, observation: str, *, ring: bool
) -> TabularSimulation:
    choice("tv", tv, _TELEVISIONS)
    if length < 2:
        raise ValueError(f"Expected at least 2 positions, got {length}.")
    screens = 1 if tv == "off" else _PATTERNS + 1
    position = np.repeat(np.arange(length), screens)
    screen = np.tile(np.arange(screens), length)

    def outcomes(state: int, action: int) -> list[tuple[float, int, float]]:
        place = position[state] + (-1, 1, 0)[action]
        place = place % length if ring else min(max(place, 0), length - 1)
        shown = _shown(tv, int(screen[state]), action)
        return [(1 / len(shown), int(place * screens + picture), 0.0) for picture in shown]

    patterns = np.random.default_rng(pattern_seed).standard_normal((_PATTERNS, _PIXELS))
    pictures = np.concatenate([np.zeros((1, _PIXELS)), patterns])[screen]
    where = one_hot(position)
    return TabularSimulation(
        num_envs,
        from_outcomes(length * screens, 3, outcomes, start=0),
        observations={
            "screen": np.concatenate([where, pictures], axis=1).astype(np.float32),
            "index": position,
            "one_hot": where,
            "state_index": np.arange(length * screens),
        },
        observation=observation,
        state_info={"position": position, "screen": screen},
        transition_info={"tv": np.array([0, 0, 1])[None, :, None]},
        info_keys={
            "position": f"place in the {'ring' if ring else 'corridor'}, int64 [], from 0",
            "screen": "number of the pattern shown, 1 to 8; 0 for a blank screen",
            "tv": "1 in a step with the television action, else 0",
        },
        cells=np.stack([np.zeros_like(position), position], axis=1),
    )


def _shown(tv: str, screen: int, action: int) -> list[int]:
    """Return the screens that can follow, equally likely."""
    if tv == "off" or (tv == "on_demand" and action != 2):
        return [0]
    if tv == "brownian" and screen > 0:
        return [(screen - 2) % _PATTERNS + 1, screen % _PATTERNS + 1]
    return list(range(1, _PATTERNS + 1))


def lure_corridor(
    num_envs: int, *, flip: float = 0.05, observation: str = "index"
) -> TabularSimulation:
    """Nine states with the goal at the right end and a lure at the left end.

    Actions: 0 left, 1 right; with probability ``flip`` the opposite move is made. Start in the
    middle, state 4. Arriving at state 8 pays 1 and ends the episode; state 0 stops moves to the
    left. Two further rewards are in the info and never part of the task's own: a bad one of 0.5
    for every step that arrives at (or stays in) state 0, and a good one of 0.05 for every step
    that moves right.

    With the bad one added, walking left and staying there is optimal: over 20 steps about 8 in
    place of 1.

    Args:
        num_envs: columns, B.
        flip: probability in [0, 1].
        observation: ``index``, ``one_hot`` or ``coordinates`` (scaled to [-1, 1]).

    Raises:
        ValueError: a flip outside [0, 1].
    """
    if not 0 <= flip <= 1:
        raise ValueError(f"flip must be a probability, got {flip}.")
    place = np.arange(9)

    def outcomes(state: int, action: int) -> list[tuple[float, int, float]]:
        left, right = max(state - 1, 0), state + 1
        chosen, other = (left, right) if action == 0 else (right, left)
        return [(1 - flip, chosen, float(chosen == 8)), (flip, other, float(other == 8))]

    mdp = from_outcomes(9, 2, outcomes, start=4, terminal=[8])
    return TabularSimulation(
        num_envs,
        mdp,
        observations={
            "index": place,
            "one_hot": one_hot(place),
            "coordinates": (place[:, None] / 4 - 1).astype(np.float32),
        },
        observation=observation,
        state_info={"position": place, "is_success": place == 8},
        transition_info={
            "auxiliary_reward_good": 0.05 * (place[None, None, :] > place[:, None, None]),
            "auxiliary_reward_bad": 0.5 * (place == 0)[None, None, :],
        },
        info_keys={
            "position": "place in the corridor, int64 [], from 0",
            "is_success": "whether the right end has been reached, bool []",
            "auxiliary_reward_good": "0.05 in a step that moved right, else 0",
            "auxiliary_reward_bad": "0.5 in a step that ended in state 0, else 0",
        },
    )
