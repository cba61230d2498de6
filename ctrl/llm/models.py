"""Tokenizer and weights of a transformer: made here, or read from a folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from ctrl.llm.config import ModelConfig
from ctrl.llm.gguf_weights import converted_folder, is_gguf
from reward_models.errors import MissingDependencyError, UserError

_TINY = "tiny"
_TINY_CONTEXT = 512


def load_transformer(config: ModelConfig, *, seed: int = 0) -> tuple[Any, Any, int]:
    """Return the causal language model, its tokenizer and the longest sequence.

    Nothing is downloaded, and no code from a model's folder is run. Weights are read from
    safetensors or GGUF files only.

    Args:
        config: which one.
        seed: of random weights (``tiny``, adapters); torch's own numbers are left alone.

    Raises:
        MissingDependencyError: the extra ``llm`` is not installed.
        UserError: no such model, or one that cannot be used, with the cure.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingDependencyError(
            "Transformer policies need the extra llm: pip install 'ctrl[llm]'."
        ) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if config.name == _TINY:
        model, tokenizer = _tiny(config, seed)
    else:
        model, tokenizer = _read(config)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise UserError(
                f"The tokenizer of {config.name} has neither a padding nor an end token. Give it "
                "one (tokenizer.add_special_tokens) and save it again."
            )
        # Padding is masked everywhere, so its id is of no consequence.
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"The tokenizer of {config.name} has no end token, so no answer would ever end. Give "
            "it one (tokenizer.add_special_tokens({'eos_token': ...})) and save it again."
        )
    if config.lora_rank:
        model = _with_lora(model, config, seed)
    longest = int(getattr(model.config, "max_position_embeddings", 0) or 2048)
    return model, tokenizer, min(longest, config.context or longest)


def _tiny(config: ModelConfig, seed: int) -> tuple[Any, Any]:
    from transformers import ByT5Tokenizer, Qwen3Config, Qwen3ForCausalLM

    if config.width % config.heads or config.heads % 2:
        raise UserError(
            f"algo.model.heads = {config.heads} must be even and divide algo.model.width = "
            f"{config.width}."
        )
    tokenizer = ByT5Tokenizer(extra_ids=0)
    settings = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=config.width,
        intermediate_size=3 * config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.heads // 2,
        head_dim=config.width // config.heads,
        max_position_embeddings=config.context or _TINY_CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(settings)
    return model, tokenizer


def _read(config: ModelConfig) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = Path(config.name).expanduser()
    if is_gguf(config.name):
        place = converted_folder(config.name)
    source = str(place) if place.is_dir() else config.name
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        model = AutoModelForCausalLM.from_pretrained(
            source, **options, use_safetensors=True, dtype=getattr(torch, config.precision)
        )
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"algo.model.name = {config.name!r} is neither 'tiny' nor a folder with a causal "
            "language model in safetensors, nor a GGUF file, nor a model in the local cache: "
            f"{first}"
        ) from error
    return model, tokenizer


def _with_lora(model: Any, config: ModelConfig, seed: int) -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingDependencyError(
            "algo.model.lora_rank needs the extra llm: pip install 'ctrl[llm]'."
        ) from error
    alpha = 2 * config.lora_rank if config.lora_alpha is None else config.lora_alpha
    settings = peft.LoraConfig(
        r=config.lora_rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # peft still reads an attribute that transformers has renamed.
        warnings.simplefilter("ignore", FutureWarning)
        return peft.get_peft_model(model, settings)
