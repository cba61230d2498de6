"""ScienceWorld (Wang et al. 2022, arXiv 2203.07540): science tasks in a house, on a Java server."""

from __future__ import annotations

import difflib
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any, final

from envs.text.environment import TextEnvironment
from envs.text.turns import COMMON_STATE, Reply

# The server's own limit counts simulated time, of which waiting takes more; ours counts commands.
_SERVER_LIMIT = 10**6
_GRACE = 5.0  # seconds
_SPLITS = ("train", "dev", "test")


@final
class ScienceWorldEnvironment(TextEnvironment):
    """One of the 30 tasks; a task number is one of its variations.

    Reward is the change of the score (-100 to 100) divided by 100 and clipped to -1 and 1. Points
    that are there at the reset count for the first command, so that the rewards of an episode sum
    to its last score. Acting on a wrong object ends the episode with a score of -100: it is lost.

    Every environment starts a Java server of about 200 MB; `close` ends it.

    Args:
        name: see `TextEnvironment`.
        science_task: its name in ScienceWorld, such as ``"find-animal"``.
        simplification: ScienceWorld's simplifications, such as ``"easy"`` or ``""``.
        split: ``"train"``, ``"dev"`` or ``"test"``: the variations to draw from.
        with_expert: work out the gold path at every reset (1 to 2 s), for `expert`.
        max_turns: see `TextEnvironment`.
        tasks: see `TextEnvironment`; by default those of ``split``.
        text_bytes: see `TextEnvironment`.
        **common: see `TextEnvironment`.

    Raises:
        ValueError: an unknown task, with the nearest; an argument out of its range.
        RuntimeError: there is no Java.
    """

    info_keys = COMMON_STATE | {
        "raw_reward": "points of the command as the server gave them, -108 for a wrong object",
        "moves": "simulated time; looking takes none, waiting more than one",
    }

    def __init__(
        self,
        *,
        name: str,
        science_task: str = "boil",
        simplification: str = "easy",
        split: str = "train",
        with_expert: bool = False,
        max_turns: int = 100,
        tasks: Sequence[int] | str | None = None,
        text_bytes: int = 4096,
        **common: Any,
    ) -> None:
        if split not in _SPLITS:
            raise ValueError(f"split must be one of {', '.join(_SPLITS)}, got {split!r}.")
        if shutil.which("java") is None:
            raise RuntimeError(
                f"{name} runs on a Java server, and there is no command java. Install a Java "
                "runtime of version 8 or later, on Debian and Ubuntu: "
                "apt-get install default-jre-headless"
            )
        from scienceworld import ScienceWorldEnv

        self._server: Any = ScienceWorldEnv("", envStepLimit=_SERVER_LIMIT)
        try:
            known = list(self._server.get_task_names())
            if science_task not in known:
                near = difflib.get_close_matches(science_task, known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ValueError(
                    f"ScienceWorld has no task {science_task!r}.{hint} Valid: {', '.join(known)}."
                )
            self._variations = int(self._server.get_max_variations(science_task))
            if tasks is None:
                self._server.load(science_task, 0, simplification, generateGoldPath=False)
                tasks = list(getattr(self._server, f"get_variations_{split}")())
            super().__init__(
                name=name, max_turns=max_turns, tasks=tasks, text_bytes=text_bytes, **common
            )
        except BaseException:
            _end(self._server)
            raise
        self._science_task, self._simplification = science_task, simplification
        self._with_expert = with_expert
        self._path: list[str] = []
        self._score = 0.0

    def _begin(self, task: int) -> Reply:
        if task >= self._variations:
            raise ValueError(
                f"{self._science_task} has the variations 0 to {self._variations - 1}, got {task}."
            )
        self._server.load(
            self._science_task, task, self._simplification, generateGoldPath=self._with_expert
        )
        _, info = self._server.reset()
        self._path = list(self._server.get_gold_action_sequence()) if self._with_expert else []
        self._score = 0.0
        text = f"{info['taskDesc'].strip()}\n{info['look'].strip()}"
        return self._reply(text, info, float(info["score"]), raw_reward=0.0)

    def _act(self, command: str) -> Reply:
        observation, raw, done, info = self._server.step(command or "?")
        if self._path and self._path[0] == command:
            self._path.pop(0)
        else:
            self._path = []  # the gold path says nothing about where we are now
        score = float(info["score"])
        gained, self._score = score - self._score, score
        return self._reply(
            observation.strip(),
            info,
            score,
            raw_reward=float(raw),
            reward=min(max(gained / 100.0, -1.0), 1.0),
            terminated=bool(done),
            won=bool(done) and score >= 100.0,
            valid="No known action matches" not in observation,
        )

    def _advise(self) -> str | None:
        return self._path[0] if self._path else None

    def close(self) -> None:
        """See `TextEnvironment`; the Java server ends."""
        if not self._closed:
            _end(self._server)
        super().close()

    def _reply(
        self, text: str, info: dict[str, Any], score: float, *, raw_reward: float, **outcome: Any
    ) -> Reply:
        return Reply(
            text=text,
            admissible=tuple(info["valid"]),
            score=score,
            max_score=100.0,
            progress=score / 100.0,
            state={"raw_reward": raw_reward, "moves": int(info["moves"])},
            **outcome,
        )


def _end(server: Any) -> None:
    """Close a client and wait until its Java server is gone; nothing of either is left."""
    server.close()
    process = server._gateway.java_process
    process.stdin.close()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    server._obj_tree_tempdir.cleanup()
