"""NetHack and MiniHack: the engine's own loop, the packages' environments, and ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np

from ctrl.benchmarks.loops import drawn, ours, resets, single
from ctrl.benchmarks.timing import Group, Measurement, Stepper

KEYS = ("glyphs", "blstats", "message")
"""The observations that all rows ask the engine for."""
_ROOM = "MiniHack-Room-5x5-v0"
_SPACE, _WAITS_FOR_SPACE = 32, 3


def groups() -> Iterator[Group]:
    """Yield what is measured for NetHack."""
    yield Group(
        "nethack",
        f"NetHackScore-v0 with {', '.join(KEYS)}",
        "steps",
        [
            Measurement("engine loop", _engine),
            single("nle's own environment", _packaged("nle.env.tasks", "NetHackScore")),
            single("ours", ours("NetHackScore-v0", observation_keys=KEYS)),
        ],
    )
    room = _packaged("minihack.envs.room", "MiniHackRoom5x5")
    mine = ours(_ROOM, observation_keys=KEYS)
    yield Group(
        "nethack",
        f"{_ROOM} with {', '.join(KEYS)}, resets included",
        "steps",
        [single("minihack's own environment", room), single("ours", mine)],
    )
    yield Group(
        "nethack",
        f"{_ROOM}, resets, each with a new seed",
        "resets",
        [resets("minihack's own environment", room), resets("ours", mine)],
    )


def _packaged(module: str, name: str) -> Callable[[], gymnasium.Env]:
    def make() -> gymnasium.Env:
        from envs.nethack.packages import level_class

        return _Seeded(level_class(f"{module}:{name}")(observation_keys=KEYS))

    return make


class _Seeded(gymnasium.Wrapper):
    """Seeds the engine before every reset, as ours does; the packages ignore ``reset(seed=)``."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self._draw = np.random.default_rng(0)

    def step(self, action: Any) -> Any:
        return self.env.step(action)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        base: Any = self.env.unwrapped
        core = int(self._draw.integers(2**31)) if seed is None else seed
        base.seed(core, core, False)
        return self.env.reset(options=options)


def _engine() -> Stepper:
    """Keys in, the engine's arrays out, nothing computed from them; "--More--" is passed."""
    from envs.nethack.packages import import_quietly, nethack

    pressed = [int(action) for action in import_quietly("nle.env.tasks").TASK_ACTIONS]
    keys = (*KEYS, "program_state", "internal")
    engine = nethack.Nethack(observation_keys=keys, ttyrec=None)
    engine.set_initial_seeds(0, 0, False)
    engine.reset()
    internal = keys.index("internal")
    actions = [pressed[action] for action in drawn(gymnasium.spaces.Discrete(len(pressed)), 64)]
    seeds = iter(range(1, 10**9))

    def run() -> int:
        for action in actions:
            seen, done = engine.step(action)
            if not done and seen[internal][_WAITS_FOR_SPACE]:
                seen, done = engine.step(_SPACE)
            if done:
                engine.set_initial_seeds(next(seeds), 0, False)
                engine.reset()
        return len(actions)

    return Stepper(run, engine.close)
