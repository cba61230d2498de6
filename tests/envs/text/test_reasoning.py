"""Data sets of reasoning-gym, with verifiers that never run an answer."""

import builtins

import pytest

pytest.importorskip("reasoning_gym")
from reasoning_gym.factory import DATASETS

from envs.text.reasoning import runs_answers

# Those whose verifier calls `eval`, or a parser of sympy that does.
RUNS_ANSWERS = {
    "binary_matrix", "countdown", "intermediate_integration", "n_queens",
    "polynomial_multiplication", "puzzle24", "simple_integration", "spiral_matrix",
    "string_insertion",
}  # fmt: skip


def test_which_data_sets_would_run_an_answer():
    assert {name for name, (kind, _) in DATASETS.items() if runs_answers(kind)} == RUNS_ANSWERS


@pytest.mark.parametrize("dataset", sorted(RUNS_ANSWERS | {"chain_sum", "gsm_symbolic", "sudoku"}))
def test_that_the_own_answer_is_right_and_code_is_never_run(make, dataset, monkeypatch):
    env = make("ReasoningGym-v0", dataset=dataset, size=10)
    assert env.compares_text == (dataset in RUNS_ANSWERS - {"countdown", "puzzle24"})
    ran = []
    monkeypatch.setattr(builtins, "ran", ran.append, raising=False)
    for task in range(2):
        env.reset(task=task)
        right = env.expert()
        assert env.step(right).info["won"]
        env.reset(task=task)
        assert not env.step("ran(1)").info["won"]
        env.reset(task=task)
        assert not env.step("[ran(1), 2]").info["won"]
    assert ran == []


@pytest.mark.parametrize("task", range(5))
def test_that_countdown_of_reasoning_gym_is_judged_as_ours(make, task):
    env = make("ReasoningGym-v0", dataset="countdown", size=10)
    env.reset(task=task)
    metadata = env.question(task).key["metadata"]
    turn = env.step(str(metadata["target"]))  # right value, but not from the numbers
    assert turn.info["lost"]
    assert turn.info["valid_command"]


def test_that_a_little_for_any_answer_is_no_success(make):
    env = make("ReasoningGym-v0", dataset="simple_equations", size=10)
    env.reset(task=0)
    turn = env.step("-98765")
    assert (turn.reward, turn.info["won"]) == (0.0, False)


def test_that_a_number_of_a_billion_digits_is_not_computed(make):
    env = make("ReasoningGym-v0", dataset="coin_flip", size=10)
    env.reset(task=0)
    assert not env.step("1e999999999").info["won"]


def test_that_bad_options_are_named(make):
    with pytest.raises(ValueError, match="Did you mean 'chain_sum'"):
        make("ReasoningGym-v0", dataset="chainsum")
    with pytest.raises(ValueError, match="refuses these settings"):
        make("ReasoningGym-v0", settings={"nothing": 1})
    with pytest.raises(ValueError, match="tasks 0 to 9, got 10"):
        make("ReasoningGym-v0", size=10).reset(task=10)
