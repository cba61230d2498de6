"""From a file, options and key=value words to the plain data of a configuration."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ctrl.config import apply_overrides, read_config
from reward_models.errors import UserError


def merged(
    options: argparse.Namespace,
    *,
    named: Mapping[str, str],
    plain: Sequence[str],
    widen: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Merge the file, the options and the key=value words, in this order.

    Args:
        options: with ``words``, ``reward`` and what the next two name.
        named: options that name a part of the configuration, and the key of the name in it.
        plain: options that are settings as they are.
        widen: see `ctrl.config.apply_overrides`.

    Raises:
        UserError: two files, two reward terms of a name, or a word that cannot be read.
    """
    files = [word for word in options.words if "=" not in word]
    if len(files) > 1:
        raise UserError(f"Expected one configuration file, got {', '.join(files)}.")
    data = read_config(files[0]) if files else {}
    overrides = [f"{key}={value}" for key in plain if (value := getattr(options, key)) is not None]
    for key, place in named.items():
        name = getattr(options, key)
        if name is not None:
            present = data.get(key)
            data[key] = {**present, place: name} if isinstance(present, dict) else name
    reward = dict(data.get("reward") or {})
    for text in options.reward:
        name, use, weight = _reward_option(text)
        if name in reward and not files:
            raise UserError(f"Two reward terms are called {name!r}; name them in a YAML file.")
        reward[name] = {"use": use, **({} if weight is None else {"weight": weight})}
    if reward:
        data["reward"] = reward
    return apply_overrides(data, [*overrides, *(w for w in options.words if "=" in w)], widen)


def _reward_option(text: str) -> tuple[str, str, float | None]:
    """Split ``NAME[=WEIGHT]`` into the term's name, what it uses and its weight."""
    use, equals, number = text.rpartition("=")
    if not equals:
        use, weight = text, None
    else:
        try:
            weight = float(number)
        except ValueError:
            raise UserError(
                f"--reward takes NAME or NAME=WEIGHT, got {text!r}: {number!r} is no number."
            ) from None
    return use.rpartition(":")[2], use, weight
