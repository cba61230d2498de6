"""A designer that needs no model: it searches over combinations of documented quantities.

It begins with the idea that the words of the task make most promising and is guided by counted
facts after that: causes of failure become penalties, ideas that led nowhere give way to untried
ones, and what worked is varied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np

from ctrl.design.analyzer import TIME_LIMIT
from ctrl.design.attempts import Attempt, Request, Try
from ctrl.design.designer import Designer
from ctrl.design.search.ideas import Idea, dense_ideas, sizes, success_events
from ctrl.design.search.parts import (
    ABOVE,
    CLOSER,
    EVENT,
    FAILURE,
    FIRST_VISIT,
    FURTHER,
    NEARER,
    Part,
    Sketch,
    describe,
    read_mark,
)
from ctrl.design.search.writing import write
from reward_models.coded.program import as_convention
from reward_models.errors import UserError

_GOOD = 0.5
_DISAPPOINTED = 0.1
_SAME_KIND = 0.5
_EXPLORE = 3.0
_NEARLY = 0.9
_DEMANDING = (NEARER, FURTHER, CLOSER, ABOVE)
_DRAWS = 50


@final
class SearchDesigner(Designer):
    """Compose programs from documented quantities and mutate the best of them.

    The first sample of a round takes the most promising step; further samples draw ideas in
    proportion to their promise. No program is proposed twice.

    Args:
        good: success rate from which on the best program is varied in its numbers instead of being
            given other ideas, in (0, 1].

    Raises:
        UserError: ``good`` out of range.
    """

    def __init__(self, *, good: float = _GOOD) -> None:
        if not 0 < good <= 1:
            raise UserError(f"backend.good must lie in (0, 1], got {good}.")
        self._good = good

    def propose(self, request: Request) -> list[str]:
        """Return programs of the request's convention; see `Designer`.

        Raises:
            UserError: no quantity ever changes, or the convention is not for this designer.
        """
        study = _Study(request)
        return [self._reply(study, sample) for sample in range(request.samples)]

    def repair(self, request: Request, sample: int, tries: Sequence[Try]) -> str:
        """Return another program; what the Critic refused is not proposed again."""
        study = _Study(request)
        study.remember(tries)
        return self._reply(study, sample - 1)

    def _reply(self, study: _Study, sample: int) -> str:
        request = study.request
        generator = np.random.default_rng((request.seed, request.round, sample, len(study.seen)))
        for draw in range(_DRAWS):
            sketch, thoughts = self._sketch(study, generator, greedy=sample == 0 and draw == 0)
            if sketch not in study.seen:
                break
        study.seen.add(sketch)
        convention = as_convention(request.convention)
        return write(sketch, sizes(request.inputs), convention, thoughts)

    def _sketch(
        self, study: _Study, generator: np.random.Generator, *, greedy: bool
    ) -> tuple[Sketch, list[str]]:
        sparse, thoughts = study.sparse()
        best = study.best
        facts = None if best is None or best.trial is None else best.trial.facts
        known = None if best is None else read_mark(best.source)
        if best is None or known is None or facts is None or facts.success_rate < self._good:
            dense, more = self._other_idea(study, generator, known, greedy=greedy)
        else:
            thoughts.append(
                f"{best.name} solves the task in {facts.success_rate:.0%} of the episodes: keep "
                "its idea and vary it."
            )
            dense, more = _varied(known.dense, study, generator)
        thoughts += more
        thoughts += [f"It {describe(part)}." for part in (*sparse, *dense)]
        return Sketch(sparse, dense), thoughts

    def _other_idea(
        self, study: _Study, generator: np.random.Generator, known: Sketch | None, *, greedy: bool
    ) -> tuple[tuple[Part, ...], list[str]]:
        faster = study.faster() if greedy else None
        if faster is not None:
            return (faster,), [
                *study.disappointments(),
                "It was paid at nearly every step of episodes that ran out of time: ask for larger "
                "steps.",
            ]
        ideas, promise = study.ideas, study.promise()
        order = np.argsort(-promise, kind="stable")
        place = int(order[0]) if greedy else int(generator.choice(len(ideas), p=_shares(promise)))
        chosen = ideas[place].part
        thoughts = study.disappointments()
        combined = known is not None and known.dense and not greedy and generator.random() < 0.5
        if known is None or not combined or chosen.idea in {part.idea for part in known.dense}:
            return (chosen,), thoughts
        kept = known.dense[int(generator.integers(len(known.dense)))]
        return (kept, replace(chosen, weight=float(generator.choice([0.5, 1.0, 2.0])))), thoughts


class _Study:
    """What a request says, taken apart once."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.best = request.best
        self.readable = request.inputs.identifiers
        self.success = success_events(request.inputs, request.ranges, request.target)
        self.ideas: list[Idea] = dense_ideas(request.inputs, request.ranges)
        if not self.ideas:
            raise UserError(
                "The search designer found no documented quantity that changes while a random "
                "policy acts. Name quantities with inputs.quantities, or use a language model: "
                "--backend openai."
            )
        self.seen: set[Sketch] = set()
        self._tried: list[tuple[Attempt, Sketch]] = []
        for attempt in request.history:
            self.remember(attempt.tries)
            sketch = read_mark(attempt.source)
            if sketch is not None:
                self._tried.append((attempt, sketch))

    def remember(self, tries: Sequence[Try]) -> None:
        """Do not propose these again."""
        marks = (read_mark(each.source) for each in tries)
        self.seen.update(sketch for sketch in marks if sketch is not None)

    def sparse(self) -> tuple[tuple[Part, ...], list[str]]:
        """Return success as reward and counted causes of failure as penalties, with the counts."""
        goals = {part.names[0] for part in self.success}
        counts: dict[str, tuple[int, int]] = {}
        unexplained = (0, 0)
        for attempt in self.request.history:
            if attempt.trial is None:
                continue
            facts = attempt.trial.facts
            causes = [n for n in facts.flags if n not in goals and n in self.readable]
            for name in causes:
                seen = (facts.causes[name], facts.failures)
                counts[name] = max(counts.get(name, seen), seen)
            explained = sum(facts.causes[name] for name in causes)
            if facts.died > explained:
                unexplained = max(unexplained, (facts.died - explained, facts.failures))
        parts, thoughts = list(self.success), []
        for name, (count, failures) in sorted(counts.items()):
            parts.append(Part(EVENT, (name,), sign=-1))
            thoughts.append(f"{count} of {failures} failed episodes ended with {name} = 1.")
        if unexplained[0]:
            parts.append(Part(FAILURE, tuple(sorted(goals)), sign=-1))
            thoughts.append(
                f"{unexplained[0]} of {unexplained[1]} failed episodes were ended by the task."
            )
        return tuple(parts), thoughts

    def promise(self) -> np.ndarray:
        """Return how promising every idea is, after what became of those that were tried."""
        found = np.array([idea.promise for idea in self.ideas])
        floor = self._baseline()
        stuck = any(self._unsolved(attempt) for attempt, _ in self._tried)
        for place, idea in enumerate(self.ideas):
            part = idea.part
            for attempt, sketch in self._tried:
                ideas = {each.idea for each in sketch.dense}
                if part.idea in ideas:
                    better = attempt.trial is not None and attempt.score > floor
                    found[place] *= 2.0 if better else _DISAPPOINTED
                elif part.kind in {each.kind for each in sketch.dense} and attempt.score <= floor:
                    found[place] *= _SAME_KIND
            if stuck and part.kind == FIRST_VISIT:
                found[place] *= _EXPLORE
        return found

    def disappointments(self) -> list[str]:
        """Return what the tried ideas came to."""
        thoughts = []
        for attempt, sketch in self._tried:
            if attempt.trial is None or not self._unsolved(attempt):
                continue
            facts = attempt.trial.facts
            dense = ", ".join(describe(part) for part in sketch.dense)
            stopped = facts.causes.get(TIME_LIMIT, 0)
            thoughts.append(
                f"{attempt.name} ({dense}) reached {facts.success_rate:.0%}: {facts.died} of "
                f"{facts.episodes} episodes were ended by the task, {stopped} by the time limit."
            )
        return thoughts

    def faster(self) -> Part | None:
        """Return the latest dense part with a higher demand, where its policy was paid to dawdle.

        That is: paid at nearly every step, and most failed episodes reached the time limit. Only
        changes larger than the usual ones of a random policy, or values above its highest, are
        then paid.
        """
        for attempt, sketch in reversed(self._tried):
            if attempt.trial is None or len(sketch.dense) != 1:
                continue
            part, facts = sketch.dense[0], attempt.trial.facts
            paid = facts.paid.get("dense") or facts.paid.get("total")
            late = 2 * facts.causes.get(TIME_LIMIT, 0) > facts.failures
            if paid is None or not late or paid.nonzero < _NEARLY or paid.failed <= 0:
                continue
            known = [self.request.ranges[name] for name in part.names]
            levels = {ABOVE: max(each.high for each in known)}
            level = levels.get(part.kind, max(each.step for each in known))
            demanding = replace(part, level=level)
            tried = {one for _, other in self._tried for one in other.dense}
            if part.kind in _DEMANDING and level > part.level and demanding not in tried:
                return demanding
        return None

    def _unsolved(self, attempt: Attempt) -> bool:
        return attempt.trial is None or attempt.trial.facts.success_rate < _GOOD

    def _baseline(self) -> float:
        scores = [a.score for a in self.request.history if a.round == 0 and a.trial is not None]
        return max(scores, default=0.0)


