"""NetHack as a Gymnasium environment: glyphs for a network and text for a language model."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from typing import Any, final

import gymnasium
import numpy as np

from envs.errors import MissingSimulatorError
from envs.nethack.game import Game, game_class
from envs.nethack.packages import MiniHack, import_quietly, level_class, nethack
from envs.nethack.quantities import INFO_KEYS, SUCCESS, Quantities
from envs.nethack.text import Commands, action_names, describe

OBSERVATION_KEYS = ("glyphs", "blstats", "message", "inv_glyphs")
"""The default observation: map, status, message line, and what the hero carries."""

_INFO_INPUTS = ("glyphs", "blstats", "message", "inv_letters", "inv_glyphs", "inv_strs")
_SPACES: dict[str, gymnasium.Space] = dict(import_quietly("nle.env.base").NLE_SPACE_ITEMS)
_WITHOUT_SUCCESS = {key: line for key, line in INFO_KEYS.items() if key not in SUCCESS}
_LARGEST_SEED = 2**63
_OVER, _SOLVED = 1, 2


@final
class NetHackEnv(gymnasium.Env[dict[str, np.ndarray], Any]):
    """One game of NetHack at a time, as a task of nle or minihack.

    Reward and end are those of the task (`level`). The observation is a dict of the engine's
    arrays, copied at every step; at the end of an episode it is the last true state, where nle
    returns a blank screen. A limit on steps truncates; death and success terminate.

    ``reset(seed=s)`` plays the game of the seeds ``core = disp = s`` (nle's
    ``seed(s, s, reseed=False)``), so that the dungeon and everything in it are repeated exactly;
    ``reset()`` draws the next pair from the environment's own generator.

    Args:
        level: ``"module:Class"``, a subclass of nle's ``NLE``.
        observation_keys: which of the engine's observations to see. The engine computes only
            those, and the few from which ``info`` is made.
        actions: names of the actions to allow, such as ``["N", "E", "KICK"]``; by default the
            task's own. See `action_names`.
        text: let the engine name what is on the screen, for `text`; costs about half of the speed.
        level_seeds: every game is one of these, drawn by the environment's own generator.
        step_limit: a limit inside the engine, reported as ``end_status`` -1. By default none:
            ``envs.make`` puts gymnasium's ``TimeLimit`` of the task around the environment.
        render_mode: ``"rgb_array"`` (tiles, uint8 ``[336, 1264, 3]``) or ``"ansi"`` (the terminal
            with its colours as escape codes).
        **game_options: arguments of the level's class: ``des_file``, ``character``,
            ``reward_win``, ``penalty_step``, ``autopickup``, ``pet``, ``spawn_monsters`` ...

    Attributes:
        info_keys: what every entry of ``info`` is; ``is_success`` only where the task can be
            solved.

    Raises:
        ValueError: an unknown key, action or level, with the nearest; an error in ``des_file``.
        envs.MissingSimulatorError: the level needs a package that is not installed.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 4,
        # The whole game is on the terminal, messages and status included; tiles show the map.
        "preferred_render_mode": "ansi",
    }

    def __init__(
        self,
        level: str,
        *,
        observation_keys: Sequence[str] = OBSERVATION_KEYS,
        actions: Sequence[str] | None = None,
        text: bool = False,
        level_seeds: Sequence[int] | None = None,
        step_limit: int | None = None,
        render_mode: str | None = None,
        **game_options: Any,
    ) -> None:
        self._observed = _check_keys(observation_keys)
        self._level_seeds = None if level_seeds is None else [int(seed) for seed in level_seeds]
        if self._level_seeds is not None and not self._level_seeds:
            raise ValueError("level_seeds is empty; give at least one, or leave it out.")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be 'rgb_array' or 'ansi', got {render_mode!r}.")
        self.render_mode = render_mode
        self._level = level
        kind = level_class(level)
        if actions is not None:
            game_options["actions"] = _chosen_actions(actions)
        needed = _task_needs(kind)
        keys = [*self._observed, *_INFO_INPUTS, *needed]
        keys += ["tty_chars", "tty_colors", "tty_cursor"] if render_mode == "ansi" else []
        self._game: Game | None = _make_game(
            kind,
            game_keys=[key for key in dict.fromkeys(keys) if key != "screen_descriptions"]
            + ["screen_descriptions"] * ("screen_descriptions" in self._observed),
            with_descriptions=text or "screen_descriptions" in needed,
            compare_all=not _is_known(kind),
            step_limit=step_limit,
            **game_options,
        )
        self._text = text
        self._commands = Commands(self._game.actions)
        self._play = _shortest_step(self._game)
        self._has_success = hasattr(self._game.StepStatus, "TASK_SUCCESSFUL")
        self.info_keys = INFO_KEYS if self._has_success else _WITHOUT_SUCCESS
        self._quantities = Quantities()
        self._seeds = (0, 0)
        self._running = False
        self._image: np.ndarray | None = None
        if render_mode == "rgb_array":
            if not self._game.nethack.setup_tiles():
                raise RuntimeError("NetHack could not load its tiles.")
            self._image = np.zeros(nethack.TILE_RENDER_SHAPE, np.uint8)
        self.observation_space = gymnasium.spaces.Dict(
            {key: _SPACES[key] for key in self._observed}
        )
        self.action_space = gymnasium.spaces.Discrete(len(self._game.actions))

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions in order: ``"N"``, ``"FAR_N"``, ``"PICKUP"`` ..."""
        return self._commands.names

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Start a game.

        Args:
            seed: of the game and of the environment's generator; None draws the next game.
            options: not used.

        Returns:
            The observation, and ``info`` with every event 0.

        Raises:
            RuntimeError: the environment is closed, or the engine failed; names the seeds.
        """
        super().reset(seed=seed)
        game = self._open_game()
        self._seeds = self._next_seeds(seed)
        game.seed_next(*self._seeds)
        try:
            game.reset()
        except (RuntimeError, AttributeError, AssertionError) as error:
            raise self._failure(error) from error
        self._running = True
        info = self._quantities.reset(game.frame)
        return self._observation(game), self._ends(info, game, status=0)

    def step(
        self, action: int | np.integer
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Press the key of an action.

        Args:
            action: index into `action_names`.

        Returns:
            Observation, reward, terminated (the game is over or solved), truncated (cut off by
            nle's own limit), and ``info`` (see ``info_keys``).

        Raises:
            gymnasium.error.ResetNeeded: no episode is running.
            RuntimeError: the environment is closed, or the engine failed; names the seeds.
        """
        game = self._open_game()
        if not self._running:
            raise gymnasium.error.ResetNeeded(
                "No game is running: call reset() first, and again after an episode's end."
            )
        try:
            _, reward, terminated, truncated, status = self._play(int(action))
        except (RuntimeError, AttributeError) as error:
            self._running = False
            raise self._failure(error) from error
        self._running = not (terminated or truncated)
        info = self._ends(self._quantities.step(game.frame, game.stats), game, status)
        return self._observation(game), reward, terminated, truncated, info

    def text(self) -> str:
        """Return the present state as text; at an episode's end, the last true one.

        Raises:
            RuntimeError: the environment was made without ``text=True``, or was not reset.
        """
        game = self._open_game()
        if not self._text:
            raise RuntimeError(
                "The engine does not name what is on the screen; make the environment with "
                "text=True to render it as text."
            )
        if not game.frame:
            raise RuntimeError("There is no state before the first reset().")
        return describe(game.frame, game.descriptions)

    def parse(self, command: str) -> list[int]:
        """Return the actions that type a command in words; see `Commands.parse`.

        Raises:
            ValueError: a word is not known, with the nearest one.
        """
        return self._commands.parse(command)

    def render(self) -> Any:
        """Return the screen: tiles (uint8 ``[336, 1264, 3]``) or the terminal's 24 lines.

        In the lines ``ESC [ 1;31 m`` and its like set the colour of what follows, and the cursor
        is underlined.
        """
        game = self._open_game()
        if self._image is not None:
            game.nethack.draw_frame(self._image)
            return self._image.copy()
        if self.render_mode == "ansi" and game.frame:
            return _coloured(*(game.frame[f"tty_{key}"] for key in ("chars", "colors", "cursor")))
        return None

    def close(self) -> None:
        """End the engine and remove its temporary files; a second call changes nothing."""
        if self._game is not None:
            self._game.close()
        self._game = None
        self._running = False

    def _open_game(self) -> Game:
        if self._game is None:
            raise RuntimeError("The environment is closed; make a new one.")
        return self._game

    def _next_seeds(self, seed: int | None) -> tuple[int, int]:
        if self._level_seeds is not None:
            seed = self._level_seeds[int(self.np_random.integers(len(self._level_seeds)))]
        if seed is not None:
            return seed % _LARGEST_SEED, seed % _LARGEST_SEED
        core, disp = self.np_random.integers(_LARGEST_SEED, size=2, dtype=np.uint64).tolist()
        return core, disp

    def _observation(self, game: Game) -> dict[str, np.ndarray]:
        frame = game.frame
        return {key: frame[key] for key in self._observed}

    def _ends(self, info: dict[str, Any], game: Game, status: int) -> dict[str, Any]:
        info["prompt"] = game.prompt if self._running else 0
        info["end_status"] = status
        info["is_ascended"] = 0
        if self._has_success:
            info["is_success"] = status == _SOLVED
        if status == _OVER:
            how = game.nethack.how_done()
            info["is_ascended"] = int(how == nethack.ASCENDED)
            if how == nethack.PANICKED:
                raise self._failure(RuntimeError("NetHack panicked"))
        return info

    def _failure(self, error: Exception) -> RuntimeError:
        name = self._level if self.spec is None else self.spec.id
        return RuntimeError(
            f"The NetHack engine of {name} failed ({error}) in the game of seeds "
            f"core={self._seeds[0]}, disp={self._seeds[1]}. Close the environment and make it anew."
        )


def _make_game(kind: type, **arguments: Any) -> Game:

    try:
        with warnings.catch_warnings():
            # minihack makes minigrid's levels under their older ids.
            warnings.filterwarnings(
                "ignore", message=".*is out of date", category=DeprecationWarning
            )
            return game_class(kind)(**arguments)
    except ModuleNotFoundError as error:
        missing = "minigrid" if "minigrid" in str(error).lower() else str(error.name)
        raise MissingSimulatorError(kind.__name__, missing, "nethack") from error


def _task_needs(kind: type) -> tuple[str, ...]:
    """Return the observations that a level reads itself, beyond those that are always there."""
    if not _is_known(kind):
        return tuple(key for key in _SPACES if key not in ("internal", "pixel"))
    module = kind.__module__.rpartition(".")[2]
    return {
        "keyroom": ("screen_descriptions", "inv_strs", "inv_letters"),
        "skills_simple": ("screen_descriptions",),
        "sokoban": ("chars",),
        "boxohack": ("chars",),
    }.get(module, ())


def _is_known(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("nle", "minihack")


def _shortest_step(game: Game) -> Any:
    """Return the level's step, without MiniHack's second copy of everything if nobody reads it."""
    above = type(game).__mro__[: type(game).__mro__.index(Game)]
    others = {owner for owner in above if "step" in vars(owner)}
    if others <= {MiniHack} and getattr(game, "reward_manager", None) is None:
        return Game.step.__get__(game)
    return game.step


def _check_keys(keys: Sequence[str]) -> tuple[str, ...]:
    if isinstance(keys, str) or not keys:
        raise ValueError(f"observation_keys must be a list of names, got {keys!r}.")
    for key in keys:
        if key not in _SPACES:
            near = difflib.get_close_matches(str(key), list(_SPACES), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Unknown observation {key!r}.{hint} Valid: {', '.join(_SPACES)}.")
    return tuple(dict.fromkeys(keys))


def _chosen_actions(names: Sequence[str]) -> tuple[Any, ...]:
    available = dict(zip(action_names(nethack.ACTIONS), nethack.ACTIONS, strict=True))
    chosen = []
    for name in names:
        if name not in available:
            near = difflib.get_close_matches(str(name), list(available), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"Unknown action {name!r}.{hint} Valid: {', '.join(available)}.")
        chosen.append(available[name])
    return tuple(chosen)


def _coloured(chars: np.ndarray, colors: np.ndarray, cursor: np.ndarray) -> str:
    """Return the lines of the terminal with an escape code wherever the colour changes."""
    lines = []
    for y, row in enumerate(chars):
        line, before = "", None
        for x, character in enumerate(row.tobytes().decode("latin-1")):
            here = y == cursor[0] and x == cursor[1]
            look = (int(colors[y, x]), here)
            if look != before and (here or character != " " or (before and before[1])):
                bold, colour = ("1;" if look[0] & 8 else ""), 30 + (look[0] & 7)
                line += f"\x1b[0;{bold}{'4;' if here else ''}{colour}m"
                before = look
            line += character
        lines.append(f"{line}\x1b[0m" if before else line)
    return "\n".join(lines)
