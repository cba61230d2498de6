"""Training by gradients that starts from a solution of a search, or from an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from ctrl.config import TrainConfig, widened
from ctrl.earlier_run import is_run, starting_from_run, with_run_defaults
from ctrl.search.elites import Elite, load_elite
from ctrl.search.genomes import Controller, PolicyGenome, make_genome_kind
from ctrl.search.genomes.inputs import is_nethack
from ctrl.search.genomes.policy import acting_layers, target_actors
from reward_models.errors import UserError

_ON_POLICY = ("ppo", "a2c", "trpo")
_ACTOR_CRITIC = ("sac", "tqc", "td3", "ddpg")
_LEARNERS = (*_ON_POLICY, *_ACTOR_CRITIC, "dqn")
_LOG_STD = -1.0
"""Logarithm of the standard deviation with which an on-policy learner starts to explore around an
elite: SB3's 0 would drown in noise what the search found."""


def with_start_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what plain configuration data leaves to what it starts from.

    Of an elite that is the environment and, for a policy genome, the learner; of a run see
    `ctrl.earlier_run.with_run_defaults`. Data without ``start_from`` stay as they are.

    Raises:
        UserError: there is no such elite or run.
    """
    wide = widened(data)
    if wide.get("start_from") is None:
        return wide
    if is_run(str(wide["start_from"])):
        return with_run_defaults(wide)
    elite = load_elite(str(wide["start_from"]))
    env = dict(wide.get("env") or {})
    if "id" not in env:
        own = {key: value for key, value in asdict(elite.env).items() if key not in _SPEED}
        options = {**own.pop("options"), **dict(env.pop("options", None) or {})}
        wide["env"] = {**own, **env, "options": options}
    if "algo" in elite.kind:
        wide["algo"] = {"name": elite.kind["algo"], **dict(wide.get("algo") or {})}
    return wide


_SPEED = ("n_envs", "threads", "backend")


def starting_from(config: TrainConfig) -> TrainConfig:
    """Write out what follows from the elite or the run that a configuration starts from.

    The architecture of the policy becomes part of the learner's settings, so that the run can be
    resumed and evaluated when that is gone. A configuration without ``start_from`` is
    returned as it is.

    Raises:
        UserError: no such elite, or a learner or setting that cannot start from it, with the cure.
    """
    if config.start_from is None:
        return config
    if is_run(config.start_from):
        return starting_from_run(config)
    elite = load_elite(config.start_from)
    if config.normalize_observations:
        raise UserError(
            "An elite acts on raw observations; with normalize_observations the policy would see "
            "others. Leave it out."
        )
    if config.algo.name not in _LEARNERS:
        raise UserError(
            f"{config.algo.name} cannot start from an elite; {', '.join(_LEARNERS)} can."
        )
    ours = _architecture(elite, config.algo.name)
    given = config.algo.options
    kwargs = {**ours.pop("policy_kwargs", {}), **dict(given.get("policy_kwargs") or {})}
    options = {**ours, **given, "policy_kwargs": kwargs}
    return replace(
        config,
        start_from=str(Path(config.start_from).resolve()),
        algo=replace(config.algo, options=options),
    )


def _architecture(elite: Elite, learner: str) -> dict[str, Any]:
    """Return the learner's settings with which its policy can hold the elite's genome."""
    first = {"log_std_init": _LOG_STD} if learner in _ON_POLICY else {}
    if elite.kind["kind"] == "policy":
        return {"policy_kwargs": {**first, **elite.kind.get("policy_kwargs", {})}}
    hidden = list(elite.kind["hidden"])
    if learner in _ON_POLICY:
        kwargs = {**first, "net_arch": {"pi": hidden, "vf": [64, 64]}}
        return {"policy": "controller", "policy_kwargs": {**kwargs, "activation_fn": "tanh"}}
    net_arch = {"pi": hidden, "qf": [256, 256]} if learner in _ACTOR_CRITIC else hidden
    return {"policy_kwargs": {"net_arch": net_arch, "activation_fn": "tanh"}}


def write_elite(model: BaseAlgorithm, elite: Elite) -> None:
    """Give a learner the elite's actor; its critic and exploration stay as they are.

    The deterministic action then equals the elite's: exactly for a policy genome, up to the
    rounding of float32 for a controller.

    Args:
        model: built from a configuration that `starting_from` returned.
        elite: what to start from.

    Raises:
        UserError: the policy has another architecture, or cannot read what the controller read.
    """
    policy: Any = model.policy
    if elite.kind["kind"] == "controller" and is_nethack(policy.observation_space):
        raise UserError(
            "A controller reads numbers of its own from NetHack's observations, which no policy of "
            "SB3 computes. Search the parameters of a policy instead (genome.kind=policy), and "
            "start from one of those."
        )
    kind = make_genome_kind(
        elite.kind, observation_space=policy.observation_space, action_space=policy.action_space
    )
    if len(elite.genome) != kind.size:
        raise UserError(
            f"The elite has {len(elite.genome)} genes, found in {elite.env.id}; this environment "
            f"needs {kind.size}. Train in an environment with equal observations and actions."
        )
    if isinstance(kind, PolicyGenome):
        kind.write(elite.genome, policy)
    elif isinstance(kind, Controller):
        _write_controller(kind, elite.genome, policy)


def _write_controller(kind: Controller, genome: np.ndarray, policy: Any) -> None:
    wanted = kind.layers(genome)
    for holder in (policy, *target_actors(policy)):
        layers = acting_layers(holder)
        shapes = [tuple(layer.weight.shape) for layer in layers]
        expected = [weights.T.shape for weights, _ in wanted]
        if shapes != expected:
            raise UserError(
                f"The policy has layers {shapes}, the controller {expected} (outputs, inputs). "
                "Leave policy_kwargs.net_arch to the elite."
            )
        with torch.no_grad():
            for layer, (weights, biases) in zip(layers, wanted, strict=True):
                layer.weight.copy_(torch.from_numpy(weights.T.copy()))
                layer.bias.copy_(torch.from_numpy(biases.copy()))
