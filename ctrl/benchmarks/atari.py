"""Atari: the console's own loop, others' environments with the same pictures, and ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
from stable_baselines3.common.vec_env import VecEnv

from ctrl.benchmarks.loops import drawn, ours, sb3, single, vector
from ctrl.benchmarks.timing import Group, Measurement, Stepper, UnavailableError
from ctrl.sb3.vec_env import make_vec_env

_NAME, _GAME, _STICKY = "MontezumaSticky-v0", "montezuma_revenge", 0.1
_COLUMNS = 8


def groups() -> Iterator[Group]:
    """Yield what is measured for Atari; a step is 4 frames."""
    yield Group(
        "atari",
        f"{_NAME}, one environment",
        "steps",
        [
            Measurement("console loop, no pictures", _console),
            single("gymnasium's preprocessing of ale_py", _preprocessed),
            single("ours", ours(_NAME)),
        ],
    )
    yield Group(
        "atari",
        f"{_NAME}, {_COLUMNS} columns",
        "steps",
        [
            Measurement("console loop, no pictures", _console),
            vector("ale_py's vector environment, 1 thread", _ale_vector(1), per_step=_COLUMNS),
            vector("ale_py's vector environment, 2 threads", _ale_vector(2), per_step=_COLUMNS),
            sb3("ours in this process", _ours_vector("threads", 1), per_step=_COLUMNS),
            sb3("ours in 2 processes", _ours_vector("processes", 2), per_step=_COLUMNS),
        ],
    )


def _console() -> Stepper:
    """Four frames a step, and a new game after an end; nothing is looked at."""
    import ale_py
    from ale_py import roms

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", _STICKY)
    ale.setInt("random_seed", 1)
    ale.loadROM(str(roms.get_rom_path(_GAME)))
    ale.reset_game()
    moves = ale.getMinimalActionSet()
    actions = [moves[action] for action in drawn(gymnasium.spaces.Discrete(len(moves)), 64)]

    def run() -> int:
        for action in actions:
            for _ in range(4):
                ale.act(action)
            if ale.game_over():
                ale.reset_game()
        return len(actions)

    return Stepper(run)


def _preprocessed() -> gymnasium.Env:
    import ale_py
    from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

    gymnasium.register_envs(ale_py)
    env = gymnasium.make(
        "ALE/MontezumaRevenge-v5", frameskip=1, repeat_action_probability=_STICKY,
        obs_type="grayscale",
    )  # fmt: skip
    try:
        return FrameStackObservation(AtariPreprocessing(env, noop_max=0), 4)
    except gymnasium.error.DependencyNotInstalled as error:
        raise UnavailableError("it needs OpenCV: pip install opencv-python-headless") from error


def _ale_vector(threads: int) -> Callable[[], Any]:
    def make() -> Any:
        from ale_py.vector_env import AtariVectorEnv

        return AtariVectorEnv(
            _GAME, num_envs=_COLUMNS, num_threads=threads, noop_max=0, use_fire_reset=False,
            reward_clipping=False, repeat_action_probability=_STICKY,
        )  # fmt: skip

    return make


def _ours_vector(backend: str, threads: int) -> Callable[[], VecEnv]:
    return lambda: make_vec_env(_NAME, n_envs=_COLUMNS, seed=0, backend=backend, threads=threads)
