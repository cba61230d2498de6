"""The continuous worlds by name."""

from __future__ import annotations

from typing import Any

from envs.tasks import Task


def _task(
    name: str, summary: str, simulation: str, limit: int | None = None, **options: Any
) -> Task:
    return Task(
        name,
        summary,
        entry_point="envs.single:SingleEnv",
        vector_entry_point="envs.vector:BatchedVectorEnv",
        max_episode_steps=limit,
        options={"simulation": f"envs.worlds.{simulation}", **options},
    )


# The search tasks end themselves: their reward is due at the end.
CONTINUOUS: tuple[Task, ...] = (
    _task(
        "PointWalker-v0",
        "a point in a square, paid for where it is after 50 steps, in three tiny discs",
        "point_walker:PointWalker",
    ),
    _task(
        "Curling-v0",
        "a two-joint arm pushes a ball; paid for where the ball is after 500 steps",
        "curling:Curling",
    ),
    _task(
        "HardMaze-v0",
        "a two-wheeled robot with range sensors in a deceptive maze; paid after 2000 steps",
        "hard_maze:HardMaze",
    ),
    _task(
        "RedundantArm-v0",
        "an arm of 20 joints, paid for where its tip is after 100 steps",
        "redundant_arm:RedundantArm",
    ),
    _task(
        "PointMass-v0",
        "bring a point mass to the origin; dense; an exact expert and distractors on request",
        "point_mass:PointMass",
        60,
    ),
    _task(
        "PointMassEpisodic-v0",
        "PointMass-v0 with the rewards of an episode paid together on its last step",
        "point_mass:PointMass",
        60,
        episodic=True,
    ),
    _task(
        "PointMassGoals-v0",
        "a point mass among sparse goals, with distractors, a hazard and a speed limit",
        "point_mass_goals:PointMassGoals",
        100,
    ),
    _task(
        "PickAndPlace2D-v0",
        "grasp an object, carry and release it; three views, one of them noisy and occluded",
        "pick_and_place:PickAndPlace",
        60,
    ),
)
