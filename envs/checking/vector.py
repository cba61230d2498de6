"""Rules for the natively vectorised twin: exact ends, and the same world as the single one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from envs.checking.actions import refusal, wrong_actions
from envs.checking.comparison import difference, kept
from envs.checking.interface import (
    BOOKKEEPING,
    documentation,
    outside,
    returned,
    rewritten,
    undocumented,
)
from envs.checking.report import Finding, Violation
from envs.checking.subject import Subject, same_seed_actions

_ENDS = ("final_obs", "_final_obs")
_LIMIT = 7


def columns_of(subject: Subject) -> int:
    """Return how many columns are tried: 12 are whole matches of one, two and three a side."""
    return 12 if subject.coupled else 3


def _options(subject: Subject) -> dict[str, Any]:
    return {"max_episode_steps": _LIMIT} if subject.takes_options else {}


def _steps(subject: Subject) -> int:
    return min(subject.steps, 40)


def _run(
    subject: Subject, actions: np.ndarray, *, seed: Any = None, **options: Any
) -> list[tuple[Any, ...]]:
    """Return (observation, infos) of the reset and the five of every step, in copies."""
    with subject.vector(actions.shape[1], **options) as vector:
        record = [kept(vector.reset(seed=subject.seed if seed is None else seed))]
        record += [kept(vector.step(row.copy())) for row in actions]
    return record


def _actions(subject: Subject, columns: int | None = None) -> np.ndarray:
    columns = columns_of(subject) if columns is None else columns
    with subject.vector(columns) as vector:
        space = vector.single_action_space
    return same_seed_actions(space, _steps(subject), columns, subject.seed)


def interface(subject: Subject) -> Iterator[Finding]:
    """Spaces, shapes, dtypes and the autoreset mode are as declared."""
    rule, columns = "vector_interface", columns_of(subject)
    with subject.vector(columns) as vector:
        mode = vector.metadata.get("autoreset_mode")
        space, single = vector.single_observation_space, vector.single_action_space
        documented = documentation(vector)
        if vector.num_envs != columns:
            yield Violation(
                rule, f"{columns} columns", f"num_envs {vector.num_envs}", "Make what is asked for."
            )
    if mode is not AutoresetMode.SAME_STEP:
        yield Violation(
            rule,
            "metadata['autoreset_mode'] to be AutoresetMode.SAME_STEP",
            repr(mode),
            "Reset ended columns within the step and say so.",
        )
    if not subject.coupled:
        with subject.env() as env:
            for name, ours, theirs in (
                ("observation", space, env.observation_space),
                ("action", single, env.action_space),
            ):
                if ours != theirs:
                    yield Violation(
                        rule,
                        f"the {name} space of the single environment, {theirs}",
                        str(ours),
                        "Declare the same space on both.",
                    )
    batched = batch_space(space, columns)
    names: list[set[str]] = []
    record = _run(subject, _actions(subject), **_options(subject))
    for index, found in enumerate(record):
        wrong = outside(batched, found[0])
        if wrong is None and index:
            wrong = _bad_arrays(found, columns)
            names.append({name for name in found[4] if name not in BOOKKEEPING})
        if wrong is not None:
            yield Violation(
                rule,
                f"arrays with {columns} rows, of the declared spaces",
                f"{wrong}, from {f'step {index}' if index else 'reset()'}",
                "Return one row per column in the declared dtype.",
            )
            return
    every, some = set.intersection(*names), set.union(*names)
    if every != some:
        yield Violation(
            rule,
            "the same entries of infos at every step",
            f"{', '.join(sorted(some - every))} only at some",
            "Report every quantity at every step.",
        )
    if documented is not None:
        yield from undocumented(rule, some, some | set(record[0][1]), documented)


def _bad_arrays(found: tuple[Any, ...], columns: int) -> str | None:
    _, reward, terminated, truncated, infos = found
    for name, value, kinds in (
        ("reward", reward, "f"),
        ("terminated", terminated, "b"),
        ("truncated", truncated, "b"),
    ):
        if not isinstance(value, np.ndarray):
            return f"{name} is a {type(value).__name__}"
        if value.shape != (columns,) or value.dtype.kind not in kinds:
            return f"{name} is {value.dtype} {list(value.shape)}"
    if not np.isfinite(reward).all():
        return f"the reward of column {int(np.flatnonzero(~np.isfinite(reward))[0])} is not finite"
    for name, value in infos.items():
        if name in _ENDS:
            continue
        if not isinstance(value, np.ndarray) or value.shape[:1] != (columns,):
            return f"infos[{name!r}] is {type(value).__name__} {list(np.shape(value))}"
        if value.dtype.kind not in "biuf":
            return f"infos[{name!r}] has dtype {value.dtype}"
    return None


def final_observations(subject: Subject) -> Iterator[Finding]:
    """``final_obs`` is there exactly when a column ended, and true."""
    rule, ends = "vector_final", 0
    actions = _actions(subject)
    record = _run(subject, actions, **_options(subject))
    for index, (_, _, terminated, truncated, infos) in enumerate(record[1:], start=1):
        done = np.asarray(terminated) | np.asarray(truncated)
        ends += int(done.sum())
        there = [name for name in _ENDS if name in infos]
        if done.any() != (len(there) == 2) or len(there) == 1:
            yield Violation(
                rule,
                "infos['final_obs'] and infos['_final_obs'] exactly when a column ended",
                f"{there or 'neither'} at step {index}, where {int(done.sum())} ended",
                "Keep the last observations before resetting the ended columns.",
            )
            return
        if there and difference(np.asarray(infos["_final_obs"]), done) is not None:
            yield Violation(
                rule,
                "infos['_final_obs'] to be terminated | truncated",
                f"{infos['_final_obs']} at step {index}, where {done} ended",
                "Set it to the columns that ended.",
            )
            return
    if not (subject.takes_options and ends):
        return
    # Where nothing ended before the limit, a longer one shows what the last observation is.
    longer = _run(subject, actions[:_LIMIT], max_episode_steps=_LIMIT + 3)
    early = any((step[2] | step[3]).any() for step in longer[1:])
    same = all(
        difference(one[0], other[0]) is None
        for one, other in zip(record[:_LIMIT], longer[:_LIMIT], strict=True)
    )
    if early or not same:
        return
    wrong = difference(record[_LIMIT][4].get("final_obs"), longer[_LIMIT][0])
    if wrong is not None:
        yield Violation(
            rule,
            "infos['final_obs'] to be the observation that the last step led to",
            f"at the time limit of {_LIMIT} steps it is another one: {wrong}",
            "Keep the last observations before resetting the ended columns.",
        )


def equals_single(subject: Subject) -> Iterator[Finding]:
    """Column ``i`` with seed ``s + i`` is the single environment with that seed, bit for bit."""
    actions = _actions(subject)
    record = _run(subject, actions, **_options(subject))
    for column in range(actions.shape[1]):
        with subject.env(**_options(subject)) as env:
            observation, _ = kept(env.reset(seed=subject.seed + column))
            wrong = difference(observation, pick(record[0][0], column))
            place = "reset()"
            for index, step in enumerate(record[1:], start=1):
                if wrong is not None:
                    break
                place = f"step {index}"
                single = kept(env.step(actions[index - 1, column]))
                wrong = _step_apart(single, step, column)
                if wrong is None and (single[2] or single[3]):
                    first, _ = env.reset()
                    wrong = difference(kept(first), pick(step[0], column))
                    wrong = wrong and f"first observation after the end: {wrong}"
        if wrong is not None:
            yield Violation(
                "vector_equals_single",
                "the single environment with the same seed and actions",
                f"column {column} differs at {place}: {wrong}",
                "Both have to draw the same numbers in the same order, and end alike.",
            )
            return


def _step_apart(single: tuple[Any, ...], step: tuple[Any, ...], column: int) -> str | None:
    observation, reward, terminated, truncated, info = single
    infos = step[4]
    ended = bool(step[2][column]) or bool(step[3][column])
    successor = infos.get("final_obs", step[0]) if ended else step[0]
    wrong = difference(observation, pick(successor, column))
    if wrong is not None:
        return f"{'final_obs' if ended else 'observation'}: {wrong}"
    for name, one, other in (
        ("reward", float(reward), float(step[1][column])),
        ("terminated", bool(terminated), bool(step[2][column])),
        ("truncated", bool(truncated), bool(step[3][column])),
    ):
        if one != other:
            return f"{name}: {one} against {other}"
    for name, value in infos.items():
        if name not in BOOKKEEPING and name in info:
            if name == "match":
                continue  # numbers the matches of a vector environment; a single one has one
            wrong = difference(np.asarray(info[name]), np.asarray(value[column]))
            if wrong is not None:
                return f"info[{name!r}]: {wrong}"
    return None


def pick(value: Any, column: int) -> Any:
    """Return one column of arrays ``[B, ...]``."""
    if isinstance(value, Mapping):
        return {key: pick(inner, column) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(pick(inner, column) for inner in value)
    return value[column]


def columns_independent(subject: Subject) -> Iterator[Finding]:
    """What column 0 sees depends on its own actions alone."""
    actions = _actions(subject)
    changed = actions.copy()
    changed[:, 1:] = np.roll(actions, 1, axis=0)[:, 1:]
    first = _run(subject, actions, **_options(subject))
    second = _run(subject, changed, **_options(subject))
    for index, (one, other) in enumerate(zip(first, second, strict=True)):
        wrong = difference(pick(one[0], 0), pick(other[0], 0))
        if wrong is None and index:
            wrong = difference(one[1][0], other[1][0])
        if wrong is not None:
            yield Violation(
                "vector_columns",
                "independent columns",
                f"column 0 changes at step {index} when other columns act otherwise: {wrong}",
                "Give every column its own state and its own random numbers.",
            )
            return


def seeding(subject: Subject) -> Iterator[Finding]:
    """Equal seeds and actions give equal runs; one seed is a list of successive ones."""
    actions, columns = _actions(subject), columns_of(subject)
    first = _run(subject, actions, **_options(subject))
    listed = [subject.seed + column for column in range(columns)]
    for what, record in (
        ("a second instance", _run(subject, actions, **_options(subject))),
        (f"seed={listed}", _run(subject, actions, seed=listed, **_options(subject))),
    ):
        for index, (one, other) in enumerate(zip(first, record, strict=True)):
            wrong = difference(list(one), list(other))
            if wrong is not None:
                yield Violation(
                    "vector_seeding",
                    f"what reset(seed={subject.seed}) and equal actions gave",
                    f"{what} differs at step {index}: {wrong}",
                    "Seed column i with seed + i, and draw from its own generator only.",
                )
                return


def arrays(subject: Subject) -> Iterator[Finding]:
    """What was returned is never written again."""
    actions = _actions(subject)
    with subject.vector(actions.shape[1], **_options(subject)) as vector:
        held = returned(*vector.reset(seed=subject.seed))
        for row in actions:
            observation, reward, terminated, truncated, infos = vector.step(row)
            yield from (wrong := rewritten("vector_arrays", held))
            if wrong:
                return
            held = returned(
                observation, {"reward": reward, "flags": (terminated, truncated), **infos}
            )


def bad_actions(subject: Subject) -> Iterator[Finding]:
    """A wrong shape, a NaN and a number out of range are refused and change nothing."""
    actions = _actions(subject)
    columns = actions.shape[1]
    with subject.vector(columns) as vector, subject.vector(columns) as twin:
        for made in (vector, twin):
            made.reset(seed=subject.seed)
        accepted = []
        for what, action in wrong_actions(vector.single_action_space, actions[0, 0]):
            batch = np.array([action] * columns)
            if what == "a NaN":  # in one column only
                batch = actions[0].copy()
                batch[1] = action
            outcome = refusal(partial(vector.step, batch))
            if outcome is not None:
                accepted.append(f"{what} {outcome}")
        outcome = refusal(lambda: vector.step(actions[0][:-1]))
        if outcome is not None:
            accepted.append(f"an action too few {outcome}")
        wrong = None
        if not accepted:
            wrong = difference(kept(vector.step(actions[0])[0]), kept(twin.step(actions[0])[0]))
    if accepted or wrong is not None:
        yield Violation(
            "vector_bad_actions",
            "a ValueError that names what is wrong with the actions, and no step",
            "; ".join(accepted) or f"the step after them differs: {wrong}",
            "Call envs.actions.check_actions before anything reaches the engine.",
        )


def claims_snapshots(subject: Subject) -> bool:
    """Return whether the vector twin can be saved."""
    with subject.vector(columns_of(subject)) as vector:
        return all(callable(getattr(vector, name, None)) for name in ("snapshot", "restore"))


def snapshot(subject: Subject) -> Iterator[Finding]:
    """A restored vector environment continues bit for bit, across resets of its columns."""
    actions = _actions(subject)
    columns, half = actions.shape[1], len(actions) // 2
    with (
        subject.vector(columns, **_options(subject)) as vector,
        subject.vector(columns, **_options(subject)) as fresh,
    ):
        first: Any = vector
        second: Any = fresh
        first.reset(seed=subject.seed)
        for row in actions[:half]:
            first.step(row)
        saved = kept(first.snapshot())
        expected = [kept(first.step(row)) for row in actions[half:]]
        for what, target in (("the same instance", first), ("a fresh instance", second)):
            target.restore(kept(saved))
            for index, row in enumerate(actions[half:], start=1):
                wrong = difference(list(expected[index - 1]), list(kept(target.step(row))))
                if wrong is not None:
                    yield Violation(
                        "vector_snapshot",
                        "the steps after restore() to equal those after snapshot()",
                        f"{what} differs at step {index}: {wrong}",
                        "Save everything that changes from step to step, the step counts and "
                        "random numbers of all columns among it.",
                    )
                    return


RULES: dict[str, Callable[[Subject], Iterator[Finding]]] = {
    "vector_interface": interface,
    "vector_final": final_observations,
    "vector_equals_single": equals_single,
    "vector_columns": columns_independent,
    "vector_seeding": seeding,
    "vector_arrays": arrays,
    "vector_bad_actions": bad_actions,
    "vector_snapshot": snapshot,
}
INDEPENDENT_ONLY = frozenset({"vector_equals_single", "vector_columns"})
