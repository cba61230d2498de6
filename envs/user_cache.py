"""Where files are kept that are made once and read again: games, converted weights."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """Return ``ctrl/NAME`` below ``XDG_CACHE_HOME`` or ``~/.cache``; it need not exist yet."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "ctrl" / name
