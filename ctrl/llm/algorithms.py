"""Learners of transformer policies, by name: an estimator, a token loss and an aggregation each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from reward_models.errors import UnknownNameError

ESTIMATORS = (
    "group", "group_unscaled", "batch", "leave_one_out", "returns", "group_whitened", "gae",
    "turn_gae",
)  # fmt: skip
"""From rewards to advantages; see ``ctrl.llm.advantages``."""
TOKEN_LOSSES = ("clip", "sequence_clip", "clipped_weight", "reinforce")
"""From advantages to a loss per token; see ``ctrl.objectives.token_losses``."""
AGGREGATIONS_OF = {"sequence_clip": "seq-mean-token-mean"}
"""Losses that fit one aggregation only."""


@dataclass(frozen=True)
class LanguageAlgorithm:
    """One learner.

    Attributes:
        name: what a user types.
        summary: paper and what it is made of.
        options: its settings where the user does not say.
    """

    name: str
    summary: str
    options: dict[str, Any] = field(default_factory=dict)


def _algorithm(name: str, summary: str, *parts: str, **options: Any) -> LanguageAlgorithm:
    chosen = dict(zip(("estimator", "loss", "aggregation"), parts, strict=True))
    return LanguageAlgorithm(name, summary, {**chosen, **options})


LANGUAGE_ALGORITHMS: dict[str, LanguageAlgorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        _algorithm(
            "grpo", "distance from the group's mean over its deviation (Shao et al. 2024)",
            "group", "clip", "seq-mean-token-mean",
        ),
        _algorithm(
            "dr_grpo", "the same without the deviation, a constant length (Liu et al. 2025)",
            "group_unscaled", "clip", "dr-grpo",
        ),
        _algorithm(
            "dapo", "clip-higher, token mean, dynamic sampling (Yu et al. 2025)",
            "group", "clip", "token-mean", high=0.28, dynamic_sampling=True,
        ),
        _algorithm(
            "rloo", "distance from the mean of the others (Ahmadian et al. 2024)",
            "leave_one_out", "clip", "seq-mean-token-sum",
        ),
        _algorithm(
            "reinforce_plus_plus", "returns of tokens, whitened over the batch (Hu 2025)",
            "returns", "clip", "token-mean",
        ),
        _algorithm(
            "gspo", "one ratio per sequence (Zheng et al. 2025)",
            "group", "sequence_clip", "seq-mean-token-mean",
        ),
        _algorithm(
            "cispo", "clipped weights that keep every gradient (MiniMax 2025)",
            "group", "clipped_weight", "token-mean",
        ),
        _algorithm(
            "token_ppo", "PPO with a critic on the last hidden state, tokens as actions",
            "gae", "clip", "token-mean",
        ),
        _algorithm(
            "turn_ppo", "PPO with a critic, turns as actions",
            "turn_gae", "clip", "token-mean",
        ),
    )
}  # fmt: skip
"""Learners of transformer policies by name."""


def is_language(name: str) -> bool:
    """Whether this learner trains a transformer."""
    return name in LANGUAGE_ALGORITHMS


def find_language_algorithm(name: str) -> LanguageAlgorithm:
    """Return the learner of this name.

    Raises:
        UnknownNameError: none has it; the nearest one is named.
    """
    if name not in LANGUAGE_ALGORITHMS:
        raise UnknownNameError("algorithm", name, LANGUAGE_ALGORITHMS)
    return LANGUAGE_ALGORITHMS[name]
