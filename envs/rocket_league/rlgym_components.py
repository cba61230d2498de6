"""RLGym's components from Python objects, or from the names of RLGym's own classes.

A configuration file can say

    reward_fn: {CombinedReward: [[GoalReward, 10], [TouchReward, 0.1]]}

because the names below, and no others, are looked up in a fixed table: a file can never name code
to import. Own components are handed in as Python objects.
"""

from __future__ import annotations

import copy
import difflib
import importlib
import inspect
from collections.abc import Mapping
from typing import Any


class ComponentError(ValueError):
    """A component for RLGym that does not exist, does not fit its place, or cannot be copied."""


_PACKAGES = {
    "action_parsers": ("LookupTableAction", "RepeatAction"),
    "done_conditions": (
        "AllCondition", "AnyCondition", "GoalCondition", "NoTouchTimeoutCondition",
        "NoopCondition", "TimeoutCondition",
    ),
    "obs_builders": ("DefaultObs",),
    "reward_functions": ("CombinedReward", "GoalReward", "TouchReward"),
    "sim": ("RocketSimEngine",),
    "state_mutators": ("FixedTeamSizeMutator", "KickoffMutator", "MutatorSequence"),
}  # fmt: skip
_PLACES = {name: package for package, names in _PACKAGES.items() for name in names}

_INTERFACES = {
    "state_mutator": "StateMutator",
    "obs_builder": "ObsBuilder",
    "action_parser": "ActionParser",
    "reward_fn": "RewardFunction",
    "transition_engine": "TransitionEngine",
    "termination_cond": "DoneCondition",
    "truncation_cond": "DoneCondition",
    "shared_info_provider": "SharedInfoProvider",
    "renderer": "Renderer",
}

COMPONENT_NAMES = tuple(sorted(_PLACES))
"""Names of RLGym's own classes that texts may use."""

SLOTS = tuple(_INTERFACES)
"""The parameters of ``rlgym.api.RLGym``."""

_LOOKUP = {"RepeatAction": {"parser": "LookupTableAction", "repeats": 8}}
_REWARD = {"CombinedReward": [["GoalReward", 10.0], ["TouchReward", 0.1]]}
_TIME = {"AnyCondition": [{"NoTouchTimeoutCondition": 30.0}, {"TimeoutCondition": 300.0}]}


def build_match(
    *,
    team_size: int = 1,
    state_mutator: Any = None,
    obs_builder: Any = "DefaultObs",
    action_parser: Any = _LOOKUP,
    reward_fn: Any = _REWARD,
    transition_engine: Any = "RocketSimEngine",
    termination_cond: Any = "GoalCondition",
    truncation_cond: Any = _TIME,
    shared_info_provider: Any = None,
    renderer: Any = None,
) -> Any:
    """Build one ``rlgym.api.RLGym`` with objects of its own.

    Every component is an instance (it is copied, so that matches share no state), a class or a
    function without arguments that makes one, or text and plain data as in `named_component`.

    Args:
        team_size: cars per team of the default state mutator.
        state_mutator: None for a kick-off.
        obs_builder: what the policy sees.
        action_parser: what its actions mean; by default the lookup table of 90, for 8 ticks.
        reward_fn: by default 10 per goal and 0.1 per touch.
        transition_engine: the simulator.
        termination_cond: by default a goal; None for never.
        truncation_cond: by default 30 s without a touch, or 300 s; None for never.
        shared_info_provider: None for none.
        renderer: None for none.

    Raises:
        ComponentError: an unknown name (with the nearest valid one), a value of another kind than
            its place takes, or an instance that cannot be copied.
    """
    from rlgym.api import RLGym

    if state_mutator is None:
        sizes = {"blue_size": team_size, "orange_size": team_size}
        state_mutator = {"MutatorSequence": [{"FixedTeamSizeMutator": sizes}, "KickoffMutator"]}
    given = {
        "state_mutator": state_mutator,
        "obs_builder": obs_builder,
        "action_parser": action_parser,
        "reward_fn": reward_fn,
        "transition_engine": transition_engine,
        "termination_cond": termination_cond,
        "truncation_cond": truncation_cond,
        "shared_info_provider": shared_info_provider,
        "renderer": renderer,
    }
    return RLGym(**{slot: component(slot, value) for slot, value in given.items()})


