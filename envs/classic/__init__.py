"""Classic control: gymnasium's small tasks, listed beside the simulators."""
