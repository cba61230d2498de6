"""A transformer learns from a verifier what supervision began.

    ctrl study experiments/bars/language-addition.yaml
    ctrl study experiments/bars/language-textworld.yaml

A small transformer is warmed up on few expert answers, then trained by reinforcement learning on
the environment's reward. It reads bytes, or words of a vocabulary that is made from the texts of
expert episodes: with words a command of TextWorld is 4 to 10 tokens instead of 30, and exploring
means to name another thing and not to misspell it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ctrl
from ctrl.run_curves import read_progress
from envs.text.registry import make_text

_PAD, _END = "<pad>", "<end>"


def learn(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Train once.

    Args:
        settings: of ``ctrl.train``; ``evaluation.every`` says how often success is measured.
            ``words`` makes a model with a vocabulary of its own: ``vocabulary`` (entries),
            ``episodes`` (expert episodes to take it from), ``width``, ``layers`` and ``heads``.
        seed: of everything random.

    Returns:
        ``start`` and ``success`` (share of solved tasks after the warm-up and at the end, sampled
        at the training temperature on tasks of their own), ``ratio`` of the two, ``return``, the
        mean task return at the end, ``seconds``, and the curve.
    """
    wanted = dict(settings)
    words = wanted.pop("words", None)
    with tempfile.TemporaryDirectory() as folder:
        if words is not None:
            place = Path(folder) / "model"
            write_model(place, texts=expert_texts(wanted["env"], words["episodes"]), words=words,
                        context=wanted["algo"]["model"]["context"], seed=seed)  # fmt: skip
            model = {**wanted["algo"]["model"], "name": str(place)}
            wanted["algo"] = {**wanted["algo"], "model": model}
        result = ctrl.train(**wanted, seed=seed, out=Path(folder) / "run")
        columns = read_progress(Path(folder) / "run" / "progress.csv")
    rates, steps = columns["evaluation/success_rate"], columns["time/total_timesteps"]
    there = np.isfinite(rates)
    curve = [steps[there].tolist(), rates[there].tolist()]
    start, success = curve[1][0], curve[1][-1]
    return {
        "start": start,
        "success": success,
        "ratio": success / max(start, 1e-9),
        "return": float(columns["evaluation/task_return"][there][-1]),
        "seconds": result.seconds,
        "curves": {"success": curve},
    }


def expert_texts(env: Mapping[str, Any], episodes: int) -> list[str]:
    """Return the texts and commands of expert episodes, one text per turn.

    Args:
        env: settings of the environment.
        episodes: how many, of the first tasks.
    """
    options = {key: value for key, value in env.items() if key != "id"}
    made = make_text(env["id"], **options)
    texts = []
    for task in (made.tasks or range(episodes))[:episodes]:
        turn = made.reset(task=task)
        texts.append(turn.text)
        while not (turn.terminated or turn.truncated):
            command = made.expert()
            turn = made.step(command)
            texts += [command, turn.text]
    made.close()
    return texts


def write_model(
    place: Path, *, texts: list[str], words: Mapping[str, Any], context: int, seed: int
) -> None:
    """Write a small Qwen3 with random weights and a vocabulary of pieces of words.

    Args:
        place: the folder to make.
        texts: what the vocabulary is taken from; bytes that are in none of them have entries too.
        words: see `learn`.
        context: the longest sequence, tokens.
        seed: of the weights.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=words["vocabulary"], special_tokens=[_PAD, _END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=_PAD, eos_token=_END)
    fast.save_pretrained(place)
    width, heads = int(words["width"]), int(words["heads"])
    config = Qwen3Config(
        vocab_size=len(fast), hidden_size=width, intermediate_size=3 * width,
        num_hidden_layers=int(words["layers"]), num_attention_heads=heads,
        num_key_value_heads=heads // 2, head_dim=width // heads, max_position_embeddings=context,
        tie_word_embeddings=True, pad_token_id=fast.pad_token_id, eos_token_id=fast.eos_token_id,
        bos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        Qwen3ForCausalLM(config).save_pretrained(place)
