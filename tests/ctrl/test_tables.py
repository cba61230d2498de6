"""Tables are compared cell by cell; the ledger's arithmetic is checked against the mix."""

import csv

import numpy as np
import pytest
import torch

from ctrl.run_summary import GroupSummary
from ctrl.statistics import Interval
from ctrl.tables import (
    comparison_table,
    ledger_rows,
    ledger_table,
    markdown_table,
    summary_table,
    write_csv,
)
from reward_models import Rollout, Term
from reward_models.errors import UnknownNameError, UserError
from reward_models.mix import RewardMix


def rollout(steps=6, columns=2):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *size: torch.randn(*size, generator=generator)  # noqa: E731
    none = torch.zeros(steps, columns, dtype=torch.bool)
    return Rollout(
        observation=draw(steps, columns, 3),
        action=draw(steps, columns, 2),
        next_observation=draw(steps, columns, 3),
        reward=draw(steps, columns),
        terminated=none,
        truncated=none,
    )


def effort(action):
    return -action.square().sum(-1)


def summary(method, values, **changes):
    point = float(np.mean(values))
    interval = Interval(point, min(values), max(values), len(values))
    fields = {
        "label": method,
        "method": method,
        "env": "Ant-v5",
        "metric": "return/task",
        "step": 1000,
        "values": tuple(values),
        "mean": point,
        "final": interval,
        "task_return": interval,
        "success": None,
    }
    return GroupSummary(**{**fields, **changes})


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.split("\n")]


def test_markdown_aligns_numbers_and_escapes_bars():
    table = markdown_table(
        [{"name": "a|b\nc", "value": 1.23456}, {"name": "d", "value": None}], ["name", "value"]
    )
    assert table == ("| name | value |\n| --- | ---: |\n| a\\|b c | 1.235 |\n| d | - |")
    assert markdown_table([{"x": True}], {"x": "yes?"}) == "| yes? |\n| --- |\n| True |"


def test_the_summary_gives_seeds_interval_and_success_where_there_is_one():
    solved = Interval(0.5, 0.25, 0.75, 4)
    table = cells(
        summary_table([summary("ppo", [1.0, 2.0, 3.0]), summary("sac", [5.0] * 4, success=solved)])
    )
    assert table[0] == [
        "method", "seeds", "steps", "task return IQM [95 % interval]", "success rate",
    ]  # fmt: skip
    assert table[2] == ["ppo", "3", "1000", "2 [1, 3]", "-"]
    assert table[3] == ["sac", "4", "1000", "5 [5, 5]", "0.5 [0.25, 0.75]"]


def test_the_summary_of_one_seed_has_no_interval():
    table = cells(summary_table([summary("ppo", [1.5])]))
    assert table[0] == ["method", "seeds", "steps", "task return IQM"]
    assert table[2] == ["ppo", "1", "1000", "1.5"]


def test_the_summary_shows_environments_and_other_metrics_when_they_differ():
    table = cells(
        summary_table(
            [
                summary("ppo", [1.0, 2.0]),
                summary("ppo", [3.0, 4.0], env="Hopper-v5", metric="time/fps", task_return=None),
            ]
        )
    )
    assert table[0][0] == "environment"
    assert table[0][-1] == "time/fps IQM"
    assert table[3] == ["Hopper-v5", "ppo", "2", "1000", "-", "3.5 [3, 4]"]
    assert table[2][-1] == "-"


def test_methods_are_compared_to_the_baseline_on_the_same_environment():
    groups = [
        summary("ppo", [1.0, 2.0, 3.0]),
        summary("ppo + rnd", [4.0, 5.0, 6.0]),
        summary("ppo + rnd", [4.0, 5.0, 6.0], env="Hopper-v5"),
        summary("sac", [4.0]),
    ]
    table = cells(comparison_table(groups))
    assert len(table) == 3
    assert table[2][1:3] == ["ppo + rnd", "ppo"]
    assert table[2][5] == "1"
    assert float(table[2][6]) == pytest.approx(0.0106, abs=1e-4)  # t = 3.674 at 4 degrees
    assert cells(comparison_table(groups, baseline="ppo + rnd"))[2][1] == "ppo"
    with pytest.raises(UnknownNameError, match=r"Did you mean 'sac'"):
        comparison_table(groups, baseline="sca")


def test_the_ledger_adds_up_to_the_shaped_return():
    steps = rollout()
    mix = RewardMix({"effort": Term(effort, weight=0.1, scale="return_std")}, gamma=0.99)
    mixed, _ = mix.collect(steps, steps=0)
    rows = ledger_rows(mixed, column=1)
    assert [(row["step"], row["term"]) for row in rows[:3]] == [
        (0, "task"), (0, "effort"), (1, "task"),
    ]  # fmt: skip
    assert "gate" not in rows[0]
    for row in rows:
        value = row["weight"] * row["raw"] / row["divisor"]
        assert row["contribution"] == pytest.approx(value, rel=1e-5)
    assert rows[1]["divisor"] != 1.0
    assert rows[1]["weight"] == 0.1
    assert rows[1]["raw"] == pytest.approx(float(effort(steps.action)[0, 1]))
    total = rows[-1]["cumulative"] + rows[-2]["cumulative"]
    assert total == pytest.approx(float(mixed.total[:, 1].sum()), rel=1e-5)


