"""STAX: SERENE in a space of behaviours that is learned from pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctrl.search.serene.serene import Serene
from ctrl.search.taxons import learned_descriptor
from reward_models.errors import UnknownNameError

STAX_VARIANTS: dict[str, dict[str, Any]] = {
    "stax": {"criterion": "random"},
    "stax-p": {"criterion": "pareto"},
    "stax-nt": {"criterion": "novelty", "train_descriptor": False},
    "stax-multi": {"criterion": "random", "samples": 5},
}
"""Options that make a variant: selection by the Pareto front of novelty and surprise; a code that
is never trained, with novelty alone; several pictures of every episode."""


def stax(*, genome_size: int, variant: str = "stax", seed: int = 0, **options: Any) -> Serene:
    """Return STAX, the search of Paolo et al. 2022.

    "Discovering and exploiting sparse rewards in a learned behavior space": SERENE (`Serene`) whose
    descriptor is the code of an autoencoder (`AutoencoderCode`), trained after 1, 3, 6, 10 ...
    chunks of exploration. Everything is described again after each training: population,
    offspring, both archives and all that emitters keep. While exploring, every generation selects
    by novelty or by surprise, drawn with equal chances.

    Args:
        genome_size: genes ``D``.
        variant: ``stax``; ``stax-p``, which selects by the Pareto front of both; ``stax-nt``, whose
            autoencoder is never trained and which selects by novelty; ``stax-multi``, which
            describes an episode by 5 pictures.
        seed: of the search and of the autoencoder, which draw different numbers.
        **options: of `Serene`; ``samples``, pictures of an episode; ``autoencoder``, options of
            `AutoencoderCode`. They win over those of the variant.

    Raises:
        UserError: an option out of its range.
        UnknownNameError: an unknown variant, or an unknown name of a choice.
    """
    if variant not in STAX_VARIANTS:
        raise UnknownNameError("variant of STAX", variant, STAX_VARIANTS)
    chosen = {"samples": 1, "autoencoder": None, **STAX_VARIANTS[variant], **options}
    descriptor, search_seed = learned_descriptor(
        int(chosen.pop("samples")), _mapping(chosen.pop("autoencoder")), seed
    )
    return Serene(genome_size=genome_size, descriptor=descriptor, seed=search_seed, **chosen)


def _mapping(value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {} if value is None else value
