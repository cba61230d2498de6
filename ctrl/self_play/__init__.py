"""Self-play: opponents from the learner's own past, and skill measured by matches."""
