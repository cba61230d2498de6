"""Steps and resets per second of NetHack: the engine, the packages, and this environment.

    python experiments/nethack/speed.py

Every row steps the same game with the same actions and observation keys: nle's engine alone, in a
loop that answers what the player does not decide; the package's environment; `NetHackEnv`; and the
environment of `envs.make`, with its wrappers. The four take turns in one process, resets are not
in the time, and the medians over rounds are printed. Time is that of the processor, so that other
programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import envs
from envs.nethack.environment import OBSERVATION_KEYS, NetHackEnv
from envs.nethack.packages import level_class
from envs.nethack.tasks import FAMILY

NAMES = ("NetHackScore-v0", "MiniHack-Room-Random-15x15-v0", "MiniHack-Corridor-R3-v0")
LEVELS = {task.name: task.options["level"] for task in FAMILY.tasks}


def main() -> None:
    """Print a row for every task."""
    parser = argparse.ArgumentParser(description="Speed of NetHack.")
    parser.add_argument("--steps", type=int, default=4000, help="of every way in a round")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    for name in NAMES:
        print(name, *(f"{way} {value:,.2f}" for way, value in measure(name, options).items()))


def measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Return thousands of steps per second by way, the ratio to the engine, and resets."""
    ours, made = NetHackEnv(LEVELS[name]), envs.make(name)
    package = level_class(LEVELS[name])(observation_keys=OBSERVATION_KEYS, fix_moon_phase=True)
    moves = [i for i, key in enumerate(ours.action_names) if key in ("N", "E", "S", "W", "NE")]
    actions = np.random.default_rng(0).choice(moves, options.steps).tolist()

    def reset_package(seed: int) -> None:
        package.nethack.set_initial_seeds(seed, seed, False)
        package.reset()

    def ended(result: Any) -> bool:
        return result[2] or result[3]

    ways: dict[str, tuple[Callable[[int], Any], Callable[[int], bool]]] = {
        "engine": (lambda seed: ours.reset(seed=seed), _raw(ours)),
        "package": (reset_package, lambda action: ended(package.step(action))),
        "ours": (lambda seed: ours.reset(seed=seed), lambda action: ended(ours.step(action))),
        "envs.make": (lambda seed: made.reset(seed=seed), lambda a: ended(made.step(a))),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way, (reset, step) in ways.items():
            rates[way].append(_rate(reset, step, actions) / 1000)
    found = {way: statistics.median(values) for way, values in rates.items()}
    paired = zip(rates["ours"], rates["engine"], strict=True)
    found["ours/engine"] = statistics.median(one / raw for one, raw in paired)
    began = time.process_time()
    for seed in range(300):
        ours.reset(seed=seed)
    found["resets/s"] = 300 / (time.process_time() - began)
    for env in (ours, made, package):
        env.close()
    return found


def _raw(env: NetHackEnv) -> Callable[[int], bool]:
    """Return the stepping of the bare engine; true at the end of the game or on the stairs."""
    game = env._game
    assert game is not None
    keys, engine, internal = [int(key) for key in game.actions], game.nethack, game._internal

    def step(action: int) -> bool:
        _, done = engine.step(keys[action])
        while not done and internal[3]:
            _, done = engine.step(32)
        return done or bool(internal[4])

    return step


def _rate(reset: Callable[[int], Any], step: Callable[[int], bool], actions: list[int]) -> float:
    spent, taken, games = 0.0, 0, 0
    while taken < len(actions):
        reset(games)
        games += 1
        began = time.process_time()
        while taken < len(actions):
            taken += 1
            if step(actions[taken - 1]):
                break
        spent += time.process_time() - began
    return taken / spent


if __name__ == "__main__":
    main()
