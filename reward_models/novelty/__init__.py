"""Novelty and surprise of whole episodes: for searches over policies, and as rewards."""

from reward_models.novelty.ae_surprise import AESurprise
from reward_models.novelty.autoencoder import ImageAutoencoder, VectorAutoencoder
from reward_models.novelty.nearest import novelty
from reward_models.novelty.novelty_knn import NoveltyKNN
from reward_models.novelty.signature import log_signature, signature

__all__ = [
    "AESurprise",
    "ImageAutoencoder",
    "NoveltyKNN",
    "VectorAutoencoder",
    "log_signature",
    "novelty",
    "signature",
]
