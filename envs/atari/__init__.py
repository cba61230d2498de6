"""Atari games on the Arcade Learning Environment, with sticky actions and room counts."""
