"""Imitation on the learner's side: behaviour cloning, and how steep what was learned is."""
