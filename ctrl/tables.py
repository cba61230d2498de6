"""Tables: markdown for comparisons of methods, and the ledger of one episode."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrl.statistics import Interval, bootstrap_interval, welch_test
from reward_models.errors import UnknownNameError, UserError

if TYPE_CHECKING:
    from ctrl.run_summary import GroupSummary
    from reward_models.mix import MixedReward

LEDGER_COLUMNS = ("step", "term", "raw", "divisor", "weight", "contribution", "cumulative")

_NOTHING = "-"
_WIDTH = 100


def markdown_table(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | Mapping[str, str]
) -> str:
    """Return rows as a GitHub markdown table, columns of numbers aligned to the right.

    Args:
        rows: values by column; a missing value or None is shown as ``-``, floats with 4 digits.
        columns: which columns in which order; a mapping gives their headings.
    """
    headings = dict(columns) if isinstance(columns, Mapping) else {key: key for key in columns}
    table = list(rows)
    numeric = {
        key: any(_is_number(row.get(key)) for row in table)
        and all(row.get(key) is None or _is_number(row[key]) for row in table)
        for key in headings
    }
    lines = [
        [_escape(heading) for heading in headings.values()],
        ["---:" if numeric[key] else "---" for key in headings],
        *([_escape(_shown(row.get(key))) for key in headings] for row in table),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def success_table(
    success: Mapping[str, Sequence[float]], episodes: int, *, heading: str = "method"
) -> str:
    """Return the success rates of several methods as markdown, one row each.

    Args:
        success: per method the success rate of every seed, in [0, 1].
        episodes: how many episodes each rate is from.
        heading: of the first column.
    """
    rows = []
    for method, rates in success.items():
        interval = bootstrap_interval(rates, np.mean)
        rows.append(
            {
                heading: method,
                "seeds": len(rates),
                "task success": f"{np.mean(rates):.0%}",
                "95 % interval": f"{interval.low:.0%} to {interval.high:.0%}",
                f"per seed ({episodes} episodes)": ", ".join(f"{rate:.0%}" for rate in rates),
            }
        )
    return markdown_table(rows, list(rows[0]))


def summary_table(groups: Iterable[GroupSummary]) -> str:
    """Return the final values of methods as a markdown table.

    Interquartile means over seeds with their bootstrap intervals; environments, other metrics and
    steps get a column where they are needed to read the numbers.

    Args:
        groups: for example ``plot_runs(...).groups``.
    """
    from ctrl.run_summary import SUCCESS_RATE, TASK_RETURN

    summaries = list(groups)
    columns = {"method": "method", "seeds": "seeds", "steps": "steps",
               "task_return": "task return IQM"}  # fmt: skip
    if len({summary.env for summary in summaries}) > 1:
        columns = {"env": "environment", **columns}
    levels = {summary.final.level for summary in summaries if summary.final.n > 1}
    if len(levels) == 1:
        columns["task_return"] += f" [{100 * levels.pop():g} % interval]"
    if any(summary.success for summary in summaries):
        columns["success"] = "success rate"
    others = {s.metric for s in summaries} - {TASK_RETURN, SUCCESS_RATE}
    columns.update({metric: f"{metric} IQM" for metric in sorted(others)})
    rows = [
        {
            "env": summary.env,
            "method": summary.method,
            "seeds": summary.final.n,
            "steps": summary.step,
            "task_return": _interval(summary.task_return),
            "success": _interval(summary.success),
            **({summary.metric: _interval(summary.final)} if summary.metric in others else {}),
        }
        for summary in summaries
    ]
    return markdown_table(rows, columns)


def comparison_table(groups: Iterable[GroupSummary], *, baseline: str | None = None) -> str:
    """Return each method against a baseline as a markdown table.

    Welch's test over the final values of the seeds, one-sided (better than the baseline) and not
    corrected for the number of methods. Only methods with two seeds or more, on the same
    environment and metric as a baseline with two seeds or more, have a row.

    Args:
        groups: for example ``plot_runs(...).groups``.
        baseline: the method to compare against; by default that of the first group.

    Raises:
        UnknownNameError: no such method.
    """
    summaries = list(groups)
    methods = [summary.method for summary in summaries]
    if baseline is not None and baseline not in methods:
        raise UnknownNameError("method", baseline, methods)
    base = methods[0] if baseline is None and methods else baseline
    bases = {(s.env, s.metric): s for s in summaries if s.method == base and s.final.n > 1}
    columns = {
        "env": "environment", "method": "method", "against": "against", "metric": "metric",
        "difference": "difference", "improvement": "P(better)", "p": "p (one-sided)",
    }  # fmt: skip
    rows = []
    for summary in summaries:
        other = bases.get((summary.env, summary.metric))
        if other is None or other is summary or summary.final.n < 2:
            continue
        found = welch_test(summary.values, other.values)
        rows.append({
            "env": summary.env, "method": summary.method, "against": base,
            "metric": summary.metric, "difference": _interval(found.difference),
            "improvement": found.improvement, "p": found.p_value,
        })  # fmt: skip
    return markdown_table(rows, columns)


def ledger_rows(
    mixed: MixedReward, *, column: int = 0, start: int = 0, stop: int | None = None
) -> list[dict[str, Any]]:
    """Return what every term paid at every step of one episode, one row per step and term.

    Columns: ``step`` (from 0 at ``start``), ``term``, ``raw`` (what the model returned; None where
    it has nothing to say), ``divisor``, ``weight``, ``gate`` (only when some term has one),
    ``contribution`` (``gate * weight * raw / divisor``) and ``cumulative``, the sum of the term's
    contributions so far. The last ``cumulative`` of all terms add up to the shaped return.

    Args:
        mixed: the rewards of the rollout that holds the episode.
        column: the environment, on the ``B`` axis.
        start: first time step.
        stop: one after the last; None takes the rest of the rollout.

    Raises:
        UserError: no such column or no step in that range.
    """
    length, columns, _ = mixed.raw.shape
    if not 0 <= column < columns:
        raise UserError(f"column must lie in 0 to {columns - 1}, got {column}.")
    stop = length if stop is None else stop
    if not 0 <= start < stop <= length:
        raise UserError(f"Steps {start} to {stop} are not in a rollout of {length} steps.")
    span = (slice(start, stop), column)
    raw = np.asarray(mixed.raw[span].cpu(), dtype=np.float64)
    defined = np.asarray(mixed.defined[span].cpu())
    contributions = np.asarray(mixed.contributions()[span].cpu(), dtype=np.float64)
    # By its shortest digits, so that a float32 weight of 0.1 is not 0.10000000149011612.
    weights = [float(str(weight)) for weight in mixed.weights.cpu().numpy()]
    divisors = np.asarray(mixed.divisors.cpu(), dtype=np.float64)
    gates = None if mixed.gates is None else np.asarray(mixed.gates[span].cpu(), dtype=np.float64)
    cumulative = np.cumsum(contributions, axis=0)
    return [
        {
            "step": step,
            "term": name,
            "raw": float(raw[step, k]) if defined[step, k] else None,
            "divisor": float(divisors[k]),
            "weight": weights[k],
            **({} if gates is None else {"gate": float(gates[step, k])}),
            "contribution": float(contributions[step, k]),
            "cumulative": float(cumulative[step, k]),
        }
        for step in range(len(raw))
        for k, name in enumerate(mixed.names)
    ]


def ledger_table(rows: Sequence[Mapping[str, Any]], max_rows: int = 40) -> str:
    """Return the ledger as aligned text of at most 100 columns.

    A long episode shows its first and last steps. Below come the terms' totals, their shares of
    the summed absolute contributions, and the sum of all.

    Args:
        rows: what ``ledger_rows`` returned.
        max_rows: rows to show; at least the first and the last step are shown.
    """
    if not rows:
        return "The episode has no steps."
    columns = [
        key for key in (*LEDGER_COLUMNS[:-2], "gate", *LEDGER_COLUMNS[-2:]) if key in rows[0]
    ]
    terms = list(dict.fromkeys(str(row["term"]) for row in rows))
    shown: list[Mapping[str, Any]] = list(rows)
    if len(rows) > max(max_rows, 2 * len(terms)):
        steps = max(2, max_rows // len(terms))
        head, tail = (steps + 1) // 2 * len(terms), steps // 2 * len(terms)
        left = (len(rows) - head - tail) // len(terms)
        gap = {"step": "...", "term": f"({left} more steps)"}
        shown = [*rows[:head], gap, *rows[-tail:]]
    body = [[_shown(row.get(key), "" if "raw" not in row else _NOTHING) for key in columns]
            for row in shown]  # fmt: skip
    return _aligned(columns, body) + "\n\n" + _totals(rows, terms)


def write_csv(rows: Iterable[Mapping[str, Any]], path: str | Path) -> None:
    """Write rows as CSV with a header, floats in full and None as an empty cell.

    The file appears complete or not at all.

    Raises:
        UserError: no rows, or the file cannot be written.
    """
    table, path = list(rows), Path(path)
    if not table:
        raise UserError(f"There are no rows to write to {path}.")
    writing = path.with_name(f".{path.name}.writing")
    columns = list(dict.fromkeys(key for row in table for key in row))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)
        os.replace(writing, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            writing.unlink()
        raise UserError(f"Cannot write {path}: {error}.") from error


def _totals(rows: Sequence[Mapping[str, Any]], terms: list[str]) -> str:
    paid = {
        term: np.array([r["contribution"] for r in rows if r["term"] == term]) for term in terms
    }
    absolute = {term: float(np.abs(values).sum()) for term, values in paid.items()}
    whole = sum(absolute.values())
    body = []
    for term in terms:
        raw = [row["raw"] for row in rows if row["term"] == term and row["raw"] is not None]
        body.append([
            term, _shown(float(np.sum(raw))) if raw else _NOTHING,
            _shown(float(paid[term].sum())),
            f"{100 * absolute[term] / whole:.1f} %" if whole else _NOTHING,
        ])  # fmt: skip
    total = sum(float(values.sum()) for values in paid.values())
    body.append(["all terms", "", _shown(total), "100.0 %" if whole else _NOTHING])
    steps = len(rows) // len(terms)
    title = f"totals over {steps} step{'s' if steps != 1 else ''}"
    return _aligned([title, "raw", "contribution", "share"], body)


def _aligned(headings: Sequence[str], body: list[list[str]]) -> str:
    """Align terms to the left and all else to the right; long terms are cut to keep the width."""
    lines = [list(headings), *body]
    term = headings.index("term") if "term" in headings else 0
    widths = [max(len(line[k]) for line in lines) for k in range(len(headings))]
    room = _WIDTH - 2 * (len(headings) - 1) - sum(widths) + widths[term]
    widths[term] = min(widths[term], max(room, 8))
    for line in lines:
        if len(line[term]) > widths[term]:
            line[term] = line[term][: widths[term] - 3] + "..."
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k == term else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _shown(value: Any, nothing: str = _NOTHING) -> str:
    if value is None:
        return nothing
    if isinstance(value, float | np.floating):
        return f"{float(value):.4g}"
    return str(value)


def _interval(interval: Interval | None) -> str | None:
    if interval is None:
        return None
    if interval.n == 1:
        return f"{interval.point:.4g}"
    return f"{interval.point:.4g} [{interval.low:.4g}, {interval.high:.4g}]"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
