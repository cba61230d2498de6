"""Rules on snapshots, for environments that claim them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from envs.checking.comparison import kept
from envs.checking.randomness import runs_apart
from envs.checking.report import Finding, Violation
from envs.checking.subject import Subject, action_source, rollout
from envs.snapshot import can_snapshot, restore, snapshot

_PLAIN = (bool, int, float, str, type(None), np.ndarray, np.generic)


def claims_snapshots(subject: Subject) -> bool:
    """Return whether `envs.snapshot` supports it."""
    with subject.env() as env:
        env.reset(seed=subject.seed)
        return can_snapshot(env)


def snapshot_rule(subject: Subject) -> Iterator[Finding]:
    """A restored environment continues bit for bit, also across the next resets."""
    options = {"max_episode_steps": 20} if subject.takes_options else {}
    steps = min(subject.steps, 50)
    with subject.env(**options) as env, subject.env(**options) as fresh:
        draw = action_source(env.action_space, subject.seed)
        rollout(env, 7, seed=subject.seed, actions=draw)
        saved = kept(snapshot(env))
        wrong = _not_plain(saved, "snapshot")
        if wrong is not None:
            yield Violation(
                "snapshot",
                "dicts and lists of arrays, numbers, strings and None",
                wrong,
                "Save plain data: checkpoints hold no pickle.",
            )
            return
        actions = [draw() for _ in range(2 * steps)]
        expected = _continue(env, actions)
        for what, target in (("the same instance", env), ("a fresh instance", fresh)):
            restore(target, kept(saved))
            apart = runs_apart(expected, _continue(target, actions))
            if apart is not None:
                yield Violation(
                    "snapshot",
                    "the steps after restore() to equal those after snapshot()",
                    f"{what}: {apart}",
                    "Save everything that changes from step to step: engine, counters, random "
                    "generators, what is kept for the next reset.",
                )
                return


def _continue(env: Any, actions: list[Any]) -> list[Any]:
    """Go on where the environment is, then through one more reset."""
    half = len(actions) // 2
    source = iter(actions)
    # The first record has no reset of its own: it goes on in the running episode, if there is one.
    episodes = rollout(env, half, seed=None, actions=lambda: next(source), first=(None, None))
    return episodes + rollout(env, half, seed=None, actions=lambda: next(source))


def _not_plain(tree: Any, path: str) -> str | None:
    if isinstance(tree, Mapping):
        inner = [(value, f"{path}[{key!r}]") for key, value in tree.items()]
        wrong = [key for key in tree if not isinstance(key, str)]
        if wrong:
            return f"{path} has the key {wrong[0]!r}, which is no string"
    elif isinstance(tree, list | tuple):
        inner = [(value, f"{path}[{index}]") for index, value in enumerate(tree)]
    elif isinstance(tree, _PLAIN) and getattr(tree, "dtype", None) != np.dtype(object):
        return None
    else:
        return f"{path} is a {type(tree).__name__}"
    return next(filter(None, (_not_plain(*part) for part in inner)), None)


RULES: dict[str, Callable[[Subject], Iterator[Finding]]] = {"snapshot": snapshot_rule}
