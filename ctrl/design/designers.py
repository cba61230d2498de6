"""Designers by name: the search, and a language model behind any backend."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from ctrl.design.backends.backend import Backend
from ctrl.design.backends.exchanges import StoredExchanges
from ctrl.design.backends.openai_chat import OpenAIChat
from ctrl.design.backends.replay import Replay, Script
from ctrl.design.chat_designer import ChatDesigner
from ctrl.design.config import DesignConfig
from ctrl.design.designer import Designer
from ctrl.design.search.search_designer import SearchDesigner
from reward_models.errors import UnknownNameError, UserError

_BACKENDS: dict[str, type[Backend]] = {"openai": OpenAIChat, "replay": Replay, "script": Script}


def make_designer(config: DesignConfig, exchange: Path) -> tuple[Designer, StoredExchanges | None]:
    """Build the designer of a configuration.

    Args:
        config: the design.
        exchange: file in which every exchange with a backend is kept.

    Returns:
        The designer, and the stored exchanges; None where there is no conversation.

    Raises:
        UnknownNameError: an option that the backend does not have.
        UserError: the backend cannot be used.
    """
    part = config.backend
    if part.name == "search":
        return _built(SearchDesigner, part.name, part.options), None
    backend = _built(_BACKENDS[part.name], part.name, part.options)
    stored = StoredExchanges(backend, exchange)
    designer = ChatDesigner(
        stored, temperature=part.temperature, repair_temperature=part.repair_temperature
    )
    return designer, stored


def _built(kind: type, name: str, options: dict[str, Any]) -> Any:
    known = inspect.signature(kind).parameters
    for key in options:
        if key not in known:
            raise UnknownNameError(f"option of the {name} backend", key, known)
    for key, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and key not in options:
            raise UserError(f"The {name} backend needs backend.{key}.")
    return kind(**options)
