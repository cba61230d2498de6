"""Chains of states: progress with a risky last step, far goals, slips, locks and quests."""

from __future__ import annotations

import numpy as np

from envs.worlds.mdp import from_outcomes
from envs.worlds.tabular import TabularSimulation, one_hot, scaled

_Step = list[tuple[float, int, float]]
_PLACE = {"position": "place in the chain, int64 [], from 0"}


def progress_chain(
    num_envs: int, *, success_probability: float = 0.3, observation: str = "index"
) -> TabularSimulation:
    """Three stages of rising progress, the last step of which fails more often than not.

    States 0, 1, 2 and the goal 3 with the progress 0, 0.4, 0.8 and 1. Actions: 0 stay, 1 advance.
    Advancing from state 2 reaches the goal with ``success_probability`` and falls back to state 0
    otherwise. Reward 1 on arriving at the goal, which ends the episode.

    Args:
        num_envs: columns, B.
        success_probability: of the last step, in [0, 1].
        observation: ``index``, ``one_hot`` or ``progress`` (float32 ``[1]``).

    Raises:
        ValueError: a probability outside [0, 1].
    """
    _check_probability("success_probability", success_probability)

    def outcomes(state: int, action: int) -> _Step:
        if action == 0:
            return [(1.0, state, 0.0)]
        if state < 2:
            return [(1.0, state + 1, 0.0)]
        return [(success_probability, 3, 1.0), (1 - success_probability, 0, 0.0)]

    progress = np.array([0, 0.4, 0.8, 1])
    place = np.arange(4)
    return TabularSimulation(
        num_envs,
        from_outcomes(4, 2, outcomes, start=0, terminal=[3]),
        observations={
            "index": place,
            "one_hot": one_hot(place),
            "progress": progress[:, None].astype(np.float32),
        },
        observation=observation,
        state_info={"position": place, "progress": progress, "is_success": place == 3},
        info_keys={
            **_PLACE,
            "progress": "share of the task done, float64 [], 0 to 1",
            "is_success": "whether the goal has been reached, bool []",
        },
    )


def goal_chain(
    num_envs: int,
    *,
    length: int = 20,
    goal_reward: float = 1.0,
    observation: str = "index",
) -> TabularSimulation:
    """A straight chain with one reward at its far end.

    States 0 to ``length - 1`` and the goal ``length``, which ends the episode. Actions: 0 left
    (state 0 stays), 1 right. Start in state 0.

    Args:
        num_envs: columns, B.
        length: states before the goal.
        goal_reward: reward of arriving at the goal.
        observation: ``index``, ``one_hot`` or ``coordinates`` (scaled to [-1, 1]).

    Raises:
        ValueError: fewer than one state.
    """
    if length < 1:
        raise ValueError(f"Expected at least 1 state before the goal, got {length}.")

    def outcomes(state: int, action: int) -> _Step:
        following = state + 1 if action == 1 else max(state - 1, 0)
        return [(1.0, following, goal_reward if following == length else 0.0)]

    place = np.arange(length + 1)
    return TabularSimulation(
        num_envs,
        from_outcomes(length + 1, 2, outcomes, start=0, terminal=[length]),
        observations=_line(place),
        observation=observation,
        state_info={"position": place, "is_success": place == length},
        info_keys={**_PLACE, "is_success": "whether the goal has been reached, bool []"},
    )


def slippery_chain(
    num_envs: int,
    *,
    start: int = 40,
    length: int = 60,
    slip: float = 0.05,
    distractor: float = 0.0,
    distractor_state: int = 25,
    observation: str = "index",
) -> TabularSimulation:
    """A far reward that can be collected again and again, an abyss, and a small distractor.

    States 0 to ``length``, and one more for the end. Actions: 0 left, 1 right; with probability
    ``slip`` a uniformly random action moves, while rewards follow the chosen action. Choosing right
    in state ``length`` pays 1 and stays there; moving left from state 0 falls off and ends the
    episode. Choosing left in ``distractor_state`` pays ``distractor``.

    Args:
        num_envs: columns, B.
        start: first state.
        length: last state.
        slip: probability in [0, 1].
        distractor: reward of the distractor.
        distractor_state: where the distractor is.
        observation: ``index``, ``one_hot`` or ``coordinates`` (scaled to [-1, 1]).

    Raises:
        ValueError: a slip outside [0, 1], or states outside of the chain.
    """
    _check_probability("slip", slip)
    if not (0 <= start <= length and 0 <= distractor_state <= length):
        raise ValueError(
            f"start={start} and distractor_state={distractor_state} must lie in 0 to {length}."
        )
    end = length + 1

    def outcomes(state: int, action: int) -> _Step:
        left = end if state == 0 else state - 1
        right = min(state + 1, length)
        paid = float(action == 1 and state == length)
        paid += distractor if action == 0 and state == distractor_state else 0.0
        chosen, other = (left, right) if action == 0 else (right, left)
        return [(1 - slip / 2, chosen, paid), (slip / 2, other, paid)]

    place = np.arange(length + 2)
    goal = np.zeros((length + 2, 2, 1), dtype=np.int64)
    goal[length, 1] = 1
    return TabularSimulation(
        num_envs,
        from_outcomes(length + 2, 2, outcomes, start=start, terminal=[end]),
        observations=_line(place),
        observation=observation,
        state_info={"position": np.where(place == end, -1, place)},
        transition_info={"goal": goal},
        info_keys={
            "position": "place in the chain, int64 [], from 0; -1 after falling off",
            "goal": "1 in a step that collected the far reward, else 0",
        },
    )


