"""Whole episodes with their rewards kept apart: collecting, keeping and drawing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ctrl.sb3.recorder import Recorder
from ctrl.search.barfi.policies import Policy
from reward_models.errors import UserError
from reward_models.mix import TASK, RewardMix


@dataclass(frozen=True)
class EpisodeBatch:
    """Whole episodes, one a column, padded to the longest: ``[T, B]``.

    Attributes:
        observation: what the policy saw, ``[T, B, ...]``.
        action: what it drew, ``[T, B]`` or ``[T, B, A]``.
        rewards: what each reward term paid, ``[T, B, 1 + K]``, the task first; never summed.
        mask: true on real steps.
        terminated: ``[B]``, the task ended the episode; false where a time limit did.
    """

    observation: Tensor
    action: Tensor
    rewards: Float[Tensor, "T B terms"]
    mask: Bool[Tensor, "T B"]
    terminated: Bool[Tensor, " B"]

    def __post_init__(self) -> None:
        """Refuse rewards that were summed on their way here."""
        if self.rewards.ndim != 3 or self.rewards.shape[-1] < 2:
            raise UserError(
                "Behaviour alignment needs the task reward and every auxiliary reward apart, "
                f"[T, B, 1 + K] with K at least 1; got rewards of shape "
                f"{list(self.rewards.shape)}. Give the auxiliary reward as a term of its own "
                "under reward:, not as a part of the environment's reward."
            )

    @property
    def task(self) -> Float[Tensor, "T B"]:
        """The task reward."""
        return self.rewards[..., 0]

    @property
    def auxiliary(self) -> Float[Tensor, "T B K"]:
        """The auxiliary rewards."""
        return self.rewards[..., 1:]

    def __len__(self) -> int:
        return int(self.mask.shape[1])

    def returns(self) -> Float[Tensor, "B terms"]:
        """Return the undiscounted sum of every term over each episode."""
        return self.rewards.masked_fill(~self.mask.unsqueeze(-1), 0.0).sum(0)

    def split(self) -> list[EpisodeBatch]:
        """Return the episodes one by one, without padding."""
        lengths = self.mask.sum(0).tolist()
        return [
            EpisodeBatch(
                self.observation[:stop, b : b + 1],
                self.action[:stop, b : b + 1],
                self.rewards[:stop, b : b + 1],
                self.mask[:stop, b : b + 1],
                self.terminated[b : b + 1],
            )
            for b, stop in enumerate(lengths)
        ]

    def as_dict(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        return dict(vars(self))


def joined(episodes: Sequence[EpisodeBatch]) -> EpisodeBatch:
    """Return single episodes (of one column each) side by side, padded to the longest."""

    def padded(name: str) -> Tensor:
        return pad_sequence([getattr(episode, name)[:, 0] for episode in episodes])

    names = ("observation", "action", "rewards", "mask")
    ends = torch.cat([episode.terminated for episode in episodes])
    return EpisodeBatch(**{name: padded(name) for name in names}, terminated=ends)


@final
class EpisodeReplay:
    """The newest episodes, oldest first.

    Args:
        capacity: episodes that are kept.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise UserError(f"The replay must keep at least 1 episode, got {capacity}.")
        self.capacity = capacity
        self.episodes: list[EpisodeBatch] = []

    def add(self, batch: EpisodeBatch) -> None:
        """Keep the episodes of a batch; the oldest ones leave."""
        self.episodes += batch.split()
        del self.episodes[: -self.capacity]

    def sample(
        self, count: int, random: np.random.Generator, *, skip_newest: int = 0
    ) -> EpisodeBatch | None:
        """Return up to ``count`` different episodes drawn uniformly.

        Args:
            count: how many; all where there are fewer.
            random: of the draw.
            skip_newest: leave out this many of the newest.

        Returns:
            The episodes, or None where there are none.
        """
        found = self.episodes[: len(self.episodes) - skip_newest]
        if not found:
            return None
        picked = random.choice(len(found), size=min(count, len(found)), replace=False)
        return joined([found[index] for index in picked])

    def state_dict(self) -> dict[str, Any]:
        """Return the episodes."""
        return {"episodes": [episode.as_dict() for episode in self.episodes]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over episodes."""
        self.episodes = [EpisodeBatch(**episode) for episode in state["episodes"]]


@final
class EpisodeCollector:
    """Plays whole episodes of the present policy, one in each column of an environment.

    Every batch begins with a reset of all columns to seeds of its own, and a column's steps after
    the end of its episode are not used: the episodes are all of the present policy, no length is
    favoured, and a batch depends on nothing but the policy, the seed and its number.

    Args:
        recorder: the environments; one column per episode.
        mix: the reward terms.
        seed: of the environments and of the actions.

    Raises:
        UserError: terms that cannot be used on whole episodes with the task apart.
    """

    def __init__(self, recorder: Recorder, mix: RewardMix, *, seed: int) -> None:
        if len(mix.names) < 2 or mix.names[0] != TASK:
            raise UserError(
                "Behaviour alignment needs at least one auxiliary reward beside the task: add a "
                "term under reward:, for example reward: {hint: {use: FILE.py:FUNCTION}}."
            )
        self.recorder, self.mix, self.seed = recorder, mix, seed
        self.number = self.steps = 0

    def collect(self, policy: Policy) -> tuple[EpisodeBatch, dict[str, float]]:
        """Play one episode in each column; the reward terms see it and learn from it.

        Returns:
            The episodes, and the terms' metrics as ``term/metric``.
        """
        entropy = np.random.SeedSequence([self.seed, self.number]).generate_state(2)
        self.recorder.seed(int(entropy[0] % 2**31))
        generator = torch.Generator().manual_seed(int(entropy[1]))
        self.recorder.begin(64)
        observation = self.recorder.reset()
        if isinstance(observation, dict):
            raise UserError("Behaviour alignment reads Discrete or Box observations, not dicts.")
        running = np.ones(self.recorder.num_envs, dtype=bool)
        actions, masks = [], []
        while running.any():
            action = policy.sample(torch.as_tensor(observation), generator)
            actions.append(action)
            masks.append(running.copy())
            observation, _, done, _ = self.recorder.step(policy.executed(action))
            self.steps += self.recorder.num_envs
            running &= ~done
        self.number += 1
        mask = torch.as_tensor(np.stack(masks))
        rollout = self.recorder.rollout().replace(mask=mask)
        mixed, metrics = self.mix.collect(rollout, steps=self.steps)
        batch = EpisodeBatch(
            observation=rollout.observation,
            action=torch.stack(actions),
            rewards=mixed.contributions().to(torch.float64),
            mask=mask,
            terminated=(rollout.terminated & mask).any(0),
        )
        return batch, metrics

    def state_dict(self) -> dict[str, Any]:
        """Return the counters and the state of the terms."""
        return {"number": self.number, "steps": self.steps, "mix": dict(self.mix.state_dict())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self.number, self.steps = int(state["number"]), int(state["steps"])
        self.mix.load_state_dict(state["mix"])
