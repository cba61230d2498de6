"""The continuous worlds by name."""

from __future__ import annotations

from envs.tasks import Task, simulated

# The search tasks end themselves: their reward is due at the end.
CONTINUOUS: tuple[Task, ...] = (
    simulated(
        "PointWalker-v0",
        "a point in a square, paid for where it is after 50 steps, in three tiny discs",
        "point_walker:PointWalker",
    ),
    simulated(
        "Curling-v0",
        "a two-joint arm pushes a ball; paid for where the ball is after 500 steps",
        "curling:Curling",
    ),
    simulated(
        "HardMaze-v0",
        "a two-wheeled robot with range sensors in a deceptive maze; paid after 2000 steps",
        "hard_maze:HardMaze",
    ),
    simulated(
        "RedundantArm-v0",
        "an arm of 20 joints, paid for where its tip is after 100 steps",
        "redundant_arm:RedundantArm",
    ),
    simulated(
        "PointMass-v0",
        "bring a point mass to the origin; dense; an exact expert and distractors on request",
        "point_mass:PointMass",
        60,
    ),
    simulated(
        "PointMassEpisodic-v0",
        "PointMass-v0 with the rewards of an episode paid together on its last step",
        "point_mass:PointMass",
        60,
        episodic=True,
    ),
    simulated(
        "PointMassGoals-v0",
        "a point mass among sparse goals, with distractors, a hazard and a speed limit",
        "point_mass_goals:PointMassGoals",
        100,
    ),
    simulated(
        "PickAndPlace2D-v0",
        "grasp an object, carry and release it; three views, one of them noisy and occluded",
        "pick_and_place:PickAndPlace",
        60,
    ),
    simulated(
        "PlanarFootball-v0",
        "a car shoves a ball into a goal; the quantities of Rocket League, in the plane",
        "planar_football:PlanarFootball",
        200,
    ),
)
