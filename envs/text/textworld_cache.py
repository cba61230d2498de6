"""Games of TextWorld (Côté et al. 2018, arXiv 1806.11532): made once, kept in the user's cache.

The same seed gives the same game only within one way of making it, so the way is part of what a
game is kept under, with all parameters and the version of textworld.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from envs.user_cache import user_cache

KINDS = ("custom", "simple", "cooking", "coin_collector", "treasure_hunter")
"""``custom`` is made by textworld's ``GameOptions``, the others by its challenges ``tw-...``."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "custom": {},
    "simple": {"rewards": "dense", "goal": "detailed"},
    "cooking": {"recipe": 1, "take": 1, "cook": True},
    "coin_collector": {"level": 5},
    "treasure_hunter": {"level": 1},
}


@dataclass(frozen=True)
class GameDescription:
    """What a game is made from.

    Attributes:
        kind: one of `KINDS`.
        rooms: rooms of a custom game.
        objects: objects of a custom game.
        quest_length: commands of the quest of a custom game.
        settings: of a challenge, as of ``tw-make``: ``{"rewards": "sparse"}``,
            ``{"recipe": 3, "take": 3, "cut": True}``, ``{"level": 20}``.
    """

    kind: str = "custom"
    rooms: int = 2
    objects: int = 3
    quest_length: int = 4
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}.")
        for name in ("rooms", "objects", "quest_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.kind == "custom" and self.settings:
            raise ValueError(
                "A custom game takes rooms, objects and quest_length; settings are those of the "
                f"other kinds, got {dict(self.settings)}."
            )
        object.__setattr__(self, "settings", {**_DEFAULTS[self.kind], **self.settings})

    def key(self, seed: int) -> str:
        """Return the name under which the game of a seed is kept."""
        parts: dict[str, Any] = {"kind": self.kind, "seed": seed, "textworld": version("textworld")}
        if self.kind == "custom":
            custom = asdict(self)
            parts |= {name: custom[name] for name in ("rooms", "objects", "quest_length")}
            parts["route"] = "GameOptions"
        else:
            parts |= {"settings": dict(self.settings), "route": f"tw-{self.kind}"}
        text = json.dumps(parts, sort_keys=True)
        return f"{self.kind}-{seed}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def cache_folder() -> Path:
    """Return where games are kept: ``ctrl/textworld`` below ``XDG_CACHE_HOME`` or ``~/.cache``."""
    return user_cache("textworld")


def game_file(description: GameDescription, seed: int, folder: Path | None = None) -> Path:
    """Return the file of a game, made now unless it is kept already.

    Making takes one to five seconds. The folder of a game appears under its name at once and
    complete, so several processes may make the same one.

    Args:
        description: what to make.
        seed: of the game.
        folder: where games are kept; by default `cache_folder`.

    Returns:
        The ``.z8`` file; the ``.json`` that textworld needs lies beside it.

    Raises:
        ValueError: textworld cannot make such a game.
    """
    place = (folder or cache_folder()) / description.key(seed)
    if not (place / "game.z8").is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=place.parent) as made:
            target = Path(made) / "game"
            target.mkdir()
            _make(description, seed, target)
            with contextlib.suppress(OSError):  # another process was first, with the same game
                target.rename(place)
            if not (place / "game.z8").is_file():  # what is there is broken
                shutil.rmtree(place, ignore_errors=True)
                target.rename(place)
    return place / "game.z8"


def make_games(
    description: GameDescription,
    seeds: Iterable[int],
    *,
    processes: int = 1,
    folder: Path | None = None,
) -> Iterator[Path]:
    """Make many games at once, each in a process of its own, and yield their files in order.

    Games that are kept already cost nothing.

    Args:
        description: what to make.
        seeds: of the games.
        processes: how many work at the same time.
        folder: where games are kept; by default `cache_folder`.

    Raises:
        ValueError: textworld cannot make one of the games.
    """

    def made(seed: int) -> Path:
        place = (folder or cache_folder()) / description.key(seed) / "game.z8"
        if not place.is_file():
            order = {"description": asdict(description), "seed": seed, "folder": str(folder or "")}
            path = [os.getcwd() if entry == "" else entry for entry in sys.path]
            done = subprocess.run(
                [sys.executable, "-c", _BOOT, json.dumps(path), json.dumps(order)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                raise ValueError(
                    f"The game of seed {seed} could not be made: {done.stderr[-2000:]}"
                )
        return place

    with ThreadPoolExecutor(max_workers=max(1, processes)) as pool:
        yield from pool.map(made, seeds)


# textworld is not thread-safe, and keeps tables of a challenge in the process.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])\n"
    "from envs.text.textworld_cache import make_from_order; make_from_order(sys.argv[2])"
)


def make_from_order(order: str) -> None:
    """Make one game as another process asked for it, in JSON."""
    read = json.loads(order)
    folder = Path(read["folder"]) if read["folder"] else None
    game_file(GameDescription(**read["description"]), read["seed"], folder)


def _make(description: GameDescription, seed: int, folder: Path) -> None:
    import textworld
    from textworld.challenges import CHALLENGES
    from textworld.generator import compile_game

    options = textworld.GameOptions()
    options.seeds = seed
    options.path = str(folder / "game.z8")
    try:
        with quiet_interpreter():
            if description.kind == "custom":
                options.nb_rooms = description.rooms
                options.nb_objects = description.objects
                options.quest_length = description.quest_length
                textworld.make(options)
            else:
                name = f"tw-{description.kind}"
                _, make_challenge, add_arguments = CHALLENGES[name]
                settings = _parsed(name, add_arguments, description.settings)
                compile_game(make_challenge(settings=settings, options=options), options)
    except (textworld.generator.QuestGenerationError, ValueError, AssertionError) as error:
        raise ValueError(f"TextWorld cannot make {description} with seed {seed}: {error}") from (
            error
        )


@contextlib.contextmanager
def quiet_interpreter() -> Iterator[None]:
    """Keep a warning from the user that is about games of the seventies, not of textworld."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is not fully supported")
        yield


def _parsed(name: str, add_arguments: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a challenge with its defaults, as ``tw-make`` reads them."""
    parser = argparse.ArgumentParser(prog=name, allow_abbrev=False)
    add_arguments(parser)
    words: list[str] = []
    for key, value in settings.items():
        option = f"--{key.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not False and value is not None:
            words += [option, str(value)]
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return vars(parser.parse_args(words))
    except SystemExit:
        said = complaint.getvalue().strip().splitlines()[-1:]
        raise ValueError(" ".join(said)) from None
