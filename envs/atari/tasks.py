"""The Atari tasks by name: our own with sticky actions, and ale_py's under its own ids."""

from __future__ import annotations

from envs.tasks import Family, Task

_ENTRY = "envs.atari.environment:AtariEnv"
# Half an hour at 60 frames a second and 4 frames a step: the field's limit of 108,000 frames.
_LIMIT = 27_000
_ALE = {
    "ALE/BankHeist-v5": "Bank Heist as ale_py makes it: colour screen, sticky actions of 0.25",
    "ALE/MontezumaRevenge-v5": "Montezuma's Revenge as ale_py makes it: colour screen, "
    "sticky actions of 0.25",
}

FAMILY = Family(
    name="atari",
    title="Atari (ALE)",
    extra="atari",
    modules=("ale_py",),
    tasks=(
        Task(
            "AtariSticky-v0",
            "any Atari game (option game), 84 x 84 grays, sticky actions; reward: points",
            _ENTRY,
            max_episode_steps=_LIMIT,
        ),
        Task(
            "BankHeistSticky-v0",
            "drive through towns and rob banks; sticky actions; reward: points",
            _ENTRY,
            max_episode_steps=_LIMIT,
            options={"game": "bank_heist"},
        ),
        Task(
            "MontezumaSticky-v0",
            "24 rooms of traps and keys; sticky actions; sparse; reward: points",
            _ENTRY,
            max_episode_steps=_LIMIT,
            options={"game": "montezuma_revenge"},
        ),
        *(Task(name, summary, registered_by="ale_py") for name, summary in _ALE.items()),
    ),
    prefixes=(("ale/", "ale_py"),),
)