def combination_lock(
    num_envs: int,
    *,
    length: int = 6,
    num_actions: int = 3,
    lock_seed: int = 0,
    reward_state: int = 6,
    horizon: int = 10,
    observation: str = "index",
) -> TabularSimulation:
    """A lock whose every state has one good action; anything else mostly starts it over.

    States 0 to ``length``. The good action of a state moves on with probability 0.9, the others
    with 0.05; otherwise the lock falls back to state 0. In the last state every action stays with
    probability 0.9. A step taken in ``reward_state`` pays ``1 / horizon``. It never ends by itself.

    Args:
        num_envs: columns, B.
        length: states beyond the first.
        num_actions: A.
        lock_seed: of the good actions.
        reward_state: which state pays.
        horizon: the reciprocal of the reward: an episode of that many steps pays at most 1.
        observation: ``index``, ``one_hot`` or ``coordinates`` (scaled to [-1, 1]).

    Raises:
        ValueError: sizes below 1, or a ``reward_state`` outside of the lock.
    """
    if min(length, num_actions, horizon) < 1 or not 0 <= reward_state <= length:
        raise ValueError(
            f"Expected length, num_actions and horizon of at least 1 and a reward_state from 0 to "
            f"{length}, got {length}, {num_actions}, {horizon} and {reward_state}."
        )
    good = np.random.default_rng(lock_seed).integers(num_actions, size=length + 1)

    def outcomes(state: int, action: int) -> _Step:
        forward = 0.9 if state == length or action == good[state] else 0.05
        paid = 1 / horizon if state == reward_state else 0.0
        return [(forward, min(state + 1, length), paid), (1 - forward, 0, paid)]

    place = np.arange(length + 1)
    return TabularSimulation(
        num_envs,
        from_outcomes(length + 1, num_actions, outcomes, start=0),
        observations=_line(place),
        observation=observation,
        state_info={"position": place},
        info_keys=_PLACE,
    )


def quest_chain(
    num_envs: int,
    *,
    length: int = 6,
    num_actions: int = 8,
    quest_seed: int = 0,
    dense: bool = True,
    observation: str = "index",
) -> TabularSimulation:
    """A quest of several commands, one right command per stage; wrong ones change nothing.

    States 0 to ``length``; the last one is the end. The right command moves on and pays
    ``1 / length``, or with ``dense=False`` only the last one pays, 1.

    Args:
        num_envs: columns, B.
        length: right commands needed.
        num_actions: commands, A.
        quest_seed: of the right commands.
        dense: whether every right command pays.
        observation: ``index``, ``one_hot`` or ``coordinates`` (scaled to [-1, 1]).

    Raises:
        ValueError: sizes below 1.
    """
    if min(length, num_actions) < 1:
        raise ValueError(f"Expected sizes of at least 1, got {length} and {num_actions}.")
    right = np.random.default_rng(quest_seed).integers(num_actions, size=length)

    def outcomes(state: int, action: int) -> _Step:
        if action != right[state]:
            return [(1.0, state, 0.0)]
        return [(1.0, state + 1, 1 / length if dense else float(state + 1 == length))]

    place = np.arange(length + 1)
    return TabularSimulation(
        num_envs,
        from_outcomes(length + 1, num_actions, outcomes, start=0, terminal=[length]),
        observations=_line(place),
        observation=observation,
        state_info={"position": place, "is_success": place == length},
        info_keys={**_PLACE, "is_success": "whether the quest is finished, bool []"},
    )


def _line(place: np.ndarray) -> dict[str, np.ndarray]:
    return {"index": place, "one_hot": one_hot(place), "coordinates": scaled(place[:, None])}


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a probability, got {value}.")
