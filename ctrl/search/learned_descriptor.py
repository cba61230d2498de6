"""A descriptor that is learned from pictures: the code of an autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from ctrl.search.descriptors import Descriptor
from ctrl.search.episodes import Episodes
from reward_models.errors import UserError
from reward_models.novelty.autoencoder import IMAGE_SHAPE, ImageAutoencoder
from reward_models.novelty.fitting import check_fit, fit


@final
class AutoencoderCode(Descriptor):
    """Codes of the pictures of an episode, one after the other (TAXONS, Paolo et al. 2020).

    The surprise of an episode is the mean squared reconstruction error of a picture, summed over
    its pictures.

    Args:
        samples: pictures ``S`` of an episode, at least 1.
        code_size: numbers in the code of a picture.
        learning_rate: of Adam.
        batch_size: pictures in a minibatch.
        epochs: most passes over the pictures in one training.
        validation: share of the pictures that decides when to stop.
        patience: rises of their error before it stops, see `reward_models.novelty.fitting.fit`.
        seed: of the weights, the choice of those pictures, and shuffling.

    Attributes:
        autoencoder: the present one.

    Raises:
        UserError: a number out of its range.
    """

    learned = True

    def __init__(
        self,
        *,
        samples: int = 1,
        code_size: int = 10,
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        epochs: int = 100,
        validation: float = 0.2,
        patience: int = 4,
        seed: int = 0,
    ) -> None:
        if samples < 1:
            raise UserError(f"samples must be at least 1, got {samples}.")
        self.samples = samples
        self.autoencoder = ImageAutoencoder(code_size=code_size, seed=seed)
        self.size = samples * code_size
        self._training: dict[str, Any] = {
            "learning_rate": learning_rate,
            "batch_size": batch_size,
            "epochs": epochs,
            "validation": validation,
            "patience": patience,
        }
        check_fit(**self._training)
        self._generator = torch.Generator().manual_seed(seed)

    def describe(self, episodes: Episodes) -> NDArray[np.float64]:
        """Return the codes, ``[n, S * code_size]``.

        Raises:
            UserError: the episodes have no pictures, or others than the autoencoder reads.
        """
        codes = self.autoencoder.codes(self._pictures(episodes))
        return codes.reshape(len(episodes), self.size).to(torch.float64).numpy()

    def surprise(self, episodes: Episodes) -> NDArray[np.float64]:
        """Return the reconstruction error of each episode's pictures, summed, ``[n]``.

        Raises:
            UserError: as `describe`.
        """
        errors = self.autoencoder.errors(self._pictures(episodes)).to(torch.float64)
        return errors.reshape(len(episodes), self.samples).sum(-1).numpy()

    def learn(self, episodes: Episodes) -> dict[str, float]:
        """Train on all pictures of some episodes; what was described before is outdated then.

        Returns:
            What `reward_models.novelty.fitting.fit` measured, and ``pictures``, their number.

        Raises:
            UserError: as `describe`, or fewer than 2 pictures.
        """
        pictures = self._pictures(episodes)
        measured = fit(self.autoencoder, pictures, generator=self._generator, **self._training)
        self.version += 1
        return {**measured, "pictures": float(len(pictures))}

    def state_dict(self) -> dict[str, Any]:
        """Return the weights as arrays, the version and the random state."""
        weights = self.autoencoder.state_dict()
        return {
            # Copies, in one layout whatever the weights are stored in.
            "weights": {
                name: value.detach().contiguous().numpy().copy() for name, value in weights.items()
            },
            "version": self.version,
            "generator": self._generator.get_state().numpy().copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        weights = {name: torch.as_tensor(value) for name, value in state["weights"].items()}
        self.autoencoder.load_state_dict(weights)
        self.version = int(state["version"])
        self._generator.set_state(torch.as_tensor(state["generator"]))

    def _pictures(self, episodes: Episodes) -> torch.Tensor:
        """Return the pictures of all episodes, ``[n * S, 64, 64, 3]``."""
        if episodes.images is None:
            raise UserError(
                "A descriptor that is learned from pictures needs pictures of the episodes; ask "
                "for them where the environment is evaluated (images: true)."
            )
        expected = (self.samples, *IMAGE_SHAPE)
        if episodes.images.shape[1:] != expected:
            raise UserError(
                f"Expected pictures [n, S, H, W, 3] of [n, {', '.join(map(str, expected))}], got "
                f"shape {list(episodes.images.shape)}."
            )
        return torch.from_numpy(episodes.images).flatten(0, 1)
