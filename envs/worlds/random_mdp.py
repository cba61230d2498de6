"""Random worlds and random rewards, to compare rewards by what they make of many of them."""

from __future__ import annotations

import numpy as np

from envs.worlds.mdp import FiniteMDP
from envs.worlds.tabular import TabularSimulation, one_hot


def random_transition(
    generator: np.random.Generator, num_states: int, num_actions: int, threshold: float
) -> np.ndarray:
    """Draw transition probabilities with few likely successors, float64 ``[S, A, S]``.

    Logits are N(0, 1); those below ``threshold`` are set to -20 before the softmax, which leaves
    such successors a probability of about 1e-9 (Skalse et al. 2024, arXiv 2309.15257).

    Args:
        generator: source of the numbers.
        num_states: S.
        num_actions: A.
        threshold: the higher, the fewer likely successors.
    """
    logits = generator.standard_normal((num_states, num_actions, num_states))
    logits[logits < threshold] = -20.0
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def random_reward(
    generator: np.random.Generator, num_states: int, num_actions: int, gamma: float
) -> np.ndarray:
    """Draw a reward of mixed kinds, float64 ``[S, A, S]`` (same source as `random_transition`).

    Entries are N(0, 1); then with probability 0.2 those up to 3 are set to 0; with 0.7 all are
    scaled by U(0, 10); with 0.3 shifted by U(0, 10); with 0.5 shaped by a potential: N(0, 1) per
    state, times one U(0, 10), plus one U(0, 1).

    Args:
        generator: source of the numbers.
        num_states: S.
        num_actions: A.
        gamma: discount of the potential.
    """
    reward = generator.standard_normal((num_states, num_actions, num_states))
    if generator.random() < 0.2:
        reward = np.where(reward > 3, reward, 0.0)
    if generator.random() < 0.7:
        reward = reward * generator.uniform(0, 10)
    if generator.random() < 0.3:
        reward = reward + generator.uniform(0, 10)
    if generator.random() < 0.5:
        potential = generator.standard_normal(num_states) * generator.uniform(0, 10)
        potential = potential + generator.uniform(0, 1)
        reward = reward + gamma * potential[None, None, :] - potential[:, None, None]
    return reward


def random_mdp(
    num_envs: int,
    *,
    states: int = 32,
    num_actions: int = 4,
    threshold: float = 1.0,
    gamma: float = 0.95,
    mdp_seed: int = 0,
    observation: str = "index",
) -> TabularSimulation:
    """A random world with a random reward, a uniform start and no end.

    Args:
        num_envs: columns, B.
        states: S.
        num_actions: A.
        threshold: see `random_transition`; 1 suits fewer than 50 states, 1.5 fewer than 100, 1.8
            more.
        gamma: discount of the potential that may be part of the reward.
        mdp_seed: of the world and its reward: the same seed is the same world.
        observation: ``index`` or ``one_hot``.

    Raises:
        ValueError: sizes below 1.
    """
    if min(states, num_actions) < 1:
        raise ValueError(f"Expected sizes of at least 1, got {states} and {num_actions}.")
    generator = np.random.default_rng(mdp_seed)
    mdp = FiniteMDP(
        transition=random_transition(generator, states, num_actions, threshold),
        reward=random_reward(generator, states, num_actions, gamma),
        terminal=np.zeros(states, dtype=np.bool_),
        start=np.full(states, 1 / states),
    )
    index = np.arange(states)
    return TabularSimulation(
        num_envs,
        mdp,
        observations={"index": index, "one_hot": one_hot(index)},
        observation=observation,
        state_info={},
        info_keys={},
    )
