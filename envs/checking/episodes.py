"""Rules on how episodes end: the true last observation, and time limits apart from failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np

from envs.checking.comparison import difference, flat
from envs.checking.report import Finding, Note, Violation
from envs.checking.subject import Episode, Subject, action_source, begin, one_step

_FINAL_KEYS = ("final_obs", "final_observation", "terminal_observation", "final_info")
_STARTS = 32


def final_observation(subject: Subject) -> Iterator[Finding]:
    """The last step returns the last observation, not the next episode's first."""
    for episode in subject.record:
        found = [key for step in episode.steps for key in _FINAL_KEYS if key in step.info]
        if found:
            yield Violation(
                "final_observation",
                "step() to return the last observation and leave resetting to the caller",
                f"info[{found[0]!r}], which only an environment that resets itself needs",
                "Take the automatic reset out (gymnasium's Autoreset wrapper, or your own).",
            )
            return
    if not any(episode.done for episode in subject.record):
        yield Note(
            "final_observation",
            f"no episode ended within {subject.steps} steps, so its end was not seen; raise the "
            "number of steps.",
        )
    yield from _looks_like_a_start(subject)
    for seed, short, long in _limited_pairs(subject):
        wrong = difference(short.steps[-1].observation, long.steps[-1].observation)
        if wrong is not None:
            yield Violation(
                "final_observation",
                "a time limit to leave the observation as it is",
                f"with seed {seed} and equal actions, step {len(short.steps)} returns another "
                f"observation where the limit cuts it off: {wrong}",
                "Return the state that the last step led to; reset only in reset().",
            )
            return


def _looks_like_a_start(subject: Subject) -> Iterator[Finding]:
    """Notice an environment that has reset itself when it returns the end of an episode.

    Its "last" observation then lies among the starts, while the one before does not.
    """
    ended = [episode for episode in subject.record if episode.done and len(episode.steps) > 1]
    if not ended:
        return
    with subject.env() as env:
        starts = [flat(env.reset(seed=subject.seed)[0])]
        starts += [flat(env.reset()[0]) for _ in range(_STARTS - 1)]
    low, high = np.min(starts, axis=0), np.max(starts, axis=0)
    margin = (high - low) / 2

    def is_start(observation: Any) -> bool:
        values = flat(observation)
        return bool(((values >= low - margin) & (values <= high + margin)).all())

    telling = [episode for episode in ended if not is_start(episode.steps[-2].observation)]
    like_starts = [episode for episode in telling if is_start(episode.steps[-1].observation)]
    if len(telling) >= 3 and len(like_starts) == len(telling):
        yield Violation(
            "final_observation",
            "the last observation of an episode",
            f"in all {len(telling)} episodes whose last but one observation was no start, the last "
            "one is: the environment has already been reset",
            "Return the state that the last step led to; reset only in reset().",
        )


def time_limit(subject: Subject) -> Iterator[Finding]:
    """A time limit truncates and never terminates."""
    for seed, short, long in _limited_pairs(subject):
        steps = len(short.steps)
        last = short.steps[-1]
        if not last.truncated:
            yield Violation(
                "time_limit",
                f"truncated at a time limit of {steps} steps",
                f"truncated={last.truncated} (seed {seed})",
                "Leave time limits to gymnasium: register with max_episode_steps.",
            )
            return
        if bool(last.terminated) != bool(long.steps[-1].terminated):
            yield Violation(
                "time_limit",
                "the limit to leave `terminated` as it is",
                f"at step {steps}, terminated={last.terminated} with a limit of {steps} steps and "
                f"{long.steps[-1].terminated} with a longer one (seed {seed})",
                "Set `truncated` alone: the value of the last state still counts there.",
            )
            return
    with subject.env() as env:
        limit = _declared_limit(env)
    lengths = [len(episode.steps) for episode in subject.record]
    ended = [episode for episode in subject.record if episode.done]
    if limit is not None and max(lengths) > limit:
        yield Violation(
            "time_limit",
            f"no episode beyond the declared limit of {limit} steps",
            f"one of {max(lengths)}",
            "Register with max_episode_steps, so that gymnasium.make enforces it.",
        )
    at_limit = [episode for episode in ended if len(episode.steps) == limit]
    terminated = [episode for episode in at_limit if episode.steps[-1].terminated]
    if terminated and len(terminated) == len(at_limit):
        if len(at_limit) >= 2:
            yield Violation(
                "time_limit",
                f"truncated and not terminated at the limit of {limit} steps",
                f"terminated in all {len(at_limit)} episodes that reached it",
                "Set `truncated` alone: the value of the last state still counts there.",
            )
        else:
            yield Note(
                "time_limit",
                f"the one episode that reached the limit of {limit} steps ended as terminated; "
                "more steps would show whether that was chance.",
            )
    elif limit is None and len(ended) >= 5 and {len(e.steps) for e in ended} == {lengths[0]}:
        terminated = [episode for episode in ended if episode.steps[-1].terminated]
        if lengths[0] >= 10 and len(terminated) == len(ended):
            yield Note(
                "time_limit",
                f"all {len(ended)} episodes terminated after exactly {lengths[0]} steps. If that "
                "is a time limit, it has to truncate.",
            )


def _limited_pairs(subject: Subject) -> Iterator[tuple[int, Episode, Episode]]:
    """Yield seed and two records with equal actions: one cut off by a limit, one with a longer one.

    Only where the limit can be chosen, the task runs that long, and what came before is equal.
    """
    if not subject.takes_options:
        return
    limit = 5
    with (
        subject.env(max_episode_steps=limit) as short,
        subject.env(max_episode_steps=limit + 3) as long,
    ):
        for seed in range(subject.seed, subject.seed + 3):
            draw = action_source(short.action_space, seed)
            pair = begin(short, seed), begin(long, seed)
            same = True
            for _ in range(limit):
                action = draw()
                for env, episode in zip((short, long), pair, strict=True):
                    episode.steps.append(one_step(env, action))
                if len(pair[0].steps) < limit:
                    same &= difference(*(e.steps[-1].observation for e in pair)) is None
                if pair[1].done or (pair[0].done and len(pair[0].steps) < limit):
                    break
            if same and len(pair[0].steps) == limit:
                yield seed, *pair


def _declared_limit(env: gymnasium.Env) -> int | None:
    """Return the time limit that the environment or its registration names."""
    candidates = [env.spec.max_episode_steps if env.spec is not None else None]
    candidates += [getattr(env.unwrapped, f"{dash}max_episode_steps", None) for dash in ("", "_")]
    return next((int(limit) for limit in candidates if isinstance(limit, int) and limit > 0), None)


def after_the_end(subject: Subject) -> Iterator[Finding]:
    """A step after the end is refused, or stays at the end; a note where it goes on."""
    with subject.env() as env:
        draw = action_source(env.action_space, subject.seed)
        episode = begin(env, subject.seed)
        for _ in range(min(subject.steps, 2000)):
            episode.steps.append(one_step(env, draw()))
            if episode.done:
                break
        if not episode.done:
            return
        try:
            later = one_step(env, draw())
        except Exception:
            return
        if not later.done:
            yield Note(
                "after_the_end",
                "a step after the end goes on without an end; callers that forget reset() are "
                "not told.",
            )


RULES: dict[str, Callable[[Subject], Iterator[Finding]]] = {
    "final_observation": final_observation,
    "time_limit": time_limit,
    "after_the_end": after_the_end,
}
