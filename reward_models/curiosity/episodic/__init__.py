"""Novelty within the running episode, in features of what the agent can influence."""
