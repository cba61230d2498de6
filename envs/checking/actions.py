"""Rules on actions that are none: they are refused by name before they reach an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.checking.comparison import difference
from envs.checking.report import Finding, Violation
from envs.checking.subject import Subject, action_source, begin, one_step

_CURE = (
    "Check it first: envs.actions.check_actions does so for Box, Discrete, MultiDiscrete and "
    "MultiBinary; other spaces need a check of their own."
)


def bad_actions(subject: Subject) -> Iterator[Finding]:
    """A wrong shape, a NaN and a number out of range raise ``ActionError`` and change nothing."""
    with subject.env() as env, subject.env() as twin:
        draw = action_source(env.action_space, subject.seed)
        for made in (env, twin):
            begin(made, subject.seed)
        accepted = []
        for what, action in wrong_actions(env.action_space, draw()):
            outcome = refusal(partial(env.step, action))
            if outcome is not None:
                accepted.append(f"{what} {outcome}")
        if accepted:
            yield Violation(
                "bad_actions",
                "a ValueError that names what is wrong with the action",
                "; ".join(accepted),
                _CURE,
            )
            return
        for _ in range(5):
            action = draw()
            one, other = one_step(env, action), one_step(twin, action)
            wrong = difference(one.observation, other.observation)
            if wrong is not None:
                yield Violation(
                    "bad_actions",
                    "refused actions to change nothing",
                    f"the steps after them differ: {wrong}",
                    _CURE,
                )
                return
            if one.done or other.done:
                return


def refusal(step: Callable[[], Any]) -> str | None:
    """Return what happened instead of a ``ValueError``, or None when it was refused."""
    try:
        step()
    except ValueError:
        return None
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    return "was accepted"


def wrong_actions(space: gymnasium.Space, valid: Any) -> Iterator[tuple[str, Any]]:
    """Yield actions that are not of the space, made from a valid one, with what is wrong."""
    if isinstance(space, spaces.Box):
        yield "a wrong shape", np.zeros((*space.shape[:-1], (space.shape or (0,))[-1] + 1))
        if np.dtype(space.dtype).kind == "f" and np.size(valid):
            for what, value in (("a NaN", np.nan), ("an infinity", np.inf)):
                wrong = np.array(valid)
                wrong.flat[0] = value
                yield what, wrong
        yield "a text", np.full(space.shape, "left")
    elif isinstance(space, spaces.Discrete):
        yield "a wrong shape", np.array([valid, valid])
        yield "a number above the range", int(space.start + space.n)
        yield "a number below the range", int(space.start) - 1
        yield "a fraction", float(valid) + 0.5
    elif isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        yield "a wrong shape", np.zeros((*np.shape(valid)[:-1], np.shape(valid)[-1] + 1), dtype=int)
        yield "numbers above the range", np.full_like(np.asarray(valid, dtype=np.int64), 2**40)
    else:
        yield "None", None


RULES: dict[str, Callable[[Subject], Iterator[Finding]]] = {"bad_actions": bad_actions}
