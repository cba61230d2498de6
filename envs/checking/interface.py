"""Rules on what an environment returns: spaces, observations, rewards, flags, infos."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.checking.comparison import arrays_in, difference, kept
from envs.checking.report import Finding, Note, Violation
from envs.checking.subject import Subject, action_source, one_step

# What wrappers and vector environments put into infos; no quantity of the simulator.
BOOKKEEPING = frozenset(
    {"TimeLimit.truncated", "episode", "final_obs", "_final_obs", "final_info", "_final_info"}
)


def works(subject: Subject) -> Iterator[Finding]:
    """It can be made, reset and stepped, and returns two and five things."""
    with subject.env() as env:
        found: Any = env.reset(seed=subject.seed)
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict)):
            yield Violation(
                "works",
                "reset() to return (observation, info), info a dict",
                _kind(found),
                "Return both; an empty dict is a valid info.",
            )
            return
        stepped: Any = env.step(action_source(env.action_space, subject.seed)())
        if not (isinstance(stepped, tuple) and len(stepped) == 5 and isinstance(stepped[4], dict)):
            yield Violation(
                "works",
                "step() to return (observation, reward, terminated, truncated, info)",
                _kind(stepped),
                "Return all five; one `done` flag is not enough to compute returns.",
            )


def space_rule(subject: Subject) -> Iterator[Finding]:
    """Both spaces are declared, and actions can be drawn."""
    with subject.env() as env:
        for name in ("observation_space", "action_space"):
            space = getattr(env, name)
            if not isinstance(space, gymnasium.Space):
                yield Violation(
                    "spaces", f"{name} to be a gymnasium Space", _kind(space), f"Set self.{name}."
                )
        for label, part in _boxes(env.action_space, "action_space"):
            if np.any(np.isnan(part.low)) or np.any(part.low >= part.high):
                yield Violation(
                    "spaces",
                    f"the bounds of {label} to leave room for an action",
                    f"low {part.low.min():g}, high {part.high.max():g}",
                    "Set low below high in every component.",
                )
            elif not (np.isfinite(part.low).all() and np.isfinite(part.high).all()):
                yield Note(
                    "spaces",
                    f"{label} has no finite bounds, so policies cannot scale their actions to it.",
                )


def observation_rule(subject: Subject) -> Iterator[Finding]:
    """Every observation lies in the declared space, in its dtype and shape."""
    with subject.env() as env:
        space = env.observation_space
    for count, episode in enumerate(subject.record):
        places = [("reset()", episode.observation)]
        places += [(f"step {i + 1}", step.observation) for i, step in enumerate(episode.steps)]
        for place, observation in places:
            wrong = outside(space, observation)
            if wrong is not None:
                yield Violation(
                    "observation",
                    f"an observation of {space}",
                    f"{wrong}, from {place} of episode {count}",
                    "Convert it before returning it, or declare the space that is true.",
                )
                return


def outside(space: gymnasium.Space, value: Any, path: str = "observation") -> str | None:
    """Say how a value is not of its space, or return None when it is."""
    if isinstance(space, spaces.Dict):
        if not isinstance(value, Mapping):
            return f"{path} is {_kind(value)}, not a dict"
        if set(value) != set(space.spaces):
            return f"{path} has the keys {sorted(value)}, not {sorted(space.spaces)}"
        parts = [(space[key], value[key], f"{path}[{key!r}]") for key in space.spaces]
        return next(filter(None, (outside(*part) for part in parts)), None)
    if isinstance(space, spaces.Tuple):
        if not isinstance(value, tuple) or len(value) != len(space.spaces):
            return f"{path} is {_kind(value)}, not a tuple of {len(space.spaces)}"
        parts = [(own, value[i], f"{path}[{i}]") for i, own in enumerate(space.spaces)]
        return next(filter(None, (outside(*part) for part in parts)), None)
    if isinstance(space, spaces.Box):
        if not isinstance(value, np.ndarray):
            return f"{path} is {_kind(value)}, not an array"
        if value.shape != space.shape:
            return f"{path} has shape {value.shape}, not {space.shape}"
        if value.dtype != space.dtype:
            return f"{path} has dtype {value.dtype}, not {space.dtype}"
        if value.dtype.kind == "f" and np.isnan(value).any():
            return f"{path} has a NaN at {list(map(int, np.argwhere(np.isnan(value))[0]))}"
        wrong = (value < space.low) | (value > space.high)
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            return (
                f"{path}{list(where)} is {value[where]}, not in "
                f"[{space.low[where]}, {space.high[where]}]"
            )
        return None
    return None if space.contains(value) else f"{path} is {value!r} ({_kind(value)})"


def reward_rule(subject: Subject) -> Iterator[Finding]:
    """Every reward is one finite real number."""
    for index, step in enumerate(subject.record_steps()):
        wrong = bad_reward(step.reward)
        if wrong is not None:
            yield Violation(
                "reward",
                "one finite number",
                f"{wrong}, at step {index + 1} of the record",
                "Return float(reward); guard divisions and logarithms.",
            )
            return


def bad_reward(reward: Any) -> str | None:
    """Say what is wrong with a reward, or return None."""
    if isinstance(reward, bool | np.bool_) or not isinstance(
        reward, float | int | np.floating | np.integer
    ):
        return f"{reward!r} ({_kind(reward)})"
    return None if math.isfinite(reward) else repr(float(reward))


def flags_rule(subject: Subject) -> Iterator[Finding]:
    """``terminated`` and ``truncated`` are bools."""
    for name in ("terminated", "truncated"):
        kinds = {type(getattr(step, name)) for step in subject.record_steps()}
        wrong = [kind.__name__ for kind in kinds if not issubclass(kind, bool | np.bool_)]
        if wrong:
            yield Violation(
                "flags",
                f"{name} to be a bool",
                f"a {wrong[0]}",
                "Return bool(...): `not` and `&` of other types do not mean the same.",
            )


def info_rule(subject: Subject) -> Iterator[Finding]:
    """``info`` has the same numeric, documented entries at every step."""
    infos = [quantities(step.info) for step in subject.record_steps()]
    every = set.intersection(*map(set, infos))
    some = set.union(*map(set, infos))
    if every != some:
        yield Violation(
            "info",
            "the same entries at every step",
            f"{', '.join(sorted(some - every))} only at some",
            "Report every quantity at every step, for example 0 where nothing happened: rewards "
            "name them as parameters.",
        )
    with subject.env() as env:
        documented = documentation(env)
    for name in sorted(every):
        values = [info[name] for info in infos]
        shapes = {np.shape(value) for value in values if is_numeric(value)}
        if not all(map(is_numeric, values)):
            text = f"info[{name!r}] is {_kind(values[0])}"
            if documented is not None:
                yield Violation(
                    "info",
                    "numbers and numeric arrays",
                    text,
                    "Encode it as numbers: a flag, a count, an array of character codes.",
                )
            else:
                yield Note("info", f"{text}: no number, so it is not recorded.")
        elif len(shapes) > 1:
            yield Violation(
                "info",
                f"info[{name!r}] to keep its shape",
                f"shapes {sorted(shapes)}",
                "Pad it to one shape.",
            )
    if documented is not None:
        resets = {name for episode in subject.record for name in quantities(episode.info)}
        yield from undocumented("info", some, some | resets, documented)


def documentation(env: Any) -> Any:
    """Return ``info_keys`` of the environment with those of its wrappers, or None without any.

    Wrappers around an environment that documents nothing do not have to document it.
    """
    stack = [env]
    while isinstance(stack[-1], gymnasium.Wrapper | gymnasium.vector.VectorWrapper):
        stack.append(stack[-1].env)
    found: Any = getattr(stack[-1], "info_keys", None)
    if not isinstance(found, Mapping):
        return found
    for layer in reversed(stack):
        if hasattr(type(layer), "info_keys") or "info_keys" in vars(layer):
            found = {**found, **layer.info_keys}
    return found


def undocumented(
    rule: str, present: set[str], anywhere: set[str], documented: Any
) -> Iterator[Violation]:
    """Compare the entries of ``info`` with what ``info_keys`` says about them.

    Args:
        rule: for the violations.
        present: the entries of steps, each of which needs a line.
        anywhere: those and the entries that only resets have, which may have one.
        documented: ``info_keys``.
    """
    if not isinstance(documented, Mapping):
        yield Violation(
            rule, "info_keys to be a dict from names to texts", _kind(documented), "Make it one."
        )
        return
    for name in sorted(present - set(documented)):
        yield Violation(
            rule,
            f"info[{name!r}] to be documented",
            "no line in info_keys",
            f"Add info_keys[{name!r}]: its meaning, unit and shape.",
        )
    for name in sorted(set(documented) - anywhere):
        yield Violation(
            rule,
            f"info[{name!r}], which info_keys documents",
            "no step with it",
            "Report it at every step, or take its line out.",
        )


def arrays_rule(subject: Subject) -> Iterator[Finding]:
    """What was returned is never written again."""
    with subject.env() as env:
        draw = action_source(env.action_space, subject.seed)
        held = returned(*env.reset(seed=subject.seed))
        for _ in range(min(subject.steps, 60)):
            observation, _, terminated, truncated, info = env.step(draw())
            yield from (wrong := rewritten("arrays", held))
            if wrong:
                return
            held = returned(observation, info)
            if terminated or truncated:
                first, info = env.reset()
                yield from (wrong := rewritten("arrays", held))
                if wrong:
                    return
                held = returned(first, info)
        env.reset()
        yield from rewritten("arrays", held)


def returned(observation: Any, info: Any) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return every array that was returned: where, the array itself, and a copy."""
    found = [*arrays_in(observation, "the observation"), *arrays_in(info, "info")]
    return [(path, array, kept(array)) for path, array in found]


