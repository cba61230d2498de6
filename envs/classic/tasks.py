"""The classic control tasks that come with gymnasium."""

from __future__ import annotations

from envs.tasks import Family, Task

FAMILY = Family(
    name="classic",
    title="classic control (gymnasium)",
    tasks=tuple(
        Task(name, summary, registered_by="gymnasium")
        for name, summary in (
            ("Acrobot-v1", "swing a two-link arm above a line; three torques"),
            ("CartPole-v1", "balance a pole on a cart; two actions"),
            ("MountainCar-v0", "leave a valley with a weak car; sparse; three actions"),
            ("MountainCarContinuous-v0", "leave a valley with a weak car; continuous force"),
            ("Pendulum-v1", "swing a pendulum up and hold it; continuous torque"),
        )
    ),
)
