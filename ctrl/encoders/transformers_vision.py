"""Vision models of ``transformers`` as encoders of pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn

from reward_models.encoders import Encoder, seeded
from reward_models.errors import MissingDependencyError, UserError

_POOLS = ("mean", "first", "pooler")


@final
class TransformersVisionEncoder(Encoder):
    """Features of pictures from a vision model, or from the vision half of a language one.

    Pictures are scaled to the model's own size and statistics, passed through the backbone, pooled,
    and mapped to ``D`` features by a trainable linear layer. The backbone is frozen unless
    ``train_backbone``; a frozen one that was read from a folder is not stored with the weights.

    Args:
        space: Box of one picture, uint8 ``[H, W, 3]``.
        model: folder of a saved model (``config.json`` and ``model.safetensors``), or its
            configuration as a mapping with ``model_type``, which is initialised at random. Nothing
            is downloaded, and no code that a model brings along is run.
        size: number of features ``D``.
        pool: ``mean`` of the tokens, the ``first`` one, or the model's own ``pooler``.
        train_backbone: whether training changes it.
        seed: of weights that are drawn.

    Raises:
        UserError: no picture, no model there, or a model that sees nothing.
        MissingDependencyError: transformers is not installed.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        *,
        space: spaces.Box,
        model: str | Path | Mapping[str, Any],
        size: int = 128,
        pool: str = "mean",
        train_backbone: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(input_space=space, output_size=size)
        if space.dtype != np.uint8 or len(space.shape) != 3 or space.shape[2] != 3:
            raise UserError(f"A vision model reads pictures uint8 [H, W, 3], got {space}.")
        if pool not in _POOLS:
            raise UserError(f"pool must be one of {', '.join(_POOLS)}, got {pool!r}.")
        self.pool, self.train_backbone = pool, train_backbone
        self.folder = None if isinstance(model, Mapping) else str(Path(model).expanduser())
        with seeded(seed):
            self.backbone = _vision_part(_drawn(model) if self.folder is None else _read(model))
        config = self.backbone.config
        side = config.image_size
        self.sides = (side, side) if isinstance(side, int) else tuple(side)
        mean, deviation = _statistics(self.folder)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)
        if not train_backbone:
            self.backbone.requires_grad_(False)
        with seeded(seed + 1):
            self.linear = nn.Linear(config.hidden_size, size)

    def forward(self, inputs: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the features of pictures ``[..., H, W, 3]``."""
        lead = inputs.shape[:-3]
        pixels = inputs.reshape(-1, *inputs.shape[-3:]).permute(0, 3, 1, 2).to(torch.float32)
        pixels = nn.functional.interpolate(
            pixels / 255.0, size=self.sides, mode="bilinear", antialias=True
        )
        pixels = (pixels - self.mean) / self.deviation
        frozen = not self.train_backbone
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            seen = self.backbone(pixel_values=pixels)
        return self.linear(self._pooled(seen)).reshape(*lead, self.output_size)

    def train(self, mode: bool = True) -> TransformersVisionEncoder:
        """Switch training on or off; a frozen backbone never drops out."""
        super().train(mode)
        self.backbone.train(mode and self.train_backbone)
        return self

    def redraw(self) -> None:
        """Draw the linear layer anew; a pretrained backbone stays."""
        self.linear.reset_parameters()

    def describe(self) -> dict[str, Any]:
        """Return how to build this encoder again, without its weights."""
        model = self.folder if self.folder is not None else self.backbone.config.to_dict()
        return {
            "kind": "transformers",
            "space": {"shape": list(self.input_space.shape or ())},
            "model": model,
            "size": self.output_size,
            "pool": self.pool,
            "train_backbone": self.train_backbone,
        }

    @classmethod
    def described(cls, made: Mapping[str, Any]) -> TransformersVisionEncoder:
        """Build what `describe` described."""
        options = {key: made[key] for key in ("model", "size", "pool", "train_backbone")}
        return cls(space=spaces.Box(0, 255, tuple(made["space"]["shape"]), np.uint8), **options)

    def never_trained(self) -> list[str]:
        """Return the names of parameters that stay as they are, whoever asks for training."""
        if self.train_backbone:
            return []
        return [f"backbone.{name}" for name, _ in self.backbone.named_parameters()]

    def stored_elsewhere(self) -> list[str]:
        """Return the names of weights that never train and lie in the model's own folder."""
        if self.train_backbone or self.folder is None:
            return []
        return [f"backbone.{name}" for name in self.backbone.state_dict()]

    def _pooled(self, seen: Any) -> Tensor:
        if self.pool == "mean":
            return seen.last_hidden_state.mean(1)
        if self.pool == "first":
            return seen.last_hidden_state[:, 0]
        pooled = getattr(seen, "pooler_output", None)
        if pooled is None:
            raise UserError("This vision model has no pooler; use pool: mean or first.")
        return pooled


def _read(folder: Any) -> Any:
    transformers = _transformers()
    path = Path(folder).expanduser()
    if not (path / "config.json").is_file():
        raise UserError(
            f"There is no transformers model in {path}: expected config.json and "
            "model.safetensors there. Nothing is downloaded; save one with save_pretrained."
        )
    try:
        return transformers.AutoModel.from_pretrained(
            str(path), local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise UserError(f"The model in {path} cannot be read: {error}") from error


def _drawn(config: Any) -> Any:
    transformers = _transformers()
    options = dict(config)
    kind = options.pop("model_type", None)
    try:
        made = transformers.AutoConfig.for_model(str(kind), **options)
        return transformers.AutoModel.from_config(made, trust_remote_code=False)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"transformers cannot make a model of type {kind!r}: {error}") from error


def _vision_part(model: Any) -> Any:
    """Return the part of a model that sees: itself, or the vision half of a language model."""
    for name in ("vision_model", "vision_tower", "visual"):
        part = getattr(model, name, None)
        if isinstance(part, nn.Module) and hasattr(part, "config"):
            model = part
            break
    if not (hasattr(model.config, "image_size") and hasattr(model.config, "hidden_size")):
        raise UserError(f"{type(model).__name__} is no vision model with a fixed picture size.")
    return model


def _statistics(folder: str | None) -> tuple[list[float], list[float]]:
    """Return mean and deviation of the pixels that a model was trained with, 0.5 unless it says."""
    path = None if folder is None else Path(folder) / "preprocessor_config.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path and path.is_file() else {}
    half = [0.5, 0.5, 0.5]
    return told.get("image_mean", half), told.get("image_std", half)


def _transformers() -> Any:
    try:
        import transformers  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingDependencyError(
            'Vision models need transformers: pip install "ctrl[llm]".'
        ) from error
    return transformers
