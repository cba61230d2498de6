"""What BYOL-Explore and BYOL-Hindsight share: prediction of the embeddings of a slow twin."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.base import RewardModel, Scope
from reward_models.curiosity.column_memory import ColumnMemory
from reward_models.curiosity.hindsight.latent_errors import summed_by_outcome, unit
from reward_models.curiosity.hindsight.latent_experience import (
    Experience,
    shuffled_minibatches,
    without_padding,
)
from reward_models.curiosity.hindsight.latent_world import (
    LatentWorld,
    Memory,
    OneStepWorld,
    Pairs,
    RecurrentWorld,
)
from reward_models.curiosity.hindsight.linear_target import LinearTarget
from reward_models.curiosity.hindsight.surprise import SurpriseNormalizer
from reward_models.curiosity.networks import (
    ActionCode,
    ObservationNormalizer,
    action_rows,
    chosen_encoder,
    in_chunks,
    require_finite,
)
from reward_models.curiosity.training import MinibatchTrainer
from reward_models.encoders import Encoder
from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout

MODES = ("one_step", "multi_step")
TARGETS = ("slow_twin", "random_linear")


class LatentPrediction(RewardModel):
    """Surprise about embeddings of what comes, normalised so that only more than usual counts.

    An online encoder and a world model learn to predict the direction of the embeddings that a
    target encoder gives to later observations. The target's weights follow the online ones slowly,
    ``phi <- decay phi + (1 - decay) theta`` after each gradient step (``slow_twin``); a
    ``random_linear`` target and a ``target_encoder`` of your own stay as they are. A transition's
    raw reward is the sum of the errors of all predictions of its outcome, with the weights before
    the update; `SurpriseNormalizer` makes it a reward.

    ``one_step``: the embedding and the action predict the next embedding; values depend on the
    transition and on statistics of its batch, so replayed minibatches can be rewarded too.
    ``multi_step``: recurrent beliefs predict up to ``horizon`` steps ahead, never beyond the end of
    an episode or of the rollout; needs rollouts in arrival order.

    Sizes that are None follow the mode: embeddings 128 (one_step) or 512 (multi_step) numbers,
    hidden layers (64, 64) or (512, 512, 512), learning rate 1e-3 or 1e-4.
    """

    concurrent_update = True
    goal_relabelling = True
    batch_dependent = True

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        encoder: Encoder | None,
        target_encoder: Encoder | None,
        keys: Sequence[str] | None,
        mode: str,
        target: str,
        target_size: int,
        horizon: int,
        embedding_size: int | None,
        belief_size: int,
        action_embedding_size: int,
        hidden: Sequence[int] | None,
        predicts: bool,
        target_decay: float,
        reward_decay: float,
        learning_rate: float | None,
        batch_size: int,
        sequence_length: int,
        epochs: int,
        normalize_observations: bool,
        seed: int,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise UnknownNameError("mode", mode, MODES)
        if target not in TARGETS:
            raise UnknownNameError("target", target, TARGETS)
        if target != "slow_twin" and target_encoder is not None:
            raise UserError(f"Pass either target_encoder or target={target!r}, not both.")
        for name, number in (
            ("target_size", target_size),
            ("horizon", horizon),
            ("belief_size", belief_size),
            ("action_embedding_size", action_embedding_size),
            ("sequence_length", sequence_length),
        ):
            if number < 1:
                raise UserError(f"{name} must be at least 1, got {number}.")
        if not 0.0 <= target_decay <= 1.0:
            raise UserError(f"target_decay must lie in [0, 1], got {target_decay}.")
        small = mode == "one_step"
        self.hidden = tuple(hidden or ((64, 64) if small else (512, 512, 512)))
        if any(width < 1 for width in self.hidden):
            raise UserError(f"hidden must hold widths of at least 1, got {list(self.hidden)}.")
        self.learning_rate = (1e-3 if small else 1e-4) if learning_rate is None else learning_rate
        self.mode, self.target_decay = mode, target_decay
        self.sequence_length, self.seed = sequence_length, seed
        size = (128 if small else 512) if embedding_size is None else embedding_size
        self.encoder = chosen_encoder(encoder, observation_space, size, keys, seed)
        self.fixed_target = target_encoder is not None or target == "random_linear"
        self.normalized_target = target_encoder is None
        if target == "random_linear":
            target_encoder = LinearTarget(
                space=self.encoder.input_space, size=target_size, seed=seed
            )
        self.target = copy.deepcopy(self.encoder if target_encoder is None else target_encoder)
        self.target.requires_grad_(False)
        self.actions = ActionCode(space=action_space)
        self.world = self._world(
            horizon,
            belief_size,
            action_embedding_size,
            self.target.output_size if predicts else None,
        )
        self.memory = ColumnMemory(**self.world.fresh) if self.world.fresh else None
        self.normalizer = ObservationNormalizer(
            space=self.encoder.input_space, enabled=normalize_observations
        )
        self.surprise = SurpriseNormalizer(decay=reward_decay)
        self.batch_size, self.epochs = batch_size, epochs
        self.requires = self.encoder.requires | self.target.requires
        self.replayable = small and self.encoder.replayable and self.target.replayable
        self.scope = Scope.TRANSITION if small else Scope.EPISODE

    def _world(
        self, horizon: int, belief_size: int, action_embedding_size: int, target_size: int | None
    ) -> LatentWorld:
        if self.mode == "one_step":
            return OneStepWorld(
                embedding_size=self.encoder.output_size,
                action_size=self.actions.size,
                target_size=target_size,
                hidden=self.hidden,
                seed=self.seed + 1,
            )
        return RecurrentWorld(
            embedding_size=self.encoder.output_size,
            action_size=self.actions.size,
            target_size=target_size,
            hidden=self.hidden,
            horizon=horizon,
            belief_size=belief_size,
            action_embedding_size=action_embedding_size,
            seed=self.seed + 1,
        )

    def _trainer(self, *trained: nn.Module, seed: int) -> MinibatchTrainer:
        return MinibatchTrainer(
            [parameter for module in trained for parameter in module.parameters()],
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            epochs=self.epochs,
            seed=seed,
        )

    # -- what the methods differ in ---------------------------------------------------------

    @abstractmethod
    def pair_errors(
        self, pairs: Sequence[Pairs], targets: Sequence[Float[Tensor, "_ B N"]]
    ) -> list[Float[Tensor, "_ B"]]:
        """Return the raw reward of every prediction; nothing is drawn from a moving generator.

        Args:
            pairs: one entry for each number of steps ahead.
            targets: directions of the embeddings that they are about.
        """

    @abstractmethod
    def learn(
        self, pairs: Sequence[Pairs], targets: Sequence[Float[Tensor, "_ B N"]]
    ) -> dict[str, Tensor]:
        """Take a gradient step on predictions that carry a graph; return losses to log."""

    @property
    @abstractmethod
    def shuffling(self) -> MinibatchTrainer:
        """The trainer whose generator shuffles the minibatches."""

    # -- rewarding --------------------------------------------------------------------------

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the reward of every step; with ``defined`` where the successor may lack."""
        raw, known, _ = self._raw(rollout)
        reward = torch.zeros_like(raw)
        reward[known] = self.surprise(raw[known])
        # With hidden states as observations the last successor is not known.
        if self.encoder.replayable and self.target.replayable:
            return reward
        return reward, {"defined": known}

    def _raw(self, rollout: Rollout) -> tuple[Tensor, Tensor, Memory]:
        """Return the raw errors, where they are known, and the memory after the rollout."""
        experience = self._experience(rollout)
        memory = {} if self.memory is None else self.memory.read(rollout)
        embedding = self._embedded(self.encoder, experience.before)
        beliefs = self.world.beliefs(embedding, experience.action, experience.episode, memory)
        pairs = self._valid_pairs(beliefs, experience)
        target = unit(self._embedded(self.target, experience.after))
        targets = [target[k:] for k in range(len(pairs))]
        errors = self.pair_errors(pairs, targets)
        raw = summed_by_outcome(errors, [pair.valid for pair in pairs])
        return raw, experience.known, self._memory_after(rollout, beliefs, experience.action)

    def _experience(self, rollout: Rollout) -> Experience:
        before = self.encoder.inputs(rollout)
        after, known = self.target.next_inputs(rollout)
        if self.encoder.requires != self.target.requires or not self.encoder.replayable:
            _, of_encoder = self.encoder.next_inputs(rollout)
            known = known & of_encoder
        after = self.normalizer(after) if self.normalized_target else after
        before = self.normalizer(before)
        return Experience(
            before=before if self.memory is None else without_padding(before, rollout.mask),
            after=after if self.memory is None else without_padding(after, known),
            action=action_rows(self.actions, rollout).unflatten(0, (rollout.T, rollout.B)),
            episode=rollout.episode_numbers(),
            known=known,
        )

    def _embedded(self, encoder: Encoder, inputs: Any) -> Float[Tensor, "T B D"]:
        steps, columns = inputs.shape[:2]
        return in_chunks(encoder, inputs.flatten(0, 1)).unflatten(0, (steps, columns))

    def _valid_pairs(self, beliefs: Tensor, experience: Experience) -> list[Pairs]:
        pairs = self.world.pairs(beliefs, experience.action, experience.episode)
        return [
            pair._replace(valid=pair.valid & experience.known[k:]) for k, pair in enumerate(pairs)
        ]

    def _memory_after(self, rollout: Rollout, beliefs: Tensor, action: Tensor) -> Memory:
        """Return what is remembered after the last step, fresh in columns that are between."""
        if self.memory is None:
            return {}
        found = self.world.remembered(beliefs, action, -1)
        closed = (~rollout.mask[-1] | rollout.done[-1]).unsqueeze(-1)
        return {name: values.masked_fill(closed, 0.0) for name, values in found.items()}

    # -- learning ---------------------------------------------------------------------------

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Learn the statistics, then the networks; ``{}`` when no step's successor is known.

        Raises:
            UserError: an observation or an action is NaN or infinite.
        """
        _, known = self.target.next_inputs(rollout)
        if not bool(known.any()):
            return {}
        before = self.encoder.inputs(rollout)
        require_finite("observation", before[rollout.mask])
        require_finite("next_observation", self.target.next_inputs(rollout)[0][known])
        require_finite("action", rollout.action[rollout.mask])
        # The same errors as in forward: with the weights and statistics before they learn.
        with torch.no_grad():
            raw, known, memory = self._raw(rollout)
        self.surprise.update(raw[known])
        start = {} if self.memory is None else self.memory.read(rollout)
        self.normalizer.update(before[rollout.mask].detach())
        with torch.no_grad():
            experience = self._experience(rollout)
        metrics: dict[str, list[float]] = {}
        for _ in range(self.epochs):
            for part, at_start in self._parts(experience, start):
                for name, value in self._train(part, at_start).items():
                    metrics.setdefault(name, []).append(float(value))
        if self.memory is not None:
            self.memory.write(**memory)
        return {
            **{name: math.fsum(values) / len(values) for name, values in metrics.items()},
            "raw_reward": self.surprise.mean,
            "raw_reward_deviation": self.surprise.deviation,
        }

    def _train(self, part: Experience, start: Memory) -> dict[str, Tensor]:
        with torch.no_grad():
            target = unit(self.target(part.after))
        with torch.enable_grad():
            embedding = self.encoder(part.before)
            beliefs = self.world.beliefs(embedding, part.action, part.episode, start)
            pairs = self._valid_pairs(beliefs, part)
            metrics = self.learn(pairs, [target[k:] for k in range(len(pairs))])
        self._follow()
        return metrics

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the target's weights follow the online ones; buffers are copied."""
        if self.fixed_target:
            return
        for slow, fast in zip(self.target.parameters(), self.encoder.parameters(), strict=True):
            slow.lerp_(fast, 1.0 - self.target_decay)
        for kept, given in zip(self.target.buffers(), self.encoder.buffers(), strict=True):
            kept.copy_(given)

    def _parts(self, experience: Experience, start: Memory) -> Iterator[tuple[Experience, Memory]]:
        """Cut what was experienced into what each gradient step sees."""
        if self.mode == "one_step":
            yield from ((part, {}) for part in shuffled_minibatches(experience, self.shuffling))
            return
        for first in range(0, len(experience.known), self.sequence_length):
            part = experience.part(slice(first, first + self.sequence_length))
            yield part, start
            with torch.no_grad():
                start = self._memory_between(part, start, experience, first)

    def _memory_between(
        self, part: Experience, start: Memory, experience: Experience, first: int
    ) -> Memory:
        """Return what the next sequence starts with, by the weights of now."""
        following = first + len(part.known)
        if following >= len(experience.known):
            return start
        embedding = self._embedded(self.encoder, part.before)
        beliefs = self.world.beliefs(embedding, part.action, part.episode, start)
        found = self.world.remembered(beliefs, part.action, -1)
        begins = (experience.episode[following] != part.episode[-1]).unsqueeze(-1)
        return {name: values.masked_fill(begins, 0.0) for name, values in found.items()}
