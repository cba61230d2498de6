"""Behaviour cloning: fitting a policy to demonstrated actions by supervised learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor
from tqdm import tqdm

from ctrl.config import CloningConfig
from ctrl.imitation.likelihood import (
    acting_parameters,
    action_targets,
    check_cloneable,
    cloning_error,
    cloning_loss,
    settle,
)
from reward_models.demonstration_check import check_demonstrations
from reward_models.demonstrations import read_demonstrations
from reward_models.errors import UserError

_CHUNK = 4096


@dataclass(frozen=True)
class CloningResult:
    """What came of it.

    Attributes:
        episodes: demonstrations used.
        transitions: steps in them, the held-out ones among them.
        epochs: passes over the data until the end.
        best_epoch: after which the kept weights were there; 0 is the start.
        validation_loss: their loss on held-out steps; on the training steps without such.
        error: their distance from held-out actions, see `cloning_error`.
    """

    episodes: int
    transitions: int
    epochs: int
    best_epoch: int
    validation_loss: float
    error: float

    def describe(self) -> str:
        """Return the numbers as a sentence."""
        return (
            f"cloned {self.episodes} episodes ({self.transitions} steps): best after epoch "
            f"{self.best_epoch} of {self.epochs}, held-out loss {self.validation_loss:.4g}, "
            f"error {self.error:.4g}"
        )


@final
class BehaviourCloning:
    """Fits the policy of a learner to demonstrations, before its first step in an environment.

    Adam of its own minimises the mean of `cloning_loss` over shuffled minibatches; critics, value
    networks and the learner's optimisers stay as they are. The loss on held-out steps decides:
    training ends ``patience`` epochs after its best value, and the weights of that moment are kept.
    A running normaliser of observations begins with the statistics of the demonstrations.

    Random numbers come from a generator of its own, so the learner draws what it would have drawn.

    Args:
        model: a learner with a policy network; not DQN, RecurrentPPO or a learner without torch.
        config: data and settings.
        seed: of shuffling and of what is held out.

    Raises:
        UserError: a learner that cannot, no data set, or one that does not fit the environment.
    """

    def __init__(self, model: BaseAlgorithm, config: CloningConfig, *, seed: int) -> None:
        check_cloneable(model)
        demonstrations = read_demonstrations(config.demonstrations)
        if config.episodes is not None:
            if config.episodes > len(demonstrations):
                raise UserError(
                    f"behaviour_cloning.episodes is {config.episodes}, and "
                    f"{config.demonstrations} has {len(demonstrations)}."
                )
            demonstrations = demonstrations[: config.episodes]
        policy: Any = model.policy
        check_demonstrations(
            demonstrations,
            observation_space=_raw_space(model),
            action_space=policy.action_space,
        )
        self.model, self.config = model, config
        self.demonstrations = demonstrations
        self._generator = torch.Generator().manual_seed(seed)

    def run(self, *, progress: bool | None = False) -> CloningResult:
        """Train, log every epoch, and leave the best weights in the policy.

        Args:
            progress: show a bar over epochs; None shows it on a terminal only.
        """
        model, config, policy = self.model, self.config, self.model.policy
        observations, targets = self._tensors()
        training, held_out = self._split()
        judged = held_out if len(held_out) else training
        optimizer = torch.optim.Adam(
            acting_parameters(model), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        best_loss, error = self._judge(observations, targets, judged)
        best, best_epoch, epoch = _copied(policy), 0, 0
        disable = None if progress is None else not progress
        bar = tqdm(range(1, config.epochs + 1), "behaviour cloning", disable=disable, unit="epoch")
        for epoch in bar:
            loss = self._epoch(optimizer, observations, targets, training)
            found, distance = self._judge(observations, targets, judged)
            if not np.isfinite(found):
                raise UserError(
                    f"behaviour cloning diverged in epoch {epoch}; try a learning_rate below "
                    f"{config.learning_rate:g}."
                )
            if found < best_loss:
                best, best_epoch, best_loss, error = _copied(policy), epoch, found, distance
            self._log(epoch, loss, found, distance)
            bar.set_postfix({"held-out loss": f"{found:.3g}"}, refresh=False)
            if epoch - best_epoch >= config.patience:
                break
        bar.close()
        policy.load_state_dict(best)
        settle(model)
        count = sum(len(each) for each in self.demonstrations)
        return CloningResult(
            len(self.demonstrations), count, epoch, best_epoch, best_loss, error
        )  # fmt: skip

    def _epoch(
        self, optimizer: torch.optim.Optimizer, observations: Any, targets: Tensor, rows: Tensor
    ) -> float:
        """Pass once over the training rows; return the mean loss on the way."""
        policy: Any = self.model.policy
        policy.set_training_mode(True)
        shuffled = rows[torch.randperm(len(rows), generator=self._generator)]
        total = 0.0
        for batch in shuffled.split(self.config.batch_size):
            loss = cloning_loss(self.model, _taken(observations, batch), targets[batch]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        # The learner's own gradients start from nothing, as without cloning.
        optimizer.zero_grad(set_to_none=True)
        policy.set_training_mode(False)
        return total / len(rows)

    @torch.no_grad()
    def _judge(self, observations: Any, targets: Tensor, rows: Tensor) -> tuple[float, float]:
        """Return mean loss and mean error on some rows."""
        losses, errors = [], []
        for batch in rows.split(_CHUNK):
            seen, wanted = _taken(observations, batch), targets[batch]
            losses.append(cloning_loss(self.model, seen, wanted))
            errors.append(cloning_error(self.model, seen, wanted))
        return float(torch.cat(losses).mean()), float(torch.cat(errors).mean())

    def _tensors(self) -> tuple[Any, Tensor]:
        """Return what the policy sees and what it should do, ``[N, ...]`` over all steps."""
        env, policy = self.model.env, self.model.policy
        if isinstance(env, VecNormalize):
            frames = _stacked([each.observations for each in self.demonstrations])
            statistics = env.obs_rms if isinstance(env.obs_rms, dict) else {"": env.obs_rms}
            for key, running in statistics.items():
                running.update(frames[key] if key else frames)
        seen = _stacked([_without_last(each.observations) for each in self.demonstrations])
        if isinstance(env, VecNormalize):
            seen = env.normalize_obs(seen)
        observations, _ = policy.obs_to_tensor(seen)
        actions = np.concatenate([each.actions for each in self.demonstrations])
        return observations, action_targets(self.model, actions)

    def _split(self) -> tuple[Tensor, Tensor]:
        """Return the rows to train on and those held out.

        Whole episodes are held out where the share comes to at least one, because steps of one
        episode resemble each other; else single steps are.
        """
        lengths = [len(each) for each in self.demonstrations]
        episodes = int(self.config.validation * len(lengths))
        if episodes:
            order = torch.randperm(len(lengths), generator=self._generator)
            of_row = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
            out = torch.isin(of_row, order[:episodes])
        else:
            count = int(self.config.validation * sum(lengths))
            out = torch.zeros(sum(lengths), dtype=torch.bool)
            out[torch.randperm(sum(lengths), generator=self._generator)[:count]] = True
        return torch.nonzero(~out).flatten(), torch.nonzero(out).flatten()

    def _log(self, epoch: int, loss: float, validation_loss: float, error: float) -> None:
        """Write a row; environment steps stand still, so TensorBoard counts epochs."""
        logger = self.model.logger
        logger.record("time/total_timesteps", 0, exclude="tensorboard")
        logger.record("behaviour_cloning/epoch", epoch, exclude="tensorboard")
        logger.record("behaviour_cloning/loss", loss)
        logger.record("behaviour_cloning/validation_loss", validation_loss)
        logger.record("behaviour_cloning/error", error)
        logger.dump(epoch)


def _raw_space(model: BaseAlgorithm) -> Any:
    """Return the space of observations before they are normalised or rearranged for the policy."""
    return model.env.unwrapped.observation_space if model.env is not None else None


def _copied(policy: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in policy.state_dict().items()}


def _without_last(observations: Any) -> Any:
    if isinstance(observations, dict):
        return {key: _without_last(value) for key, value in observations.items()}
    return observations[:-1]


def _stacked(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {key: _stacked([part[key] for part in parts]) for key in parts[0]}
    return np.concatenate(parts)


def _taken(observations: Any, rows: Tensor) -> Any:
    if isinstance(observations, dict):
        return {key: value[rows] for key, value in observations.items()}
    return observations[rows]
