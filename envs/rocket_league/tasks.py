"""The Rocket League tasks by name."""

from __future__ import annotations

from envs.tasks import Family, Task

_SINGLE = "envs.rocket_league.environment:RocketLeagueEnv"
_VECTOR = "envs.rocket_league.vector:RocketLeagueVectorEnv"
_FIVE_MINUTES = 4500
"""In steps of 8 ticks."""


def _task(name: str, summary: str, blue: int, orange: int) -> Task:
    return Task(
        name,
        summary,
        entry_point=_SINGLE,
        vector_entry_point=_VECTOR,
        max_episode_steps=_FIVE_MINUTES,
        options={"blue": blue, "orange": orange},
        self_play=blue + orange > 1,
        columns=blue + orange,
    )


FAMILY = Family(
    name="rocket_league",
    title="Rocket League",
    extra="rocket-league",
    modules=("RocketSim",),
    tasks=(
        _task("RocketLeagueSolo-v0", "one car and the ball: score into the far goal", 1, 0),
        _task("RocketLeague1v1-v0", "one against one, ends with a goal; every car a column", 1, 1),
        _task("RocketLeague2v2-v0", "two against two, ends with a goal; every car a column", 2, 2),
        _task(
            "RocketLeague3v3-v0", "three against three, ends with a goal; every car a column", 3, 3
        ),
        Task(
            "RLGym-v0",
            "a match made of RLGym v2's components; every car a column",
            entry_point="envs.rocket_league.rlgym_environment:make_single",
            vector_entry_point="envs.rocket_league.rlgym_environment:make_vector",
            self_play=True,
            columns=2,
        ),
    ),
)
