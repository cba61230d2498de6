"""Demonstrations of a linear expert, and small learners to teach."""

import numpy as np
import pytest
from gymnasium import spaces

from ctrl.build import build_model
from ctrl.config import parse_config
from reward_models.demonstrations import Demonstration, write_demonstrations

SMALL = {"net_arch": [32, 32]}
LEARNERS = {
    "sac": {"policy_kwargs": SMALL},
    "tqc": {"policy_kwargs": SMALL},
    "td3": {"policy_kwargs": SMALL},
    "ddpg": {"policy_kwargs": SMALL},
    "dqn": {"policy_kwargs": SMALL},
    "ppo": {"n_steps": 16, "batch_size": 16},
    "a2c": {"n_steps": 16},
    "trpo": {"n_steps": 16, "batch_size": 16},
    "recurrent_ppo": {"n_steps": 16, "batch_size": 16},
    "sbx_sac": {"policy_kwargs": SMALL},
    "sbx_tqc": {"policy_kwargs": SMALL},
    "sbx_td3": {"policy_kwargs": SMALL},
    "sbx_crossq": {"policy_kwargs": SMALL},
    "sbx_dqn": {"policy_kwargs": SMALL},
    "sbx_ppo": {"n_steps": 16, "batch_size": 16},
}
# The expert of the point mass: a = clip(-3 p - 3 v).
GAIN = np.array([[-3.0, 0, -3, 0], [0, -3, 0, -3]])


def _learner(algo, *, env="PointMass-v0", options=None, **settings):
    """Return a learner of this name with small networks, whose networks depend on the seed only."""
    config = parse_config(
        {
            "env": {"id": env, "n_envs": 2},
            "algo": {"name": algo, **LEARNERS[algo], **(options or {})},
            **settings,
        }
    )
    return build_model(config)


def _expert_episodes(count=10, steps=60, *, discrete=False, scale=1.0):
    """Return episodes of random states with the actions of the linear expert in them."""
    rng = np.random.default_rng(0)
    flags = np.zeros(steps, dtype=bool)
    found = []
    for _ in range(count):
        states = rng.uniform(-0.5, 0.5, (steps + 1, 4)).astype(np.float32)
        actions = np.clip(states[:-1] @ GAIN.T, -1, 1).astype(np.float32) * scale
        if discrete:
            actions = (actions[:, 0] > 0).astype(np.int64)
        found.append(Demonstration(states, actions, np.zeros(steps), flags, flags))
    return found


@pytest.fixture
def learner():
    """Return the function that builds a small learner by name."""
    return _learner


@pytest.fixture
def expert_episodes():
    """Return the function that makes episodes of the linear expert."""
    return _expert_episodes


@pytest.fixture
def write(tmp_path):
    """Return a function that writes episodes and returns the folder."""

    def write_episodes(episodes, name="demos"):
        discrete = episodes[0].actions.dtype == np.int64
        return str(
            write_demonstrations(
                tmp_path / name,
                episodes,
                dataset_id="test/expert-v0",
                observation_space=spaces.Box(-np.inf, np.inf, (4,), np.float32),
                action_space=spaces.Discrete(2) if discrete else spaces.Box(-2, 2, (2,)),
            )
        )

    return write_episodes
