"""NetHack and MiniHack in words, on the same engine and records as for networks.

A turn of text is a step of `envs.nethack.environment.NetHackEnv`: same games for the same seeds,
same action indices, same observations, rewards, ends and quantities. So a reward pays the same
whether a policy pressed key 3 or wrote "west".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import gymnasium
import numpy as np

import envs
from envs.nethack.environment import OBSERVATION_KEYS
from envs.nethack.tasks import FAMILY
from envs.nethack.text import decode, surroundings
from envs.text.environment import TextEnvironment
from envs.text.nethack_paths import towards_stairs
from envs.text.turns import Reply

_DESCRIPTIONS = "screen_descriptions"
_WORDS = {
    "N": "north", "S": "south", "E": "east", "W": "west",
    "NE": "northeast", "NW": "northwest", "SE": "southeast", "SW": "southwest",
}  # fmt: skip
_SUMMARIES = {task.name: task.summary for task in FAMILY.tasks}


@final
class NetHackTextEnvironment(TextEnvironment):
    """A task of nle or minihack, played by commands such as ``"north"`` or ``"pick up"``.

    A task number is the seed of the game, as in ``envs.make(name).reset(seed=...)``. One command
    presses one key; a question of the game ("In what direction?") is answered by the next command,
    in words or as a single character. With ``keys_per_command`` above 1 a command may hold its
    answers (``"open north"``); then all its keys are one turn, whose reward is their sum.

    Reward and ``state`` are not scaled or changed in any way: ``info["state"]`` is what the
    environment for networks has as ``info``. ``won`` is the task's success, ``score`` NetHack's
    points, ``progress`` 1 after a success and else 0.

    Args:
        name: id of the task.
        observation_keys: what the record holds; by default what networks see. Only the text
            depends on the names on the screen, unless they are asked for here.
        max_turns: by default the limit of the task.
        keys_per_command: the most keys that a command may press. Above 1, ``action`` is a row of
            as many indices, filled up with -1.
        on_invalid: name of an action, such as ``"SEARCH"``, that is carried out in place of a
            command that is not understood; by default nothing is.
        inventory: ``"new"`` for items that were not there at the start, ``"all"``, or ``"none"``.
        tasks: see `TextEnvironment`.
        show_admissible: see `TextEnvironment`.
        text_bytes: not used: the record holds the observation for networks.
        command_characters: see `TextEnvironment`.
        **options: of the environment for networks; see ``docs/nethack.md``.

    Raises:
        ValueError: an argument out of its range.
        envs.EnvironmentNameError: no task has this name.
    """

    passes_options_on = True

    def __init__(
        self,
        *,
        name: str,
        observation_keys: Sequence[str] = OBSERVATION_KEYS,
        max_turns: int | None = None,
        keys_per_command: int = 1,
        on_invalid: str | None = None,
        inventory: str = "new",
        tasks: Sequence[int] | str | None = None,
        show_admissible: int = 0,
        text_bytes: int = 1024,
        command_characters: int = 100,
        **options: Any,
    ) -> None:
        if inventory not in ("new", "all", "none"):
            raise ValueError(f"inventory must be 'new', 'all' or 'none', got {inventory!r}.")
        if keys_per_command < 1:
            raise ValueError(f"keys_per_command must be at least 1, got {keys_per_command}.")
        if max_turns is not None:
            options["max_episode_steps"] = max_turns
        self._shown = tuple(observation_keys)
        env = envs.make(name, observation_keys=[*self._shown, _DESCRIPTIONS], **options)
        limit = None if env.spec is None else env.spec.max_episode_steps
        super().__init__(
            name=name,
            max_turns=max_turns or limit or 5000,
            tasks=tasks,
            show_admissible=show_admissible,
            text_bytes=text_bytes,
            command_characters=command_characters,
        )
        self._env, self._inventory, self._keys = env, inventory, keys_per_command
        assert isinstance(env.observation_space, gymnasium.spaces.Dict)
        self.observation_space = gymnasium.spaces.Dict(
            {key: env.observation_space[key] for key in self._shown}
        )
        self.action_names: tuple[str, ...] = env.get_wrapper_attr("action_names")
        self.action_space = env.action_space
        if keys_per_command > 1:
            last = len(self.action_names) - 1
            self.action_space = gymnasium.spaces.Box(-1, last, (keys_per_command,), np.int64)
        self._fallback = None if on_invalid is None else self._index(on_invalid)
        self._admissible = tuple(map(_in_words, self.action_names))
        self.info_keys = env.get_wrapper_attr("info_keys")
        self._observation: dict[str, np.ndarray] = {}
        self._info: dict[str, Any] = {}
        self._at_start: frozenset[int] = frozenset()

    def _begin(self, task: int) -> Reply:
        self._observation, self._info = self._env.reset(seed=task)
        self._at_start = frozenset(self._info["inventory_letters"].tolist())
        goal = _SUMMARIES.get(self.name)
        return self._reply(before=f"Task: {goal}." if goal else "")

    def _act(self, command: str) -> Reply:
        keys, problem = self._parsed(command)
        if not keys:
            action = self._recorded([0])
            return self._reply(before=problem, pressed=False, valid=False, action=action)
        reward, terminated, truncated, pressed = 0.0, False, False, 0
        for key in keys:
            self._observation, gained, terminated, truncated, self._info = self._env.step(key)
            reward += float(gained)
            pressed += 1
            if terminated or truncated:
                break
        return self._reply(
            before=problem,
            valid=not problem,
            action=self._recorded(keys[:pressed]),
            reward=reward,
            terminated=terminated,
            truncated=truncated,
        )

    def _advise(self) -> str | None:
        if self._info["prompt"]:
            return None
        names = self._observation[_DESCRIPTIONS]
        word = towards_stairs(names, self._info["x"], self._info["y"])
        return word if word in self._admissible else None

    def close(self) -> None:
        """See `TextEnvironment`."""
        super().close()
        self._env.close()

    def _state(self, reply: Reply, common: Mapping[str, Any]) -> dict[str, Any]:
        return dict(reply.state)  # nothing is added: the networks' branch has exactly these

    def _parsed(self, command: str) -> tuple[list[int], str]:
        """Return the keys of a command, and what is wrong with it (else an empty text)."""
        parse = self._env.get_wrapper_attr("parse")
        keys: list[int] = []
        problem = ""
        if self._info["prompt"] and command:
            try:  # a word that answers a question can also be the name of a command
                keys = parse(f"{self.action_names[0]} {command}")[1:]
            except ValueError:
                keys = []
        if not keys:
            try:
                keys = parse(command)
            except ValueError:
                problem = "Unknown command."
        if len(keys) > self._keys:
            keys, problem = [], f"At most {self._keys} key(s) in a command."
        if problem and self._fallback is not None:
            keys = [self._fallback]
        return keys, problem

    def _index(self, action: str) -> int:
        if action not in self.action_names:
            raise ValueError(
                f"on_invalid must be one of the actions {', '.join(self.action_names)}, "
                f"got {action!r}."
            )
        return self.action_names.index(action)

    def _recorded(self, keys: list[int]) -> Any:
        if self._keys == 1:
            return np.int64(keys[0])
        return np.array(keys + [-1] * (self._keys - len(keys)), np.int64)

    def _reply(self, *, before: str, pressed: bool = True, **outcome: Any) -> Reply:
        info = self._info
        won = bool(info.get("is_success", False))
        return Reply(
            text=self._described(before, with_message=pressed),
            admissible=self._admissible,
            observation={key: self._observation[key] for key in self._shown},
            score=float(info["score"]),
            won=won,
            progress=float(won),
            state=info,
            **outcome,
        )

    def _described(self, before: str, *, with_message: bool) -> str:
        info = self._info
        message = " ".join(decode(info["message"]).split()) if with_message else ""
        lines = [line for line in (before, message) if line]
        seen = surroundings(self._observation[_DESCRIPTIONS], info["x"], info["y"])
        lines.append(f"You see: {'; '.join(seen) or 'nothing'}.")
        if self._inventory != "none" and (carried := self._carried()):
            lines.append(f"You carry: {'; '.join(carried)}.")
        lines.append(f"HP {info['hit_points']}/{info['max_hit_points']}, turn {info['turn']}.")
        return "\n".join(lines)

    def _carried(self) -> list[str]:
        known = self._at_start if self._inventory == "new" else frozenset()
        pairs = zip(
            self._info["inventory_letters"].tolist(), self._info["inventory_strings"], strict=True
        )
        return [
            f"{chr(letter)}: {decode(row)}"
            for letter, row in pairs
            if letter and letter not in known
        ]


def _in_words(action: str) -> str:
    """Return the command for the name of an action: ``far north`` for ``FAR_N``."""
    direction = action.removeprefix("FAR_")
    if direction in _WORDS:
        return ("far " if direction != action else "") + _WORDS[direction]
    return action.lower().replace("_", " ")