def _varied(
    dense: tuple[Part, ...], study: _Study, generator: np.random.Generator
) -> tuple[tuple[Part, ...], list[str]]:
    """Return the parts with one change: a level, a weight, a part less or one more."""
    parts = list(dense)
    # Of a single part only the sign counts in signed programs: more of them, or another size.
    changes = ["more", "more", "level"] if len(parts) < 2 else ["level", "weight", "less"]
    change = str(generator.choice(changes))
    place = int(generator.integers(len(parts))) if parts else 0
    if change == "more" or not parts:
        ideas = [idea for idea in study.ideas if idea.part.idea not in {p.idea for p in parts}]
        if not ideas:
            return dense, []
        shares = _shares(np.array([idea.promise for idea in ideas]))
        added = replace(ideas[int(generator.choice(len(ideas), p=shares))].part, weight=0.5)
        return (*parts, added), [f"Add a part that {describe(added)}."]
    if change == "less":
        gone = parts.pop(place)
        return tuple(parts), [f"Leave out the part that {describe(gone)}."]
    factor = float(generator.choice([0.5, 2.0]))
    part = parts[place]
    if change == "weight":
        parts[place] = replace(part, weight=part.weight * factor)
    else:
        parts[place] = replace(part, level=part.level * factor)
    return tuple(parts), [f"Change the {change} of the part that {describe(part)}."]


def _shares(promise: np.ndarray) -> np.ndarray:
    return promise / promise.sum()
