"""Minibatch training whose whole state, optimiser and shuffling included, is tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from reward_models.errors import UserError

Losses = dict[str, Tensor]
"""Per-sample numbers ``[n]`` by name; ``loss`` is the one that is minimised."""


class MinibatchTrainer(nn.Module):
    """Adam over shuffled minibatches.

    Its ``state_dict`` holds Adam's steps and moments as one flat tensor and the state of its own
    random generator as bytes, so a restored model continues bit for bit, and torch's global
    generator is never used.

    Args:
        parameters: what is trained; those without ``requires_grad`` are left out.
        learning_rate: Adam's.
        batch_size: samples in a minibatch; the last one of an epoch may be smaller.
        epochs: passes over the samples in one ``minimize``.
        update_proportion: each sample enters each loss with this probability.
        seed: seed of shuffling and of that draw.

    Raises:
        UserError: a number out of its range.
    """

    generator_state: Tensor

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        epochs: int = 1,
        update_proportion: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not (math.isfinite(learning_rate) and learning_rate > 0):
            raise UserError(f"learning_rate must be positive and finite, got {learning_rate}.")
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1, got {batch_size}.")
        if epochs < 1:
            raise UserError(f"epochs must be at least 1, got {epochs}.")
        if not 0.0 < update_proportion <= 1.0:
            raise UserError(f"update_proportion must lie in (0, 1], got {update_proportion}.")
        self.batch_size, self.epochs = batch_size, epochs
        self.update_proportion = update_proportion
        self._trained = tuple(p for p in parameters if p.requires_grad)
        self.optimizer = torch.optim.Adam(self._trained, lr=learning_rate, fused=True)
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("generator_state", generator.get_state())

    def minimize(self, samples: tuple[Any, ...], losses: Callable[..., Losses]) -> dict[str, float]:
        """Take one gradient step on each minibatch; return the losses averaged over samples.

        Args:
            samples: entries ``[N, ...]``, detached from any graph, ``N`` at least 1.
            losses: called with one minibatch of each entry.
        """
        device = samples[0].device
        generator = torch.Generator()
        generator.set_state(self.generator_state.cpu())
        size = samples[0].shape[0]
        seen: dict[str, list[Tensor]] = {}
        self._drop_gradients()  # somebody may have asked a reward for one
        for _ in range(self.epochs):
            for rows in torch.randperm(size, generator=generator).split(self.batch_size):
                picked = rows.to(device)
                with torch.enable_grad():
                    found = losses(*(_rows(entry, picked) for entry in samples))
                    self._mean_of_kept(found["loss"], generator).backward()
                self.optimizer.step()
                self._drop_gradients()
                for name, values in found.items():
                    seen.setdefault(name, []).append(values.detach())
        self.generator_state.copy_(generator.get_state())
        return {name: float(torch.cat(values).mean()) for name, values in seen.items()}

    def _drop_gradients(self) -> None:
        for parameter in self._trained:
            parameter.grad = None

    def _mean_of_kept(self, loss: Tensor, generator: torch.Generator) -> Tensor:
        if self.update_proportion == 1.0:
            return loss.mean()
        kept = torch.rand(len(loss), generator=generator) < self.update_proportion
        weight = kept.to(loss)
        return (loss * weight).sum() / weight.sum().clamp_min(1.0)

    # -- state ------------------------------------------------------------------------------

    def get_extra_state(self) -> Tensor:
        """Return Adam's step, first and second moment of each parameter, one after the other."""
        parts = []
        for parameter in self._trained:
            state = self.optimizer.state.get(parameter)
            if state:
                parts += [state["step"].reshape(1), state["exp_avg"], state["exp_avg_sq"]]
            else:
                parts.append(torch.zeros(1 + 2 * parameter.numel()))
        return torch.cat([part.detach().flatten().to("cpu", torch.float32) for part in parts])

    def set_extra_state(self, state: Tensor) -> None:
        """Restore what ``get_extra_state`` returned.

        Raises:
            UserError: it belongs to a model with other parameters.
        """
        expected = sum(1 + 2 * parameter.numel() for parameter in self._trained)
        if tuple(state.shape) != (expected,):
            raise UserError(
                f"Stored optimiser state must hold {expected} numbers for this model, "
                f"got shape {tuple(state.shape)}; build the model with the sizes it was saved with."
            )
        pieces = iter(state.split([n for p in self._trained for n in (1, p.numel(), p.numel())]))
        for parameter in self._trained:
            self.optimizer.state[parameter] = {
                "step": next(pieces).reshape(()).to(parameter.device, torch.float32, copy=True),
                "exp_avg": torch.empty_like(parameter).copy_(next(pieces).view_as(parameter)),
                "exp_avg_sq": torch.empty_like(parameter).copy_(next(pieces).view_as(parameter)),
            }

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        # Moving a module moves its parameters in place; Adam's state has to follow them.
        super()._apply(fn, recurse)
        for parameter, state in self.optimizer.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = fn(state[name])
            state["step"] = state["step"].to(parameter.device)
        return self


def _rows(entry: Any, rows: Tensor) -> Any:
    # For tensors much faster than indexing, which finds its way for every number.
    return entry.index_select(0, rows) if isinstance(entry, Tensor) else entry[rows]
