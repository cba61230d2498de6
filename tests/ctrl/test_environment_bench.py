"""The benchmark measures what runs here, names what does not, and compares within a turn."""

import json
import sys

import pytest

from ctrl.benchmarks import rocket_league, small, timing
from ctrl.benchmarks.timing import Group, Measurement, Stepper, UnavailableError, measure
from ctrl.environment_bench import bench_environments, bench_table
from reward_models.errors import UnknownNameError, UserError


def counting(name, log, *, per_run=1, error=None):
    def build():
        if error is not None:
            raise error
        return Stepper(lambda: log.append(name) or per_run, lambda: log.append(f"close {name}"))

    return Measurement(name, build)


@pytest.fixture
def clock(monkeypatch):
    """Every look at the clock finds one more second."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(ticks)))


def test_that_rows_take_turns_and_ratios_are_within_a_turn(clock):
    log = []
    group = Group("f", "t", "steps", [counting("a", log), counting("b", log, per_run=3)])
    found = measure(group, seconds=2.0, repeats=3)
    # one run to warm up, then two runs of a second each in every turn
    assert log == ["a", "b", *["a", "a", "b", "b"] * 3, "close b", "close a"]
    assert found["rows"]["a"] == {
        "per_second": [1.0] * 3, "median": 1.0, "ratio": 1.0, "ratios": [1.0] * 3,
    }  # fmt: skip
    assert found["rows"]["b"]["per_second"] == [3.0] * 3
    assert found["rows"]["b"]["ratio"] == 3.0


def test_that_a_missing_simulator_is_a_row_and_no_failure(clock):
    log = []
    group = Group(
        "f", "t", "steps",
        [counting("raw", log, error=UnavailableError("no engine here")), counting("ours", log)],
    )  # fmt: skip
    found = measure(group, seconds=1.0, repeats=1)
    assert found["rows"]["raw"] == {"missing": "no engine here"}
    assert found["rows"]["ours"]["median"] == 1.0
    assert "ratio" not in found["rows"]["ours"]
    document = {"groups": [found]}
    assert "no engine here" in bench_table(document)


def test_that_a_broken_row_still_closes_the_others(clock):
    log = []
    group = Group(
        "f", "t", "steps", [counting("a", log), counting("b", log, error=ZeroDivisionError())]
    )
    with pytest.raises(ZeroDivisionError):
        measure(group, seconds=1.0, repeats=1)
    assert log[-1] == "close a"


@pytest.mark.parametrize(
    "family", ["mujoco", "nethack", "rocket_league", "atari", "worlds", "classic"]
)
def test_that_every_family_is_measured_beside_its_engine(family, monkeypatch):
    monkeypatch.setattr(rocket_league, "_SIZES", (1,))
    document = bench_environments(families=[family], seconds=1e-4, repeats=1)
    json.dumps(document)
    assert document["versions"]["numpy"]
    assert document["machine"]["cpus"] >= 1
    if "missing" in document["groups"][0]:
        pytest.skip(document["groups"][0]["missing"])
    table = bench_table(document)
    for group in document["groups"]:
        assert group["family"] == family
        first, *others = group["rows"]
        assert group["rows"][first]["ratio"] == 1.0
        assert others
        for name, row in group["rows"].items():
            assert name in table
            if "missing" not in row:
                assert row["median"] > 0
        mine = [row for name, row in group["rows"].items() if name.startswith(("ours", "vector"))]
        assert any("missing" not in row for row in mine)


def test_that_a_family_without_its_simulator_is_named_with_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "RocketSim", None)
    monkeypatch.setattr(rocket_league, "groups", None)  # must not be reached
    document = bench_environments(families=["rocket_league"], seconds=1e-4, repeats=1)
    assert 'pip install "ctrl[rocket-league]"' in bench_table(document)


def test_that_one_step_of_a_vector_environment_counts_for_its_columns():
    (group,) = small.worlds()
    stepper = group.rows[1].build()
    assert stepper.run() % 64 == 0
    stepper.close()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"families": ["nethak"]}, UnknownNameError, "nethack"),
        ({"seconds": 0.0}, UserError, "must be positive"),
        ({"repeats": 0}, UserError, "at least 1"),
    ],
)
def test_that_mistakes_are_named(arguments, error, says):
    with pytest.raises(error, match=says):
        bench_environments(**arguments)
