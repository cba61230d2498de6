"""The rules behind ``reward_models.check``."""
