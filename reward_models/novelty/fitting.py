"""Training an autoencoder on what is there, until unseen inputs are rebuilt worse again."""

from __future__ import annotations

import copy
import math

import torch
from jaxtyping import Shaped
from torch import Tensor

from reward_models.errors import UserError
from reward_models.novelty.autoencoder import Autoencoder


def fit(
    autoencoder: Autoencoder,
    inputs: Shaped[Tensor, "N ..."],
    *,
    generator: torch.Generator,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    epochs: int = 100,
    validation: float = 0.2,
    patience: int = 4,
) -> dict[str, float]:
    """Train an autoencoder by Adam on minibatches, with early stopping.

    A random part of the inputs is kept apart and rebuilt after every epoch. Training stops when
    that error rose on ``patience`` checks without a new best in between, and the weights of the
    best check are kept. Adam begins anew in every call, the weights do not.

    Args:
        autoencoder: what is trained, in place.
        inputs: rows as `Autoencoder.prepared` takes them, at least 2.
        generator: draws what is kept apart and shuffles.
        learning_rate: Adam's, positive.
        batch_size: inputs in a minibatch, at least 1; the last one of an epoch may be smaller.
        epochs: most passes over the inputs, at least 1.
        validation: share that is kept apart, in (0, 1); at least one input.
        patience: rises of the error before training stops, at least 1.

    Returns:
        ``loss`` of the last epoch, ``validation_error`` that was best, ``epochs`` done.

    Raises:
        UserError: a number out of its range, or fewer than 2 inputs.
    """
    check_fit(
        learning_rate=learning_rate,
        batch_size=batch_size,
        epochs=epochs,
        validation=validation,
        patience=patience,
    )
    if len(inputs) < 2:
        raise UserError(
            f"An autoencoder needs at least 2 inputs, one of them to stop by; got {len(inputs)}."
        )
    apart = min(max(round(validation * len(inputs)), 1), len(inputs) - 1)
    order = torch.randperm(len(inputs), generator=generator)
    kept_apart, trained = inputs[order[:apart]], order[apart:]
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=learning_rate, fused=True)
    best, previous, rises, done, loss = math.inf, math.inf, 0, 0, 0.0
    weights = copy.deepcopy(autoencoder.state_dict())
    while done < epochs and rises < patience:
        loss = 0.0
        for rows in trained[torch.randperm(len(trained), generator=generator)].split(batch_size):
            with torch.enable_grad():
                mean = autoencoder.losses(autoencoder.prepared(inputs[rows])).mean()
                optimizer.zero_grad(set_to_none=True)
                mean.backward()
            optimizer.step()
            loss += float(mean.detach()) * len(rows) / len(trained)
        done += 1
        error = float(autoencoder.errors(kept_apart).mean())
        rises += int(error > previous)
        if error < best:
            best, rises = error, 0
            weights = copy.deepcopy(autoencoder.state_dict())
        previous = error
    optimizer.zero_grad(set_to_none=True)
    autoencoder.load_state_dict(weights)
    return {"loss": loss, "validation_error": best, "epochs": float(done)}


def check_fit(
    *, learning_rate: float, batch_size: int, epochs: int, validation: float, patience: int
) -> None:
    """Refuse settings of `fit` that are out of range, before there is anything to train on.

    Raises:
        UserError: names the setting, its range and its value.
    """
    if not (math.isfinite(learning_rate) and learning_rate > 0.0):
        raise UserError(f"learning_rate must be positive and finite, got {learning_rate}.")
    for name, value in (("batch_size", batch_size), ("epochs", epochs), ("patience", patience)):
        if value < 1:
            raise UserError(f"{name} must be at least 1, got {value}.")
    if not 0.0 < validation < 1.0:
        raise UserError(f"validation must lie in (0, 1), got {validation}.")