def rewritten(rule: str, held: list[tuple[str, np.ndarray, np.ndarray]]) -> list[Violation]:
    """Return a violation for every array of `returned` that changed since."""
    return [
        Violation(
            rule,
            "arrays that belong to the caller",
            f"{path} changed when the environment went on ({wrong})",
            "Return a copy: array.copy().",
        )
        for path, array, before in held
        if (wrong := difference(before, array)) is not None
    ]


def extreme_actions(subject: Subject) -> Iterator[Finding]:
    """The corners of the action space give valid observations and rewards."""
    # What random actions break already is reported once.
    observed = not any(observation_rule(subject))
    rewarded = not any(reward_rule(subject))
    with subject.env() as env:
        actions = corners(env.action_space)
        if not actions:
            return
        env.reset(seed=subject.seed)
        for index in range(min(subject.steps, 100)):
            action = actions[index % len(actions)] if index >= 50 else actions[0]
            step = one_step(env, action)
            wrong = outside(env.observation_space, step.observation) if observed else None
            wrong = wrong or (bad_reward(step.reward) if rewarded else None)
            if wrong is not None:
                yield Violation(
                    "extreme_actions",
                    f"valid results of the action {_shown(action)}",
                    wrong,
                    "Limit what the action does, or declare narrower bounds.",
                )
                return
            if step.done:
                env.reset()