def named_component(value: Any) -> Any:
    """Build a component of RLGym from its name, with options.

    Args:
        value: ``"GoalReward"``; ``{"TimeoutCondition": 30}`` (one argument); ``{"DefaultObs":
            {"zero_padding": 2}}`` (keywords); or ``{"AnyCondition": [...]}`` (several arguments,
            in which a list is a pair of a component and its weight). Texts inside are names again.

    Raises:
        ComponentError: an unknown name, with the nearest one; or arguments that do not fit.
    """
    if isinstance(value, str):
        return _made(value, (), {})
    if isinstance(value, Mapping):
        if len(value) != 1:
            raise ComponentError(
                "An RLGym component is a name or a mapping with one name, such as "
                f"{{TimeoutCondition: 30}}, got {dict(value)!r}."
            )
        name, options = next(iter(value.items()))
        if isinstance(options, Mapping) and not _is_named(options):
            return _made(name, (), {key: _argument(item) for key, item in options.items()})
        if isinstance(options, list):
            return _made(name, tuple(_argument(item) for item in options), {})
        return _made(name, () if options is None else (_argument(options),), {})
    raise ComponentError(f"Expected the name of an RLGym component, got {value!r}.")


def parts_of(component: Any) -> list[Any]:
    """Return a component and those that it holds in its attributes, each once."""
    found: list[Any] = []
    waiting = [component]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list | tuple):
            waiting.extend(item)
        elif _is_rlgym_component(item) and not any(item is other for other in found):
            found.append(item)
            waiting.extend(vars(item).values() if hasattr(item, "__dict__") else ())
    return found


def draws_globally(components: Any) -> bool:
    """Return whether somebody else's code is among the components.

    It may draw from the global random generators at any time; RLGym's own does in resets only.
    """
    return any(not type(part).__module__.startswith("rlgym.") for part in parts_of(components))


def component(slot: str, value: Any) -> Any:
    """Return the object for one of RLGym's places.

    Args:
        slot: one of `SLOTS`.
        value: see `build_match`.

    Raises:
        ComponentError: see `build_match`.
    """
    interface = getattr(importlib.import_module("rlgym.api"), _INTERFACES[slot])
    if value is None:
        if slot in ("termination_cond", "truncation_cond", "shared_info_provider", "renderer"):
            return None
        raise ComponentError(f"RLGym needs {slot}; it cannot be None.")
    if isinstance(value, str | Mapping):
        made = named_component(value)
    elif isinstance(value, interface):
        made = _copied(slot, value)
    elif callable(value):
        made = value()
    else:
        made = value
    if not isinstance(made, interface):
        raise ComponentError(
            f"{slot} must be an rlgym.api.{_INTERFACES[slot]}, a function that makes one, or the "
            f"name of one of RLGym's own, got {made!r}."
        )
    return made


def _copied(slot: str, value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception as error:
        raise ComponentError(
            f"The {type(value).__name__} given as {slot} cannot be copied for every match "
            f"({error}). Give a function that makes one instead: {slot}=lambda: ..."
        ) from error


def _made(name: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
    if name not in _PLACES:
        raise ComponentError(
            f"{name!r} is no component of RLGym that can be named.{_nearest(str(name), _PLACES)} "
            f"Names are: {', '.join(COMPONENT_NAMES)}. Own components are given as Python objects."
        )
    kind = getattr(importlib.import_module(f"rlgym.rocket_league.{_PLACES[name]}"), name)
    try:
        inspect.signature(kind).bind(*arguments, **options)
    except TypeError as error:
        raise ComponentError(f"{name} takes {inspect.signature(kind)}: {error}.") from error
    return kind(*arguments, **options)


def _argument(value: Any) -> Any:
    """Return an argument of a component: names are built, lists are pairs, numbers stay."""
    if isinstance(value, str) or _is_named(value):
        return named_component(value)
    return tuple(_argument(item) for item in value) if isinstance(value, list) else value


def _is_named(value: Any) -> bool:
    """Return whether a mapping is ``{Name: ...}`` rather than keywords."""
    return isinstance(value, Mapping) and len(value) == 1 and str(next(iter(value)))[:1].isupper()


def _is_rlgym_component(value: Any) -> bool:
    api = importlib.import_module("rlgym.api")
    return isinstance(value, tuple(getattr(api, name) for name in set(_INTERFACES.values())))


def _nearest(name: str, valid: Any) -> str:
    lower = {str(candidate).lower(): str(candidate) for candidate in valid}
    found = difflib.get_close_matches(name.lower(), list(lower), n=1)
    return f" Did you mean {lower[found[0]]!r}?" if found else ""
