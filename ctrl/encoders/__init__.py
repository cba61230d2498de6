"""Encoders that need a library which reward models do without."""
