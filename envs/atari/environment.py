"""An Atari game as a Gymnasium environment: stacked gray pictures, sticky actions, exact saving."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any, final

import ale_py
import gymnasium
import numpy as np
from ale_py import roms

from envs.atari.noise import KINDS, PersistentNoise
from envs.atari.quantities import Quantities
from envs.atari.screen import SIDE, Shrink
from envs.errors import SnapshotError


@final
class AtariEnv(gymnasium.Env[np.ndarray, Any]):
    """One Atari game at a time, with the preprocessing that the field agrees on.

    An action is held for ``frame_skip`` frames, of which the pixel-wise maximum of the last two is
    shrunk to 84 x 84 grays; an observation is the last ``stack`` such pictures, the newest last,
    uint8 ``[stack, 84, 84]``. An episode begins with pictures of zeros before its first. This is
    `gymnasium.wrappers.AtariPreprocessing` within `FrameStackObservation` (padded with zeros),
    pixel by pixel up to roundings, with two differences: the picture of a game that ends between
    two decisions is the screen at its end, where AtariPreprocessing shows an older one; and whole
    games are saved.

    Sticky actions (Machado et al., "Revisiting the Arcade Learning Environment", 2018): at every
    frame the action of the frame before goes on with ``repeat_action_probability``. They are drawn
    here and not by the console, which leaves the action that it goes on with out of what it saves:
    after a restore it can repeat another one. The reward is the change of the score. An episode is
    one game with all its lives; a limit on steps is that of ``envs.make`` and truncates.

    Without sticky actions ``reset(seed=s)`` plays the game that ale_py's own environment plays with
    that seed, and then all games of most titles begin and go on alike. ``reset()`` goes on with the
    random numbers. They are the same with and without noise.

    Args:
        game: name in ale_py, such as ``"montezuma_revenge"``.
        repeat_action_probability: of sticky actions, in [0, 1).
        frame_skip: frames per step, at least 1; the console shows 60 a second.
        stack: pictures per observation, at least 1.
        full_action_space: all 18 actions of the joystick instead of those that matter in the game.
        noop_max: an episode begins with 1 to ``noop_max`` frames without action; 0 for none.
        terminal_on_life_loss: a lost life ends the episode, and the next one is a new game.
        channels_last: observations are ``[84, 84, stack]``, as the cells of
            `envs.worlds.noisy_tv.NoisyTV` need them.
        noise: ``"none"``, or ``"persistent"`` for `PersistentNoise` on every picture.
        mode: of the game, see ale_py; None for its default.
        difficulty: of the game, see ale_py; None for its default.
        render_mode: ``"rgb_array"`` (the screen, uint8 ``[210, 160, 3]``) or None.

    Attributes:
        info_keys: what every entry of ``info`` is.

    Raises:
        ValueError: an unknown game, with the nearest, or a number out of range.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 15,
    }

    def __init__(
        self,
        game: str = "montezuma_revenge",
        *,
        repeat_action_probability: float = 0.1,
        frame_skip: int = 4,
        stack: int = 4,
        full_action_space: bool = False,
        noop_max: int = 0,
        terminal_on_life_loss: bool = False,
        channels_last: bool = False,
        noise: str = "none",
        mode: int | None = None,
        difficulty: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self._rom = _rom(game)
        _check_numbers(repeat_action_probability, frame_skip, stack, noop_max)
        if noise not in KINDS:
            raise ValueError(f"noise must be one of {', '.join(KINDS)}, got {noise!r}.")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be 'rgb_array' or None, got {render_mode!r}.")
        self.render_mode = render_mode
        self._frame_skip, self._noop_max = frame_skip, noop_max
        self._ends_with_life = terminal_on_life_loss
        self._settings = {"mode": mode, "difficulty": difficulty}
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._ale = ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._sticky, self._executed = repeat_action_probability, ale_py.Action.NOOP
        # 0 would mean the time of day; the first reset gives the true seed.
        self._load(seed=1)
        self._actions = (
            self._ale.getLegalActionSet() if full_action_space else self._ale.getMinimalActionSet()
        )
        self._quantities = Quantities(game)
        self.info_keys: Mapping[str, str] = self._quantities.info_keys
        self._noise = PersistentNoise() if noise == "persistent" else None
        height, width = self._ale.getScreenDims()
        self._shrink = Shrink(height, width)
        self._last = np.zeros((height, width), np.uint8)
        self._before = np.zeros((height, width), np.uint8)
        self._pictures = np.zeros((stack, SIDE, SIDE), np.uint8)
        self._score = 0.0
        self._seeded = self._running = self._closed = False
        self._channels_last = channels_last
        shape = (SIDE, SIDE, stack) if channels_last else (stack, SIDE, SIDE)
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(self._actions))

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions in order: ``"NOOP"``, ``"FIRE"``, ``"UP"`` ..."""
        return tuple(action.name for action in self._actions)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin a game.

        Args:
            seed: of the console and of the environment's generator; None goes on with both.
            options: not used.

        Returns:
            The observation and ``info``.
        """
        self._check_open()
        super().reset(seed=seed)
        ale = self._ale
        if seed is not None or not self._seeded:
            own = int(self.np_random.integers(2**31)) if seed is None else seed
            self._load(_console_seed(own))
            self._seeded = True
        ale.reset_game()
        if self._noop_max:
            for _ in range(int(self.np_random.integers(1, self._noop_max + 1))):
                ale.act(ale_py.Action.NOOP)
                if ale.game_over():
                    ale.reset_game()
        self._score, self._running, self._executed = 0.0, True, ale_py.Action.NOOP
        self._quantities.reset()
        draw = float(self.np_random.random())
        if self._noise is not None:
            self._noise.reset(draw)
        ale.getScreenGrayscale(self._last)
        self._pictures = np.zeros_like(self._pictures)
        self._show(self._last)
        return self._observation(), self._info()

    def step(
        self, action: int | np.integer
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Hold an action for ``frame_skip`` frames.

        Args:
            action: index into `action_names`.

        Returns:
            Observation, reward (points), terminated (the game is over), False, and ``info``.

        Raises:
            gymnasium.error.ResetNeeded: no episode is running.
            RuntimeError: the environment is closed.
        """
        self._check_open()
        ale = self._ale
        if not self._running:
            raise gymnasium.error.ResetNeeded(
                "No game is running: call reset() first, and again after an episode's end."
            )
        chosen, lives = self._actions[int(action)], ale.lives()
        reward, over, seen = 0.0, False, 0
        *draws, last_draw = self.np_random.random(self._frame_skip + 1).tolist()
        for frame, draw in enumerate(draws):
            if draw >= self._sticky:
                self._executed = chosen
            reward += ale.act(self._executed)
            over = ale.game_over() or (self._ends_with_life and ale.lives() < lives)
            if over or frame >= self._frame_skip - 2:
                self._last, self._before = self._before, self._last
                ale.getScreenGrayscale(self._last)
                seen += 1
            if over:
                break
        self._score += reward
        self._running = not over
        if self._noise is not None:
            self._noise.step(int(action), last_draw)
        self._show(self._last if seen == 1 else np.maximum(self._last, self._before))
        return self._observation(), reward, over, False, self._info()

    def render(self) -> Any:
        """Return the screen, uint8 ``[210, 160, 3]``, or None without ``render_mode``.

        The console draws while it plays: after `restore` the screen is right from the next step on.
        """
        return None if self.render_mode is None else self._ale.getScreenRGB()

    def close(self) -> None:
        """Refuse further steps; the state can still be saved. A second call changes nothing."""
        self._closed = True

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state: console, last action, pictures, score, rooms, noise.

        The environment's own generator is saved by `envs.snapshot`.
        """
        state = self._ale.cloneState(include_rng=True).serialize()
        return {
            "game": self._rom.rpartition("/")[2],
            "console": np.frombuffer(state, np.uint8).copy(),
            "pictures": self._pictures.copy(),
            "executed": self._executed.name,
            "score": self._score,
            "rooms": self._quantities.snapshot(),
            "noise": None if self._noise is None else self._noise.snapshot(),
            "seeded": self._seeded,
            "running": self._running,
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken, bit for bit.

        Raises:
            SnapshotError: the snapshot is of another game, stack or kind of noise.
        """
        game = self._rom.rpartition("/")[2]
        if tree["game"] != game:
            raise SnapshotError(f"The snapshot is of {tree['game']}, the environment of {game}.")
        if np.shape(tree["pictures"]) != self._pictures.shape:
            raise SnapshotError(
                f"The snapshot has {len(tree['pictures'])} pictures, the environment stacks "
                f"{len(self._pictures)}."
            )
        if (tree["noise"] is None) != (self._noise is None):
            raise SnapshotError("Only one of snapshot and environment has noise.")
        self._ale.restoreState(ale_py.ALEState(np.asarray(tree["console"]).tobytes()))
        self._pictures = np.array(tree["pictures"], np.uint8)
        self._executed = getattr(ale_py.Action, tree["executed"])
        self._score = float(tree["score"])
        self._quantities.restore(tree["rooms"])
        if self._noise is not None:
            self._noise.restore(tree["noise"])
        self._seeded, self._running = bool(tree["seeded"]), bool(tree["running"])

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("The environment is closed; make a new one.")

    def _load(self, seed: int) -> None:
        """Switch the console on; only then does it take a seed."""
        self._ale.setInt("random_seed", seed)
        self._ale.loadROM(self._rom)
        for name, value in self._settings.items():
            if value is not None:
                getattr(self._ale, f"set{name.title()}")(value)

    def _show(self, screen: np.ndarray) -> None:
        picture = self._shrink(screen)
        if self._noise is not None:
            picture = self._noise.add(picture)
        self._pictures[:-1] = self._pictures[1:]
        self._pictures[-1] = picture

    def _observation(self) -> np.ndarray:
        pictures = np.moveaxis(self._pictures, 0, -1) if self._channels_last else self._pictures
        return pictures.copy()  # what was returned is never written again

    def _info(self) -> dict[str, Any]:
        return {
            "score": self._score,
            "lives": self._ale.lives(),
            "frame": self._ale.getEpisodeFrameNumber(),
            **self._quantities.read(self._ale.getRAM()),
        }


def _console_seed(seed: int) -> int:
    """Return the console's seed as ale_py derives it from that of an environment."""
    words = np.random.SeedSequence(seed).generate_state(n_words=2)
    return int(words.astype(np.int32)[1])


def _rom(game: str) -> str:
    known = roms.get_all_rom_ids()
    if game not in known:
        near = difflib.get_close_matches(str(game).lower(), known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"ale_py has no game {game!r}.{hint} Names are in lower case with underscores, such as "
            "'montezuma_revenge'."
        )
    return str(roms.get_rom_path(game))


def _check_numbers(sticky: float, frame_skip: int, stack: int, noop_max: int) -> None:
    if not (math.isfinite(sticky) and 0.0 <= sticky < 1.0):
        raise ValueError(
            f"repeat_action_probability must be at least 0 and below 1, got {sticky}: at 1 no "
            "action would ever reach the game."
        )
    for name, value, least in (
        ("frame_skip", frame_skip, 1), ("stack", stack, 1), ("noop_max", noop_max, 0)
    ):  # fmt: skip
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
