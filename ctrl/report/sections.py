"""The sections of a report that are read from logs: numbers, curves, terms, alarms, settings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import yaml

from ctrl.pictures.lipschitz import draw_lipschitz
from ctrl.pictures.training import draw_learning, draw_terms
from ctrl.report.html import Html, element, picture, table, together
from ctrl.report.runs import read_alarms, read_versions
from ctrl.run_curves import RunCurves
from ctrl.run_folder import RunFolder
from ctrl.run_groups import RunGroup
from ctrl.run_summary import SHAPED_RETURN, TASK_RETURN, GroupSummary, summarise
from ctrl.statistics import Interval

NO_INTERVAL = "one seed: no interval"
_MOST_ALARMS = 60


def summary(found: Sequence[tuple[RunGroup, GroupSummary | None]], level: float) -> Html:
    """Return the table of final values: interquartile means over seeds with their intervals."""
    own = sorted({
        one.metric for _, one in found
        if one is not None and one.metric != TASK_RETURN and one.success is None
    })  # fmt: skip
    success = any(one is not None and one.success is not None for _, one in found)
    headings = ["environment", "method", "seeds", "steps", "task return", "shaped return"]
    headings += ["success rate"] if success else []
    rows = []
    for group, one in found:
        shaped = summarise(group, SHAPED_RETURN, level=level)
        row = [
            group.env or "unknown", group.method, _seeds(group.runs),
            "none" if one is None else f"{one.step:,}",
            _interval(None if one is None else one.task_return),
            _interval(None if shaped is None else shaped.final),
        ]  # fmt: skip
        row += [_interval(None if one is None else one.success)] if success else []
        row += [_interval(one.final if one is not None and one.metric == key else None)
                for key in own]  # fmt: skip
        rows.append(row)
    note = (
        f"Interquartile mean over seeds with its {100 * level:g} % bootstrap interval, "
        "at the last environment step that all seeds of a method reached; returns are means over "
        "the last 100 training episodes."
    )
    return together([
        table([*headings, *own], rows, numbers=("steps",)),
        element("p", note, class_="note"),
    ])  # fmt: skip


def curves(environments: Iterable[tuple[str, str, list[RunGroup]]], level: float) -> Html:
    """Return the learning curves of every environment, task and shaped return apart."""
    cards = []
    for env, metric, members in environments:
        figure = draw_learning(members, metric, level=level)
        alone = [group.method for group in members if len(group.runs) == 1]
        parts = [
            element("h3", env or "unknown environment"),
            picture(figure, f"Learning curves on {env}"),
            element(
                "p",
                f"Line: interquartile mean over n seeds; band: its {100 * level:g} % bootstrap "
                "interval; thin: single seeds.",
                class_="note",
            ),
        ]
        if alone:
            what = "; ".join(alone)
            parts.append(element("p", f"{NO_INTERVAL.capitalize()}: {what}.", class_="note"))
        cards.append(element("div", *parts, class_="card"))
    return together(cards)


def steepness(groups: Sequence[RunGroup], level: float) -> Html | None:
    """Return the gradient norms of rewards, critic and policy; None where nothing was logged."""
    cards = []
    for env in dict.fromkeys(group.env for group in groups):
        figure = draw_lipschitz([group for group in groups if group.env == env], level=level)
        if figure is not None:
            image = picture(figure, f"Gradient norms on {env}")
            cards.append(element("div", element("h3", env or "unknown"), image, class_="card"))
    if not cards:
        return None
    note = (
        "Norms of gradients with respect to observation and action, mean over stored transitions: "
        "how steep the reward, the critic learned from it, and the policy are."
    )
    return together([*cards, element("p", note, class_="note")])


def terms(groups: Sequence[RunGroup]) -> Html:
    """Return what each reward term contributed over training, a card per group."""
    cards = []
    for group in groups:
        figure = draw_terms(group)
        if figure is None:
            continue
        image = picture(figure, f"Contribution of each reward term, {group.label}")
        cards.append(element("div", element("h3", group.label), image, class_="card"))
    if not cards:
        text = "No run was rewarded by more than the task."
        return element("div", element("p", text, class_="note"), class_="card")
    note = (
        "Mean over seeds and the steps of each rollout: weighted, scaled and gated, as the learner "
        "received it. Gains are stacked upwards from zero, costs downwards; the line is their sum. "
        "Shares are of the summed absolute contributions."
    )
    return together([*cards, element("p", note, class_="note")])


def alarms(runs: Sequence[RunCurves]) -> tuple[Html, list[str]]:
    """Return the alarms that were raised while the runs trained, and warnings."""
    rows, warnings = [], []
    for run in runs:
        found, damaged = read_alarms(run)
        warnings += damaged
        rows += [
            [str(run.path), f"{row['step']:,}", element("span", row["kind"], class_="kind"),
             row["term"] or "all", row["message"]]
            for row in found
        ]  # fmt: skip
    if not rows:
        text = f"None was raised in {len(runs)} run{'s' if len(runs) > 1 else ''}."
        return element("div", element("p", text, class_="note"), class_="card"), warnings
    headings = ["run", "step", "alarm", "term", "what was seen"]
    parts: list[str] = [table(headings, rows[:_MOST_ALARMS], numbers=("step",))]
    if len(rows) > _MOST_ALARMS:
        rest = len(rows) - _MOST_ALARMS
        parts.append(element("p", f"{rest} more are in the runs' alarms.jsonl.", class_="note"))
    return element("div", *parts, class_="card"), warnings


def configuration(groups: Sequence[RunGroup]) -> tuple[Html, list[str]]:
    """Return the effective configuration of every group and the versions, and warnings."""
    cards, warnings = [], []
    for group in groups:
        versions, damaged = read_versions(group.runs)
        warnings += damaged
        text = yaml.safe_dump(group.runs[0].config, sort_keys=False, allow_unicode=True)
        folders = [[str(run.seed), str(run.path)] for run in group.runs]
        parts = [
            element("h3", group.label),
            table(["seed", "run folder"], folders),
            element("details", element("summary", "Effective configuration"), element("pre", text)),
        ]
        if versions:
            rows = [[name, version] for name, version in versions.items()]
            parts.append(
                element("details", element("summary", "Versions"), table(["of", "version"], rows))
            )
        else:
            parts.append(element("p", "No versions.json in these runs.", class_="note"))
        for run in group.runs:
            if not RunFolder(run.path).result_file.is_file():
                warnings.append(f"{run.path} has not finished: it has no result.json.")
        cards.append(element("div", *parts, class_="card"))
    return together(cards), warnings


def _seeds(runs: Sequence[RunCurves]) -> str:
    seeds = [run.seed for run in runs]
    if len(seeds) > 2 and all(isinstance(seed, int) for seed in seeds):
        whole = [seed for seed in seeds if seed is not None]
        if whole == list(range(whole[0], whole[0] + len(whole))):
            return _below(str(len(whole)), f"{whole[0]} to {whole[-1]}")
    return _below(str(len(seeds)), ", ".join(map(str, seeds)))


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "not logged"
    span = f"[{interval.low:.4g}, {interval.high:.4g}]"
    below = span if interval.n > 1 else NO_INTERVAL
    return _below(f"{interval.point:.4g}", below)


def _below(text: str, small: str) -> Html:
    return element("div", text, element("small", small))
