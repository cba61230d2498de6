"""From a configuration to environments, reward mix and learner."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import CombinedExtractor
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

import envs
from ctrl.config import EnvConfig, TrainConfig
from ctrl.objectives.registry import build_objective
from ctrl.sb3.algorithms import find_algorithm, is_on_policy, option_names
from ctrl.sb3.chosen_keys import ChosenKeys
from ctrl.sb3.controller_policy import ControllerPolicy
from ctrl.sb3.entity_policy import EntityPolicy
from ctrl.sb3.model import make_model
from ctrl.sb3.nethack_features import NetHackFeatures
from ctrl.sb3.recorder import Recorder
from ctrl.sb3.vec_env import make_vec_env
from reward_models.base import RewardModel
from reward_models.errors import UnknownNameError, UserError
from reward_models.mix import RewardMix, Term
from reward_models.registry import build_reward
from reward_models.scale import Scale

Terms = Mapping[str, Term | RewardModel | Callable[..., Any]]

ACTIVATIONS = {
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "elu": torch.nn.ELU,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
}
"""Activation functions that a configuration can name."""
FEATURES = {
    "nethack": NetHackFeatures,
    "combined": CombinedExtractor,
    "chosen_keys": ChosenKeys,
}
"""Features extractors that a configuration can name."""
_POLICIES = {"controller": ControllerPolicy, "entity": EntityPolicy}
_REPLAY_BUFFERS = {"her": "HerReplayBuffer"}


@runtime_checkable
class HasSpaces(Protocol):
    """Environments as far as rewards are built for them."""

    observation_space: gymnasium.Space
    action_space: gymnasium.Space


OWN_OBJECT = "python:"
"""Marks in a configuration a reward that was given as a Python object."""


def python_objects(config: TrainConfig) -> list[str]:
    """Return the names of the terms that were given as Python objects."""
    return [name for name, term in config.reward.items() if term.use.startswith(OWN_OBJECT)]


def build_env(config: EnvConfig, *, n_envs: int, seed: int) -> VecEnv:
    """Make the vector environment; no global random generator is touched.

    Raises:
        UserError: an unknown environment or option, with the nearest valid name.
    """
    from ctrl.opponents import with_opponent

    try:
        return make_vec_env(
            config.id,
            n_envs=n_envs,
            seed=seed,
            threads=config.threads,
            env_kwargs=with_opponent(config),
            backend=config.backend,
        )
    except (envs.EnvironmentNameError, gymnasium.error.Error, ImportError, ValueError) as error:
        raise UserError(str(error)) from error
    except TypeError as error:
        for option in config.options:
            if f"unexpected keyword argument {option!r}" in str(error):
                raise UnknownNameError(
                    f"option of {config.id}", option, envs.options(config.id)
                ) from error
        reason = str(error).rstrip(".")
        raise UserError(f"Environment {config.id!r} cannot be made: {reason}.") from error


def alone(config: EnvConfig) -> EnvConfig:
    """Return the environment as evaluation needs it: one agent in each copy.

    Where the columns of the vectorised form play against each other, this is the single form,
    which plays against its ``opponent``; every other environment stays as it is.
    """
    return replace(config, backend="threads") if envs.is_self_play(config.id) else config


def _check_quantities(config: TrainConfig, requires: frozenset[str]) -> None:
    """Step an environment of its own once to see that what rewards ask of ``info`` is there.

    Raises:
        UnknownNameError: a quantity that the environment does not report, with the nearest one.
    """
    quantities = frozenset(key for key in requires if key.startswith("state."))
    if not quantities:
        return
    from ctrl.opponents import without_opponent

    env = without_opponent(alone(config.env))
    probe = Recorder(
        build_env(replace(env, threads=1), n_envs=1, seed=config.seed),
        requires=quantities,
    )
    probe.reset()
    probe.begin(1)
    action_space = deepcopy(probe.action_space)
    action_space.seed(config.seed)
    probe.step(np.array([action_space.sample()]))
    probe.close()


def build_mix(
    config: TrainConfig,
    *,
    env: HasSpaces,
    gamma: float,
    terms: Terms | None = None,
) -> RewardMix:
    """Build the reward terms of a configuration.

    Args:
        config: names, weights, scales and options.
        env: gives the spaces.
        gamma: the learner's discount.
        terms: models or functions by name, used instead of what the configuration names.
    """

    def build(use: str, name: str, options: Mapping[str, Any]) -> RewardModel:
        return build_reward(
            use, observation_space=env.observation_space, action_space=env.action_space,
            gamma=gamma, seed=config.seed, name=name, options=options,
        )  # fmt: skip

    built: dict[str, Term] = {}
    for name, term in config.reward.items():
        given = (terms or {}).get(name)
        if isinstance(given, Term):
            built[name] = given
            continue
        if term.scale is not None and term.scale not in tuple(Scale):
            raise UnknownNameError(f"scale of reward.{name}", term.scale, tuple(Scale))
        built[name] = Term(
            model=given if given is not None else build(term.use, name, term.options),
            weight=term.weight,
            scale=term.scale,
            gate=None if term.gate is None else build(term.gate, f"{name}.gate", {}),
        )
    return RewardMix(built, gamma=gamma)


def build_model(
    config: TrainConfig, *, terms: Terms | None = None, n_envs: int | None = None
) -> BaseAlgorithm:
    """Build environments, mix and learner from a configuration.

    Args:
        config: the run.
        terms: see ``build_mix``.
        n_envs: columns, instead of the configured number.

    Raises:
        UserError: an unknown name or a combination that cannot work, with the cure.
    """
    algorithm = find_algorithm(config.algo.name)
    kind = algorithm.load()
    options = _algorithm_options(config, kind, algorithm.options)
    columns = n_envs or config.env.n_envs or algorithm.n_envs
    gamma = float(options.get("gamma", inspect.signature(kind).parameters["gamma"].default))
    env = build_env(config.env, n_envs=columns, seed=config.seed)
    mix = build_mix(config, env=env, gamma=gamma, terms=terms)
    objective = build_objective(config.objective, seed=config.seed)
    _check_quantities(config, mix.requires | objective.requires)
    if NetHackFeatures.reads(env.observation_space):
        options["policy_kwargs"] = policy = dict(options.get("policy_kwargs") or {})
        chosen = policy.setdefault("features_extractor_class", NetHackFeatures)
        if chosen is NetHackFeatures and config.normalize_observations:
            raise UserError(
                "normalize_observations turns the glyph codes of NetHack into fractions, and "
                "NetHackFeatures scales the status line itself; leave it out."
            )
    if config.normalize_observations:
        if options.get("policy") is EntityPolicy:
            raise UserError(
                "normalize_observations would scale the mask of an observation of entities; their "
                "features are of unit size already. Leave it out."
            )
        env = VecNormalize(env, norm_reward=False, gamma=gamma)
    try:
        return make_model(
            config.algo.name, env, mix=mix, seed=config.seed, objective=objective,
            update_every=config.algo.update_every, device=config.device, **options,
        )  # fmt: skip
    except (AssertionError, TypeError, ValueError, NotImplementedError) as error:
        # SB3 checks its settings with these; the message is for the user, the traceback is not.
        reason = str(error) or type(error).__name__
        raise UserError(f"{config.algo.name} on {config.env.id}: {reason}") from error


def acting_config(config: TrainConfig) -> TrainConfig:
    """Return the configuration of a learner that only acts: one column and no room to train."""
    options = dict(config.algo.options)
    if is_on_policy(find_algorithm(config.algo.name).load()):
        options.update({key: 2 for key in ("n_steps", "batch_size") if key in options})
    else:
        options["buffer_size"] = 1
        for key in ("replay_buffer_class", "replay_buffer_kwargs"):
            options.pop(key, None)
    return replace(
        config, env=replace(alone(config.env), n_envs=1), algo=replace(config.algo, options=options)
    )


def policy_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the names in a configuration's ``policy_kwargs`` into what SB3 takes.

    Raises:
        UnknownNameError: an unknown activation function or features extractor.
    """
    policy = dict(settings)
    activation = policy.get("activation_fn")
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise UnknownNameError("activation function", activation, ACTIVATIONS)
        policy["activation_fn"] = ACTIVATIONS[activation]
    features = policy.pop("features_extractor", None)
    if features is not None:
        if features not in FEATURES:
            raise UnknownNameError("features extractor", str(features), FEATURES)
        policy["features_extractor_class"] = FEATURES[features]
    return policy