def corners(space: gymnasium.Space) -> list[Any]:
    """Return the extreme actions of a Box with bounds or of a discrete space; else none."""
    if isinstance(space, spaces.Box):
        low = np.where(np.isfinite(space.low), space.low, -10.0).astype(space.dtype)
        high = np.where(np.isfinite(space.high), space.high, 10.0).astype(space.dtype)
        return [high, low]
    if isinstance(space, spaces.Discrete):
        return [space.start, space.start + space.n - 1]
    if isinstance(space, spaces.MultiDiscrete):
        return [space.start.copy(), space.start + space.nvec - 1]
    return []


def quantities(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the simulator's entries of ``info``, those under ``"state"`` among them."""
    found = {str(key): value for key, value in info.items() if key not in BOOKKEEPING}
    if isinstance(found.get("state"), Mapping):
        found |= {str(key): value for key, value in found.pop("state").items()}
    return found


def is_numeric(value: Any) -> bool:
    """Return whether a value is a number or an array of numbers."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf"
    return isinstance(value, bool | int | float | np.number | np.bool_)


def _boxes(space: Any, label: str) -> Iterator[tuple[str, spaces.Box]]:
    if isinstance(space, spaces.Box) and np.dtype(space.dtype).kind == "f":
        yield label, space
    elif isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            yield from _boxes(part, f"{label}[{key!r}]")


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple ({', '.join(type(item).__name__ for item in value)})"
    return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"


def _shown(action: Any) -> str:
    return np.array2string(np.asarray(action), threshold=4, edgeitems=2)


RULES: dict[str, Callable[[Subject], Iterator[Finding]]] = {
    "spaces": space_rule,
    "observation": observation_rule,
    "reward": reward_rule,
    "flags": flags_rule,
    "info": info_rule,
    "arrays": arrays_rule,
    "extreme_actions": extreme_actions,
}
