"""The learners of SB3 and SBX that ctrl trains, by name, with the settings it starts from."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from ctrl.llm.algorithms import LANGUAGE_ALGORITHMS
from ctrl.sb3.sbx import load_sbx
from reward_models.errors import UnknownNameError


@dataclass(frozen=True)
class Algorithm:
    """One learner.

    Attributes:
        name: what a user types.
        path: ``module:Class``.
        n_envs: parallel environments when the user does not say.
        options: settings that differ from SB3's defaults when the user does not say. On-policy
            learners start from 16 columns and larger minibatches: on a CPU the update at
            minibatches of 64 costs several times the simulation.
        dict_policy: policy class name for dict observations.
        policy: policy class name otherwise.
    """

    name: str
    path: str
    n_envs: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    policy: str = "MlpPolicy"
    dict_policy: str = "MultiInputPolicy"
    image_policy: str = "CnnPolicy"

    def load(self) -> type[BaseAlgorithm]:
        """Import the class.

        Raises:
            UserError: it is one of SBX, which is not installed; with the cure.
        """
        module, _, name = self.path.partition(":")
        return load_sbx(name) if module == "sbx" else getattr(import_module(module), name)


_ON_POLICY: dict[str, Any] = {"n_steps": 256, "batch_size": 512}

ALGORITHMS: dict[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("ppo", "stable_baselines3:PPO", 16, dict(_ON_POLICY)),
        Algorithm("a2c", "stable_baselines3:A2C", 16),
        Algorithm("trpo", "sb3_contrib:TRPO", 16, {"n_steps": 128, "batch_size": 512}),
        Algorithm(
            "recurrent_ppo", "sb3_contrib:RecurrentPPO", 16, {"n_steps": 128, "batch_size": 512},
            "MlpLstmPolicy", "MultiInputLstmPolicy", "CnnLstmPolicy",
        ),
        Algorithm("sac", "stable_baselines3:SAC"),
        Algorithm("td3", "stable_baselines3:TD3"),
        Algorithm("ddpg", "stable_baselines3:DDPG"),
        Algorithm("dqn", "stable_baselines3:DQN"),
        Algorithm("tqc", "sb3_contrib:TQC"),
        Algorithm("sbx_ppo", "sbx:PPO", 16, dict(_ON_POLICY)),
        Algorithm("sbx_sac", "sbx:SAC"),
        Algorithm("sbx_td3", "sbx:TD3"),
        Algorithm("sbx_ddpg", "sbx:DDPG"),
        Algorithm("sbx_dqn", "sbx:DQN"),
        Algorithm("sbx_tqc", "sbx:TQC"),
        Algorithm("sbx_crossq", "sbx:CrossQ"),
    )
}  # fmt: skip


def find_algorithm(name: str) -> Algorithm:
    """Return the learner of this name.

    Raises:
        UnknownNameError: none has it; the nearest one is named.
    """
    if name not in ALGORITHMS:
        raise UnknownNameError("algorithm", name, (*ALGORITHMS, *LANGUAGE_ALGORITHMS))
    return ALGORITHMS[name]


def option_names(algorithm: type[BaseAlgorithm]) -> tuple[str, ...]:
    """Return the settings of a learner that a user may give."""
    ours = {
        "self", "policy", "env", "seed", "device", "verbose", "tensorboard_log",
        "_init_setup_model", "rollout_buffer_class", "rollout_buffer_kwargs",
    }  # fmt: skip
    return tuple(name for name in inspect.signature(algorithm).parameters if name not in ours)


def is_on_policy(algorithm: type[BaseAlgorithm]) -> bool:
    """Whether the learner trains on fresh rollouts only."""
    return issubclass(algorithm, OnPolicyAlgorithm)