def _algorithm_options(
    config: TrainConfig, kind: type[BaseAlgorithm], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Check the settings and turn the names in them into what SB3 takes."""
    options = {**defaults, **config.algo.options}
    valid = option_names(kind)
    for key in config.algo.options:
        if key == "n_envs":
            raise UserError("The number of environments is env.n_envs, not algo.n_envs.")
        if key not in (*valid, "policy"):
            raise UnknownNameError(f"setting of {config.algo.name}", key, valid)
    if isinstance(options.get("policy_kwargs"), Mapping):
        options["policy_kwargs"] = policy_settings(options["policy_kwargs"])
    if "policy" in options:
        options["policy"] = _policy_class(config.algo.name, kind, options["policy"])
    replay = options.get("replay_buffer_class")
    if isinstance(replay, str):
        if replay not in _REPLAY_BUFFERS:
            raise UnknownNameError("replay buffer", replay, _REPLAY_BUFFERS)
        import stable_baselines3

        options["replay_buffer_class"] = getattr(stable_baselines3, _REPLAY_BUFFERS[replay])
    if isinstance(options.get("train_freq"), list):
        options["train_freq"] = tuple(options["train_freq"])
    noise = options.get("action_noise")
    if isinstance(noise, int | float) and not isinstance(noise, bool):
        options["action_noise"] = _gaussian_noise(config, float(noise))
    return options


def _policy_class(learner: str, kind: type[BaseAlgorithm], name: Any) -> type:
    """Return the policy class of this name, which the learner can train."""
    if name not in _POLICIES:
        raise UnknownNameError("policy", str(name), _POLICIES)
    if not is_on_policy(kind) or issubclass(kind, RecurrentPPO):
        raise UserError(f"policy: {name} is for ppo, a2c and trpo, not for {learner}.")
    return _POLICIES[name]


def _gaussian_noise(config: TrainConfig, sigma: float) -> Any:
    from stable_baselines3.common.noise import NormalActionNoise

    from ctrl.opponents import without_opponent

    env = envs.make(config.env.id, **without_opponent(config.env).options)
    shape = env.action_space.shape or ()
    env.close()
    return NormalActionNoise(np.zeros(shape), np.full(shape, sigma))
