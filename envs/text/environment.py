"""Text environments: what every one of them does, whatever simulator is behind it.

A policy reads a `TextTurn` and answers with a command. The turn also carries the raw record of
what happened (observation, action, reward, flags, quantities), so that a reward sees the same
arrays whether a network moved by numbers or a language model by words.
"""

from __future__ import annotations

import abc
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

import gymnasium
import numpy as np
from gymnasium.utils import seeding

from envs.errors import SnapshotError
from envs.text.rows import encode_row
from envs.text.turns import COMMON_STATE, Reply, TextTurn

_TASK_NUMBERS = 2**31


class TextEnvironment(abc.ABC):
    """One episode of text at a time.

    A task is a whole number: an item, a game, a variation or the seed of a level, as the family
    says. It determines the first turn and, with the commands, everything after it.

    Args:
        name: the id, for errors and snapshots.
        max_turns: an episode is truncated after as many commands, invalid ones included.
        tasks: the numbers to draw from when a reset names none: a list, or text such as
            ``"50001..50100"`` with both ends included. None for all numbers below 2**31.
        show_admissible: append at most so many of the admissible commands to the text; of more, a
            sample is shown that task and turn determine. True for all, False or 0 for none.
        text_bytes: width of the text in records; longer text is cut there, not in the turn.
        command_characters: longer commands are cut.

    Attributes:
        observation_space: of ``TextTurn.observation``.
        action_space: of ``TextTurn.action``.
        info_keys: what every entry of ``info["state"]`` is.

    Raises:
        ValueError: an argument out of its range.
    """

    info_keys: Mapping[str, str] = COMMON_STATE
    # Commands reach engines that were written for keyboards.
    _forbidden: ClassVar[re.Pattern[str]] = re.compile(r"[\\\x00-\x1f\x7f]+")

    def __init__(
        self,
        *,
        name: str,
        max_turns: int,
        tasks: Sequence[int] | str | None = None,
        show_admissible: int = 0,
        text_bytes: int = 1024,
        command_characters: int = 100,
    ) -> None:
        for what, value in (
            ("max_turns", max_turns),
            ("text_bytes", text_bytes),
            ("command_characters", command_characters),
        ):
            if value < 1:
                raise ValueError(f"{what} of {name} must be at least 1, got {value}.")
        self.name, self.max_turns = name, max_turns
        self.tasks = task_numbers(tasks)
        self.show_admissible = sys.maxsize if show_admissible is True else int(show_admissible)
        self._text_bytes, self._command_characters = text_bytes, command_characters
        self.observation_space: gymnasium.Space = gymnasium.spaces.Dict(
            {"text": gymnasium.spaces.Box(0, 255, (text_bytes,), np.uint8)}
        )
        self.action_space: gymnasium.Space = gymnasium.spaces.Box(
            0, 255, (4 * command_characters,), np.uint8
        )
        self._random, _ = seeding.np_random(None)
        self._task = -1
        self._commands: list[str] = []
        self._running = self._closed = False
        self._last = ""

    @final
    def reset(self, *, seed: int | None = None, task: int | str | None = None) -> TextTurn:
        """Begin an episode.

        Args:
            seed: starts the generator anew from which tasks are drawn. Without a list of tasks and
                without ``task``, it is the number of the task itself.
            task: the number of the task; it need not be among those that are drawn. The same
                number gives the same first turn, however often.

        Raises:
            ValueError: a task that is not a whole number of at least 0, or unknown to the family.
            RuntimeError: the environment is closed.
        """
        self._require_open()
        if seed is not None:
            self._random, _ = seeding.np_random(seed)
        if task is not None:
            self._task = _task_number(task, self.name)
        elif self.tasks is not None:
            self._task = int(self.tasks[int(self._random.integers(len(self.tasks)))])
        elif seed is not None:
            self._task = int(seed)
        else:
            self._task = int(self._random.integers(_TASK_NUMBERS))
        return self._start()

    @final
    def step(self, command: str) -> TextTurn:
        """Carry out a command.

        A command that the simulator does not understand is a turn like any other, with
        ``info["valid_command"]`` false.

        Args:
            command: what the policy wrote. Control characters and backslashes become spaces, and
                what is longer than the environment allows is cut.

        Raises:
            TypeError: the command is not text.
            gymnasium.error.ResetNeeded: no episode is running.
        """
        self._require_open()
        if not isinstance(command, str):
            raise TypeError(f"A command is text, got {type(command).__name__} {command!r:.60}.")
        if not self._running:
            raise gymnasium.error.ResetNeeded(
                f"No episode of {self.name} is running: call reset() first, and again after an "
                "episode's end."
            )
        cleaned = self._clean(command)
        self._commands.append(cleaned)
        return self._turn(self._act(cleaned), cleaned)

    def expert(self) -> str | None:
        """Return the next command of a scripted expert, or None where there is none.

        Asking changes nothing. After the episode's end the answer is None.
        """
        return self._advise() if self._running else None

    @final
    def snapshot(self) -> dict[str, Any]:
        """Return the state of the episode and of the random numbers, as plain data.

        The state of an episode is its task and the commands so far: the simulators behind text are
        deterministic, and most of them cannot be saved otherwise. So `restore` takes as long as
        the episode took.

        Raises:
            SnapshotError: no episode was begun.
        """
        self._require_open()
        if self._task < 0:
            raise SnapshotError(f"{self.name} has no state before its first reset.")
        return {
            "environment": self.name,
            "task": self._task,
            "commands": list(self._commands),
            "text": self._last,
            "random": self._random.bit_generator.state,
        }

    @final
    def restore(self, tree: Mapping[str, Any]) -> TextTurn:
        """Continue where `snapshot` was taken, and return its turn.

        Raises:
            SnapshotError: the snapshot is of another environment, or the same commands led
                elsewhere now, as with other options or another version of the simulator.
        """
        self._require_open()
        if tree["environment"] != self.name:
            raise SnapshotError(f"The snapshot is of {tree['environment']}, this is {self.name}.")
        self._task = int(tree["task"])
        turn = self._start()
        for command in tree["commands"]:
            if not self._running:
                break
            turn = self.step(command)
        if turn.text != tree["text"] or self._commands != list(tree["commands"]):
            raise SnapshotError(
                f"The {len(tree['commands'])} saved commands led to another text in task "
                f"{self._task} of {self.name}. Make the environment with the options and the "
                "version of the simulator with which the snapshot was taken."
            )
        self._random.bit_generator.state = tree["random"]
        return turn

    def close(self) -> None:
        """Free what the simulator holds; a second call changes nothing."""
        self._closed = True
        self._running = False

    @abc.abstractmethod
    def _begin(self, task: int) -> Reply:
        """Begin task number ``task`` (at least 0) and return its first text."""

    @abc.abstractmethod
    def _act(self, command: str) -> Reply:
        """Carry out a cleaned command, which may be empty."""

    def _advise(self) -> str | None:
        """Return the next command of a scripted expert; an episode is running."""
        return None

    def _state(self, reply: Reply, common: Mapping[str, Any]) -> dict[str, Any]:
        """Return what stands under ``info["state"]``."""
        return {**common, **reply.state}

    def _clean(self, command: str) -> str:
        """Return what is left of a command: one line, no control characters, not too long."""
        line = self._forbidden.sub(" ", command[: 4 * self._command_characters])
        return " ".join(line.split())[: self._command_characters].strip()

    def _start(self) -> TextTurn:
        self._commands = []
        self._running = False  # until the simulator has begun
        reply = self._begin(self._task)
        return self._turn(reply, None)

    def _turn(self, reply: Reply, command: str | None) -> TextTurn:
        turn = len(self._commands)
        text = reply.text
        if self.show_admissible and reply.admissible is not None:
            text = f"{text}\nCommands: {'; '.join(self._sampled(reply.admissible))}"
        truncated = reply.truncated or (turn >= self.max_turns and not reply.terminated)
        progress = min(max(reply.progress, 0.0), 1.0)
        common = {
            "score": float(reply.score),
            "max_score": float(reply.max_score),
            "turn": turn,
            "progress": progress if math.isfinite(progress) else 0.0,
        }
        info: dict[str, Any] = {
            **common,
            "won": reply.won,
            "lost": reply.terminated and not reply.won,
            "valid_command": reply.valid,
            "is_success": reply.won,
            "task_id": self._task,
            "state": self._state(reply, {**common, "valid_command": int(reply.valid)}),
        }
        observation, action = reply.observation, reply.action
        if observation is None:
            observation = {"text": encode_row(text, self._text_bytes)}
        if action is None and command is not None:
            action = encode_row(command, 4 * self._command_characters)
        self._running = not (reply.terminated or truncated)
        self._last = text
        return TextTurn(
            text=text,
            admissible=reply.admissible,
            observation=observation,
            action=action,
            reward=float(reply.reward),
            terminated=reply.terminated,
            truncated=truncated,
            info=info,
        )

    def _sampled(self, commands: tuple[str, ...]) -> Sequence[str]:
        count = len(commands)
        if count <= self.show_admissible:
            return commands
        random = np.random.default_rng([self._task, len(self._commands)])
        chosen = random.choice(count, self.show_admissible, replace=False)
        return [commands[place] for place in sorted(chosen.tolist())]

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"{self.name} is closed; make a new one.")


def task_numbers(tasks: Sequence[int] | str | None) -> Sequence[int] | None:
    """Return a list of task numbers, given as one or as text such as ``"50001..50100"``.

    Raises:
        ValueError: an empty list, a number below 0, or text of another form.
    """
    if tasks is None:
        return None
    if isinstance(tasks, str):
        found = re.fullmatch(r"\s*(\d+)\s*\.\.\s*(\d+)\s*", tasks)
        numbers: Sequence[int] = range(int(found[1]), int(found[2]) + 1) if found else ()
    else:
        numbers = tasks if isinstance(tasks, range) else [int(number) for number in tasks]
    if len(numbers) == 0 or min(numbers[0], numbers[-1], *numbers[:1000]) < 0:
        raise ValueError(
            "tasks must be at least one number of 0 or more, as a list or as text such as "
            f"'50001..50100', got {tasks!r}."
        )
    return numbers


def _task_number(task: int | str, name: str) -> int:
    try:
        number = int(task)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise ValueError(f"A task of {name} is a whole number of at least 0, got {task!r}.")
    return number
