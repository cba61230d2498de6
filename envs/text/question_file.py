"""Questions and answers from a file of the user's: one JSON object per line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, final

from envs.text.external import ExternalDataError
from envs.text.puzzle import Puzzle, Question, Verdict

_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30}|/\d{1,30})?")
_WORKED_OUT = "####"  # GSM8K writes its answers after this, behind the way to them


@final
class QuestionFile(Puzzle):
    """The lines of a JSON-lines file, such as that of GSM8K; a task number is that of a line.

    Two answers that are numbers (whole, decimal, or a fraction; without currency signs and commas
    for thousands) are compared as exact numbers, others as text without regard to case and
    spaces. Well-formed is every answer, where a number is asked for every number.

    Args:
        file: the file, UTF-8.
        question_key: name of the question in each object.
        answer_key: name of the answer; of a text with ``####`` what follows it counts.
        tasks: see `TextEnvironment`; by default all lines.
        text_bytes: see `TextEnvironment`.
        **common: see `Puzzle`.

    Raises:
        ExternalDataError: there is no such file.
        ValueError: a line is not as described.
    """

    def __init__(
        self,
        *,
        name: str,
        file: str = "",
        question_key: str = "question",
        answer_key: str = "answer",
        tasks: Sequence[int] | str | None = None,
        text_bytes: int = 4096,
        **common: Any,
    ) -> None:
        if not Path(file).is_file():
            raise ExternalDataError(
                name,
                f"reads a file of questions, and there is none at {file!r}",
                'Name one with the option file: lines such as {"question": "2+2=", "answer": "4"}.',
            )
        self._questions: list[Question] = []
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            if line.strip():
                self._questions.append(_question(line, question_key, answer_key, file, number))
        if not self._questions:
            raise ValueError(f"{file} holds no questions.")
        if tasks is None:
            tasks = range(len(self._questions))
        super().__init__(name=name, tasks=tasks, text_bytes=text_bytes, **common)

    def question(self, task: int) -> Question:
        """See `Puzzle`; the key is the answer as a number or as plain text.

        Raises:
            ValueError: the file has not so many questions.
        """
        if task >= len(self._questions):
            last = len(self._questions) - 1
            raise ValueError(f"{self.name} has the tasks 0 to {last}, got {task}.")
        return self._questions[task]

    def verify(self, answer: str, question: Question) -> Verdict:
        """See `Puzzle`."""
        found = plain(answer)
        same_kind = isinstance(found, Fraction) or isinstance(question.key, str)
        return Verdict(found == question.key, same_kind)


def plain(answer: str) -> Fraction | str:
    """Return an answer as an exact number if it is one, else as lower-case text without spaces."""
    text = "".join(answer.split()).lower().strip("$").rstrip(".")
    number = text.replace(",", "").rstrip("%")
    if _NUMBER.fullmatch(number) and not re.search(r"/0+$", number):
        return Fraction(number)
    return text


def _question(line: str, question_key: str, answer_key: str, file: str, number: int) -> Question:
    try:
        item = json.loads(line)
        question, answer = str(item[question_key]), str(item[answer_key])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"Line {number} of {file} must be a JSON object with {question_key!r} and "
            f"{answer_key!r}: {type(error).__name__} {error}."
        ) from error
    solution = answer.rpartition(_WORKED_OUT)[2].strip()
    return Question(question, solution, plain(solution))
