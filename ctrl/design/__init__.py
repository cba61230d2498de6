"""Reward design: programs written by a language model or a search, tried out, analysed, refined."""
