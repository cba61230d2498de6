"""The rules behind `envs.check`."""
