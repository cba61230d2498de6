"""TextWorld: quests in rooms, as turns of text."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from envs.text.environment import TextEnvironment
from envs.text.textworld_cache import GameDescription, game_file, quiet_interpreter
from envs.text.turns import COMMON_STATE, Reply

# From this line on the interpreter talks about itself: "*** The End ***", "> ... -= Room =-0/3".
_AFTER = re.compile(r"^\s*(?:>|\*\*\* .* \*\*\*)", re.MULTILINE)
_BLANK = re.compile(r"\n\s*\n+")
_ROOM = re.compile(r"^-= (.*) =-$", re.MULTILINE)
# What is sent in place of a command that is not the player's; the game knows no such word.
_UNKNOWN = "?"
_SEVERAL = re.compile(r"[^\w\s'-]|\bthen\b")
_SHORT = frozenset(
    ("north", "south", "east", "west", "n", "s", "e", "w", "l", "x", "i", "get", "pick")
)
_TEXTS = ("brief", "full", "state")
_OPEN_GAMES = 16


@final
class TextWorldEnvironment(TextEnvironment):
    """Games of TextWorld of one kind; a task number is the seed of a game.

    Reward is the change of the score divided by the most points there are. ``progress`` is the part
    of the walkthrough that is done (1 when won; the part of the points when the quest has become
    impossible). Invalid commands cost a turn, and so do commands to the interpreter ("save",
    "restart", several in a line), which never reach it.

    Args:
        name: see `TextEnvironment`.
        kind: see `envs.text.textworld_cache.GameDescription`, as the next four.
        rooms: of a custom game.
        objects: of a custom game.
        quest_length: of a custom game.
        settings: of the other kinds.
        text: ``"brief"``: room, what happened, and what is carried; ``"full"``: the description of
            the room as well, at every turn; ``"state"``: that and what is carried alone, which
            does not depend on how one got there.
        max_turns: see `TextEnvironment`.
        tasks: see `TextEnvironment`; every new number is a game that takes seconds to make.
        text_bytes: see `TextEnvironment`.
        folder: where games are kept, instead of the user's cache.
        **common: see `TextEnvironment`.

    Raises:
        ValueError: an argument out of its range.
    """

    info_keys = COMMON_STATE | {
        "intermediate_reward": "1 if the command was a step towards the end of the quest, -1 if it "
        "made the way longer or impossible, else 0",
        "remaining": "commands of the walkthrough from here, 0 where there is none",
        "moves": "commands that the game carried out",
    }

    def __init__(
        self,
        *,
        name: str,
        kind: str = "custom",
        rooms: int = 2,
        objects: int = 3,
        quest_length: int = 4,
        settings: Mapping[str, Any] | None = None,
        text: str = "brief",
        max_turns: int = 50,
        tasks: Sequence[int] | str | None = "50001..50100",
        text_bytes: int = 2048,
        folder: str | None = None,
        **common: Any,
    ) -> None:
        if text not in _TEXTS:
            raise ValueError(f"text must be one of {', '.join(_TEXTS)}, got {text!r}.")
        super().__init__(
            name=name, max_turns=max_turns, tasks=tasks, text_bytes=text_bytes, **common
        )
        self.description = GameDescription(kind, rooms, objects, quest_length, settings or {})
        self._text, self._folder = text, None if folder is None else Path(folder)
        self._games: OrderedDict[int, Any] = OrderedDict()
        self._game: Any = None
        self._state_now: Any = None
        self._score, self._moves, self._walkthrough = 0.0, 0, 1

    def _begin(self, task: int) -> Reply:
        self._game = self._open(task)
        self._state_now = state = self._game.reset()
        self._score, self._moves = float(state.score or 0), 0
        self._walkthrough = max(1, len(state.policy_commands or ()))
        seen = (_tidy(state.description), _tidy(state.inventory))
        parts = seen if self._text == "state" else (_tidy(state.objective), *seen)
        return self._reply("\n".join(part for part in parts if part))

    def _act(self, command: str) -> Reply:
        state, _, done = self._game.step(command if self._is_playing(command) else _UNKNOWN)
        self._state_now = state
        gained = float(state.score or 0) - self._score
        self._score += gained
        over = bool(state.won or state.lost)
        valid = over or int(state.moves or 0) > self._moves
        self._moves = max(self._moves, int(state.moves or 0))
        return self._reply(
            self._described(state),
            reward=gained / self._most(),
            terminated=over or bool(done),
            valid=valid,
            won=bool(state.won),
        )

    def _is_playing(self, command: str) -> bool:
        """Return whether a command is one of the player's, not one to the interpreter.

        Interpreters also know commands such as "save" and "script", which write files, "restart",
        and several commands in a line.
        """
        lowered = command.lower()
        if lowered in (known.lower() for known in self._state_now.admissible_commands or ()):
            return True
        words = lowered.split()
        if not words or _SEVERAL.search(lowered):
            return False
        return words[0] in _SHORT or words[0] in (self._state_now.verbs or ())

    def _advise(self) -> str | None:
        commands = self._state_now.policy_commands
        return str(commands[0]) if commands else None

    def close(self) -> None:
        """See `TextEnvironment`."""
        super().close()
        while self._games:
            self._games.popitem()[1].close()

    def _open(self, task: int) -> Any:
        """Return the running interpreter of a game; the least recently played one is closed."""
        import textworld

        if task in self._games:
            self._games.move_to_end(task)
            return self._games[task]
        path = game_file(self.description, task, self._folder)
        wanted = textworld.EnvInfos(
            feedback=True, description=True, inventory=True, admissible_commands=True, won=True,
            lost=True, score=True, max_score=True, objective=True, policy_commands=True,
            intermediate_reward=True, moves=True, verbs=True,
        )  # fmt: skip
        with quiet_interpreter():
            self._games[task] = textworld.start(str(path), request_infos=wanted)
        if len(self._games) > _OPEN_GAMES:
            self._games.popitem(last=False)[1].close()
        return self._games[task]

    def _most(self) -> float:
        return max(1.0, float(self._state_now.max_score or 1))

    def _described(self, state: Any) -> str:
        feedback, inventory = _tidy(state.feedback), _tidy(state.inventory)
        if self._text == "state":
            return f"{_tidy(state.description)}\n{inventory}".strip()
        if state.won or state.lost:
            return "\n".join(part for part in (feedback, inventory) if part)
        seen = _tidy(state.description)
        room = _ROOM.search(seen)
        parts = [feedback]
        if self._text == "full":
            parts = [feedback] if feedback == seen else [feedback, seen]
        elif room is not None and room[0] not in feedback:
            parts = [f"You are in the {room[1]}.", feedback]
        if inventory != feedback:
            parts.append(inventory)
        return "\n".join(part for part in parts if part)

    def _reply(self, text: str, **outcome: Any) -> Reply:
        state = self._state_now
        remaining = len(state.policy_commands or ())
        won = bool(outcome.get("won", False))
        progress = 1.0 - remaining / self._walkthrough
        if won:
            progress = 1.0
        elif remaining == 0:
            progress = self._score / self._most()
        return Reply(
            text=text,
            admissible=tuple(state.admissible_commands or ()),
            score=self._score,
            max_score=self._most(),
            progress=progress,
            state={
                "intermediate_reward": int(state.intermediate_reward or 0),
                "remaining": remaining,
                "moves": int(state.moves or 0),
            },
            **outcome,
        )


def _tidy(text: str | None) -> str:
    """Return a text of the game without the interpreter's own lines and without blank ones."""
    if not text:
        return ""
    found = _AFTER.search(text)
    kept = text[: found.start()] if found else text
    return _BLANK.sub("\n", kept).strip()
