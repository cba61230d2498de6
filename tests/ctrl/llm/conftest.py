"""A small transformer and the pieces around it."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")

from ctrl.llm.config import ModelConfig
from ctrl.llm.decoding import Decoder
from ctrl.llm.formats import PromptFormat
from ctrl.llm.models import load_transformer
from ctrl.llm.policy import LanguagePolicy


def small_policy(*, critic: bool = False, temperature: float = 1.0, **options) -> LanguagePolicy:
    config = ModelConfig(**{"layers": 2, "width": 32, "heads": 4, **options})
    model, tokenizer, context = load_transformer(config, seed=5)
    policy = LanguagePolicy(
        model, tokenizer, context=context, temperature=temperature, critic=critic
    )
    # Larger weights than a fresh model's: tokens must matter to one another.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4.0)
        if policy.value_head is not None:
            torch.nn.init.normal_(
                policy.value_head.weight, generator=torch.Generator().manual_seed(1)
            )
    return policy


def small_decoder(policy: LanguagePolicy, *, seed: int = 0, **options) -> Decoder:
    text = PromptFormat(policy.tokenizer)
    return Decoder(
        policy, stops=text.stops, generator=torch.Generator().manual_seed(seed),
        **{"max_new_tokens": 5, **options},
    )  # fmt: skip


@pytest.fixture
def policy() -> LanguagePolicy:
    return small_policy()
