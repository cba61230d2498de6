"""MuJoCo: our sparse tasks, the saved state of a simulation, and stepping many at once."""
