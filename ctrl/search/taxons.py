"""TAXONS: novelty search in a space of behaviours that is learned from pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ctrl.search.learned_descriptor import AutoencoderCode
from ctrl.search.novelty_search import NoveltySearch


def taxons(
    *,
    genome_size: int,
    samples: int = 1,
    autoencoder: Mapping[str, Any] | None = None,
    criterion: str = "random",
    seed: int = 0,
    **options: Any,
) -> NoveltySearch:
    """Return TAXONS, the search of Paolo et al. 2020.

    "Unsupervised learning and exploration of reachable outcome space": novelty search
    (`NoveltySearch`) whose descriptor is the code of an autoencoder (`AutoencoderCode`), trained
    after 1, 3, 6, 10 ... chunks of evaluations on the pictures of all that is kept; everything is
    described again after each training. Every generation selects by novelty or by surprise, drawn
    with equal chances.

    Args:
        genome_size: genes ``D``.
        samples: pictures of an episode that its descriptor reads.
        autoencoder: options of `AutoencoderCode`, such as ``{"epochs": 50}``.
        criterion: see `NoveltySearch`.
        seed: of the search and of the autoencoder, which draw different numbers.
        **options: of `NoveltySearch`; ``novelty_only_generations=30`` is the schedule of the first
            published code.

    Raises:
        UserError: an option out of its range.
        UnknownNameError: an unknown name of a choice.
    """
    descriptor, search_seed = learned_descriptor(samples, autoencoder, seed)
    return NoveltySearch(
        genome_size=genome_size,
        descriptor=descriptor,
        criterion=criterion,
        seed=search_seed,
        **options,
    )


def learned_descriptor(
    samples: int, options: Mapping[str, Any] | None, seed: int
) -> tuple[AutoencoderCode, int]:
    """Return an autoencoder's code as descriptor, and a seed for the search that uses it."""
    for_search, for_code = np.random.SeedSequence(seed).generate_state(2)
    code = AutoencoderCode(**{"samples": samples, "seed": int(for_code), **(options or {})})
    return code, int(for_search)
