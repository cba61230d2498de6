"""Benchmarks of the literature whose data no package brings: refused by name, with a substitute."""

from __future__ import annotations

from typing import final

_WEB = "is a set of web pages or containers that have to be downloaded"
_FILE = "is a file of questions that has to be downloaded"
_FROM_FILE = "Questions-v0 with your copy as `file`"
# Beginning of the name, in lower case: what is missing, and what to use instead.
_EXTERNAL: dict[str, tuple[str, str]] = {
    "alfworld": ("has game files that have to be downloaded", "TextWorld-Cooking-v0"),
    "webshop": (_WEB, "ScienceWorld-v0 or TextWorld-TreasureHunter-v0"),
    "swe": (_WEB, "TextWorld-W8-O12-Q4-v0, which has long episodes too"),
    "gsm8k": (_FILE, f"{_FROM_FILE}, or ReasoningGym-v0 with dataset='gsm_symbolic'"),
    "math": (_FILE, f"{_FROM_FILE}, or ReasoningGym-v0 with dataset='complex_arithmetic'"),
    "aime": (_FILE, f"{_FROM_FILE}, or Countdown-v0 with operands=6"),
    "sokoban": ("has pictures that have to be downloaded", "MiniHack-Sokoban1a-v1"),
}


@final
class ExternalDataError(FileNotFoundError):
    """External data required: an environment needs files that no package brings.

    Args:
        name: the environment.
        missing: what is missing, as the rest of a sentence.
        cure: what to do or to use instead.
    """

    def __init__(self, name: str, missing: str, cure: str) -> None:
        super().__init__(f"External data required: {name} {missing}. {cure}")


def refuse_external(name: str) -> None:
    """Raise for the name of a benchmark whose data cannot be had offline.

    Raises:
        ExternalDataError: with what to use instead.
    """
    for prefix, (missing, substitute) in _EXTERNAL.items():
        if name.lower().startswith(prefix):
            raise ExternalDataError(name, missing, f"Use instead: {substitute}.")
