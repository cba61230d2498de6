"""Heat maps of the rewards that a user names: of one on an environment, or of a run's terms."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from ctrl.build import alone, build_env
from ctrl.config import EnvConfig, apply_overrides
from ctrl.heatmap import Evaluate, HeatMap, HeatMapSettings, heat_map
from ctrl.ledger import PlayedEpisode
from ctrl.sb3.recorder import Recorder
from reward_models.base import RewardModel, Scope, checked_output
from reward_models.errors import RewardError, UnknownNameError, UserError
from reward_models.mix import RewardMix, TaskReward
from reward_models.registry import build_reward
from reward_models.rollout import Rollout

_COLUMNS = 4


@final
@dataclass(frozen=True, eq=False)
class HeatMaps:
    """Several maps and what could not be drawn.

    Attributes:
        title: which rewards, on which environment, in units of what.
        maps: one per reward or term.
        notes: why others are missing, and which are the same everywhere.
    """

    title: str
    maps: tuple[HeatMap, ...]
    notes: tuple[str, ...]

    @property
    def caption(self) -> str:
        """The title, and what everything but the axes is held at."""
        return f"{self.title}; {'; '.join(sorted({one.held for one in self.maps}))}"


def reward_maps(
    rewards: Sequence[str],
    *,
    env: str,
    settings: HeatMapSettings,
    options: Sequence[str] = (),
    gamma: float = 0.99,
    steps: int = 512,
    seed: int = 0,
) -> HeatMaps:
    """Return maps of rewards by name, around what a uniformly random policy meets.

    Args:
        rewards: what ``--reward`` takes, without weights; models that learn are as yet untrained.
        env: environment name.
        settings: see `ctrl.heatmap.HeatMapSettings`.
        options: ``env.KEY=VALUE``.
        gamma: discount of the potentials.
        steps: environment steps of the random policy.
        seed: of environment, actions and rewards.

    Raises:
        UserError: a reward that is no function of single transitions, or none that can be drawn.
    """
    if not rewards:
        raise UserError("Name a reward, for example FILE.py:FUNCTION, or a run folder.")
    if steps < _COLUMNS:
        raise UserError(f"--steps must be at least {_COLUMNS}, got {steps}.")
    found = apply_overrides({}, options)
    for key in found:
        if key != "env":
            raise UnknownNameError("setting", key, ("env.KEY",))
    config = EnvConfig(env, options=dict(found.get("env", {})))
    vector = build_env(alone(config), n_envs=_COLUMNS, seed=seed)
    try:
        models = {
            use: build_reward(
                use, observation_space=vector.observation_space,
                action_space=vector.action_space, gamma=gamma, seed=seed,
            )
            for use in rewards
        }  # fmt: skip
        for use, model in models.items():
            model.bind_discount(gamma)
            reason = _refusal(model)
            if reason:
                raise UserError(f"{use} has no heat map: {reason}")
        requires = frozenset(key for model in models.values() for key in model.requires)
        record = _random_steps(Recorder(vector, requires=requires), steps, seed)
    finally:
        vector.close()
    maps = [heat_map(use, _of_model(use, model), record, settings) for use, model in models.items()]
    title = f"{env}: reward around {record.T * record.B} steps of a random policy"
    return HeatMaps(title, *_without_flat(maps, settings))


def run_maps(played: PlayedEpisode, title: str, settings: HeatMapSettings) -> HeatMaps:
    """Return maps of what the terms of a run contribute, around an episode of its policy.

    Contributions are weighted, scaled and gated as in training at the newest checkpoint.

    Args:
        played: see `ctrl.ledger.play_episode`.
        title: of the run.
        settings: see `ctrl.heatmap.HeatMapSettings`.

    Raises:
        UserError: an unusable setting.
    """
    maps, notes = [], []
    for name in played.mix.names:
        models: list[Any] = [played.mix.models[name]]
        models += [played.mix.gates[name]] if name in played.mix.gates else []
        reason = next((said for model in models if (said := _refusal(model))), None)
        if reason:
            notes.append(f"{name} has no heat map: {reason}")
            continue
        try:
            maps.append(heat_map(name, _of_term(played.mix, name), played.rollout, settings))
        except RewardError as error:
            notes.append(f"{name} has no heat map: {error}")
    said = f"{title}: contributions around an episode of {played.rollout.T} steps"
    shown, flat = _without_flat(maps, settings)
    return HeatMaps(said, shown, (*notes, *flat))


def _refusal(model: RewardModel) -> str | None:
    if isinstance(model, TaskReward):
        return ("the environment pays the task reward itself; it cannot be asked what it would "
                "pay elsewhere.")  # fmt: skip
    if model.scope is not Scope.TRANSITION or not model.replayable:
        return "it depends on more than one step."
    if model.batch_dependent:
        return "it depends on the batch that it is computed with."
    return None


def _without_flat(
    maps: Sequence[HeatMap], settings: HeatMapSettings
) -> tuple[tuple[HeatMap, ...], tuple[str, ...]]:
    """Return the maps to show, and a note on each that is the same everywhere.

    Where the axes were searched, a flat map says no more than its note, and is left out.
    """
    flat = [found.name for found in maps if found.is_flat]
    if settings.x is not None:
        return tuple(maps), tuple(f"{name} is the same everywhere on its map." for name in flat)
    notes = (f"{name} has no heat map: no number that changed in these steps moves it. Name --x "
             "and --y." for name in flat)  # fmt: skip
    return tuple(found for found in maps if not found.is_flat), tuple(notes)


def _of_model(name: str, model: RewardModel) -> Evaluate:
    def evaluate(rollout: Rollout) -> Tensor:
        values, defined, _ = checked_output(name, model(rollout), rollout)
        return torch.where(defined, values, torch.nan)

    return evaluate


def _of_term(mix: RewardMix, name: str) -> Evaluate:
    """Return what a term adds to the total: gate times weight times value over divisor."""
    scale: Any = mix.scales[name]
    factor = mix.weights[name].at(mix.steps) / float(scale.divisor())
    raw = _of_model(name, mix.models[name])  # type: ignore[arg-type]
    if name not in mix.gates:
        return lambda rollout: factor * raw(rollout)
    open_by = _of_model(f"gate of {name}", mix.gates[name])  # type: ignore[arg-type]
    return lambda rollout: factor * raw(rollout) * open_by(rollout).nan_to_num()


def _random_steps(recorder: Recorder, steps: int, seed: int) -> Rollout:
    recorder.seed(seed)
    recorder.reset()
    space = deepcopy(recorder.action_space)
    space.seed(seed)
    length = steps // recorder.num_envs
    recorder.begin(length)
    for _ in range(length):
        recorder.step(np.array([space.sample() for _ in range(recorder.num_envs)]))
    return recorder.rollout()
