"""The search designer: promising ideas first, counts become penalties, programs pass the Critic."""

from dataclasses import replace

import pytest

from ctrl.design.attempts import Try
from ctrl.design.search.ideas import dense_ideas, success_events
from ctrl.design.search.parts import EVENT, FAILURE, FIRST_VISIT, NEARER, Part, read_mark
from ctrl.design.search.search_designer import SearchDesigner
from reward_models.coded.critic import review
from reward_models.coded.program import extract_code
from reward_models.coded.quantities import Quantity
from reward_models.coded.sandbox import Sandbox
from reward_models.errors import UserError

from .conftest import episode


@pytest.fixture(scope="module")
def sandbox():
    pytest.importorskip("pydantic_monty")
    with Sandbox() as opened:
        yield opened


def sketches(replies):
    return [read_mark(extract_code(reply)) for reply in replies]


def test_the_first_program_follows_the_words_of_the_task(request_for):
    (sketch,) = sketches(SearchDesigner().propose(request_for()))
    assert sketch.sparse == (Part(EVENT, ("success",)),)
    assert [part.idea for part in sketch.dense] == [(NEARER, ("goal_distance",), 1)]


@pytest.mark.parametrize("convention", ["signed", "components"])
def test_every_idea_gives_a_program_that_the_critic_accepts(
    request_for, inputs, ranges, convention, sandbox
):
    request = request_for(samples=len(dense_ideas(inputs, ranges)), convention=convention)
    replies = SearchDesigner().propose(request)
    kinds = set()
    for reply in replies:
        code = extract_code(reply)
        verdict = review(code, convention, inputs, sandbox=sandbox)
        assert verdict.faults == ()
        kinds |= {part.kind for part in read_mark(code).dense}
    assert len(set(sketches(replies))) == len(replies)
    assert len(kinds) >= 3


def test_the_same_request_gives_the_same_programs(request_for):
    designer = SearchDesigner()
    assert designer.propose(request_for(samples=4)) == designer.propose(request_for(samples=4))


def test_counted_deaths_become_a_penalty_and_the_lure_gives_way(request_for, attempt_of):
    designer = SearchDesigner()
    (reply,) = designer.propose(request_for())
    lured = attempt_of(reply, extract_code(reply), 0.0, [episode(1)] * 9)
    (second,) = designer.propose(request_for([lured], 2))
    (sketch,) = sketches([second])
    assert Part(EVENT, ("lava",), sign=-1) in sketch.sparse
    assert [part.kind for part in sketch.dense] == [FIRST_VISIT]
    assert "9 of 9 failed episodes ended with lava = 1" in second


def test_deaths_without_a_flag_become_a_penalty_on_the_end(request_for, attempt_of):
    designer = SearchDesigner()
    (reply,) = designer.propose(request_for())
    one = replace(episode(0), terminated=True)
    dead = attempt_of(reply, extract_code(reply), 0.0, [one] * 3)
    (sketch,) = sketches(designer.propose(request_for([dead], 2)))
    assert Part(FAILURE, ("success",), sign=-1) in sketch.sparse


def test_a_part_that_was_paid_for_dawdling_asks_for_more(request_for, attempt_of, ranges):
    designer = SearchDesigner()
    (reply,) = designer.propose(request_for())
    late = attempt_of(reply, extract_code(reply), 0.0, [episode(0)] * 5)
    (second,) = designer.propose(request_for([late], 2))
    (sketch,) = sketches([second])
    assert [part.idea for part in sketch.dense] == [(NEARER, ("goal_distance",), 1)]
    assert sketch.dense[0].level == ranges["goal_distance"].step > 0
    # It is asked for once; after that another idea comes.
    again = attempt_of(second, extract_code(second), 0.0, [episode(0)] * 5, 2)
    (third,) = sketches(designer.propose(request_for([late, again], 3)))
    assert [part.idea for part in third.dense] != [(NEARER, ("goal_distance",), 1)]


def test_what_worked_is_kept_and_varied(request_for, attempt_of):
    designer = SearchDesigner()
    (reply,) = designer.propose(request_for())
    good = attempt_of(reply, extract_code(reply), 0.9, [episode(0, success=True)] * 9)
    (before,) = sketches([reply])
    (after,) = sketches(designer.propose(request_for([good], 2)))
    assert after != before
    assert {part.idea for part in before.dense} <= {part.idea for part in after.dense}


def test_a_repair_is_another_program(request_for):
    designer = SearchDesigner()
    (reply,) = designer.propose(request_for())
    again = designer.repair(request_for(), 1, [Try(reply, extract_code(reply), ("a fault",))])
    assert sketches([again]) != sketches([reply])


def test_the_target_of_the_metric_is_what_success_means(inputs, ranges):
    more = (*inputs.quantities, Quantity("state.touch", "float32", (), "", "1 when it touched"))
    known = {**ranges, "touch": ranges["lava"]}
    found = success_events(replace(inputs, quantities=more), known, "touch")
    assert found == [Part(EVENT, ("touch",))]


def test_without_anything_that_moves_the_search_says_so(request_for, ranges):
    still = {name: replace(known, changes=0.0) for name, known in ranges.items()}
    with pytest.raises(UserError, match="no documented quantity that changes"):
        SearchDesigner().propose(replace(request_for(), ranges=still))


def test_scalar_programs_are_not_for_the_search(request_for):
    with pytest.raises(UserError, match="not scalar ones"):
        SearchDesigner().propose(request_for(convention="scalar"))
