"""The semantic trap and its cure on chains, with Q-learning.

For ``experiments/bars/dopamine-chain.yaml`` and ``dopamine-speed.yaml``. The rewards are tables
that the shared shaping component makes, and the chains are `envs.worlds.chains`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from envs.worlds.chains import goal_chain, progress_chain
from envs.worlds.mdp import FiniteMDP
from envs.worlds.solve import value_iteration
from reward_models.potential import shaping


def risky_step(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return how often the greedy policy finishes a chain whose last step is risky.

    Args:
        settings: ``reward`` (``naive``, ``gold_naive``, ``gold`` or ``gold_shaping``),
            ``success_probability``, ``gamma``, ``episodes``, ``horizon``, ``rate``, ``epsilon``.
        seed: of the learning and the evaluations.

    Returns:
        ``success`` over the last 5 evaluations of 50 episodes each, and the curve.
    """
    mdp = progress_chain(1, success_probability=settings["success_probability"]).mdp
    phi, gamma = np.array([0.0, 0.4, 0.8, 1.0]), settings["gamma"]
    naive = phi[None, None, :] - phi[:, None, None]
    rewards = {
        "naive": np.broadcast_to(naive, mdp.reward.shape),
        "gold_naive": mdp.reward + 5.0 * naive,
        "gold": mdp.reward,
        "gold_shaping": mdp.reward + shaped(mdp, phi, gamma),
    }
    learner = QLearning(mdp.with_reward(rewards[settings["reward"]]), settings, seed)
    steps, rates = [], []
    for episode in range(1, settings["episodes"] + 1):
        learner.episode()
        if episode % 100 == 0:
            steps.append(episode)
            rates.append(float(np.mean([learner.succeeds() for _ in range(50)])))
    return {"success": float(np.mean(rates[-5:])), "curves": {"success": [steps, rates]}}


def straight_way(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return after how many episodes the greedy policy goes right everywhere, for good.

    Args:
        settings: ``potential`` (``none``, ``value`` for the optimal one, or ``progress`` for
            s / 20), its ``scale``, ``goal_reward``, ``gamma``, ``episodes``, ``horizon``, ``rate``,
            ``epsilon``.
        seed: of the learning.
    """
    mdp = goal_chain(1, length=20, goal_reward=settings["goal_reward"]).mdp
    gamma = settings["gamma"]
    potentials = {
        "none": np.zeros(21),
        "value": value_iteration(mdp, gamma).value,
        "progress": np.arange(21) / 20.0,
    }
    phi = settings["scale"] * potentials[settings["potential"]]
    learner = QLearning(mdp.with_reward(mdp.reward + shaped(mdp, phi, gamma)), settings, seed)
    last = 0
    for episode in range(1, settings["episodes"] + 1):
        learner.episode()
        if not (learner.q[:20].argmax(1) == 1).all():
            last = episode
    return {"episodes_to_settle": float(last)}


def shaped(mdp: FiniteMDP, phi: np.ndarray, gamma: float) -> np.ndarray:
    """Return the shaping reward ``[S, 1, S]`` of a potential ``[S]``."""
    here, there = (torch.as_tensor(grid.copy()) for grid in np.meshgrid(phi, phi, indexing="ij"))
    ends = torch.as_tensor(np.broadcast_to(mdp.terminal, here.shape).copy())
    return shaping(here, there, gamma=gamma, terminated=ends).numpy()[:, None, :]


class QLearning:
    """Tabular Q-learning from zero, epsilon-greedy, ties of the behaviour at random."""

    def __init__(self, mdp: FiniteMDP, settings: dict[str, Any], seed: int) -> None:
        self.mdp, self.random = mdp, np.random.default_rng(seed)
        self.gamma, self.horizon = settings["gamma"], settings["horizon"]
        self.rate, self.epsilon = settings["rate"], settings["epsilon"]
        self.q = np.zeros((mdp.num_states, mdp.num_actions))
        self.bounds = mdp.transition.cumsum(-1)
        self.start = int(mdp.start.argmax())

    def episode(self) -> None:
        """Learn from one episode; a time limit is no end of the task."""
        state = self.start
        for _ in range(self.horizon):
            best = np.flatnonzero(self.q[state] == self.q[state].max())
            greedy = best[self.random.integers(len(best))] if len(best) > 1 else best[0]
            explores = self.random.random() < self.epsilon
            action = int(self.random.integers(self.q.shape[1]) if explores else greedy)
            following = self._next(state, action)
            ended = bool(self.mdp.terminal[following])
            ahead = 0.0 if ended else self.gamma * self.q[following].max()
            target = self.mdp.reward[state, action, following] + ahead
            self.q[state, action] += self.rate * (target - self.q[state, action])
            if ended:
                return
            state = following

    def succeeds(self) -> bool:
        """Whether one greedy episode reaches the end; of equal values the first action."""
        state = self.start
        for _ in range(self.horizon):
            state = self._next(state, int(self.q[state].argmax()))
            if self.mdp.terminal[state]:
                return True
        return False

    def _next(self, state: int, action: int) -> int:
        drawn = np.searchsorted(self.bounds[state, action], self.random.random(), side="right")
        return int(min(drawn, self.mdp.num_states - 1))
