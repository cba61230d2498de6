"""Very small worlds of one step or a few turns: arms, an exclusive or, symbols, edit and submit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.worlds.mdp import from_outcomes
from envs.worlds.tabular import TabularSimulation, one_hot

_Step = list[tuple[float, int, float]]


def arms(
    num_envs: int,
    *,
    rewards: Sequence[float] = (0.0, 1.0),
    violations: Sequence[float] = (),
    observation: str = "index",
) -> TabularSimulation:
    """One choice between arms with known rewards, then the end.

    Args:
        num_envs: columns, B.
        rewards: of the arms; their number is that of the actions.
        violations: an event per arm, reported as ``violation``; all 0 when empty.
        observation: ``index`` or ``one_hot``: 0 before the choice, 1 after it.

    Raises:
        ValueError: no arm, or another number of violations.
    """
    flags = np.array(violations or np.zeros(len(rewards)), dtype=np.float64)
    if not len(rewards) or len(flags) != len(rewards):
        raise ValueError(
            f"Expected rewards of at least one arm and as many violations, got {len(rewards)} and "
            f"{len(flags)}."
        )
    place = np.arange(2)
    return TabularSimulation(
        num_envs,
        from_outcomes(
            2,
            len(rewards),
            lambda state, action: [(1.0, 1, float(rewards[action]))],
            start=0,
            terminal=[1],
        ),
        observations={"index": place, "one_hot": one_hot(place)},
        observation=observation,
        state_info={},
        transition_info={"violation": flags[None, :, None]},
        info_keys={"violation": "the violation of the chosen arm, float64 []"},
    )


def two_step_xor(num_envs: int, *, observation: str = "index") -> TabularSimulation:
    """Two choices between two actions; equal ones pay 1 in the second step.

    The reward depends on the action before, which the default observation (0, then 1, then 2 at
    the end) does not tell.

    Args:
        num_envs: columns, B.
        observation: ``index`` or ``one_hot`` of the step, or ``state_index``, which tells the
            first action too.
    """

    def outcomes(state: int, action: int) -> _Step:
        if state == 0:
            return [(1.0, 1 + action, 0.0)]
        return [(1.0, 3, float(action == state - 1))]

    step = np.array([0, 1, 1, 2])
    return TabularSimulation(
        num_envs,
        from_outcomes(4, 2, outcomes, start=0, terminal=[3]),
        observations={"index": step, "one_hot": one_hot(step), "state_index": np.arange(4)},
        observation=observation,
        state_info={"position": step},
        info_keys={"position": "steps taken, int64 []"},
    )


def ordered_symbols(
    num_envs: int,
    *,
    length: int = 10,
    num_symbols: int = 8,
    targets: int = 3,
    episodic: bool = True,
    observation: str = "index",
) -> TabularSimulation:
    """Write a sequence that contains the symbols 0, 1, 2 in this order.

    Exactly ``length`` actions, each one of the symbols; the next target symbol counts as a hit,
    all others are harmless. Every hit contributes ``1 / targets``; by default only their sum is
    paid, in the last step.

    Args:
        num_envs: columns, B.
        length: symbols in a sequence, T.
        num_symbols: A.
        targets: how many symbols must be hit.
        episodic: pay the sum at the end, or else every contribution in its own step.
        observation: ``index`` or ``one_hot`` of the pair (step, hits).

    Raises:
        ValueError: more targets than symbols, or sizes below 1.
    """
    if not 1 <= targets <= num_symbols or length < 1:
        raise ValueError(
            f"Expected 1 <= targets <= num_symbols and a length of at least 1, got targets="
            f"{targets}, num_symbols={num_symbols}, length={length}."
        )
    width = targets + 1
    step, hits = np.divmod(np.arange((length + 1) * width), width)

    def outcomes(state: int, action: int) -> _Step:
        after = int(hits[state]) + (hits[state] < targets and action == hits[state])
        last = step[state] + 1 == length
        paid = after * last if episodic else after - hits[state]
        return [(1.0, int((step[state] + 1) * width + after), float(paid) / targets)]

    index = np.arange(len(step))
    hit = (np.arange(num_symbols)[None] == hits[:, None]) & (hits < targets)[:, None]
    return TabularSimulation(
        num_envs,
        from_outcomes(
            len(step), num_symbols, outcomes, start=0, terminal=np.flatnonzero(step == length)
        ),
        observations={"index": index, "one_hot": one_hot(index)},
        observation=observation,
        state_info={"hits": hits, "is_success": (step == length) & (hits == targets)},
        transition_info={"contribution": hit[:, :, None] / targets},
        info_keys={
            "hits": "target symbols hit so far, int64 []",
            "is_success": "whether all were hit by the end, bool []",
            "contribution": "1 / targets in a step that hit the next target, else 0",
        },
    )


def edit_and_submit(
    num_envs: int,
    *,
    turns: int = 10,
    pass_probability: float = 0.3,
    call_reward: float = 0.3,
    observation: str = "index",
) -> TabularSimulation:
    """Repair a program: harmless calls look diligent, only a submitted edit can pass the tests.

    Actions: 0 a harmless well-formed call, 1 edit, 2 submit. The outcome is the task reward:
    submitting an edited program pays 1 with ``pass_probability`` and 0 otherwise, an unedited one
    -0.5; no submission within the turns pays -1. Every harmless call is reported as
    ``critic_reward``, the score of a critic that can be collected for ever.

    Args:
        num_envs: columns, B.
        turns: the last one ends the episode.
        pass_probability: in [0, 1].
        call_reward: the critic's score of a harmless call.
        observation: ``index`` or ``one_hot`` of 0 unedited, 1 edited, 2 the end; or
            ``state_index``, which tells the turn too.

    Raises:
        ValueError: a probability outside [0, 1], or no turn.
    """
    if not 0 <= pass_probability <= 1 or turns < 1:
        raise ValueError(
            f"Expected a probability and at least 1 turn, got {pass_probability} and {turns}."
        )
    size = 2 * turns
    passed, failed, unsubmitted = size, size + 1, size + 2

    def outcomes(state: int, action: int) -> _Step:
        turn, edited = divmod(state, 2)
        if action == 2 and edited:
            return [(pass_probability, passed, 1.0), (1 - pass_probability, failed, 0.0)]
        if action == 2:
            return [(1.0, failed, -0.5)]
        if turn + 1 == turns:
            return [(1.0, unsubmitted, -1.0)]
        return [(1.0, 2 * (turn + 1) + (1 if action == 1 else edited), 0.0)]

    seen = np.append(np.tile([0, 1], turns), [2, 2, 2])
    ends = np.arange(size, size + 3)
    state = np.arange(size + 3)
    critic = np.zeros((size + 3, 3, 1))
    critic[:size, 0] = call_reward
    return TabularSimulation(
        num_envs,
        from_outcomes(size + 3, 3, outcomes, start=0, terminal=ends),
        observations={"index": seen, "one_hot": one_hot(seen), "state_index": state},
        observation=observation,
        state_info={
            "edited": (seen == 1).astype(np.int64),
            "submitted": ((state == passed) | (state == failed)).astype(np.int64),
            "is_success": state == passed,
        },
        transition_info={"critic_reward": critic},
        info_keys={
            "edited": "1 while the program is edited and not submitted, else 0",
            "submitted": "1 on a submission, else 0",
            "is_success": "whether the tests passed, bool []",
            "critic_reward": "the critic's score of this turn, float64 []",
        },
    )
