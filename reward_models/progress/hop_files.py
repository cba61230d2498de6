"""Hop models on disk: weights and references as safetensors, how they are built as JSON."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from reward_models.encoders import Encoder
from reward_models.errors import UnknownNameError, UserError
from reward_models.progress.hop_model import HopModel

FORMAT = "ctrl.hop_model.v1"
ENCODERS = {
    "fitting": None,
    "transformers": "ctrl.encoders.transformers_vision:TransformersVisionEncoder",
}
"""Encoders that a stored model may ask for; a file can name no other code."""

_BUILD, _WEIGHTS = "hop_model.json", "hop_model.safetensors"


def save_hop_model(model: HopModel, folder: str | Path) -> Path:
    """Write a hop model into a folder, which is made when it is not there.

    Raises:
        UserError: its encoder is none that could be built again.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    space: Any = model.observation_space
    build = {
        "format": FORMAT,
        "shape": list(space.shape),
        "dtype": str(space.dtype),
        "low": float(space.low.min()),
        "high": float(space.high.max()),
        "views": model.views,
        "latent_size": model.encoder.output_size,
        "hidden": model.hidden,
        "encoder": _described(model),
    }
    (folder / _BUILD).write_text(json.dumps(build, indent=1) + "\n", encoding="utf-8")
    weights = {name: value.detach().cpu().contiguous() for name, value in _stored(model).items()}
    save_file(weights, str(folder / _WEIGHTS), metadata={"format": FORMAT})
    return folder


def load_hop_model(folder: str | Path) -> HopModel:
    """Read what `save_hop_model` wrote.

    Raises:
        UserError: the folder holds no hop model.
    """
    folder = Path(folder).expanduser()
    try:
        build = json.loads((folder / _BUILD).read_text(encoding="utf-8"))
        weights = load_file(str(folder / _WEIGHTS))
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"There is no hop model in {folder}: {error}. Train one and save it with "
            "reward_models.progress.save_hop_model."
        ) from error
    if not isinstance(build, dict) or build.get("format") != FORMAT:
        raise UserError(f"{folder / _BUILD} does not describe a hop model of this version.")
    dtype, shape = np.dtype(build["dtype"]), tuple(build["shape"])
    space = spaces.Box(build["low"], build["high"], shape, dtype.type)
    made = build["encoder"]
    if made["kind"] not in ENCODERS:
        raise UnknownNameError("encoder of a hop model", str(made["kind"]), ENCODERS)
    encoder: Encoder | None = None
    path = ENCODERS[made["kind"]]
    if path is not None:
        module, _, name = path.partition(":")
        encoder = getattr(importlib.import_module(module), name).described(made)
    model = HopModel(
        observation_space=space,
        views=build["views"],
        latent_size=build["latent_size"],
        hidden=build["hidden"],
        encoder=encoder,
    )
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if unexpected or set(missing) - _elsewhere(model):
        raise UserError(f"The weights in {folder} belong to a model of other sizes.")
    model.requires_grad_(False)
    return model


def _described(model: HopModel) -> dict[str, Any]:
    describe = getattr(model.encoder, "describe", None)
    if describe is not None:
        return dict(describe())
    if not type(model.encoder).__module__.startswith("reward_models.encoders"):
        raise UserError(
            f"A hop model with the encoder {type(model.encoder).__name__} cannot be saved: only "
            "those that are made for the space, and those that describe themselves, can be built "
            "again. Pass the model itself to the reward instead of a path."
        )
    return {"kind": "fitting"}


def _elsewhere(model: HopModel) -> set[str]:
    """Return the names of weights that are read from elsewhere, such as a frozen backbone."""
    names = getattr(model.encoder, "stored_elsewhere", None)
    return {f"encoder.{name}" for name in names()} if names is not None else set()


def _stored(model: HopModel) -> dict[str, torch.Tensor]:
    elsewhere = _elsewhere(model)
    return {name: value for name, value in model.state_dict().items() if name not in elsewhere}