def test_the_ledger_of_a_part_starts_its_sums_anew():
    mixed = RewardMix({"effort": effort}, gamma=0.99).rewards(rollout())
    rows = ledger_rows(mixed, start=2, stop=4)
    assert [row["step"] for row in rows] == [0, 0, 1, 1]
    assert (
        rows[0]["cumulative"] == rows[0]["contribution"] == pytest.approx(float(mixed.raw[2, 0, 0]))
    )


def test_the_ledger_shows_gates_and_leaves_undefined_values_empty():
    def sometimes(rollout):
        defined = torch.zeros(rollout.T, rollout.B, dtype=torch.bool)
        defined[::2] = True
        return torch.ones(rollout.T, rollout.B), {"defined": defined}

    half = lambda action: torch.full(action.shape[:2], 0.5)  # noqa: E731
    mix = RewardMix({"bonus": Term(sometimes, weight=2.0, gate=half)}, gamma=0.99)
    rows = [row for row in ledger_rows(mix.rewards(rollout(4))) if row["term"] == "bonus"]
    assert [row["raw"] for row in rows] == [1.0, None, 1.0, None]
    assert [row["gate"] for row in rows] == [0.5] * 4
    assert [row["cumulative"] for row in rows] == [1.0, 1.0, 2.0, 2.0]


def test_ranges_outside_the_rollout_are_refused():
    mixed = RewardMix({}, gamma=0.99).rewards(rollout())
    with pytest.raises(UserError, match="0 to 1, got 2"):
        ledger_rows(mixed, column=2)
    with pytest.raises(UserError, match="rollout of 6 steps"):
        ledger_rows(mixed, start=4, stop=9)


def test_a_short_ledger_is_shown_whole_with_totals_and_shares():
    columns = ("step", "term", "raw", "divisor", "weight", "contribution", "cumulative")
    lines = [(0, "task", 3.0, 1.0, 1.0, 3.0, 3.0), (0, "pen", 2.0, 1.0, -0.5, -1.0, -1.0)]
    rows = [dict(zip(columns, line, strict=True)) for line in lines]
    text = ledger_table(rows)
    assert text.split("\n") == [
        "step  term  raw  divisor  weight  contribution  cumulative",
        "----  ----  ---  -------  ------  ------------  ----------",
        "   0  task    3        1       1             3           3",
        "   0  pen     2        1    -0.5            -1          -1",
        "",
        "totals over 1 step  raw  contribution    share",
        "------------------  ---  ------------  -------",
        "task                  3             3   75.0 %",
        "pen                   2            -1   25.0 %",
        "all terms                           2  100.0 %",
    ]


def test_a_long_ledger_shows_first_and_last_steps_within_100_columns():
    gate = lambda action: action[..., 0]  # noqa: E731
    name = "a_name_that_is_much_longer_than_any_terminal_likes"
    mix = RewardMix(
        {name: Term(lambda action: effort(action) * 1e-9, weight=-1.2345e-5, gate=gate)},
        gamma=0.99,
    )
    rows = ledger_rows(mix.rewards(rollout(5000, 1)))
    text = ledger_table(rows, max_rows=10)
    lines = text.split("\n")
    assert max(map(len, lines)) <= 100
    steps = [line.split()[0] for line in lines[2 : lines.index("")]]
    assert steps == ["0", "0", "1", "1", "2", "2", "...", "4998", "4998", "4999", "4999"]
    assert "(4995 more steps)" in text
    assert "totals over 5000 steps" in text


def test_an_empty_ledger_says_so():
    assert ledger_table([]) == "The episode has no steps."


def test_a_csv_reads_back_exactly(tmp_path):
    rows = [{"step": 0, "term": 'a,"b"', "raw": 0.1 + 0.2}, {"step": 1, "term": "c", "raw": None}]
    path = tmp_path / "new" / "ledger.csv"
    write_csv(rows, path)
    with path.open(newline="") as stream:
        back = list(csv.DictReader(stream))
    assert float(back[0]["raw"]) == 0.1 + 0.2
    assert back[0]["term"] == 'a,"b"'
    assert back[1]["raw"] == ""
    assert [file.name for file in path.parent.iterdir()] == ["ledger.csv"]


def test_a_csv_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        write_csv([{"a": 1}], tmp_path / "file" / "ledger.csv")
    with pytest.raises(UserError, match="no rows"):
        write_csv([], tmp_path / "ledger.csv")
