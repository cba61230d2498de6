"""The text environments by name, listed without importing a simulator."""

from __future__ import annotations

from envs.tasks import Family, Task

_PUZZLES = "envs.text.arithmetic"
_TEXTWORLD = "envs.text.textworld_games:TextWorldEnvironment"
_SCIENCEWORLD = "envs.text.scienceworld_tasks:ScienceWorldEnvironment"
_BABYAI = "envs.text.babyai:BabyAIEnvironment"
_NETHACK = "envs.text.nethack:NetHackTextEnvironment"

# Rooms, objects, length of the quest and limit of turns: from easy to hard.
_LADDER = ((2, 3, 4, 12), (4, 6, 8, 24), (8, 12, 4, 24))


def _ladder(rooms: int, objects: int, quest: int, limit: int) -> Task:
    return Task(
        f"TextWorld-W{rooms}-O{objects}-Q{quest}-v0",
        f"{rooms} rooms, {objects} objects, a quest of {quest} commands; {limit} turns",
        _TEXTWORLD,
        options={
            "rooms": rooms, "objects": objects, "quest_length": quest, "max_turns": limit
        },
    )  # fmt: skip


_NETHACK_FAMILY = Family(
    name="text/nethack",
    title="Text: NetHack and MiniHack, any of their ids",
    extra="nethack",
    modules=("nle", "minihack"),
    tasks=(),
)
FAMILIES: tuple[Family, ...] = (
    Family(
        name="text/arithmetic",
        title="Text: arithmetic with exact verifiers, and questions of your own",
        tasks=(
            Task("Addition-v0", "add several numbers (options operands, digits)",
                 f"{_PUZZLES}:Addition"),
            Task("Countdown-v0", "use each number once to make a target (option operands)",
                 "envs.text.countdown:Countdown"),
            Task("LinearEquation-v0", "solve a x + b = c x + d for a whole x (option largest)",
                 f"{_PUZZLES}:LinearEquation"),
            Task("Questions-v0", "questions and answers of a file of yours (options file, ...)",
                 "envs.text.question_file:QuestionFile"),
            Task("ModularChain-v0", "a chain of + - * modulo a prime (options length, modulus)",
                 f"{_PUZZLES}:ModularChain"),
        ),
    ),
    Family(
        name="text/reasoning-gym",
        title="Text: reasoning-gym",
        extra="text",
        modules=("reasoning_gym",),
        tasks=(
            Task("ReasoningGym-v0", "any of its data sets (option dataset, such as 'chain_sum')",
                 "envs.text.reasoning:ReasoningGym"),
        ),
    ),
    Family(
        name="text/textworld",
        title="Text: TextWorld",
        extra="text",
        modules=("textworld",),
        tasks=(
            *(_ladder(*row) for row in _LADDER),
            Task("TextWorld-v0", "a game of your own (options rooms, objects, quest_length)",
                 _TEXTWORLD),
            Task("TextWorld-Simple-v0", "cook a meal in a house (options rewards, goal)",
                 _TEXTWORLD, options={"kind": "simple"}),
            Task("TextWorld-Cooking-v0", "cook by a recipe (options recipe, take, cook, cut, ...)",
                 _TEXTWORLD, options={"kind": "cooking"}),
            Task("TextWorld-CoinCollector-v0", "find the coin in a maze of rooms (option level)",
                 _TEXTWORLD, options={"kind": "coin_collector"}),
            Task("TextWorld-TreasureHunter-v0", "find the right object (option level)",
                 _TEXTWORLD, options={"kind": "treasure_hunter"}),
        ),
    ),
    Family(
        name="text/babyai",
        title="Text: BabyAI, any of its ids",
        extra="text",
        modules=("minigrid",),
        tasks=tuple(
            Task(f"BabyAI-{name}-v0", summary, _BABYAI)
            for name, summary in (
                ("GoToLocal", "go to an object in one room"),
                ("GoToObj", "go to the only object"),
                ("OpenDoor", "open one of four doors"),
                ("PickupLoc", "pick up an object in one room"),
                ("PutNextLocal", "put an object next to another"),
                ("BossLevel", "several instructions in nine rooms"),
            )
        ),
    ),
    Family(
        name="text/scienceworld",
        title="Text: ScienceWorld (needs Java)",
        extra="scienceworld",
        modules=("scienceworld",),
        tasks=(
            Task("ScienceWorld-v0", "any of its 30 tasks (option science_task, such as 'boil')",
                 _SCIENCEWORLD),
        ),
    ),
    _NETHACK_FAMILY,
)  # fmt: skip


def owner(name: str) -> tuple[Family | None, Task | None]:
    """Return family and row of an id that is not listed, by its prefix; None for both else."""
    for family, prefixes, entry in (
        (_NETHACK_FAMILY, ("nethack", "minihack-"), _NETHACK),
        (next(f for f in FAMILIES if f.name == "text/babyai"), ("babyai-",), _BABYAI),
    ):
        if name.lower().startswith(prefixes):
            return family, Task(name, "", entry)
    return None, None
