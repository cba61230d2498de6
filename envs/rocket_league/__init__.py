"""Rocket League."""
