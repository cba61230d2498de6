"""Canonical forms of reward models on samples of an environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from ctrl.compare_samples import GROUPS, EnvSamples
from reward_models.base import RewardModel
from reward_models.compare import sampled
from reward_models.compare.canonical import Canonical
from reward_models.compare.evaluate import reward_values
from reward_models.compare.features import flat_observations, random_potentials
from reward_models.errors import UserError
from reward_models.rollout import Rollout

COPIES = 4
"""Random potentials of the noise floor."""

_COVERAGE = 256
_CHUNK = 200_000


@final
@dataclass(frozen=True)
class FormSettings:
    """What all forms depend on.

    Attributes:
        gamma: discount.
        seed: of features and potentials.
    """

    gamma: float
    seed: int


@final
class Columns:
    """What all rewards and a few random shaping terms pay, as columns ``[n, U + C]``."""

    def __init__(
        self, models: Mapping[str, RewardModel], data: EnvSamples, settings: FormSettings
    ) -> None:
        self.models, self.space, self.gamma = models, data.observation_space, settings.gamma
        visits = data.visits.flatten()
        samples = self.flat(visits.observation)
        self._potentials = random_potentials(samples, count=COPIES, seed=settings.seed + 1)
        self._scale = np.ones(COPIES)
        spread = self._shaping(visits).std(axis=0)
        self._scale = np.where(spread > 0, spread, 1.0)

    def flat(self, observation: Any) -> np.ndarray:
        """Return observations ``[1, n, ...]`` as ``[n, D]``."""
        return flat_observations(self.space, observation)[0]

    def of(self, rollout: Rollout) -> np.ndarray:
        """Return the columns for ``[1, n]`` transitions, in pieces that fit into memory."""
        pieces = []
        for start in range(0, rollout.B, _CHUNK):
            piece = _rows(rollout, slice(start, start + _CHUNK))
            paid = [reward_values(use, model, piece)[0] for use, model in self.models.items()]
            pieces.append(np.column_stack([*paid, self._shaping(piece)]))
        return np.concatenate(pieces)

    def _shaping(self, rollout: Rollout) -> np.ndarray:
        after = self._potentials(self.flat(rollout.next_observation))
        continues = ~rollout.terminated[0].numpy()
        before = self._potentials(self.flat(rollout.observation))
        return (self.gamma * continues[:, None] * after - before) / self._scale

    def elsewhere(self, states: Any, actions: Any, successors: Any) -> np.ndarray:
        """Return the columns for transitions that were put together, ``[1, n]`` each.

        Raises:
            UserError: a reward is known only where the environment stepped.
        """
        for use, model in self.models.items():
            if model.requires or not model.task_free:
                needs = ", ".join(sorted(model.requires)) or "the reward of the environment"
                raise UserError(
                    f"EPIC and DARD ask what {use!r} pays between states that never followed one "
                    f"another, and {needs} is only known where the environment stepped. Use "
                    "--canonical val."
                )
        zeros = np.zeros(actions.shape[:2])
        return self.of(
            Rollout(
                observation=states, action=actions, next_observation=successors, reward=zeros,
                terminated=zeros, truncated=zeros,
            )
        )  # fmt: skip


def val(
    columns: Columns, data: EnvSamples, settings: FormSettings, visited: np.ndarray
) -> sampled.Form:
    """Return the VAL form, where actions were tried.

    All forms take the same: ``columns`` to evaluate transitions with, the samples, the settings,
    and what the columns paid for the visited transitions ``[N, U + C]``.
    """
    flat = data.visits.flatten()
    visits = sampled.Visits(
        observations=columns.flat(flat.observation),
        next_observations=columns.flat(flat.next_observation),
        continues=1.0 - flat.terminated[0].numpy(),
        rewards=visited,
        groups=np.tile(np.arange(data.visits.B), data.visits.T),
    )
    shape = data.shape
    observations = columns.flat(data.tried.observation).reshape(*shape, -1)[:, 0, 0]
    tried = sampled.Tried(
        observations=observations,
        next_observations=columns.flat(data.tried.next_observation).reshape(*shape, -1),
        continues=1.0 - data.tried.terminated[0].numpy().reshape(shape),
        rewards=columns.of(data.tried).reshape(*shape, -1),
        groups=_groups(shape[0]),
    )
    return sampled.SampledVal(visits, tried, gamma=settings.gamma, seed=settings.seed)


def none(
    columns: Columns, data: EnvSamples, settings: FormSettings, visited: np.ndarray
) -> sampled.Form:
    """Return the rewards themselves, on transitions of the policy."""
    return sampled.fixed_form(columns.of(data.tried), _groups(data.shape[0]))


def epic(
    columns: Columns, data: EnvSamples, settings: FormSettings, visited: np.ndarray
) -> sampled.Form:
    """Return the EPIC form, with D_S the visited states and D_A the actions of the policy.

    Raises:
        UserError: a reward is known only where the environment stepped.
    """
    visits, states = data.visits.flatten(), data.shape[0]
    random = np.random.default_rng([settings.seed, 3])
    picks = random.integers(visits.B, size=(2, _COVERAGE))
    action = visits.action[:, picks[0]]
    # One sample stands for S and for S': a potential then drops out exactly.
    successor = visits.data["observation"][:, picks[1]]

    def outgoing(observation: Any, count: int) -> np.ndarray:
        each = np.repeat(np.arange(count), _COVERAGE)
        every = np.tile(np.arange(_COVERAGE), count)
        paid = columns.elsewhere(observation[:, each], action[:, every], successor[:, every])
        return paid.reshape(count, _COVERAGE, -1).mean(axis=1)

    tried = data.tried
    mean = outgoing(successor, _COVERAGE).mean(axis=0)
    form = sampled.epic_form(
        columns.of(tried),
        outgoing(tried.data["observation"], states),
        outgoing(tried.data["next_observation"], states)
        * (1.0 - tried.terminated[0].numpy()[:, None]),
        mean,
        settings.gamma,
    )
    return sampled.fixed_form(form, _groups(states))


def dard(
    columns: Columns, data: EnvSamples, settings: FormSettings, visited: np.ndarray
) -> sampled.Form:
    """Return the DARD form of the first action tried, with the others as A.

    Raises:
        UserError: a reward is known only where the environment stepped.
    """
    states, actions, _ = data.shape
    assert data.second is not None
    paid = columns.of(data.tried).reshape(states, actions, -1)
    alive = data.second.mask[0].numpy()
    after = columns.of(_rows(data.second, slice(None))) * alive[:, None]
    others = np.arange(states * actions).reshape(states, actions)[:, 1:].reshape(-1)
    aside = _rows(data.tried, others)
    across = columns.elsewhere(
        aside.data["next_observation"], data.second.action, data.second.data["next_observation"]
    ) * (alive & ~aside.terminated[0].numpy())[:, None]  # fmt: skip

    def mean(values: np.ndarray) -> np.ndarray:
        return values.reshape(states, actions - 1, -1).mean(axis=1)

    form = sampled.dard_form(
        paid[:, 0], paid[:, 1:].mean(axis=1), mean(after), mean(across), settings.gamma
    )
    return sampled.fixed_form(form, _groups(states))


def _groups(states: int) -> np.ndarray:
    return np.arange(states) * GROUPS // states


def _rows(rollout: Rollout, rows: Any) -> Rollout:
    entries = {key: value[:, rows] for key, value in rollout.data.items()}
    return Rollout(continued=rollout.continued[rows], **entries)


FORMS: dict[Canonical, Callable[[Columns, EnvSamples, FormSettings, np.ndarray], sampled.Form]] = {
    Canonical.VAL: val,
    Canonical.EPIC: epic,
    Canonical.DARD: dard,
    Canonical.NONE: none,
}
"""The forms that can be estimated."""
