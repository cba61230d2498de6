"""BabyAI in words (Chevalier-Boisvert et al. 2019, ICLR): what is seen, and seven commands."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from typing import Any, final

import gymnasium
import numpy as np

from envs.text.environment import TextEnvironment
from envs.text.turns import COMMON_STATE, Reply

COMMANDS = ("turn left", "turn right", "go forward", "pick up", "drop", "toggle", "done")
"""The commands in the order of minigrid's actions; "toggle" opens and closes."""

_ALIASES = {
    "left": 0, "right": 1, "forward": 2, "move forward": 2, "pickup": 3, "open": 5, "close": 5,
}  # fmt: skip
_INDICES = {**{command: index for index, command in enumerate(COMMANDS)}, **_ALIASES}
# Where the agent stands in its own view of 7 x 7 squares: at the bottom, in the middle.
_COLUMN, _ROW = 3, 6
_UNSEEN, _EMPTY, _WALL, _FLOOR, _DOOR = 0, 1, 2, 3, 4


@final
class BabyAIEnvironment(TextEnvironment):
    """A level of BabyAI: a mission in words, and the objects in view as sentences.

    A task number is the seed of the level. The record's observation is minigrid's own picture and
    direction, and its action minigrid's number of the action, so networks can be trained on the
    same record. Reward ``1 - 0.9 n / max_steps`` at the success after n steps, else 0. An unknown
    command moves nothing and is no step of the simulator, but it is a turn.

    Args:
        name: id of the level.
        max_turns: by default the limit of the level, which minigrid may draw with it (then the
            level's own is kept, and this is 10000). The reward is scaled by the level's limit.
        **common: see `TextEnvironment`.
    """

    info_keys = COMMON_STATE | {
        "x": "column of the agent on the map, from the left",
        "y": "row of the agent on the map, from the top",
        "direction": "where the agent looks: 0 east, 1 south, 2 west, 3 north",
        "carrying": "1 if the agent carries an object, else 0",
    }

    def __init__(self, *, name: str, max_turns: int | None = None, **common: Any) -> None:
        with _silence():
            import minigrid

            gymnasium.register_envs(minigrid)
            if name not in gymnasium.registry:
                raise ValueError(f"minigrid has no level {name!r}.")
            self._env = gymnasium.make(name, disable_env_checker=True)
        super().__init__(name=name, max_turns=max_turns or 10_000, **common)
        self._base: Any = self._env.unwrapped
        self.observation_space = gymnasium.spaces.Dict(
            {
                "image": gymnasium.spaces.Box(0, 255, (7, 7, 3), np.uint8),
                "direction": gymnasium.spaces.Discrete(4),
            }
        )
        self.action_space = gymnasium.spaces.Discrete(len(COMMANDS))
        self._bot: Any = None
        self._bot_is_lost = False
        self._taken: int | None = None
        self._advice: int | None = None

    def _begin(self, task: int) -> Reply:
        with _silence():
            observation, _ = self._env.reset(seed=task)
        self._bot = self._taken = self._advice = None
        self._bot_is_lost = False
        return self._reply(observation, before=f"Mission: {observation['mission']}.")

    def _act(self, command: str) -> Reply:
        index = _INDICES.get(command.lower())
        if index is None:
            observation = self._base.gen_obs()
            before = "Unknown command."
            return self._reply(observation, before=before, valid=False, action=np.int64(0))
        self._follow(index)
        with _silence():
            observation, reward, terminated, truncated, _ = self._env.step(index)
        return self._reply(
            observation,
            before="",
            action=np.int64(index),
            reward=float(reward),
            terminated=bool(terminated),
            truncated=bool(truncated) and not terminated,
            won=bool(terminated) and float(reward) > 0.0,
        )

    def _advise(self) -> str | None:
        if self._advice is None:
            self._plan()
        return None if self._advice is None else COMMANDS[self._advice]

    def _follow(self, index: int) -> None:
        """Tell the bot, if it was ever asked, what is about to happen: it plans at every step."""
        if self._bot is not None:
            if self._advice is None:
                self._plan()
            self._taken, self._advice = index, None

    def _plan(self) -> None:
        from minigrid.utils.baby_ai_bot import BabyAIBot

        if self._bot_is_lost:
            return
        with _silence():
            try:
                if self._bot is None:
                    self._bot = BabyAIBot(self._env)
                self._advice = int(self._bot.replan(self._taken))
            except Exception:  # the bot raises various errors where a mission became impossible
                self._bot_is_lost = True

    def _reply(self, observation: Mapping[str, Any], *, before: str, **outcome: Any) -> Reply:
        image = np.array(observation["image"], np.uint8)
        column, row = (int(number) for number in self._base.agent_pos)
        direction = int(observation["direction"])
        carried = self._base.carrying
        won = bool(outcome.get("won", False))
        lines = ([before] if before else []) + describe(image)
        return Reply(
            text="\n".join(lines),
            admissible=COMMANDS,
            observation={"image": image, "direction": np.int64(direction)},
            score=float(outcome.get("reward", 0.0)),
            progress=float(won),
            state={
                "x": column,
                "y": row,
                "direction": direction,
                "carrying": int(carried is not None),
            },
            **outcome,
        )

    def close(self) -> None:
        """See `TextEnvironment`."""
        super().close()
        self._env.close()


def describe(image: np.ndarray) -> list[str]:
    """Return the agent's view as lines: objects from near to far, what is carried, the wall ahead.

    Args:
        image: minigrid's view, uint8 ``[7, 7, 3]`` (kind, colour, state), indexed by column and
            row; the agent stands at column 3 of row 6 and looks towards row 0.
    """
    from minigrid.core.constants import IDX_TO_COLOR, IDX_TO_OBJECT, STATE_TO_IDX

    states = {number: word for word, number in STATE_TO_IDX.items()}
    found: list[tuple[int, int, str]] = []
    lines: list[str] = []
    for i, j in np.ndindex(image.shape[:2]):
        kind, colour, state = (int(number) for number in image[i, j])
        if kind in (_UNSEEN, _EMPTY, _WALL, _FLOOR):
            continue
        thing = f"{IDX_TO_COLOR[colour]} {IDX_TO_OBJECT[kind]}"
        if kind == _DOOR:
            thing = f"{states[state]} {thing}"
        article = "an" if thing[0] in "aeiou" else "a"
        if (i, j) == (_COLUMN, _ROW):
            if kind != _DOOR:  # under the agent itself stands what it carries
                lines.append(f"You carry {article} {thing}.")
            continue
        ahead, side = _ROW - j, _COLUMN - i
        where = [_steps(ahead, "forward")] if ahead else []
        where += [_steps(abs(side), "left" if side > 0 else "right")] if side else []
        found.append((ahead + abs(side), i, f"You see {article} {thing} {' and '.join(where)}."))
    lines = [line for *_, line in sorted(found)] + lines
    wall = next((n for n in range(1, _ROW + 1) if image[_COLUMN, _ROW - n, 0] == _WALL), None)
    if wall is not None:
        lines.append(f"You see a wall {_steps(wall, 'forward')}.")
    return lines or ["You see nothing."]


def _steps(count: int, direction: str) -> str:
    return f"{count} step{'' if count == 1 else 's'} {direction}"


@contextlib.contextmanager
def _silence() -> Any:
    """Keep what minigrid prints while it draws a level, and its news about ids, from the user."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
