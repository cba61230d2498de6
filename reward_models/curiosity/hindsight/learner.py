"""Learning with hindsight: what is minimised by which network, and the reward that remains."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from reward_models.curiosity.hindsight.latent_errors import direction_error, mean_over_starts
from reward_models.curiosity.hindsight.latent_world import Pairs
from reward_models.curiosity.hindsight.networks import Hindsight, invariance
from reward_models.curiosity.training import MinibatchTrainer
from reward_models.errors import UserError

_PAIRS_AT_ONCE = 4096

ONE_COLUMN = (
    "Hindsight learns from one column here: there is nothing to compare Z with, so that l_inv is "
    "0 and Z may carry everything. Use 8 environments or more."
)
"""Warning of a model that is given nothing to compare."""


class HindsightLearner(nn.Module):
    """Trains a `Hindsight` on top of any contexts, and rewards with it.

    The raw reward of a prediction is ``R = L_rec / lambda + l_inv``. Whatever makes the contexts,
    and the reconstructor, minimise ``L_rec / lambda``; the generator minimises
    ``L_rec / lambda + l_inv``; then the critic, with an optimiser of its own, maximises ``l_inv``
    of the same ``Z`` (Jarrett et al. 2023, section 3.3).

    Args:
        contexts: modules that make the contexts and learn with the reconstructor.
        context_size: numbers ``C`` of a context.
        target_size: numbers ``N`` of an outcome's embedding.
        horizon: the most steps ahead that are ever predicted.
        negatives: the most columns that are compared with each other; more are cut into groups.
        hindsight_size: numbers of ``Z``.
        noise_size: numbers of the generator's noise.
        hidden: widths of the hidden layers of the three networks.
        trade_off: ``lambda``, positive.
        critic_bound: scores lie in (-bound, bound).
        invariance_loss: false trains the generator without ``l_inv``.
        learning_rate: of both Adams.
        batch_size: of the trainers, see `MinibatchTrainer`.
        epochs: of the trainers.
        seed: seed of weights, shuffling and noise.

    Raises:
        UserError: a number out of its range.
    """

    noise_state: Tensor

    def __init__(
        self,
        *contexts: nn.Module,
        context_size: int,
        target_size: int,
        horizon: int,
        negatives: int,
        hindsight_size: int,
        noise_size: int,
        hidden: Sequence[int],
        trade_off: float,
        critic_bound: float,
        invariance_loss: bool,
        learning_rate: float,
        batch_size: int,
        epochs: int,
        seed: int,
    ) -> None:
        super().__init__()
        if not 0.0 < trade_off < math.inf:
            raise UserError(f"trade_off (lambda) must be positive and finite, got {trade_off}.")
        self.trade_off, self.invariance_loss = trade_off, invariance_loss
        if negatives < 2:
            raise UserError(
                f"negatives must be at least 2, for one step says nothing alone; got {negatives}."
            )
        self.horizon, self.negatives = horizon, negatives
        self.hindsight = Hindsight(
            context_size=context_size,
            target_size=target_size,
            hindsight_size=hindsight_size,
            noise_size=noise_size,
            hidden=hidden,
            critic_bound=critic_bound,
            seed=seed,
        )
        own = [*contexts, self.hindsight.generator, self.hindsight.reconstructor]
        self.trainer, self.critic_trainer = (
            MinibatchTrainer(
                [parameter for module in modules for parameter in module.parameters()],
                learning_rate=learning_rate,
                batch_size=batch_size,
                epochs=epochs,
                seed=seed,
            )
            for modules in (own, [self.hindsight.critic])
        )
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("noise_state", generator.get_state())

    def pair_errors(
        self, pairs: Sequence[Pairs], targets: Sequence[Float[Tensor, "_ B N"]]
    ) -> list[Float[Tensor, "_ B"]]:
        """Return ``R = L_rec / lambda + l_inv`` of every prediction; nothing changes.

        All columns of a step share the noise, which is drawn from where the next ``learn`` begins.

        Args:
            pairs: one entry for each number of steps ahead.
            targets: directions of the embeddings that they are about.
        """
        generator = torch.Generator()
        generator.set_state(self.noise_state.cpu())
        found = []
        noises = self._shared_noise(pairs, generator)
        for pair, target, noise in zip(pairs, targets, noises, strict=True):
            z = self.hindsight.generate(pair.context, target, noise)
            error = direction_error(self.hindsight.reconstruct(pair.context, z), target)
            leak = self._invariance(pair.context, z, pair.valid)
            found.append(error / self.trade_off + leak)
        return found

    def learn(
        self, pairs: Sequence[Pairs], targets: Sequence[Float[Tensor, "_ B N"]]
    ) -> dict[str, Tensor]:
        """Step all networks but the critic, then the critic on the same ``Z``.

        Args:
            pairs: as in ``pair_errors``, with a graph.
            targets: as in ``pair_errors``.

        Returns:
            ``reconstruction`` (``L_rec``) and ``invariance`` (``l_inv`` in nats: what the critic
            still finds out about the contexts).
        """
        generator = torch.Generator()
        generator.set_state(self.noise_state.cpu())
        self.hindsight.outcomes.update(targets[0][pairs[0].valid])
        errors, leaks = [], []
        for pair, target in zip(pairs, targets, strict=True):
            size = (*target.shape[:-1], self.hindsight.noise_size)
            noise = torch.randn(size, generator=generator).to(target.device)
            z = self.hindsight.generate(pair.context, target, noise)
            errors.append(direction_error(self.hindsight.reconstruct(pair.context, z), target))
            z = z if self.invariance_loss else z.detach()
            leaks.append(self._invariance(pair.context, z, pair.valid))
        self.noise_state.copy_(generator.get_state())
        valid = [pair.valid for pair in pairs]
        reconstruction, leak = mean_over_starts(errors, valid), mean_over_starts(leaks, valid)
        self._step(reconstruction / self.trade_off + leak)
        return {
            "reconstruction": reconstruction.detach(),
            "invariance": leak.detach(),
        }

    def _step(self, loss: Tensor) -> None:
        """Step all networks but the critic down the loss, and the critic up its ``l_inv``.

        The critic's step comes second and on the same ``Z``, and the first one does not change the
        critic: its gradient is that of the same pass, with the other sign.
        """
        trained = [
            [p for group in trainer.optimizer.param_groups for p in group["params"]]
            for trainer in (self.trainer, self.critic_trainer)
        ]
        parameters = [parameter for own in trained for parameter in own]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        for index, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            critic = index >= len(trained[0])
            parameter.grad = gradient.neg_() if critic and gradient is not None else gradient
        for trainer in (self.trainer, self.critic_trainer):
            trainer.optimizer.step()
            trainer.optimizer.zero_grad(set_to_none=True)

    def _invariance(
        self, context: Float[Tensor, "P B C"], z: Float[Tensor, "P B Z"], valid: Bool[Tensor, "P B"]
    ) -> Float[Tensor, "P B"]:
        """Return ``l_inv``, some groups at a time, as all pairs would not fit a cache."""
        cut = [in_groups(entry, self.negatives) for entry in (context, z, valid)]
        groups = max(1, _PAIRS_AT_ONCE // cut[0].shape[1] ** 2)
        parts = zip(*(entry.split(groups) for entry in cut), strict=True)
        found = torch.cat([invariance(self.hindsight.scores(c, v), ok) for c, v, ok in parts])
        return found.view(len(context), -1)[:, : context.shape[1]]

    def _shared_noise(self, pairs: Sequence[Pairs], generator: torch.Generator) -> list[Tensor]:
        """Draw the noise of each step and each number of steps ahead, the same for all columns.

        Then no value depends on the order of the columns, nor on how many steps come later.
        """
        steps, columns = pairs[0].valid.shape
        size = self.hindsight.noise_size
        drawn = torch.stack(
            [torch.randn(self.horizon, 1, size, generator=generator) for _ in range(steps)]
        ).to(pairs[0].context)
        return [drawn[: len(pair.valid), k].expand(-1, columns, -1) for k, pair in enumerate(pairs)]


def in_groups(entries: Shaped[Tensor, "P B *rest"], members: int) -> Shaped[Tensor, "G M *rest"]:
    """Cut the columns of each row into groups of at most ``members`` neighbours.

    All groups have the same size; the last one of a row is filled up with zeros (or false).
    """
    columns = entries.shape[1]
    if columns <= members:
        return entries
    missing = -columns % members
    filled = F.pad(entries, (0, 0) * (entries.ndim - 2) + (0, missing))
    return filled.reshape(-1, members, *entries.shape[2:])
