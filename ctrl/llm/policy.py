"""A causal transformer as a policy over tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ctrl.llm.sequences import PADDING, Sequences
from ctrl.objectives.entropy import EntropyTag, entropy_of
from reward_models.errors import UserError


@dataclass(frozen=True)
class TokenOutput:
    """What the policy says about the tokens of sequences, ``[T, B]`` each.

    Attributes:
        log_prob: of the policy's own tokens, at the sampling temperature; 0 on padding.
        entropy: over the whole vocabulary at that temperature; 0 on padding.
        value: of the critic before the token, or None without one.
        logits: divided by the temperature, ``[T, B, V]``, in float32.
        hidden: last hidden state before the token, ``[T, B, D]``.
        tag: what the entropy is of.
    """

    log_prob: Float[Tensor, "T B"]
    entropy: Float[Tensor, "T B"]
    value: Tensor | None
    logits: Float[Tensor, "T B V"]
    hidden: Float[Tensor, "T B D"]
    tag: EntropyTag


@final
class LanguagePolicy(torch.nn.Module):
    """A causal transformer, its tokenizer, and a critic where one is asked for.

    Args:
        model: of ``transformers``, with or without adapters of ``peft``.
        tokenizer: its tokenizer, with a padding and an end token.
        context: the longest sequence, in tokens.
        temperature: of sampling; log-probabilities and entropies are taken at it.
        critic: add a linear value head on the last hidden state, 0 at first.

    Attributes:
        vocabulary: V, number of logits.
        width: D, size of a hidden state.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, context: int, temperature: float = 1.0,
        critic: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.context, self.temperature = context, float(temperature)
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        settings = causal.config.get_text_config()
        self.width, self.vocabulary = int(settings.hidden_size), int(settings.vocab_size)
        self.value_head: torch.nn.Linear | None = None
        if critic:
            self.value_head = torch.nn.Linear(self.width, 1)
            torch.nn.init.zeros_(self.value_head.weight)
            torch.nn.init.zeros_(self.value_head.bias)
        # Dropout would make log-probabilities of sampling and training differ.
        model.eval()

    @property
    def causal(self) -> Any:
        """The language model itself, below adapters."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> LanguagePolicy:
        """Leave the transformer in evaluation mode, whatever is asked: dropout stays off."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(
        self,
        ids: Int[Tensor, "B L"],
        attention: Int[Tensor, "B K"],
        positions: Int[Tensor, "B L"],
        chosen: Int[Tensor, "B N"],
        cache: Any = None,
    ) -> tuple[Float[Tensor, "B N V"], Float[Tensor, "B N D"]]:
        """Run the transformer, columns first as it wants them.

        Args:
            ids: new tokens.
            attention: 1 for every token, cached or new, that may be attended to.
            positions: of the new tokens in their sequences.
            chosen: which of the new tokens to give results for.
            cache: of ``transformers``; is extended.

        Returns:
            Raw logits and last hidden states of the chosen tokens.
        """
        causal = self.causal
        body = causal.base_model(
            input_ids=ids, attention_mask=attention, position_ids=positions,
            cache=cache, use_cache=cache is not None,
        )  # fmt: skip
        every = body.last_hidden_state
        hidden = every.gather(1, chosen.unsqueeze(-1).expand(-1, -1, every.shape[-1]))
        logits = causal.get_output_embeddings()(hidden)
        cap = getattr(causal.config.get_text_config(), "final_logit_softcapping", None)
        if cap:
            logits = cap * torch.tanh(logits / cap)
        return logits, hidden

    def value(self, hidden: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch"]:
        """Return the critic's value of last hidden states.

        Raises:
            UserError: this policy has no critic.
        """
        if self.value_head is None:
            raise UserError("This policy has no critic; take token_ppo or turn_ppo.")
        return self.value_head(hidden.float()).squeeze(-1)

    def evaluate(self, sequences: Sequences, *, forward: Any = None) -> TokenOutput:
        """Say what the present policy thinks of the policy tokens of sequences.

        Args:
            sequences: ``[L, B]``.
            forward: called instead of ``forward``, where several processes share the gradient.
        """
        sequences = sequences.to(self.device)
        attention = (sequences.kind != PADDING).long()
        positions = (attention.cumsum(0) - 1).clamp_min(0)
        # Position t of a transformer predicts token t + 1.
        before = (sequences.place - 1).T
        logits, hidden = (forward or self)(sequences.ids.T, attention.T, positions.T, before)
        logits = logits.transpose(0, 1).float() / self.temperature
        hidden, mask = hidden.transpose(0, 1), sequences.mask
        log_p = torch.log_softmax(logits, dim=-1)
        taken = log_p.gather(-1, sequences.at_steps(sequences.ids).unsqueeze(-1)).squeeze(-1)
        return TokenOutput(
            log_prob=torch.where(mask, taken, 0.0),
            entropy=torch.where(mask, entropy_of(logits), 0.0),
            value=None if self.value_head is None else torch.where(mask, self.value(hidden), 0.0),
            logits=logits,
            hidden=hidden,
            tag=EntropyTag(temperature=self.temperature, gradient=torch.is_grad_enabled()),
        )

    def final_values(self, sequences: Sequences) -> Float[Tensor, " B"]:
        """Return the critic's value behind the last token of every sequence."""
        sequences = sequences.to(self.device)
        attention = (sequences.kind != PADDING).long()
        positions = (attention.cumsum(0) - 1).clamp_min(0)
        last = attention.sum(0, keepdim=True) - 1
        _, hidden = self(sequences.ids.T, attention.T, positions.T, last.T)
        return self.value(hidden.squeeze(1))

    @contextmanager
    def without_adapters(self) -> Iterator[None]:
        """Act as the model did before its adapters were trained.

        Raises:
            UserError: this policy has no adapters.
        """
        if not hasattr(self.model, "disable_adapter"):
            raise UserError("This policy has no adapters.")
        with self.model.disable_adapter():
            yield


def check_logits(policy: LanguagePolicy) -> None:
    """Compare our reading of logits with the model's own, on a few tokens.

    Raises:
        UserError: they differ: the architecture treats its logits in a way that is not known here.
    """
    ids = torch.arange(3, 11, device=policy.device).unsqueeze(0) % policy.vocabulary
    every = torch.ones_like(ids)
    positions = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
    with torch.no_grad():
        ours, _ = policy(ids, every, positions, positions)
        theirs = policy.model(input_ids=ids, attention_mask=every).logits
    if not torch.allclose(ours.float(), theirs.float(), atol=1e-2, rtol=1e-2):
        raise UserError(
            f"{type(policy.causal).__name__} changes its logits after the last layer in a way that "
            "ctrl does not know. Take another architecture."
        )


def trainable(policy: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """Return the parameters that learn, by name."""
    return [(name, p) for name, p in policy.named_parameters() if p.requires_grad]


def all_finite(tensors: list[Tensor]) -> Bool[Tensor, ""]:
    """Whether every number of every tensor is finite."""
    return torch.stack([tensor.isfinite().all() for tensor in tensors]).all()
