"""A game of NetHack as nle and minihack define it, with the costs and defects taken out.

The environment classes of nle and minihack say what a task is: its actions, reward and end.
`game_class` puts the classes of this module around one of them. What they change:

* the engine computes the observations in use and no others (MiniHack asks for all 14);
* the arrays of a step are copied once, before anything overwrites them, and the last frame of an
  episode is the one a player sees: nle answers the closing questions of the game first, and the
  screen is blank by then;
* effects of the real date (phase of the moon, Friday the 13th, midnight) follow the seed;
* a description file is compiled by `envs.nethack.levels`, which reports its errors.

Rewards and ends equal those of the packages, step by step. The attributes used here are those of
nle 1.3.0 and minihack 1.0.2.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.nethack.levels import install_level
from envs.nethack.packages import NLE, MiniHack, import_quietly, nethack

_GAME_OVER, _IN_MOVE_LOOP = 0, 3  # of program_state
IN_QUESTION, IN_TEXT_INPUT, WAITS_FOR_SPACE = 1, 2, 3  # of internal
_MAX_HIT_POINTS = 11  # of blstats
_SPACE, _ESCAPE = ord(" "), 27
_ASKED = import_quietly("nle.env.base").SKIP_EXCEPTIONS


class Game(NLE):
    """Takes the place of `NLE` below the class of a task, which may call it as its parent.

    Args:
        *args: passed on.
        game_keys: the observations that the engine computes and that frames copy.
        with_descriptions: whether it computes ``screen_descriptions`` too, which no frame copies.
        compare_all: whether the reward compares with more of the old state than those of the
            packages do.
        step_limit: nle's own limit, in steps; None for none.
        **kwargs: passed on.

    Attributes:
        frame: copies of the present observations by key; after the end, of the last true ones.
        descriptions: ``screen_descriptions``, ``[21, 79, 80]`` or empty; after a step it shows the
            new state.
    """

    def __init__(
        self,
        *args: Any,
        game_keys: Sequence[str],
        with_descriptions: bool = False,
        compare_all: bool = False,
        step_limit: int | None = None,
        **kwargs: Any,
    ) -> None:
        # MiniHack looks up the index of the descriptions; below they are taken out again. nle adds
        # `internal` itself, and prints a warning when it is asked for.
        keys = [key for key in dict.fromkeys(game_keys) if key != "internal"]
        kwargs["observation_keys"] = tuple(dict.fromkeys((*keys, "screen_descriptions")))
        kwargs["max_episode_steps"] = sys.maxsize if step_limit is None else step_limit
        kwargs.setdefault("fix_moon_phase", True)
        super().__init__(*args, **kwargs)
        if not (with_descriptions or "screen_descriptions" in game_keys):
            _stop_describing(self.nethack)
        buffers = dict(zip(self._observation_keys, self.nethack._obs, strict=True))
        self._copies = [(key, buffers[key].copy) for key in dict.fromkeys(game_keys)]
        self._program_state, self._internal = buffers["program_state"], buffers["internal"]
        self._blstats, self._message = buffers["blstats"], buffers["message"]
        self._described = self.descriptions = buffers["screen_descriptions"]
        self._compare_all = compare_all
        # A class whose step presses keys of its own first compares with the state after those.
        above = type(self).__mro__[: type(self).__mro__.index(Game)]
        self._presses_keys = any("step" in vars(kind) and kind is not MiniHack for kind in above)
        self._press, self._is_done = self.nethack._pynethack.step, self.nethack._pynethack.done
        self._keys = [int(action) for action in self.actions]
        self._views: tuple[np.ndarray, ...] = self.nethack._obs
        self._before: list[Any] = []
        self._last: dict[str, np.ndarray] | None = None
        self.frame: dict[str, np.ndarray] = {}
        self.stats: list[int] = []
        keys = self._observation_keys
        self._chars_index = keys.index("chars") if "chars" in keys else None

    def seed_next(self, core: int, disp: int) -> None:
        """Set the seeds of the next game, also where the class of the task forbids it."""
        nethack.Nethack.set_initial_seeds(self.nethack, core, disp, False)
        if (generator := getattr(self, "minigrid_env", None)) is not None:
            # Levels drawn by minigrid, which minihack cannot seed with gymnasium 1.
            generator.unwrapped.np_random = np.random.default_rng(core)

    def reset(self, **_: Any) -> tuple[dict, dict]:
        """Start a game with the seeds that were set, up to its first decision.

        Raises:
            RuntimeError: it did not get that far.
        """
        self.last_observation, done = self.nethack.reset(), False
        for _attempt in range(1000):
            if self._program_state[_IN_MOVE_LOOP] or done:
                break
            _, done = self.nethack.step(_SPACE)
        if done or not self._program_state[_IN_MOVE_LOOP]:
            raise RuntimeError("the game ended before its first move")
        self._steps = 0
        self._last = None
        self.descriptions = self._described
        self._take_frame(self._state(self._internal.tolist()))
        return {}, {}

    def step(self, action: int) -> tuple[dict, float, bool, bool, int]:
        """Press the key of an action, with everything in the order of `NLE.step`.

        Returns:
            ``({}, reward, terminated, truncated, end status)``; the observations are in `frame`.
        """
        if self._presses_keys:
            self._before = self._state(self._internal.tolist())
        self._press(self._keys[action])
        done = self._is_done()
        internal = self._internal.tolist()
        over = self._program_state[_GAME_OVER]
        asks = internal[IN_QUESTION] or internal[IN_TEXT_INPUT] or internal[WAITS_FOR_SPACE]
        if over or (asks and not self._allow_all_modes):
            _, done = self._perform_known_steps(self._views, done)
            internal = self._internal.tolist()
        self._steps += 1
        now = self._state(internal)
        end = self.StepStatus.ABORTED if self._check_abort(now) else self._is_episode_end(now)
        status = 1 if done else int(end)
        reward = float(self._reward_fn(self._before, action, now, status))
        if not done:
            self._take_frame(now)
        elif self._last is not None:
            self.frame = self._last
            self.stats = self.frame["blstats"].tolist()
        return {}, reward, status > 0, status < 0, status

    @property
    def prompt(self) -> int:
        """What the game waits for: 0 a command, 1 one key, 2 a line of text, 3 space."""
        internal = self._before[self._internal_index]
        for kind in (IN_QUESTION, IN_TEXT_INPUT, WAITS_FOR_SPACE):
            if internal[kind]:
                return kind
        return 0

    def _state(self, internal: list[int]) -> list[Any]:
        """Return the observations as the classes of the packages index them.

        The numbers that rewards compare are plain integers: the same values, and much faster.
        """
        if self._compare_all:
            return [view.copy() for view in self._views]
        state: list[Any] = list(self._views)
        state[self._blstats_index] = self._blstats.tolist()
        state[self._internal_index] = internal
        if self._chars_index is not None:
            state[self._chars_index] = state[self._chars_index].copy()
        return state

    def _perform_known_steps(
        self, observation: Any, done: bool, exceptions: bool = True
    ) -> tuple[Any, bool]:
        """Answer what the player does not decide, as `NLE` does; keep the frame of a death."""
        internal = self._internal
        while not done:
            over = self._program_state[_GAME_OVER] and self._blstats[_MAX_HIT_POINTS]
            if over and self._last is None:
                self._last = {key: copy() for key, copy in self._copies}
                self.descriptions = self._described.copy()
            if internal[WAITS_FOR_SPACE]:
                observation, done = self.nethack.step(_SPACE)
                continue
            if internal[IN_TEXT_INPUT]:
                observation, done = self.nethack.step(_ESCAPE)
                continue
            if internal[IN_QUESTION]:
                asks = self._allow_all_yn_questions
                if exceptions and (asks or any(w in bytes(self._message) for w in _ASKED)):
                    break
                observation, done = self.nethack.step(_ESCAPE)
            break
        return observation, done

    def _take_frame(self, state: list[Any]) -> None:
        self._before = state
        self.frame = {key: copy() for key, copy in self._copies}
        stats = state[self._blstats_index]
        self.stats = stats if isinstance(stats, list) else stats.tolist()


class DescribedGame:
    """Comes before a MiniHack class: compiles its level with errors reported, and less often."""

    def _patch_nhdat(self, des_file: object) -> None:
        install_level(des_file, self.nethack._vardir)  # type: ignore[attr-defined]


@functools.cache
def game_class(level: type) -> type:
    """Return the class of a task with the classes of this module around it."""
    if level is NLE:
        return Game
    front = (DescribedGame,) if issubclass(level, MiniHack) else ()
    return type(level.__name__, (*front, level, Game), {})


def _stop_describing(engine: Any) -> None:
    """Stop the engine from naming every square of the screen, its most expensive observation."""
    buffers = {k: v for k, v in engine._obs_buffers.items() if k != "screen_descriptions"}
    engine._pynethack.set_buffers(**buffers)
    nothing = np.zeros(0, np.uint8)
    engine._obs = tuple(nothing if a.ndim == 3 else a for a in engine._obs)
    engine._obs_buffers = {**buffers, "screen_descriptions": nothing}
