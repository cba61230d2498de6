"""Rules on seeds: the same seed gives the same run, and nothing else is random."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from envs.checking.comparison import difference, global_generators, kept
from envs.checking.report import Finding, Note, Violation
from envs.checking.subject import Episode, Subject, action_source, rollout

_STARTS = 8


def seeding(subject: Subject) -> Iterator[Finding]:
    """Equal seed and actions give an equal run, in a new instance and in a used one."""
    steps = min(subject.steps, 300)
    with subject.env() as env:
        first = rollout(env, steps, seed=subject.seed)
        _stir_global_generators()
        env.reset(seed=subject.seed + 1)
        used = rollout(env, steps, seed=subject.seed)
        draw = action_source(env.action_space, subject.seed)
        other = rollout(env, min(steps, 50), seed=subject.seed + 12_345, actions=draw)
    _stir_global_generators()
    with subject.env() as env:
        second = rollout(env, steps, seed=subject.seed)
    for what, run, cure in (
        (
            "a second instance",
            second,
            "Draw every random number from self.np_random, which super().reset(seed=seed) seeds; "
            "an engine with generators of its own needs the seed as well.",
        ),
        (
            "the same instance, reset with the seed after another episode",
            used,
            "Start everything anew in reset(seed=...): counters, engine, generators.",
        ),
    ):
        apart = runs_apart(first, run)
        if apart is not None:
            yield Violation(
                "seeding",
                "equal runs from an equal seed and equal actions",
                f"{what}: {apart}",
                cure,
            )
            return
    if runs_apart([_cut(first[0], 50)], [_cut(other[0], 50)]) is None:
        yield Note(
            "seeding", "another seed gives the same start and the same steps: it is deterministic."
        )


def _cut(episode: Episode, steps: int) -> Episode:
    return Episode(episode.observation, episode.info, episode.steps[:steps])


def runs_apart(first: list[Episode], second: list[Episode]) -> str | None:
    """Say where two records with equal actions differ first, or return None."""
    for index, (one, other) in enumerate(zip(first, second, strict=False)):
        for name in ("observation", "info"):
            wrong = difference(getattr(one, name), getattr(other, name))
            if wrong is not None:
                return f"{name} of reset() {index}: {wrong}"
        for number, (a, b) in enumerate(zip(one.steps, other.steps, strict=False), start=1):
            for name in ("observation", "reward", "terminated", "truncated", "info"):
                wrong = difference(getattr(a, name), getattr(b, name))
                if wrong is not None:
                    return f"{name} of step {number}, episode {index}: {wrong}"
        if len(one.steps) != len(other.steps):
            return f"episode {index} has {len(one.steps)} steps against {len(other.steps)}"
    return None


def stream(subject: Subject) -> Iterator[Finding]:
    """``reset()`` without a seed goes on with the random numbers, reproducibly."""
    with subject.env() as env:
        by_seed = [kept(env.reset(seed=subject.seed + i)[0]) for i in range(_STARTS)]
        seeded, starts = _stream_of(env, subject.seed)
    _stir_global_generators()
    with subject.env() as env:
        seeded_again, again = _stream_of(env, subject.seed)
    if difference(seeded, seeded_again) is not None:
        return  # seeds do not work at all, which `seeding` reports
    for index, (one, other) in enumerate(zip(starts, again, strict=True)):
        wrong = difference(one, other)
        if wrong is not None:
            yield Violation(
                "stream",
                "reset() without a seed to go on with the numbers of the last seed",
                f"after reset(seed={subject.seed}), reset() {index} differs between two "
                f"instances: {wrong}",
                "Draw from self.np_random without seeding it anew when seed is None.",
            )
            return
    if _all_equal(starts) and not _all_equal(by_seed):
        yield Violation(
            "stream",
            "reset() without a seed to begin a new episode",
            f"the same start {len(starts)} times, although seeds change it",
            "Seed in reset only when a seed is given; an engine with a fixed seed needs a new one "
            "drawn from self.np_random.",
        )


def _stream_of(env: Any, seed: int) -> tuple[Any, list[Any]]:
    """Return the observation of a seeded reset, and those of the resets after it."""
    return kept(env.reset(seed=seed)[0]), [kept(env.reset()[0]) for _ in range(_STARTS)]


def _all_equal(values: list[Any]) -> bool:
    return all(difference(values[0], value) is None for value in values[1:])


def global_random(subject: Subject) -> Iterator[Finding]:
    """Nothing draws from the global random generators."""
    with subject.env():
        pass  # imports of the first instance may draw
    before = global_generators()
    moved: dict[str, str] = {}

    def look(when: str) -> None:
        for name, state in global_generators().items():
            known = name in before and name not in moved
            if known and difference(before[name], state) is not None:
                moved[name] = when

    with subject.env() as env:
        look("making it")
        env.reset(seed=subject.seed)
        look("reset(seed=...)")
        draw = action_source(env.action_space, subject.seed)
        for _ in range(min(subject.steps, 50)):
            _, _, terminated, truncated, _ = env.step(draw())
            look("step()")
            if terminated or truncated:
                env.reset()
                look("reset()")
        env.reset()
        look("reset()")
    for name, when in moved.items():
        yield Violation(
            "global_random",
            "the global random generators to be left alone",
            f"{when} draws from that of {name}",
            "Draw from self.np_random: otherwise the environment changes the random numbers of "
            "the policy, and the other way round.",
        )


def _stir_global_generators() -> None:
    """Move the global generators, so that whoever draws from them is noticed."""
    np.random.random(7)  # noqa: NPY002
    for _ in range(7):
        random.random()


RULES: dict[str, Callable[[Subject], Iterator[Finding]]] = {
    "seeding": seeding,
    "stream": stream,
    "global_random": global_random,
}
