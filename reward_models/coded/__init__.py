"""Rewards written as programs by a language model, a search or a person, run in a sandbox."""
