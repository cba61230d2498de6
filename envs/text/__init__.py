"""Text environments: puzzles, games and levels in words, with the records that rewards read.

    from envs.text import make_text

    env = make_text("Countdown-v0", operands=3)
    turn = env.reset(task=7)
    turn = env.step(env.expert())
    assert turn.info["won"]

Importing this package imports no simulator.
"""

from envs.text.environment import TextEnvironment
from envs.text.external import ExternalDataError
from envs.text.registry import make_text, text_names
from envs.text.turns import TextTurn
from envs.text.vector import TextVector

__all__ = [
    "ExternalDataError",
    "TextEnvironment",
    "TextTurn",
    "TextVector",
    "make_text",
    "text_names",
]
