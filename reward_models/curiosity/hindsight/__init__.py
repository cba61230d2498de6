"""Curiosity in hindsight: surprise about embeddings, without what nobody could have known."""
