"""Sequences, formats and records keep every token where it belongs."""

from __future__ import annotations

import pytest
import torch

from ctrl.llm.config import ModelConfig
from ctrl.llm.formats import PromptFormat
from ctrl.llm.models import load_transformer
from ctrl.llm.sequences import ENVIRONMENT, PADDING, POLICY, PROMPT, Sequences
from reward_models.errors import UserError


def two() -> Sequences:
    return Sequences.of(
        [
            ([11, 12, 21, 22, 31, 23], [PROMPT] * 2 + [POLICY] * 2 + [ENVIRONMENT, POLICY],
             [0, 0, 0, 0, 0, 1]),
            ([13, 24], [PROMPT, POLICY], [0, 0]),
        ],
        padding=0,
    )  # fmt: skip


def test_steps_are_the_policys_own_tokens_in_order() -> None:
    sequences = two()
    assert sequences.ids.shape == (6, 2)
    assert sequences.mask.tolist() == [[True, True], [True, False], [True, False]]
    taken = torch.where(sequences.mask, sequences.at_steps(sequences.ids), -1)
    assert taken.T.tolist() == [[21, 22, 23], [24, -1, -1]]
    before = torch.where(sequences.mask, sequences.at_steps(sequences.ids, before=True), -1)
    assert before.T.tolist() == [[12, 21, 31], [13, -1, -1]]
    assert torch.where(sequences.mask, sequences.at_steps(sequences.turn), -1).T.tolist() == [
        [0, 0, 1],
        [0, -1, -1],
    ]


def test_columns_lose_the_padding_that_all_of_them_have() -> None:
    part = two().columns(torch.tensor([1]))
    assert part.ids.T.tolist() == [[13, 24]]
    assert not (part.kind == PADDING).any()


def test_garbage_in_the_padding_changes_nothing(policy) -> None:
    sequences = two()
    dirty = Sequences(
        torch.where(sequences.kind == PADDING, 77, sequences.ids), sequences.kind, sequences.turn
    )
    with torch.no_grad():
        clean, other = policy.evaluate(sequences), policy.evaluate(dirty)
    assert torch.equal(clean.log_prob, other.log_prob)
    assert torch.equal(clean.entropy, other.entropy)


class Chat:
    """A tokenizer with a template, over the bytes of the small one."""

    def __init__(self, template: str) -> None:
        self.inner = load_transformer(ModelConfig(width=32), seed=0)[1]
        self.inner.chat_template = template


TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_plain_text_and_back() -> None:
    _, tokenizer, _ = load_transformer(ModelConfig(width=32), seed=0)
    text = PromptFormat(tokenizer)
    assert tokenizer.decode(text.first("1+1=")) == "1+1=\n> "
    assert tokenizer.decode(text.later("Wrong.")) == "\nWrong.\n> "
    assert text.answer("2")[-1] == tokenizer.eos_token_id
    assert text.command(text.answer("go north")) == "go north"
    assert text.command([tokenizer.eos_token_id]) == ""
    # Bytes that are no text are data like any other.
    assert isinstance(text.command([200, 255, 3]), str)


def test_turns_of_a_chat_template_join_to_the_templates_own_rendering() -> None:
    tokenizer = Chat(TEMPLATE).inner
    text = PromptFormat(tokenizer, kind="chat")
    joined = [*text.first("one"), *text.answer("two"), *text.later("three")]
    whole = tokenizer.apply_chat_template(
        [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        ],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert tokenizer.decode(joined) == whole
    with pytest.raises(UserError, match="none"):
        PromptFormat(load_transformer(ModelConfig(width=32), seed=0)[1], kind="chat")
    with pytest.raises(UserError, match="changes or leaves out"):
        PromptFormat(Chat("{{ messages[-1].content }}").inner, kind="chat")


def test_thoughts_end_at_the_marker() -> None:
    _, tokenizer, _ = load_transformer(ModelConfig(width=32), seed=0)
    text = PromptFormat(tokenizer, answer_marker="</think>")
    tokens = text._encode("so</think>go east")
    assert text.command(tokens) == "go east"
    assert text.thinking(tokens) == len("so</think>")
    assert text.thinking(text._encode("so")) == 2
    assert text.command(text._encode("so")) == ""
    assert text.command(text.answer("go east")) == "go east"


def test_a_tokenizer_without_an_end_is_refused(tmp_path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    model, _, _ = load_transformer(ModelConfig(width=32), seed=0)
    model.save_pretrained(tmp_path)
    bare = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    )
    bare.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="neither a padding nor an end token"):
        load_transformer(ModelConfig(name=str(tmp_path)))
    bare.add_special_tokens({"eos_token": "b"})
    bare.save_pretrained(tmp_path)
    _, tokenizer, _ = load_transformer(ModelConfig(name=str(tmp_path)))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 1


def test_unknown_models_and_pickles_are_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="neither 'tiny' nor a folder"):
        load_transformer(ModelConfig(name=str(tmp_path / "nothing")))
    model, tokenizer, _ = load_transformer(ModelConfig(width=32), seed=0)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="safetensors"):
        load_transformer(ModelConfig(name=str(tmp_path)))
    with pytest.raises(UserError, match="must be even"):
        load_transformer(ModelConfig(width=30, heads=3))


def test_adapters_train_alone_and_can_be_left_out() -> None:
    pytest.importorskip("peft")
    from tests.ctrl.llm.conftest import small_policy

    policy = small_policy(lora_rank=4)
    learning = [name for name, p in policy.named_parameters() if p.requires_grad]
    assert learning
    assert all("lora" in name for name in learning)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(0))
        changed = policy.evaluate(two()).log_prob
        with policy.without_adapters():
            plain = policy.evaluate(two()).log_prob
    assert not torch.allclose(changed, plain)
    from tests.ctrl.llm.conftest import small_decoder
    from tests.ctrl.llm.test_decoding import Talk, check

    talk = Talk()
    talk.text(0, [70, 80])
    talk.turn(0, small_decoder(policy, keep_hidden=True).turn({0: [70, 80]})[0])
    check(policy, talk)
