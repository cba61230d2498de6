"""Settings, and episodes stepped one by one, with which batched ones are compared."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from gymnasium import spaces

import envs
from ctrl.config import EnvConfig
from ctrl.search.evaluation import Setting

WALKER = Setting(
    env=EnvConfig("PointWalker-v0", threads=1), genome={"kind": "controller", "hidden": [5]}
)


@pytest.fixture
def walker():
    return WALKER


@pytest.fixture
def same():
    """Return whether two sets of episodes are equal to the last bit."""

    def compare(left, right):
        for field in fields(left):
            a, b = getattr(left, field.name), getattr(right, field.name)
            assert (a is None) == (b is None), field.name
            if a is not None:
                assert a.dtype == b.dtype, field.name
                assert np.array_equal(a, b), field.name
        return True

    return compare


@pytest.fixture
def alone():
    """Run one genome in the single form of an environment, as Gymnasium's documents do it."""

    def run(evaluator, genome, number):
        env = envs.make(evaluator.setting.env.id, **evaluator.setting.env.options)
        act = evaluator.genome.actor(np.asarray(genome)[None])
        observation, _ = env.reset(seed=evaluator._base + number)
        rewards, infos, seen, over = [], [], [], False
        while not over:
            action = act(_batch(env.observation_space, observation))[0]
            observation, reward, terminated, truncated, info = env.step(action)
            rewards.append(float(np.float32(reward)))
            infos.append(dict(info))
            seen.append(observation)
            over = terminated or truncated
        env.close()
        return rewards, infos, seen

    return run


def _batch(space, observation):
    if isinstance(space, spaces.Dict):
        return {name: np.asarray(observation[name])[None] for name in space.spaces}
    return np.asarray(observation, dtype=space.dtype)[None]
