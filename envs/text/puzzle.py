"""Puzzles: one question, one answer, and a verifier that is exact."""

from __future__ import annotations

import abc
import re
from dataclasses import dataclass
from typing import Any, final

import gymnasium
import numpy as np

from envs.text.environment import TextEnvironment
from envs.text.rows import encode_row
from envs.text.turns import COMMON_STATE, Reply

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_NAMED = re.compile(r"(?:^|\s)answer\s*[:=]", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """One item of a puzzle.

    Attributes:
        text: what the policy reads.
        solution: an answer that solves it; None where none is known.
        key: what the verifier compares with.
    """

    text: str
    solution: str | None
    key: Any


@dataclass(frozen=True)
class Verdict:
    """What the verifier says about an answer.

    Attributes:
        solved: the answer is right.
        well_formed: it has the form that was asked for.
    """

    solved: bool
    well_formed: bool


class Puzzle(TextEnvironment):
    """An episode of one turn: the question, then the answer and its reward.

    Reward 1 for a right answer; otherwise 0, or ``format_reward`` for a wrong one of the form that
    was asked for, which is never a success. Every answer terminates. What is judged is the text
    between the last ``<answer>`` and ``</answer>``, else what follows the last ``Answer:``, else
    everything that was written; spaces at both ends are dropped.

    Args:
        name: see `TextEnvironment`.
        format_reward: reward of a wrong answer of the right form, from 0 to less than 1.
        answer_bytes: width of the answer in records; a longer one is cut there and is wrong.
        text_bytes: see `TextEnvironment`.
        command_characters: longer completions are cut to their end, where the answer stands.
        **common: see `TextEnvironment`.

    Raises:
        ValueError: an argument out of its range.
    """

    info_keys = COMMON_STATE | {"well_formed": "1 if the answer has the form asked for, else 0"}

    def __init__(
        self,
        *,
        name: str,
        format_reward: float = 0.0,
        answer_bytes: int = 256,
        text_bytes: int = 256,
        command_characters: int = 4000,
        max_turns: int = 1,
        **common: Any,
    ) -> None:
        if not 0.0 <= format_reward < 1.0:
            raise ValueError(f"format_reward must be at least 0 and below 1, got {format_reward}.")
        if answer_bytes < 1:
            raise ValueError(f"answer_bytes must be at least 1, got {answer_bytes}.")
        if max_turns != 1:
            raise ValueError(f"{name} has episodes of one turn, got max_turns={max_turns}.")
        super().__init__(
            name=name,
            max_turns=max_turns,
            text_bytes=text_bytes,
            command_characters=command_characters,
            **common,
        )
        self.format_reward = format_reward
        self._answer_bytes = answer_bytes
        self.action_space = gymnasium.spaces.Box(0, 255, (answer_bytes,), np.uint8)
        self._question = Question("", None, None)

    @abc.abstractmethod
    def question(self, task: int) -> Question:
        """Return item number ``task``; the same number always gives the same item."""

    @abc.abstractmethod
    def verify(self, answer: str, question: Question) -> Verdict:
        """Judge an answer, which is data: any text, at most ``answer_bytes`` long."""

    @final
    def _clean(self, command: str) -> str:
        # An answer may have several lines. It stands at the end of a completion, so the beginning
        # is what can be missed.
        return _UNSEEN.sub("", command[-self._command_characters :]).strip()

    @final
    def _begin(self, task: int) -> Reply:
        self._question = self.question(task)
        return Reply(text=self._question.text, state={"well_formed": 0})

    @final
    def _act(self, command: str) -> Reply:
        answer = final_answer(command)
        verdict = Verdict(False, False)
        if 0 < len(answer.encode()) <= self._answer_bytes:
            verdict = self.verify(answer, self._question)
        reward = 1.0 if verdict.solved else self.format_reward * verdict.well_formed
        return Reply(
            text="Correct." if verdict.solved else "Wrong.",
            action=encode_row(answer, self._answer_bytes),
            reward=reward,
            terminated=True,
            valid=verdict.well_formed,
            score=float(verdict.solved),
            won=verdict.solved,
            progress=float(verdict.solved),
            state={"well_formed": int(verdict.well_formed)},
        )

    @final
    def _advise(self) -> str | None:
        return self._question.solution


def final_answer(completion: str) -> str:
    """Return the part of a completion that counts as its answer; see `Puzzle`."""
    tagged = _TAGGED.findall(completion)
    if tagged:
        return str(tagged[-1]).strip()
    return _NAMED.split(completion)[-1].strip()
