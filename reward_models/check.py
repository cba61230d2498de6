"""Check any reward against the contract, and list every violation at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from reward_models.base import RewardModel, Scope, as_reward_model
from reward_models.checking import behaviour, contract, potentials
from reward_models.checking.report import CheckReport, Violation
from reward_models.checking.samples import reduced, sampled_rollouts
from reward_models.checking.subject import Subject, preserved_generators
from reward_models.errors import UnknownNameError, UserError
from reward_models.function import FunctionReward
from reward_models.potential import Potential
from reward_models.rollout import OPTIONAL_KEYS, Rollout

__all__ = ["CheckReport", "Violation", "check_reward"]

_MOST_ROLLOUTS = 3


def check_reward(
    reward: Any,
    *,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    gamma: float = 0.99,
    seed: int = 0,
    rollouts: Rollout | Sequence[Rollout] | None = None,
    state: Mapping[str, spaces.Space] | None = None,
) -> CheckReport:
    """Check a reward against the contract of ``RewardModel``.

    The rules: ``declarations`` (scope, order, flags, keys), ``copy``, ``discount``, ``output``
    (shape, dtype, finite), ``constructor``, ``requires`` (honest), ``pure`` (forward), ``graph``,
    ``update``, ``state`` (all of it in ``state_dict``), ``task_free``, ``replay`` (single steps),
    ``columns`` (order), ``edges`` (smallest sizes), ``padding``, and for potentials
    ``potential_returns`` and ``potential_optimum``. A rule that a reward makes no claim about is
    left out. The reward itself and the global random generators are left as they are.

    Args:
        reward: a model, a plain function, or a class of models (also as ``functools.partial``),
            which is then built with those of ``observation_space``, ``action_space``, ``gamma``
            and ``seed`` that its constructor takes.
        observation_space: of one environment.
        action_space: of one environment.
        gamma: the learner's discount.
        seed: of everything that is drawn here.
        rollouts: successive rollouts from the environment, in arrival order; drawn from the spaces
            when None. Up to three are used.
        state: spaces of the simulator quantities (or of other optional keys, such as ``hidden``)
            that the reward requires and the rollouts lack; scalars without.

    Returns:
        Every violation with its cure, and the rules that hold.

    Raises:
        UserError: this is no reward, or a space cannot be recorded.

    Example:
        >>> import numpy as np
        >>> from gymnasium import spaces
        >>> box = spaces.Box(-1.0, 1.0, (3,), np.float32)
        >>> report = check_reward(lambda action: -action.square().sum(-1),
        ...                       observation_space=box, action_space=box)
        >>> report.ok
        True
        >>> report = check_reward(lambda action: action.log().sum(-1),
        ...                       observation_space=box, action_space=box)
        >>> [violation.rule for violation in report.violations][0]
        'output'
    """
    with preserved_generators():
        build = _builder(reward, observation_space, action_space, gamma, seed)
        model = as_reward_model(reward) if build is None else build()
        rng = np.random.default_rng(seed)
        given = [rollouts] if isinstance(rollouts, Rollout) else list(rollouts or ())
        drawn = sampled_rollouts(
            observation_space=observation_space, action_space=action_space, rng=rng
        )
        used = (given or drawn)[:_MOST_ROLLOUTS]
        if not bool(used[0].mask.any()):
            raise UserError("The first rollout has no real step, so there is nothing to check.")
        keys = _readable(model.requires)
        used = [reduced(rollout, keys, state or {}, rng) for rollout in used]
        subject = Subject(model, used, gamma=gamma, rng=rng, build=build)
        return _run(subject)


def _run(subject: Subject) -> CheckReport:
    report = CheckReport(name=_name(subject.model))
    _apply(report, "declarations", contract.declarations, subject)
    works = _apply(report, "copy", _copied, subject)
    if works:
        _apply(report, "discount", _bound, subject)
        works = _apply(report, "output", contract.output, subject)
    model = subject.model
    rules = {**contract.RULES, **behaviour.RULES, **potentials.RULES}
    claimed = {
        "constructor": subject.build is not None,
        "task_free": model.task_free,
        "replay": model.scope == Scope.TRANSITION
        and model.replayable
        and not model.batch_dependent,
        **dict.fromkeys(potentials.RULES, isinstance(model, Potential)),
    }
    for name, rule in rules.items():
        if not claimed.get(name, True):
            continue
        if works:
            _apply(report, name, rule, subject)
        else:
            report.skipped[name] = "because of what is broken above"
    return report


def _apply(
    report: CheckReport, name: str, rule: Callable[[Subject], Iterator[Violation]], subject: Subject
) -> bool:
    """Run one rule, and say whether it holds; a failure of the reward breaks the rule."""
    found: list[Violation] = []
    try:
        # One by one, so that what was found before a failure is kept.
        for violation in rule(subject):
            found.append(violation)
    except UnknownNameError as error:
        found.append(
            Violation(
                "requires",
                f"the reward reads what it does not declare: {error}",
                "Name every record key it reads beyond the core ones in `requires`; a plain "
                "function names them as its parameters.",
            )
        )
    except Exception as error:
        found.append(
            Violation(
                name,
                f"the reward fails with {type(error).__name__}: {error}",
                "It must work on any rollout with the core keys and those it requires.",
            )
        )
    report.violations.extend(found)
    if not found:
        report.passed.append(name)
    return not found


def _copied(subject: Subject) -> Iterator[Violation]:
    """The model can be copied; from here on the check works with copies alone."""
    try:
        subject.model = subject.fresh()
    except Exception as error:
        yield Violation(
            "copy",
            f"the model cannot be copied: {type(error).__name__}: {error}",
            "Keep state in tensors and modules; open files and connections do not belong there.",
        )


def _bound(subject: Subject) -> Iterator[Violation]:
    """The model accepts the learner's discount."""
    try:
        subject.model.bind_discount(subject.gamma)
    except UserError as error:
        yield Violation("discount", str(error), "Leave gamma out when building the model.")


def _builder(
    reward: Any,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    gamma: float,
    seed: int,
) -> Callable[[], RewardModel] | None:
    """Return how to build the model anew when ``reward`` is a class, else None."""
    made = reward.func if isinstance(reward, functools.partial) else reward
    if not (isinstance(made, type) and issubclass(made, RewardModel)):
        return None
    parameters = inspect.signature(reward).parameters
    supplied = {
        "observation_space": observation_space,
        "action_space": action_space,
        "gamma": gamma,
        "seed": seed,
    }
    given = reward.keywords if isinstance(reward, functools.partial) else {}
    arguments = {
        key: value for key, value in supplied.items() if key in parameters and key not in given
    }

    def build() -> RewardModel:
        try:
            return reward(**arguments)
        except TypeError as error:
            raise UserError(
                f"{made.__name__} cannot be built with {', '.join(arguments) or 'nothing'}: "
                f"{error}. Pass a built model, or functools.partial({made.__name__}, ...)."
            ) from error

    return build


def _readable(requires: Any) -> set[str]:
    """Return the well-formed keys among what a model requires."""
    keys = {requires} if isinstance(requires, str) else set(requires)
    return {key for key in keys if key in OPTIONAL_KEYS or str(key).startswith("state.")}


def _name(model: RewardModel) -> str:
    return model.name if isinstance(model, FunctionReward) else type(model).__name__
