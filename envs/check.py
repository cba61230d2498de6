"""Check any environment against one suite of rules, and list every violation at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from envs.checking import actions, episodes, interface, randomness, resources, saving, vector
from envs.checking.comparison import preserved_generators
from envs.checking.report import Finding, Note, Report, Violation
from envs.checking.subject import Subject, quiet
from envs.registry import has_vector, is_self_play, make, make_vec

__all__ = ["Note", "Report", "Violation", "check_env"]

Rule = Callable[[Subject], Iterator[Finding]]

_RULES: dict[str, Rule] = {
    **interface.RULES,
    **episodes.RULES,
    **randomness.RULES,
    **actions.RULES,
    **saving.RULES,
    **resources.RULES,
}


def check_env(
    env: str | gymnasium.Env | Callable[..., gymnasium.Env],
    *,
    vector_env: Callable[[int], VectorEnv] | None = None,
    steps: int = 1000,
    seed: int = 0,
    resets: int = 10_000,
    skip: Collection[str] = (),
    **options: Any,
) -> Report:
    """Check an environment, and its natively vectorised twin where there is one.

    The rules: ``works``, ``spaces``, ``observation``, ``reward``, ``flags``, ``info``, ``arrays``
    (nothing returned is written again), ``extreme_actions``; ``final_observation``,
    ``time_limit``, ``after_the_end``; ``seeding``, ``stream`` (resets without a seed),
    ``global_random``; ``bad_actions``; ``snapshot``; ``leak``, ``close``, ``render``, ``workers``;
    and for the twin ``vector_interface``, ``vector_final``, ``vector_equals_single``,
    ``vector_columns``, ``vector_seeding``, ``vector_arrays``, ``vector_bad_actions`` and
    ``vector_snapshot``. A rule that the environment makes no claim about is skipped with the
    reason. Several instances are made; the global random generators are left as they were.

    Args:
        env: a name for `envs.make`; a class or function that makes the environment; or an
            environment from ``gymnasium.make``, of which others are made by its ``spec``. By name
            everything is tried; of a function, time limits and refused actions are not.
        vector_env: makes the vectorised twin with so many columns; found by itself for a name.
        steps: length of the record with random actions on which most rules look.
        seed: of resets and actions.
        resets: on which the rule ``leak`` looks; at least 50.
        skip: names of rules to leave out.
        **options: keyword arguments of the environment, for a name.

    Returns:
        Every violation with its cure, notes, and the rules that hold.

    Raises:
        TypeError: an environment of which no second instance can be made.
        ValueError: too few steps or resets, or no rule has a name in ``skip``.
        EnvironmentNameError, MissingSimulatorError: as `envs.make`.

    Example:
        >>> import gymnasium
        >>> from envs.check import check_env
        >>> report = check_env("CartPole-v1", resets=100)
        >>> report.ok
        True
        >>> class Forgetful(gymnasium.Wrapper):
        ...     def reset(self, *, seed=None, options=None):
        ...         return self.env.reset(options=options)
        >>> report = check_env(lambda: Forgetful(gymnasium.make("CartPole-v1")), resets=100)
        >>> sorted({violation.rule for violation in report.violations})
        ['seeding', 'stream']
    """
    if steps < 20:
        raise ValueError(f"steps must be at least 20, got {steps}.")
    if resets < 50:
        raise ValueError(f"resets must be at least 50, got {resets}.")
    known = [*_RULES, *vector.RULES]
    for name in skip:
        if name not in known:
            raise ValueError(f"There is no rule {name!r}. The rules: {', '.join(known)}.")
    subject = _subject(env, options)
    subject.steps, subject.seed, subject.resets = steps, seed, resets
    if vector_env is not None:
        subject.make_vector = vector_env
    with resources.only_new_garbage(), preserved_generators(), quiet():
        return _run(subject, skip)


def _subject(
    env: str | gymnasium.Env | Callable[..., gymnasium.Env], options: dict[str, Any]
) -> Subject:
    """Return how instances are made."""
    if isinstance(env, str):
        name = env

        def make_one(**more: Any) -> gymnasium.Env:
            return make(name, **{**options, **more})

        def make_many(num_envs: int, **more: Any) -> VectorEnv:
            return make_vec(name, num_envs, **{**options, **more})

        make_one().close()  # an unknown name or option is the caller's mistake, not a violation
        return Subject(
            name, make_one, make_vector=make_many if has_vector(name) else None,
            takes_options=True, coupled=is_self_play(name), checked_actions=True,
            command=(name, options),
        )  # fmt: skip
    if options:
        raise TypeError(f"Options ({', '.join(options)}) are for an environment given by name.")
    if isinstance(env, gymnasium.Env):
        spec = env.spec
        if spec is None:
            raise TypeError(
                f"{env} was not made by gymnasium.make, so no second instance of it can be made. "
                "Pass its class, or a function that makes it."
            )
        return Subject(spec.id, lambda: gymnasium.make(spec))
    if not callable(env):
        raise TypeError(
            f"Expected a name, an environment, or a function that makes one, got {env!r}."
        )
    return Subject(getattr(env, "__name__", type(env).__name__), env)


def _run(subject: Subject, skip: Collection[str]) -> Report:
    report = Report(subject.name)
    if not _apply(report, "works", interface.works, subject):
        rules = [*_RULES, *(vector.RULES if subject.make_vector else ())]
        report.skipped.update(dict.fromkeys(rules, "because it does not work"))
        return report
    for name, rule in _RULES.items():
        reason = "as asked" if name in skip else _not_claimed(name, subject)
        if reason is not None:
            report.skipped[name] = reason
        else:
            _apply(report, name, rule, subject)
    for name, rule in vector.RULES.items() if subject.make_vector else ():
        if name in skip:
            report.skipped[name] = "as asked"
        elif subject.coupled and name in vector.INDEPENDENT_ONLY:
            report.skipped[name] = "because its columns meet in one world"
        elif name == "vector_snapshot" and not vector.claims_snapshots(subject):
            report.skipped[name] = "because it does not claim to be saved"
        else:
            _apply(report, name, rule, subject)
    return report


def _not_claimed(name: str, subject: Subject) -> str | None:
    """Return why a rule does not apply, or None."""
    if name == "bad_actions" and not subject.checked_actions:
        return "because only envs.make puts a check of actions around it"
    if name == "snapshot" and not saving.claims_snapshots(subject):
        return "because it does not claim to be saved"
    if name == "workers" and not resources.starts_processes(subject):
        return "because it starts no processes"
    return None


def _apply(report: Report, name: str, rule: Rule, subject: Subject) -> bool:
    """Run one rule, and say whether it holds; a failure of the environment breaks the rule."""
    broken = False
    try:
        # One by one, so that what was found before a failure is kept.
        for finding in rule(subject):
            if isinstance(finding, Note):
                report.notes.append(finding)
            else:
                report.violations.append(finding)
                broken = True
    except Exception as error:
        text = " ".join(str(error).split())
        report.violations.append(
            Violation(
                name,
                "the environment to go through it",
                f"{type(error).__name__}: {text}",
                "See the rule in docs/checking-environments.md.",
            )
        )
        broken = True
    if not broken:
        report.passed.append(name)
    return not broken
