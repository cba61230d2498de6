"""Stable-Baselines3 learners under a reward mix.

``make_model`` builds one; ``books_of`` gives its mix and numbers; ``RewardLogger`` writes them to
SB3's logger.
"""

from ctrl.sb3.algorithms import ALGORITHMS, find_algorithm
from ctrl.sb3.books import Books
from ctrl.sb3.callbacks import RewardLogger
from ctrl.sb3.model import books_of, make_model
from ctrl.sb3.recorder import Recorder

__all__ = [
    "ALGORITHMS",
    "Books",
    "Recorder",
    "RewardLogger",
    "books_of",
    "find_algorithm",
    "make_model",
]
