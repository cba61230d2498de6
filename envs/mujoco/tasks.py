"""The MuJoCo tasks by name: Gymnasium's, gymnasium-robotics', and our own sparse ones."""

from __future__ import annotations

from envs.tasks import Family, Task

_LOCOMOTION = {
    "Ant-v5": "four-legged walker in 3-D, 8 joints",
    "HalfCheetah-v5": "planar runner, 6 joints; never falls",
    "Hopper-v5": "planar one-legged hopper, 3 joints",
    "Humanoid-v5": "humanoid walker in 3-D, 17 joints",
    "HumanoidStandup-v5": "humanoid that stands up from the floor",
    "InvertedDoublePendulum-v5": "two poles balanced on a cart",
    "InvertedPendulum-v5": "a pole balanced on a cart",
    "Pusher-v5": "arm that pushes a cylinder to a target",
    "Reacher-v5": "two-jointed arm that reaches a target",
    "Swimmer-v5": "three-link swimmer, 2 joints",
    "Walker2d-v5": "planar two-legged walker, 6 joints",
}
_ROBOTICS = {
    "AdroitHandDoor-v1": "24-jointed hand that opens a door; AdroitHandDoorSparse-v1 too",
    "AdroitHandHammer-v1": "24-jointed hand that drives a nail",
    "AdroitHandPen-v1": "24-jointed hand that turns a pen to an orientation",
    "AdroitHandRelocate-v1": "24-jointed hand that moves a ball to a target",
    "AntMaze_Large-v5": "ant in the large maze; goal-keyed, sparse",
    "AntMaze_Medium-v5": "ant in the medium maze; goal-keyed, sparse",
    "AntMaze_UMaze-v5": "ant in a U-shaped maze; goal-keyed, sparse",
    "FetchPickAndPlace-v4": "arm that lifts a block to a target; goal-keyed, sparse",
    "FetchPush-v4": "arm that pushes a block to a target; goal-keyed, sparse",
    "FetchReach-v4": "arm that moves its gripper to a target; goal-keyed, sparse",
    "FetchSlide-v4": "arm that hits a puck to a target; goal-keyed, sparse",
    "FrankaKitchen-v1": "arm in a kitchen with seven sub-tasks; goal-keyed, one per sub-task",
    "PointMaze_Large-v3": "force-driven ball in the large maze; goal-keyed, sparse",
    "PointMaze_Medium-v3": "force-driven ball in the medium maze; goal-keyed, sparse",
    "PointMaze_UMaze-v3": "force-driven ball in a U-shaped maze; goal-keyed, sparse",
}
_EPISODIC = {
    "Ant": ("ant_v5:AntEnv", 1000),
    "HalfCheetah": ("half_cheetah_v5:HalfCheetahEnv", 1000),
    "Hopper": ("hopper_v5:HopperEnv", 1000),
    "Humanoid": ("humanoid_v5:HumanoidEnv", 1000),
    "HumanoidStandup": ("humanoidstandup_v5:HumanoidStandupEnv", 1000),
    "Reacher": ("reacher_v5:ReacherEnv", 50),
    "Swimmer": ("swimmer_v5:SwimmerEnv", 1000),
    "Walker2d": ("walker2d_v5:Walker2dEnv", 1000),
}
_MAZES = {
    "PointMazeGoal_UMaze-v0": ("point", "umaze", 300),
    "PointMazeGoal_Medium-v0": ("point", "medium", 600),
    "PointMazeGoal_Large-v0": ("point", "large", 800),
    "AntMazeGoal_UMaze-v0": ("ant", "umaze", 700),
    "AntMazeGoal_Medium-v0": ("ant", "medium", 1000),
    "AntMazeGoal_Large-v0": ("ant", "large", 1000),
}
_OWN = (
    Task(
        "HalfCheetahGoal-v0",
        "cheetah paid 1 for carrying its torso 5 m",
        "envs.mujoco.sparse_goal:HalfCheetahGoalEnv",
        max_episode_steps=200,
    ),
    Task(
        "HalfCheetahLure-v0",
        "deceptive: cheetah paid 1 at 5 m ahead, but 0.1 at 1 m behind; both end the episode",
        "envs.mujoco.deceptive:HalfCheetahLureEnv",
        max_episode_steps=200,
    ),
    Task(
        "HalfCheetahSparse-v0",
        "cheetah paid 1 per step faster than 1 m/s",
        "envs.mujoco.sparse_goal:HalfCheetahSparseEnv",
        max_episode_steps=1000,
    ),
    Task(
        "HopperGoal-v0",
        "hopper paid 1 for carrying its torso 1 m",
        "envs.mujoco.sparse_goal:HopperGoalEnv",
        max_episode_steps=300,
    ),
    Task(
        "HopperSparse-v0",
        "hopper paid 1 per step faster than 1 m/s",
        "envs.mujoco.sparse_goal:HopperSparseEnv",
        max_episode_steps=1000,
    ),
    Task(
        "PointMazeLure-v0",
        "deceptive: ball paid 1 for a goal 8 cells away, but 0.1 for a lure 2 cells away",
        "envs.mujoco.maze_goal:MazeGoalEnv",
        max_episode_steps=300,
        options={"robot": "point", "maze": "fork", "lure": 0.1},
        registered_by="gymnasium_robotics",
    ),
    *(
        Task(
            name,
            f"{robot} in the {maze} maze, paid 1 at the goal, which ends the episode",
            "envs.mujoco.maze_goal:MazeGoalEnv",
            max_episode_steps=limit,
            options={"robot": robot, "maze": maze},
            registered_by="gymnasium_robotics",
        )
        for name, (robot, maze, limit) in _MAZES.items()
    ),
    *(
        Task(
            f"{name}Episodic-v0",
            f"{name}-v5 with the whole return at the last step",
            f"gymnasium.envs.mujoco.{entry_point}",
            max_episode_steps=limit,
            wrappers=("envs.mujoco.episodic:EpisodicReturn",),
        )
        for name, (entry_point, limit) in _EPISODIC.items()
    ),
)

FAMILY = Family(
    name="mujoco",
    title="MuJoCo",
    extra="mujoco",
    modules=("mujoco",),
    tasks=(
        *(Task(name, line, registered_by="gymnasium") for name, line in _LOCOMOTION.items()),
        *(Task(name, line, registered_by="gymnasium_robotics") for name, line in _ROBOTICS.items()),
        *_OWN,
    ),
    prefixes=(
        ("adroithand", "gymnasium_robotics"),
        ("antmaze", "gymnasium_robotics"),
        ("fetch", "gymnasium_robotics"),
        ("frankakitchen", "gymnasium_robotics"),
        ("hand", "gymnasium_robotics"),
        ("pointmaze", "gymnasium_robotics"),
    ),
)
