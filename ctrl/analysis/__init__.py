"""Seeing rewards of Rocket League: over the arena, over velocities, and over recorded matches."""
