"""NetHack: the tasks of nle and the levels of minihack; see `envs.nethack.environment`."""
