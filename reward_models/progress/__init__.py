"""Process rewards from demonstrations: how far a task is done, as a reward that cannot mislead.

In the order of the published steps: ``discretisation`` and ``labels`` (what a model is to say),
``sampling`` (which pairs it learns), ``hop_model`` and ``hop_training``, ``reconstruction`` and
``fusion`` (from hops to progress), ``progress_model`` and ``progress_potential`` (the rewards).
``metrics`` says how good they are; `reward_models.demonstrations` is what all of it comes from.
"""

from reward_models.progress.discretisation import sampled_frames, segments_between
from reward_models.progress.fusion import Fusion
from reward_models.progress.hop_files import load_hop_model, save_hop_model
from reward_models.progress.hop_model import CallableHop, Hop, HopModel
from reward_models.progress.hop_training import HopTraining
from reward_models.progress.labels import ScoreParser, hop_labels
from reward_models.progress.metrics import value_order_correlation
from reward_models.progress.progress_model import ProgressReward
from reward_models.progress.progress_potential import ProgressPotential
from reward_models.progress.stored_potential import StoredPotential

__all__ = [
    "CallableHop",
    "Fusion",
    "Hop",
    "HopModel",
    "HopTraining",
    "ProgressPotential",
    "ProgressReward",
    "ScoreParser",
    "StoredPotential",
    "hop_labels",
    "load_hop_model",
    "sampled_frames",
    "save_hop_model",
    "segments_between",
    "value_order_correlation",
]
