"""The history of a design as one page of HTML: scores, code with its changes, parts, facts."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ctrl.design.attempts import Attempt, Try, best_attempt
from ctrl.design.config import DesignConfig
from ctrl.design.feedback import describe_facts
from ctrl.design.metric import Metric
from ctrl.pictures.style import cut, own_style, steps_axis
from ctrl.report.html import Html, element, page, picture, table, together

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 9.6, 3.0
_ROUND, _BEST, _BASELINE = "#77AADD", "#EE8866", "#999999"


def write_page(
    path: Path,
    config: DesignConfig,
    metric: Metric,
    history: Sequence[Attempt],
    *,
    final: Sequence[float] = (),
) -> None:
    """Write the page; it loads nothing, and nothing that a program or a model wrote can run in it.

    Args:
        path: of the page; it appears complete or not at all.
        config: of the design.
        metric: of the task.
        history: the attempts so far.
        final: scores of the best program with other seeds.
    """
    best = best_attempt([attempt for attempt in history if attempt.round > 0])
    sections = [
        ("scores", "Scores", _scores(metric, history, best, final)),
        *(
            (f"round{number}", f"Round {number}", _round(history, number, best))
            for number in sorted({attempt.round for attempt in history if attempt.round > 0})
        ),
    ]
    if best is not None:
        code = element("pre", best.source)
        sections.append(("best", "Best program", element("div", code, class_="card")))
    title = f"Reward design: {config.env.id}"
    text = page(title, cut(config.task.replace("\n", " "), 300), sections)
    writing = path.with_name(f".{path.name}.writing")
    writing.write_text(text, encoding="utf-8", errors="backslashreplace")
    os.replace(writing, path)


def _scores(
    metric: Metric, history: Sequence[Attempt], best: Attempt | None, final: Sequence[float]
) -> Html:
    rows = [
        [
            attempt.name + (" (best)" if attempt is best else ""),
            "failed" if attempt.trial is None else f"{attempt.trial.score:.4g}",
            "" if attempt.trial is None else f"{attempt.trial.facts.success_rate:.0%}",
            "" if attempt.trial is None else f"{attempt.trial.facts.death_rate:.0%}",
            "" if attempt.trial is None else f"{attempt.trial.facts.length:.4g}",
            str(sum(bool(each.faults) for each in attempt.tries)),
            attempt.sha256[:12],
        ]
        for attempt in history
    ]
    heads = ["attempt", "score", "success", "death", "length", "refused", "sha256"]
    parts = [
        element("p", f"Score: {metric.words}.", class_="note"),
        _picture(metric, history, best),
        table(heads, rows, heads[1:6]),
    ]
    if final:
        scores = ", ".join(f"{score:.4g}" for score in final)
        parts.append(element("p", f"The best program with other seeds: {scores}.", class_="note"))
    return element("div", together(parts), class_="card")


def _picture(metric: Metric, history: Sequence[Attempt], best: Attempt | None) -> Html:
    from matplotlib.figure import Figure

    curves = [attempt for attempt in history if attempt.trial and len(attempt.trial.curve) > 1]
    with own_style():
        figure: Figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        panels = figure.subplots(1, 2 if curves else 1, squeeze=False)[0]
        _draw_scores(panels[0], metric, history, best)
        for attempt in curves:
            assert attempt.trial is not None
            steps, values = zip(*attempt.trial.curve, strict=True)
            colour = _colour(attempt, best)
            panels[1].plot(steps, values, color=colour, alpha=1 if attempt is best else 0.6)
        if curves:
            panels[1].set_title("over training")
            steps_axis(panels[1])
        return picture(figure, f"{metric.words} of every attempt")


def _draw_scores(
    axes: Axes, metric: Metric, history: Sequence[Attempt], best: Attempt | None
) -> None:
    tried = [attempt for attempt in history if attempt.trial is not None]
    for attempt in tried:
        axes.scatter(attempt.round, attempt.score, color=_colour(attempt, best), zorder=3)
    reached: list[float] = []
    programs = sorted({attempt.round for attempt in tried if attempt.round > 0})
    for number in programs:
        known = best_attempt([a for a in tried if 0 < a.round <= number])
        reached.append(0.0 if known is None else known.score)
    axes.plot(programs, reached, color=_BEST, linewidth=1)
    axes.set_xticks(sorted({attempt.round for attempt in history}))
    axes.set_xlabel("round (0: task reward alone)")
    axes.set_title(metric.words)


def _colour(attempt: Attempt, best: Attempt | None) -> str:
    if attempt.round == 0:
        return _BASELINE
    return _BEST if attempt is best else _ROUND


def _round(history: Sequence[Attempt], number: int, best: Attempt | None) -> Html:
    before = best_attempt([attempt for attempt in history if 0 < attempt.round < number])
    parts = []
    for attempt in (each for each in history if each.round == number):
        heading = f"Sample {attempt.sample}" + (", the best program" if attempt is best else "")
        parts.append(element("h3", heading))
        for place, one in enumerate(attempt.tries, start=1):
            parts.append(_tried(one, place, before))
        if attempt.failure:
            parts.append(element("p", attempt.failure, class_="warning"))
        if attempt.trial is not None:
            listed = [element("li", line) for line in describe_facts(attempt.trial.facts)]
            parts.append(element("ul", *listed))
            parts.append(_parts(attempt))
    return element("div", together(parts), class_="card")


def _tried(one: Try, place: int, before: Attempt | None) -> Html:
    found: list[Html] = []
    if one.faults:
        warnings = [element("li", fault) for fault in one.faults]
        told = element("p", f"Text {place} was refused by the Critic:")
        found.append(element("div", told, element("ul", *warnings), class_="warning"))
    elif before is not None:
        lines = difflib.unified_diff(
            before.source.splitlines(), one.source.splitlines(),
            before.name, "this program", lineterm="",
        )  # fmt: skip
        found.append(element("h4", f"Changes from {before.name}"))
        found.append(element("pre", "\n".join(lines)))
    if one.review:
        found.append(element("p", f"The model's review: {cut(one.review, 600)}", class_="note"))
    shown = element("details", element("summary", "the whole text"), element("pre", one.reply))
    return together([*found, shown])


def _parts(attempt: Attempt) -> Html:
    assert attempt.trial is not None
    rows = [
        [name, f"{paid.failed:.4g}", f"{paid.succeeded:.4g}", f"{paid.nonzero:.1%}"]
        for name, paid in attempt.trial.facts.paid.items()
    ]
    heads = ["part", "in a failed episode", "in a successful one", "steps not 0"]
    return table(heads, rows, heads[1:]) if rows else Html("")
