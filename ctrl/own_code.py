"""What in a configuration would run code that ctrl does not ship."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctrl.config import TermConfig, TrainConfig
from reward_models.registry import absolute_use, is_own_code

_NAMES_CODE = ("use", "gate", "function", "model")
"""Keys of a reward's settings whose text names rewards or functions, at any depth."""

_NAMES_PROGRAMS = ("program", "fallback")
"""Keys whose text names files of coded rewards, which run in a sandbox."""


def own_code(config: TrainConfig) -> list[str]:
    """Return what in a configuration would run code that ctrl does not ship."""
    found = [f"env {config.env.id}"] if ":" in config.env.id else []
    for name, term in config.reward.items():
        settings = {"use": term.use, "gate": term.gate, **term.options}
        found += [f"reward {name}: {use}" for use in _named_code(settings)]
    for name, part in config.objective.items():
        settings = {"use": part.use, **part.options}
        found += [f"objective {name}: {use}" for use in _named_code(settings)]
    return found


def _named_code(settings: Any) -> Iterator[str]:
    if isinstance(settings, Mapping):
        # A learned blend names code in its folder, a coded reward is code itself; this lets it run.
        if settings.get("trust_code"):
            named = (settings.get(key) for key in ("path", "program", "use"))
            yield f"what {next(filter(None, named), None)} names (trust_code: true)"
        for key, value in settings.items():
            if key in _NAMES_CODE and isinstance(value, str):
                yield from [value] if is_own_code(value) else []
            else:
                yield from _named_code(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _named_code(value)


def absolute_term(term: TermConfig) -> TermConfig:
    """Return a term with the paths of all files of code written out, at any depth."""

    def absolute(key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: absolute(name, each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [absolute("", each) for each in value]
        if key in _NAMES_PROGRAMS and isinstance(value, str) and value.endswith(".py"):
            return str(Path(value).expanduser().resolve())
        return absolute_use(value) if key in _NAMES_CODE and isinstance(value, str) else value

    gate = None if term.gate is None else absolute_use(term.gate)
    options = absolute("", term.options)
    return replace(term, use=absolute_use(term.use), gate=gate, options=options)
