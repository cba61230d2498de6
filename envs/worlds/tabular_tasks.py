"""The tabular and grid worlds by name."""

from __future__ import annotations

from envs.tasks import Task, simulated

TABULAR: tuple[Task, ...] = (
    simulated(
        "CorridorTV-v0",
        "40 states in a row to explore, and a television that is new at every look; no reward",
        "corridors:corridor_tv",
        100,
    ),
    simulated(
        "RingTV-v0",
        "10 states in a ring, and a television that is new at every look; no reward",
        "corridors:ring_tv",
        100,
    ),
    simulated(
        "SerpentineMaze-v0",
        "241 cells of one winding corridor to explore; no reward",
        "grids:serpentine_maze",
        200,
    ),
    simulated(
        "OpenGrid-v0",
        "an empty room of 6x6 cells, or your own layout with a goal and pits",
        "grids:open_grid",
        50,
    ),
    simulated(
        "LavaGrid-v0",
        "a goal behind a wall of lava with one gap; the straight way is deadly",
        "grids:lava_grid",
        60,
    ),
    simulated(
        "TwoGoalGrid-v0",
        "two goals whose reaching rates are two objectives; one is a cell nearer",
        "grids:two_goal_grid",
        50,
    ),
    simulated(
        "CoffeeOfficeGrid-v0",
        "coffee first, then the office, never water: a task that needs a memory",
        "grids:coffee_office_grid",
        60,
    ),
    simulated(
        "LureCorridor-v0",
        "a goal on the right, and on the left a lure: good and bad auxiliary rewards",
        "corridors:lure_corridor",
        20,
    ),
    simulated(
        "ProgressChain-v0",
        "rising progress and a last step that mostly fails; shaping may make it stay",
        "chains:progress_chain",
        30,
    ),
    simulated(
        "GoalChain-v0",
        "20 states in a row with one reward at the far end",
        "chains:goal_chain",
        40,
    ),
    simulated(
        "SlipperyChain-v0",
        "a far reward that pays again and again, slips, an abyss and a distractor",
        "chains:slippery_chain",
        40,
    ),
    simulated(
        "CombinationLock-v0",
        "one good action per state, everything else starts over",
        "chains:combination_lock",
        10,
    ),
    simulated(
        "QuestChain-v0",
        "six right commands out of eight, paid one by one or at the end",
        "chains:quest_chain",
        12,
    ),
    simulated(
        "RandomMDP-v0",
        "a random world of 32 states and 4 actions with a random reward",
        "random_mdp:random_mdp",
        100,
    ),
    simulated(
        "Arms-v0",
        "one choice between arms with known rewards and violations",
        "turns:arms",
        None,
    ),
    simulated(
        "TwoStepXor-v0",
        "two choices that have to be equal: no reward per step says so",
        "turns:two_step_xor",
        None,
    ),
    simulated(
        "OrderedSymbols-v0",
        "ten symbols that contain three in order; only their sum is paid, at the end",
        "turns:ordered_symbols",
        None,
    ),
    simulated(
        "EditAndSubmit-v0",
        "a critic that can be pleased for ever against an outcome that must be dared",
        "turns:edit_and_submit",
        None,
    ),
    simulated(
        "GridRegions-v0",
        "a unit square with a goal region and a tempting one in the middle",
        "grid_regions:GridRegions",
        50,
    ),
    simulated(
        "TrackerMaze-v0",
        "rooms with moving blocks seen through 5x5 cells; four trackers to reach; no reward",
        "tracker_maze:TrackerMaze",
        500,
    ),
    Task(
        "NoisyTV-v0",
        "any environment (option inner) with noise in what it shows; see kind and place",
        entry_point="envs.worlds.noisy_tv:make",
    ),
    Task(
        "SerpentineMazeNoisy-v0",
        "the winding corridor with 16 channels of noise",
        entry_point="envs.worlds.noisy_tv:make",
        vector_entry_point="envs.worlds.noisy_tv:make_vec",
        options={"inner": "SerpentineMaze-v0", "place": "channels"},
    ),
    Task(
        "HalfCheetahSparseNoisy-v0",
        "the sparse cheetah with 16 channels of noise",
        entry_point="envs.worlds.noisy_tv:make",
        options={"inner": "HalfCheetahSparse-v0", "place": "channels"},
    ),
    Task(
        "MiniHackCorridorNoisyMessage-v0",
        "corridors of MiniHack with a new message of random letters at every step",
        entry_point="envs.worlds.noisy_tv:make",
        options={
            "inner": "MiniHack-Corridor-R3-v0",
            "place": "message",
            "key": "message",
            "size": 24,
        },
    ),
)
