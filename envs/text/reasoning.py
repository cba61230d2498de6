"""Puzzles of reasoning-gym (Stojanovski et al. 2025, arXiv 2505.24760) with their verifiers."""

from __future__ import annotations

import difflib
import inspect
import re
from typing import Any, final

from envs.text.countdown import judge
from envs.text.puzzle import Puzzle, Question, Verdict

# What would run an answer as code: `eval` and `exec`, and the parsers of sympy, which call `eval`.
_RUNS_TEXT = re.compile(r"\b(?:eval|exec|parse_expr|sympify|parse_latex)\(")
# Files where only what the data set itself wrote is run, or where a name means something else.
_HARMLESS = frozenset(
    ("number_sorting", "basic_arithmetic", "bitwise_arithmetic", "propositional_logic", "codeio")
)
# A few characters that would be a number of a billion digits to python's `Fraction`.
_HUGE = re.compile(r"\d[eE][+-]?\d{4,}")
_TARGETS = {"countdown": None, "puzzle24": 24}


@final
class ReasoningGym(Puzzle):
    """A data set of reasoning-gym; a task number is the place of an item in it.

    Solved is a score of exactly 1: some verifiers give a little for any answer at all. Well-formed
    is every answer to which the verifier gives more than 0.

    Several verifiers of reasoning-gym 0.1.25 run what a model wrote with ``eval``, directly or
    through sympy. Those are never called: ``countdown`` and ``puzzle24`` are judged by
    `envs.text.countdown.judge`, and the others (such as ``n_queens``, ``spiral_matrix`` and
    ``polynomial_multiplication``) by comparing the answer with the data set's own, without spaces;
    `compares_text` says whether that is so.

    Args:
        dataset: such as ``"chain_sum"``, ``"gsm_symbolic"`` or ``"knights_knaves"``.
        size: items in the data set; task numbers are below it.
        dataset_seed: of the whole data set.
        settings: of the data set, such as ``{"min_terms": 2}``.
        answer_bytes: see `Puzzle`.
        text_bytes: see `TextEnvironment`.
        tasks: see `TextEnvironment`; by default all items.
        **common: see `Puzzle`.

    Attributes:
        compares_text: an answer must be the data set's own, letter by letter.

    Raises:
        ValueError: an unknown data set, with the nearest; settings that it refuses.
    """

    def __init__(
        self,
        *,
        dataset: str = "chain_sum",
        size: int = 100_000,
        dataset_seed: int = 0,
        settings: dict[str, Any] | None = None,
        answer_bytes: int = 2048,
        text_bytes: int = 4096,
        tasks: Any = None,
        **common: Any,
    ) -> None:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS

        if dataset not in DATASETS:
            near = difflib.get_close_matches(dataset, list(DATASETS), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"reasoning-gym has no data set {dataset!r}.{hint} Valid: "
                f"{', '.join(sorted(DATASETS))}."
            )
        try:
            self._items = reasoning_gym.create_dataset(
                dataset, size=size, seed=dataset_seed, **(settings or {})
            )
        except (AssertionError, TypeError, ValueError) as error:
            raise ValueError(f"reasoning-gym refuses these settings of {dataset}: {error}") from (
                error
            )
        self._dataset, self._size = dataset, size
        self.compares_text = dataset not in _TARGETS and runs_answers(type(self._items))
        if tasks is None:
            tasks = range(size)
        super().__init__(answer_bytes=answer_bytes, text_bytes=text_bytes, tasks=tasks, **common)

    def question(self, task: int) -> Question:
        """See `Puzzle`; the key is the whole item.

        Raises:
            ValueError: the data set has not so many items.
        """
        if task >= self._size:
            raise ValueError(f"{self.name} has the tasks 0 to {self._size - 1}, got {task}.")
        item = self._items[task]
        return Question(str(item["question"]), item["answer"], item)

    def verify(self, answer: str, question: Question) -> Verdict:
        """See `Puzzle`."""
        if self._dataset in _TARGETS:
            metadata = question.key["metadata"]
            target = _TARGETS[self._dataset] or int(metadata["target"])
            return judge(answer, tuple(metadata["numbers"]), target)
        if self.compares_text:
            return Verdict("".join(answer.split()) == "".join(question.key["answer"].split()), True)
        if _HUGE.search(answer):
            return Verdict(False, False)
        score = float(self._items.score_answer(answer, question.key))
        return Verdict(score == 1.0, score > 0.0)


def runs_answers(dataset: type) -> bool:
    """Return whether the file of a data set's class could run an answer as code.

    A data set of an unknown version errs on the side of caution.
    """
    module = inspect.getmodule(dataset)
    if module is None or module.__name__.rpartition(".")[2] in _HARMLESS:
        return module is None
    return _RUNS_TEXT.search(inspect.getsource(module)) is not None
