"""Distances between rewards on an environment, without training a policy.

On a tabular world they are exact, from its tables; elsewhere they are estimated from the steps of
a random policy, with standard errors and the distance that the estimate gives where the true one
is 0.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from ctrl.build import build_env
from ctrl.compare_forms import COPIES, FORMS, Columns, FormSettings
from ctrl.compare_samples import GROUPS, EnvSamples, gather
from ctrl.compare_tables import reward_tables
from ctrl.config import EnvConfig, apply_overrides
from envs.worlds.tabular import TabularSimulation
from reward_models.base import RewardModel, as_reward_model
from reward_models.compare import sampled
from reward_models.compare.canonical import Canonical
from reward_models.compare.distance import Metric, dard_distance, epic_distance
from reward_models.compare.evaluate import check_comparable
from reward_models.errors import UnknownNameError, UserError
from reward_models.registry import build_reward

_NOISY = 0.3
# A plus that adds rewards: not the one of an exponent (1e+3).
_PLUS = re.compile(r"(?<![0-9][eE])\+")


@final
@dataclass(frozen=True, eq=False)
class RewardComparison:
    """Distances between rewards.

    Attributes:
        names: the rewards.
        distance: ``[R, R]``.
        error: standard errors ``[R, R]``; None where the distances are exact.
        floor: ``[R]``: what the estimate gives between each reward and a potential-shaped copy of
            itself, whose true VAL distance is 0; None where the distances are exact.
        metric: its name, for example ``VAL-2-2``.
        settings: environment, discount, seed and the sizes of samples.
        notes: what a reader must know.
    """

    names: tuple[str, ...]
    distance: np.ndarray
    error: np.ndarray | None
    floor: np.ndarray | None
    metric: str
    settings: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether the distances come from tables and not from samples."""
        return self.error is None

    def as_dict(self) -> dict[str, Any]:
        """Return names, numbers, settings and notes as plain data."""
        return {
            "rewards": list(self.names),
            "metric": self.metric,
            "exact": self.exact,
            "distance": self.distance.tolist(),
            "standard_error": None if self.error is None else self.error.tolist(),
            "noise_floor": None if self.floor is None else self.floor.tolist(),
            "settings": self.settings,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Settings:
    """What `compare_rewards` was asked for."""

    env: EnvConfig
    canonical: Canonical
    norm: str
    distance: str
    gamma: float
    samples: int
    actions: int
    successors: int | None
    steps: int
    seed: int


def compare_rewards(
    rewards: Mapping[str, Any] | Sequence[str],
    *,
    env: str,
    canonical: str = "val",
    norm: str = "2",
    distance: str = "2",
    gamma: float = 0.99,
    samples: int = 1000,
    actions: int = 8,
    successors: int | None = None,
    steps: int = 20_000,
    seed: int = 0,
    options: Sequence[str] = (),
    by_samples: bool = False,
) -> RewardComparison:
    """Return the distances between rewards on an environment.

    A tabular world is compared exactly, over all its states. Elsewhere a uniformly random policy is
    followed: the states it visits are the ones that count, and its values level the rewards.

    Args:
        rewards: what ``--reward`` takes, as single words or sums with factors
            (``"task=-1"``, ``"task+mine.py:bonus=0.5"``); or models and functions by name.
        env: environment name.
        canonical: see `reward_models.compare.Canonical`; from samples ``val``, ``epic``, ``dard``
            or ``none``.
        norm: to scale by, see `reward_models.compare.Norm`.
        distance: a norm, or ``pearson`` for the distance as published for EPIC and DARD.
        gamma: discount in [0, 1).
        samples: states in which rewards are compared.
        actions: actions tried in each of them; with 1, the transitions of the policy are taken,
            and the environment need not be able to save its state.
        successors: how often an action is tried where the dynamics are random; by default 4.
        steps: of the random policy, for the values.
        seed: of environments, actions, features and rewards.
        options: ``env.key=value`` of the environment.
        by_samples: estimate on a tabular world too.

    Raises:
        UserError: a reward or environment that cannot be built, rewards that are not of single
            transitions or not of this environment's observations and actions, or an unusable
            setting; the message names the cure.
    """
    settings = _Settings(
        env=EnvConfig(env, options=_env_options(options)), canonical=Canonical.of(canonical),
        norm=norm, distance=distance, gamma=gamma, samples=samples, actions=actions,
        successors=successors, steps=steps, seed=seed,
    )  # fmt: skip
    _check(settings)
    given = rewards if isinstance(rewards, Mapping) else dict(zip(rewards, rewards, strict=True))
    if len(given) < 2:
        raise UserError(f"Comparing takes at least two different rewards, got {list(given)}.")
    spaces, simulation = _spaces(settings)
    columns, combine = _columns(given, spaces, settings)
    if simulation is not None and not by_samples:
        return _exactly(tuple(given), columns, combine, simulation, settings)
    return _by_samples(tuple(given), columns, combine, settings)


def _check(settings: _Settings) -> None:
    if not 0.0 <= settings.gamma < 1.0:
        raise UserError(f"--gamma must lie in [0, 1), got {settings.gamma}; with 1, values of "
                        "endless episodes are infinite.")  # fmt: skip
    for name, least in (("samples", 2 * GROUPS), ("actions", 1), ("steps", 20 * GROUPS)):
        if getattr(settings, name) < least:
            raise UserError(f"--{name} must be at least {least}, got {getattr(settings, name)}.")
    if settings.successors is not None and settings.successors < 1:
        raise UserError(f"--successors must be at least 1, got {settings.successors}.")
    if settings.distance != sampled.PEARSON:
        Metric(settings.canonical, settings.norm, settings.distance)
    elif settings.canonical not in (Canonical.EPIC, Canonical.DARD):
        raise UserError(f"The pearson distance is that of EPIC and DARD, not of "
                        f"{str(settings.canonical)!r}; use --canonical epic or dard.")  # fmt: skip


def _env_options(words: Sequence[str]) -> dict[str, Any]:
    found = apply_overrides({}, words)
    for key in found:
        if key != "env":
            raise UnknownNameError("setting", key, ("env.KEY",))
    return dict(found.get("env", {}))


def _spaces(settings: _Settings) -> tuple[tuple[Any, Any], Any]:
    """Return the two spaces, and the simulation where the world is tabular."""
    # One by one, because the single form is the one that has its tables.
    single = replace(settings.env, backend="threads", threads=1)
    vector = build_env(single, n_envs=1, seed=settings.seed)
    spaces = vector.observation_space, vector.action_space
    inner = vector.envs[0].unwrapped  # type: ignore[attr-defined]
    vector.close()
    simulation = getattr(inner, "simulation", None)
    return spaces, simulation if isinstance(simulation, TabularSimulation) else None


# -- rewards --------------------------------------------------------------------------------


def _columns(
    given: Mapping[str, Any], spaces: tuple[Any, Any], settings: _Settings
) -> tuple[dict[str, RewardModel], np.ndarray]:
    """Return the models that occur, and each reward as a sum of them, ``[R, U]``."""
    models: dict[str, RewardModel] = {}
    sums: list[dict[str, float]] = []
    for name, reward in given.items():
        parts = parse_sum(reward) if isinstance(reward, str) else {name: 1.0}
        for use in parts:
            if use not in models:
                models[use] = (
                    build_reward(
                        use, observation_space=spaces[0], action_space=spaces[1],
                        gamma=settings.gamma, seed=settings.seed,
                    )
                    if isinstance(reward, str)
                    else as_reward_model(reward)
                )  # fmt: skip
        sums.append(parts)
    for use, model in models.items():
        check_comparable(use, model)
        model.bind_discount(settings.gamma)
    return models, np.array([[parts.get(use, 0.0) for use in models] for parts in sums])


def parse_sum(text: str) -> dict[str, float]:
    """Split ``"A[=FACTOR]+B[=FACTOR]"`` into factors by reward; the same one twice is added.

    Raises:
        UserError: a factor is no finite number, or a reward has no name.
    """
    found: dict[str, float] = {}
    for part in _PLUS.split(text):
        use, equals, number = part.rpartition("=")
        if not equals:
            use, number = part, "1"
        try:
            factor = float(number)
        except ValueError:
            factor = float("nan")
        if not use or not np.isfinite(factor):
            raise UserError(
                f"A reward to compare is NAME, NAME=FACTOR or a sum of these with +, got {text!r}."
            )
        found[use] = found.get(use, 0.0) + factor
    return found


# -- exact ----------------------------------------------------------------------------------


def _exactly(
    names: tuple[str, ...],
    models: Mapping[str, RewardModel],
    combine: np.ndarray,
    simulation: Any,
    settings: _Settings,
) -> RewardComparison:
    world = simulation.mdp
    tables = np.tensordot(combine, reward_tables(simulation, models), axes=1)
    gamma, transition = settings.gamma, world.transition
    trivial = np.zeros(len(names), dtype=bool)
    if settings.distance == sampled.PEARSON:
        between = epic_distance if settings.canonical is Canonical.EPIC else dard_distance
        found = np.stack([between(transition, one, tables, gamma=gamma) for one in tables])
        metric = f"{settings.canonical.upper()}-pearson"
    else:
        # Rewards are computed in float32.
        starc = Metric(settings.canonical, settings.norm, settings.distance, tolerance=3e-7)
        found, metric = starc.matrix(transition, tables, gamma=gamma), starc.name
        trivial = ~starc.standardise(transition, tables, gamma=gamma).any(axis=(1, 2, 3))
    return RewardComparison(
        names, found, None, None, metric,
        {"env": settings.env.id, "gamma": gamma, "states": world.num_states,
         "actions": world.num_actions},
        tuple(_trivial_notes(names, trivial)),
    )  # fmt: skip


# -- from samples ---------------------------------------------------------------------------


def _by_samples(
    names: tuple[str, ...],
    models: dict[str, RewardModel],
    combine: np.ndarray,
    settings: _Settings,
) -> RewardComparison:
    if settings.canonical not in FORMS:
        raise UserError(
            f"The form {str(settings.canonical)!r} needs the tables of a tabular world; from "
            f"samples of {settings.env.id} there are {', '.join(FORMS)}."
        )
    began = time.perf_counter()
    one_action = settings.canonical in (Canonical.EPIC, Canonical.NONE)
    if settings.canonical is Canonical.DARD and settings.actions < 2:
        raise UserError("DARD tries actions in a state and in its successor: --actions 2 or more.")
    data = gather(
        settings.env,
        requires=frozenset(k for m in models.values() for k in m.requires),
        steps=settings.steps, states=settings.samples,
        actions=1 if one_action else settings.actions,
        successors=1 if one_action or settings.canonical is Canonical.DARD else settings.successors,
        second=settings.canonical is Canonical.DARD, seed=settings.seed,
    )  # fmt: skip
    fixed = FormSettings(settings.gamma, settings.seed)
    columns = Columns(models, data, fixed)
    visited = columns.of(data.visits.flatten())
    paid = visited[:, : len(models)] @ combine.T
    spread, most = paid.std(axis=0), np.abs(paid).max(axis=0)
    result = sampled.sampled_distances(
        FORMS[settings.canonical](columns, data, fixed, visited),
        combine,
        # A constant is shaped by as much as it pays.
        np.where(spread > 1e-6 * most, spread, most),
        most / (1.0 - settings.gamma),
        groups=GROUPS,
        norm=settings.norm,
        distance=settings.distance,
    )
    states, actions, successors = data.shape
    used = {
        "env": settings.env.id, "gamma": settings.gamma, "seed": settings.seed,
        "policy": "uniformly random", "steps": data.visits.T * data.visits.B, "states": states,
        "actions": actions, "successors": successors, "groups": GROUPS, "copies": COPIES,
        "seconds": time.perf_counter() - began,
    }  # fmt: skip
    scale = "" if settings.distance == sampled.PEARSON else f"-{settings.norm}"
    return RewardComparison(
        names, result.distance, result.error, result.floor,
        f"{settings.canonical.upper()}{scale}-{settings.distance}", used,
        tuple(_notes(names, result, data, settings)),
    )  # fmt: skip


def _notes(
    names: tuple[str, ...], result: sampled.SampledDistances, data: EnvSamples, settings: _Settings
) -> list[str]:
    notes = _trivial_notes(names, result.trivial)
    noisy = [
        name
        for name, floor, trivial in zip(names, result.floor, result.trivial, strict=True)
        if floor > _NOISY and not trivial
    ]
    if noisy and settings.canonical is Canonical.VAL:
        notes.append(
            f"Distances of {', '.join(noisy)} are mostly noise (floor above {_NOISY}): take more "
            "--steps and --samples, or it is nothing but shaping."
        )
    if data.random_dynamics and data.shape[2] == 1:
        notes.append("The dynamics are random and every action was tried once: the distances "
                     "contain the noise of its outcome.")  # fmt: skip
    return notes


def _trivial_notes(names: tuple[str, ...], trivial: np.ndarray) -> list[str]:
    return [
        f"{name} orders no policies: its canonical form is 0."
        for name, is_trivial in zip(names, trivial, strict=True)
        if is_trivial
    ]
