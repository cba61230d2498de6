"""The NetHack tasks by name: those of nle and the levels of minihack, under their own ids.

The ids of minihack that cannot be made are left out: the Boxoban levels need files that are not
part of the package, and LavaCrossing and SimpleCrossing stop in minigrid 3.
"""

from __future__ import annotations

from envs.tasks import Family, Task

# Id, class and time limit (steps) by the module that defines the class, after what all of them are
# about. In minihack's rows "MiniHack-" and "MiniHack" stand before id and class.
_TASKS: dict[str, tuple[str, tuple[tuple[str, str, int], ...]]] = {
    "nle.env.base": (
        "the whole game; reward: score",
        (("NetHack-v0", "NLE", 5000),),
    ),
    "nle.env.tasks": (
        "one aim within the whole game",
        (
            ("NetHackScore-v0", "NetHackScore", 5000),
            ("NetHackStaircase-v0", "NetHackStaircase", 5000),
            ("NetHackStaircasePet-v0", "NetHackStaircasePet", 5000),
            ("NetHackOracle-v0", "NetHackOracle", 5000),
            ("NetHackGold-v0", "NetHackGold", 5000),
            ("NetHackEat-v0", "NetHackEat", 5000),
            ("NetHackScout-v0", "NetHackScout", 5000),
            ("NetHackChallenge-v0", "NetHackChallenge", 1_000_000),
        ),
    ),
    "minihack.navigation": (
        "your own level (option des_file), moves only; reach the stairs down",
        (("Navigation-Custom-v0", "Navigation", 100),),
    ),
    "minihack.skills": (
        "your own level (option des_file), all actions",
        (("Skill-Custom-v0", "Skill", 250),),
    ),
    "minihack.envs.room": (
        "reach the stairs down in a room",
        (
            ("Room-5x5-v0", "Room5x5", 100),
            ("Room-Random-5x5-v0", "Room5x5Random", 100),
            ("Room-Dark-5x5-v0", "Room5x5Dark", 100),
            ("Room-Monster-5x5-v0", "Room5x5Monster", 100),
            ("Room-Trap-5x5-v0", "Room5x5Trap", 100),
            ("Room-Ultimate-5x5-v0", "Room5x5Ultimate", 100),
            ("Room-15x15-v0", "Room15x15", 300),
            ("Room-Random-15x15-v0", "Room15x15Random", 300),
            ("Room-Dark-15x15-v0", "Room15x15Dark", 300),
            ("Room-Monster-15x15-v0", "Room15x15Monster", 300),
            ("Room-Trap-15x15-v0", "Room15x15Trap", 300),
            ("Room-Ultimate-15x15-v0", "Room15x15Ultimate", 300),
        ),
    ),
    "minihack.envs.corridor": (
        "find the stairs down through rooms and corridors",
        (
            ("Corridor-R2-v0", "Corridor2", 1000),
            ("Corridor-R3-v0", "Corridor3", 1000),
            ("Corridor-R5-v0", "Corridor5", 1000),
        ),
    ),
    "minihack.envs.keyroom": (
        "fetch the key, open the locked room, reach the stairs down",
        (
            ("KeyRoom-Fixed-S5-v0", "KeyRoom5x5Fixed", 200),
            ("KeyRoom-S5-v0", "KeyRoom5x5", 200),
            ("KeyRoom-S15-v0", "KeyRoom15x15", 400),
            ("KeyRoom-Dark-S5-v0", "KeyRoom5x5Dark", 200),
            ("KeyRoom-Dark-S15-v0", "KeyRoom15x15Dark", 400),
        ),
    ),
    "minihack.envs.mazewalk": (
        "find the stairs down in a maze",
        (
            ("MazeWalk-9x9-v0", "MazeWalk9x9", 200),
            ("MazeWalk-Mapped-9x9-v0", "MazeWalk9x9Premapped", 200),
            ("MazeWalk-15x15-v0", "MazeWalk15x15", 1000),
            ("MazeWalk-Mapped-15x15-v0", "MazeWalk15x15Premapped", 1000),
            ("MazeWalk-45x19-v0", "MazeWalk45x19", 1000),
            ("MazeWalk-Mapped-45x19-v0", "MazeWalk45x19Premapped", 1000),
        ),
    ),
    "minihack.envs.fightcorridor": (
        "fight a pack of rats one by one from a corridor, reach the stairs",
        (
            ("CorridorBattle-v0", "FightCorridor", 350),
            ("CorridorBattle-Dark-v0", "FightCorridorDark", 350),
        ),
    ),
    "minihack.envs.minigrid": (
        "cross rooms joined by doors to the stairs down",
        (
            ("MultiRoom-N2-v0", "MultiRoomN2", 40),
            ("MultiRoom-N4-v0", "MultiRoomN4", 120),
            ("MultiRoom-N6-v0", "MultiRoomN6", 240),
            ("MultiRoom-N10-v0", "MultiRoomN10", 360),
            ("MultiRoom-N6-OpenDoor-v0", "MultiRoomN6OpenDoor", 240),
            ("MultiRoom-N10-OpenDoor-v0", "MultiRoomN10OpenDoor", 360),
            ("MultiRoom-N2-Locked-v0", "MultiRoomN2Locked", 40),
            ("MultiRoom-N4-Locked-v0", "MultiRoomN4Locked", 120),
            ("MultiRoom-N6-Locked-v0", "MultiRoomN6Locked", 240),
            ("MultiRoom-N2-Lava-v0", "MultiRoomN2Lava", 40),
            ("MultiRoom-N4-Lava-v0", "MultiRoomN4Lava", 120),
            ("MultiRoom-N6-Lava-v0", "MultiRoomN6Lava", 240),
            ("MultiRoom-N10-Lava-v0", "MultiRoomN10Lava", 360),
            ("MultiRoom-N6-Lava-OpenDoor-v0", "MultiRoomN6LavaOpenDoor", 240),
            ("MultiRoom-N10-Lava-OpenDoor-v0", "MultiRoomN10LavaOpenDoor", 360),
            ("MultiRoom-N2-Monster-v0", "MultiRoomN2Monster", 40),
            ("MultiRoom-N4-Monster-v0", "MultiRoomN4Monster", 120),
            ("MultiRoom-N6-Monster-v0", "MultiRoomN6Monster", 240),
            ("MultiRoom-N2-Extreme-v0", "MultiRoomN2Extreme", 40),
            ("MultiRoom-N4-Extreme-v0", "MultiRoomN4Extreme", 120),
            ("MultiRoom-N6-Extreme-v0", "MultiRoomN6Extreme", 240),
            ("MultiRoom-N2-LavaMonsters-v0", "MultiRoomN2LavaMonsters", 40),
            ("MultiRoom-N4-LavaMonsters-v0", "MultiRoomN4LavaMonsters", 120),
            ("MultiRoom-N6-LavaMonsters-v0", "MultiRoomN6LavaMonsters", 240),
        ),
    ),
    "minihack.envs.memento": (
        "remember the cue of the first room to choose the right end",
        (
            ("Memento-Short-F2-v0", "MementoShortF2", 5000),
            ("Memento-F2-v0", "MementoF2", 5000),
            ("Memento-F4-v0", "MementoF4", 5000),
        ),
    ),
    "minihack.envs.river": (
        "push boulders into a river to cross it",
        (
            ("River-v0", "River", 350),
            ("River-Monster-v0", "RiverMonster", 350),
            ("River-Lava-v0", "RiverLava", 350),
            ("River-MonsterLava-v0", "RiverMonsterLava", 350),
            ("River-Narrow-v0", "RiverNarrow", 350),
        ),
    ),
    "minihack.envs.hidenseek": (
        "reach the stairs down while hiding from a strong monster",
        (
            ("HideNSeek-Mapped-v0", "HideAndSeekMapped", 200),
            ("HideNSeek-v0", "HideAndSeek", 200),
            ("HideNSeek-Lava-v0", "HideAndSeekLava", 200),
            ("HideNSeek-Big-v0", "HideAndSeekBig", 400),
        ),
    ),
    "minihack.envs.lab": (
        "find the stairs down in a labyrinth with a single long way",
        (
            ("Labyrinth-Big-v0", "Labyrinth", 1000),
            ("Labyrinth-Small-v0", "LabyrinthSmall", 400),
        ),
    ),
    "minihack.envs.exploremaze": (
        "search a maze for food to eat, then the stairs down",
        (
            ("ExploreMaze-Easy-v0", "ExploreMazeEasy", 500),
            ("ExploreMaze-Hard-v0", "ExploreMazeHard", 500),
            ("ExploreMaze-Easy-Mapped-v0", "ExploreMazeEasyMapped", 500),
            ("ExploreMaze-Hard-Mapped-v0", "ExploreMazeHardMapped", 500),
        ),
    ),
    "minihack.envs.skills_simple": (
        "one skill of the game",
        (
            ("Eat-v0", "Eat", 250),
            ("Pray-v0", "Pray", 250),
            ("Sink-v0", "Sink", 250),
            ("Wield-v0", "Wield", 250),
            ("Wear-v0", "Wear", 250),
            ("PutOn-v0", "PutOn", 250),
            ("Zap-v0", "Zap", 250),
            ("Read-v0", "Read", 250),
            ("Eat-Fixed-v0", "EatFixed", 250),
            ("Pray-Fixed-v0", "PrayFixed", 250),
            ("Sink-Fixed-v0", "SinkFixed", 250),
            ("Wield-Fixed-v0", "WieldFixed", 250),
            ("Wear-Fixed-v0", "WearFixed", 250),
            ("PutOn-Fixed-v0", "PutOnFixed", 250),
            ("Zap-Fixed-v0", "ZapFixed", 250),
            ("Read-Fixed-v0", "ReadFixed", 250),
            ("Eat-Distr-v0", "EatDistr", 250),
            ("Pray-Distr-v0", "PrayDistr", 250),
            ("Sink-Distr-v0", "SinkDistr", 250),
            ("Wield-Distr-v0", "WieldDistr", 250),
            ("Wear-Distr-v0", "WearDistr", 250),
            ("PutOn-Distr-v0", "PutOnDistr", 250),
            ("Zap-Distr-v0", "ZapDistr", 250),
            ("Read-Distr-v0", "ReadDistr", 250),
            ("ClosedDoor-v0", "ClosedDoor", 250),
            ("LockedDoor-v0", "LockedDoor", 250),
            ("LockedDoor-Fixed-v0", "LockedDoorFixed", 250),
        ),
    ),
    "minihack.envs.skills_wod": (
        "use a wand of death on a minotaur",
        (
            ("WoD-Easy-Full-v0", "WoDEasy", 50),
            ("WoD-Easy-Restricted-v0", "WoDEasyRestrictedActions", 50),
            ("WoD-Medium-Full-v0", "WoDMedium", 150),
            ("WoD-Medium-Restricted-v0", "WoDMediumRestrictedActions", 150),
            ("WoD-Hard-Full-v0", "WoDHard", 400),
            ("WoD-Hard-Restricted-v0", "WoDHardRestrictedActions", 400),
            ("WoD-Pro-Full-v0", "WoDPro", 1000),
            ("WoD-Pro-Restricted-v0", "WoDProRestrictedActions", 1000),
        ),
    ),
    "minihack.envs.skills_levitate": (
        "levitate with what lies there or is carried",
        (
            ("Levitate-Boots-Full-v0", "LevitateBoots", 250),
            ("Levitate-Boots-Restricted-v0", "LevitateBootsRestrictedActions", 250),
            ("Levitate-Ring-Full-v0", "LevitateRing", 250),
            ("Levitate-Ring-Restricted-v0", "LevitateRingRestrictedActions", 250),
            ("Levitate-Potion-Full-v0", "LevitatePotion", 250),
            ("Levitate-Potion-Restricted-v0", "LevitatePotionRestrictedActions", 250),
            ("Levitate-Random-Full-v0", "LevitateRandom", 400),
            ("Levitate-Boots-Fixed-v0", "LevitateBootsFixed", 250),
            ("Levitate-Ring-Fixed-v0", "LevitateRingFixed", 250),
            ("Levitate-Potion-Fixed-v0", "LevitatePotionFixed", 250),
        ),
    ),
    "minihack.envs.skills_freeze": (
        "freeze water or lava to cross it",
        (
            ("Freeze-Wand-Full-v0", "FreezeWand", 250),
            ("Freeze-Wand-Restricted-v0", "FreezeWandRestrictedActions", 250),
            ("Freeze-Horn-Full-v0", "FreezeHorn", 250),
            ("Freeze-Horn-Restricted-v0", "FreezeHornRestrictedActions", 250),
            ("Freeze-Random-Full-v0", "FreezeRandom", 250),
            ("Freeze-Random-Restricted-v0", "FreezeRandomRestrictedActions", 250),
            ("Freeze-Lava-Full-v0", "FreezeLava", 250),
            ("Freeze-Lava-Restricted-v0", "FreezeLavaRestrictedActions", 250),
        ),
    ),
    "minihack.envs.skills_lava": (
        "cross lava by levitation or cold",
        (
            ("LavaCross-Levitate-Potion-Pickup-Full-v0", "LCLevitatePotionPickup", 400),
            (
                "LavaCross-Levitate-Potion-Pickup-Restricted-v0",
                "LCLevitatePotionPickupRestrictedActions",
                400,
            ),
            ("LavaCross-Levitate-Potion-Inv-Full-v0", "LCLevitatePotionInv", 400),
            (
                "LavaCross-Levitate-Potion-Inv-Restricted-v0",
                "LCLevitatePotionInvRestrictedActions",
                400,
            ),
            ("LavaCross-Levitate-Ring-Pickup-Full-v0", "LCLevitateRingPickup", 400),
            (
                "LavaCross-Levitate-Ring-Pickup-Restricted-v0",
                "LCLevitateRingPickupRestrictedActions",
                400,
            ),
            ("LavaCross-Levitate-Ring-Inv-Full-v0", "LCLevitateRingInv", 400),
            (
                "LavaCross-Levitate-Ring-Inv-Restricted-v0",
                "LCLevitateRingInvRestrictedActions",
                400,
            ),
            ("LavaCross-Levitate-Full-v0", "LCLevitate", 400),
            ("LavaCross-Levitate-Restricted-v0", "LCLevitateRestrictedActions", 400),
            ("LavaCross-Full-v0", "LC", 250),
            ("LavaCross-Restricted-v0", "LCRestrictedActions", 250),
        ),
    ),
    "minihack.envs.skills_quest": (
        "cross a river of lava and fight through to the end",
        (
            ("Quest-Easy-v0", "QuestEasy", 500),
            ("Quest-Medium-v0", "QuestMedium", 1000),
            ("Quest-Hard-v0", "QuestHard", 1000),
        ),
    ),
    "minihack.envs.sokoban": (
        "push boulders into all pits, then reach the stairs",
        (
            ("Sokoban4a-v1", "Sokoban4a", 2000),
            ("Sokoban4b-v1", "Sokoban4b", 2000),
            ("Sokoban3a-v1", "Sokoban3a", 2000),
            ("Sokoban3b-v1", "Sokoban3b", 2000),
            ("Sokoban2a-v1", "Sokoban2a", 2000),
            ("Sokoban2b-v1", "Sokoban2b", 2000),
            ("Sokoban1a-v1", "Sokoban1a", 2000),
            ("Sokoban1b-v1", "Sokoban1b", 2000),
        ),
    ),
}
# Where a summary for the whole module says too little.
_SUMMARIES = {
    "NetHackScore-v0": "score; moves, kick, eat and search",
    "NetHackStaircase-v0": "reach the stairs down",
    "NetHackStaircasePet-v0": "reach the stairs down with the pet beside",
    "NetHackOracle-v0": "stand beside the Oracle",
    "NetHackGold-v0": "gold collected",
    "NetHackEat-v0": "nutrition eaten",
    "NetHackScout-v0": "squares seen for the first time",
    "NetHackChallenge-v0": "the whole game on the full keyboard, any character; reward: score",
}


def _task(module: str, row: tuple[str, str, int], summary: str) -> Task:
    name, kind, limit = row
    if module.startswith("minihack"):
        name, kind = f"MiniHack-{name}", f"MiniHack{kind}"
    return Task(
        name,
        _SUMMARIES.get(name, summary),
        "envs.nethack.environment:NetHackEnv",
        max_episode_steps=limit,
        options={"level": f"{module}:{kind}"},
    )


FAMILY = Family(
    name="nethack",
    title="NetHack (NLE and MiniHack)",
    extra="nethack",
    modules=("nle", "minihack"),
    tasks=tuple(
        _task(module, row, summary) for module, (summary, rows) in _TASKS.items() for row in rows
    ),
)
