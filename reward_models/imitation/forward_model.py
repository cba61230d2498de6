"""A learned model of the dynamics, asked how steep they are around a transition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.curiosity.counting.flat import FlatEncoder, chosen_space
from reward_models.curiosity.networks import flat_steps, in_chunks, prediction_error
from reward_models.curiosity.training import Losses, MinibatchTrainer
from reward_models.encoders import initialize, seeded
from reward_models.errors import UserError
from reward_models.imitation.pairs import PairCode, Pairs
from reward_models.imitation.penalties import gradient_norm, gradient_of, gradient_penalty
from reward_models.novelty.newest import Newest
from reward_models.rollout import Rollout

_HIDDEN = 100


@final
class ForwardModel(nn.Module):
    """An MLP 2 x 100 from ``(s, a)`` to the next state, and a penalty where it is steep.

    ``pen = max(0, ||d(sum_j f_j)/dx||_2 - k)^2`` with the gradient in state and action (Blondé et
    al. 2022, who take ``k = 9``). Observations are read as plain numbers, actions that are choices
    as zeros and ones.

    Args:
        observation_space: of one environment.
        action_space: of one environment.
        keys: keys of a Dict observation to read.
        target: k.
        window: how many recent means of the penalty `scale` is taken over, at least 2.
        learning_rate: of Adam.
        batch_size: transitions in a minibatch.
        seed: of weights and shuffling.

    Raises:
        UserError: a number out of its range.
    """

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        keys: Sequence[str] | None = None,
        target: float = 9.0,
        window: int = 100,
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if window < 2:
            raise UserError(f"window must hold at least 2 means, got {window}.")
        gradient_penalty(torch.zeros(1), target=target)  # refuses a wrong target
        self.target = target
        encoder = FlatEncoder(space=chosen_space(observation_space, keys))
        self.code = PairCode(encoder=encoder, action_space=action_space, one_hot_actions=True)
        with seeded(seed):
            self.network = nn.Sequential(
                *(nn.Linear(self.code.size, _HIDDEN), nn.ReLU()),
                *(nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU()),
                nn.Linear(_HIDDEN, encoder.output_size),
            )
            initialize(self.network)
        self.trainer = MinibatchTrainer(
            self.network.parameters(), learning_rate=learning_rate, batch_size=batch_size, seed=seed
        )
        self.means = Newest(row=torch.zeros(()), capacity=window)

    @property
    def scale(self) -> Tensor:
        """Deviation of the recent mean penalties; 1 before there are two of them."""
        means = self.means.rows
        return means.std(correction=0) if len(means) > 1 else torch.ones((), device=means.device)

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """Learn to predict the successors of the real steps; ``{}`` when there are none.

        Returns:
            ``forward_loss`` and ``forward_penalty``, the mean error and the mean penalty.
        """
        real = rollout.mask.flatten()
        if not bool(real.any()):
            return {}
        with torch.no_grad():
            rows = self.code(self.code.pairs(rollout))
            after = self.code.encoder.next_inputs(rollout)[0]
            targets = self.code.encoder(flat_steps(after)[real]).detach()
        found = self.trainer.minimize((rows, targets), self._losses)
        mean = in_chunks(self._penalties, rows).mean()
        self.means.add(mean.reshape(1))
        return {"forward_loss": found["loss"], "forward_penalty": float(mean)}

    def penalties(self, rollout: Rollout) -> Float[Tensor, "T B"]:
        """Return the penalty at every step."""
        pairs, _ = self.code.steps(rollout.detach())
        with torch.no_grad():
            found = in_chunks(self._coded, pairs.first, pairs.second, pairs.absorbing)
        return found.reshape(rollout.T, rollout.B)

    def _coded(self, first: object, second: object, absorbing: Tensor) -> Float[Tensor, " N"]:
        return self._penalties(self.code(Pairs(first, second, absorbing)))

    def _penalties(self, rows: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
        gradients = gradient_of(lambda x: self.network(x).sum(-1), rows, create_graph=False)
        return gradient_penalty(gradient_norm(gradients), target=self.target)

    def _losses(self, rows: Float[Tensor, "N D"], targets: Float[Tensor, "N E"]) -> Losses:
        return {"loss": prediction_error(self.network(rows), targets)}
