"""Puzzles of one turn, their verifiers, and what a reward gets to see of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.text import ExternalDataError
from envs.text.countdown import judge
from envs.text.puzzle import final_answer
from envs.text.question_file import plain
from envs.text.rows import decode_row

OWN = ("Addition-v0", "Countdown-v0", "LinearEquation-v0", "ModularChain-v0")


@pytest.mark.parametrize(
    ("answer", "solved", "well_formed"),
    [
        ("42*(30 - 4 - 23)", True, True),
        ("126", False, True),
        ("42*3", False, True),
        ("__import__('os')", False, False),
        ("42*(30 - 4 - 23) + 0", False, True),
        ("(42 * 30 - 4) / 23", False, True),
        ("42*(30 - 4 - 23)/1", False, True),
    ],
)
def test_that_countdown_is_judged_exactly(answer, solved, well_formed):
    verdict = judge(answer, (30, 23, 42, 4), 126)
    assert (verdict.solved, verdict.well_formed) == (solved, well_formed)


def test_that_a_number_given_twice_is_used_twice():
    assert judge("5*5", (5, 5), 25).solved
    assert not judge("5*5", (5,), 25).solved
    assert not judge("5", (5, 5), 5).solved


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("options", [{}, {"format_reward": 0.1}])
def test_that_the_solution_of_every_item_is_right_and_another_is_not(make, name, options):
    env = make(name, **options)
    for task in range(200):
        first = env.reset(task=task)
        solved = env.step(env.expert())
        assert solved.reward == 1.0
        assert solved.terminated
        assert solved.info["won"]
        assert solved.info["is_success"]
        env.reset(task=task)
        wrong = env.step("1234567")
        assert wrong.reward == options.get("format_reward", 0.0)
        assert wrong.info["lost"]
        assert not wrong.info["is_success"]
        assert wrong.info["valid_command"]
        env.reset(task=task)
        senseless = env.step("abc")
        assert senseless.reward == 0.0
        assert not senseless.info["valid_command"]
        for turn in (first, solved, wrong):
            assert env.observation_space.contains(turn.observation)
            assert turn.action is None or env.action_space.contains(turn.action)
            assert set(turn.info["state"]) == set(env.info_keys)


@pytest.mark.parametrize("name", OWN)
def test_that_a_task_is_the_same_question_every_time(make, name):
    one, other = make(name), make(name)
    texts = [one.reset(task=task).text for task in range(50)]
    assert texts == [other.reset(task=task).text for task in range(50)]
    assert len(set(texts)) > 40
    assert one.reset(task="7").text == one.reset(seed=7).text == texts[7]


@pytest.mark.parametrize("operands", [2, 3, 4, 5, 6])
def test_that_countdown_targets_are_in_range_and_made_from_the_numbers(make, operands):
    env = make("Countdown-v0", operands=operands, largest_target=100)
    for task in range(60):
        numbers, target = env.question(task).key
        assert len(numbers) == operands
        assert 1 <= target <= 100
        assert judge(env.question(task).solution, numbers, target).solved


def test_that_guessing_solves_hardly_any_countdown(make):
    # The bar: below .05 for an expression that uses the numbers in a random way.
    env = make("Countdown-v0", operands=4)
    random = np.random.default_rng(0)
    solved = 0
    for task in range(400):
        env.reset(task=task)
        numbers = random.permutation(env.question(task).key[0]).tolist()
        signs = random.choice(list("+-*/"), 3).tolist()
        solved += env.step("".join(f"{n}{s}" for n, s in zip(numbers, [*signs, ""], strict=True)))\
            .info["won"]  # fmt: skip
    assert solved / 400 < 0.05


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("7", "7"),
        (" 7\n", "7"),
        ("I think. Answer: 7", "7"),
        ("answer = 6 Answer: 7", "7"),
        ("<answer>6</answer> no <ANSWER> 7 </answer>.", "7"),
        ("<answer>7", "<answer>7"),
        ("", ""),
    ],
)
def test_which_part_of_a_completion_is_the_answer(completion, answer):
    assert final_answer(completion) == answer


def test_that_the_end_of_a_long_completion_counts(make):
    env = make("Addition-v0")
    env.reset(task=0)
    turn = env.step("thinking " * 5000 + f"<answer>{env.expert()}</answer>")
    assert turn.info["won"]
    assert decode_row(turn.action) == "21"


@given(st.text(max_size=500))
def test_that_any_answer_is_judged(text):
    from envs.text import make_text

    env = make_text("Countdown-v0")
    env.reset(task=0)
    assert env.step(text).terminated


@pytest.mark.parametrize(
    ("answer", "right"),
    [("21", True), ("x = 21", True), ("+21.", True), ("21 22", False), ("2 1", False), ("", False),
     ("twenty", False), ("-21", False), ("9" * 400, False)],
)  # fmt: skip
def test_which_whole_numbers_are_understood(make, answer, right):
    env = make("Addition-v0")
    assert env.reset(task=0).text == "16+5="
    assert env.step(answer).info["won"] is right


@pytest.mark.parametrize("task", range(30))
def test_that_arithmetic_is_right_by_another_way(make, task):
    env = make("ModularChain-v0", length=6, modulus=11)
    words = env.question(task).text.partition(": ")[2].removesuffix(" =").split()
    value = int(words[0])
    for word in words[1:]:
        value = {"+": value.__add__, "-": value.__sub__, "*": value.__mul__}[word[0]](int(word[1:]))
        value %= 11
    assert str(value) == env.question(task).solution
    equation = make("LinearEquation-v0")
    left, right = equation.question(task).text.partition(": ")[2].split(" = ")
    x = int(equation.question(task).solution)
    assert _side(left, x) == _side(right, x)


def _side(text, x):
    total = 0
    for term in text.replace("- ", "-").replace("+ ", "+").split():
        factor = term.removesuffix("x")
        sign = {"": 1, "-": -1, "+": 1}
        total += (sign[factor] if factor in sign else int(factor)) * x if "x" in term else int(term)
    return total


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Countdown-v0", {"operands": 1}),
        ("Countdown-v0", {"smallest": 9, "largest": 8}),
        ("Countdown-v0", {"largest_target": 1}),
        ("Addition-v0", {"digits": 0}),
        ("Addition-v0", {"operands": 1}),
        ("ModularChain-v0", {"modulus": 1}),
        ("ModularChain-v0", {"length": 0}),
        ("LinearEquation-v0", {"largest": 0}),
        ("Addition-v0", {"format_reward": 1.0}),
        ("Addition-v0", {"answer_bytes": 0}),
        ("Addition-v0", {"max_turns": 2}),
    ],
)
def test_that_options_out_of_range_are_refused(make, name, options):
    with pytest.raises(ValueError, match=r"must be|needed|one turn"):
        make(name, **options)


def test_that_questions_come_from_a_file(make, tmp_path):
    file = tmp_path / "questions.jsonl"
    file.write_text(
        '{"question": "Eggs?", "answer": "16 - 3 = 13\\n#### 1,300"}\n\n'
        '{"question": "Capital?", "answer": "Port  Louis"}\n',
        encoding="utf-8",
    )
    env = make("Questions-v0", file=str(file))
    for task, right, wrong, senseless in (
        (0, "$1300", "1301", "many"),
        (1, "port louis", "Paris", None),
    ):
        env.reset(task=task)
        assert env.step(right).info["won"]
        env.reset(task=task)
        turn = env.step(wrong)
        assert turn.info["lost"]
        assert turn.info["valid_command"]
        env.reset(task=task)
        assert env.step(env.expert()).info["won"]
        if senseless is not None:
            env.reset(task=task)
            assert not env.step(senseless).info["valid_command"]
    with pytest.raises(ValueError, match="tasks 0 to 1, got 2"):
        env.reset(task=2)


def test_that_numbers_of_a_file_are_compared_exactly():
    assert plain("0.5") == plain("1/2") == plain("$0.50") == plain(" .5".replace(".", "0."))
    assert plain("1/0") == "1/0"
    assert plain("1e9") == "1e9"


def test_that_a_missing_or_broken_file_is_named(make, tmp_path):
    with pytest.raises(ExternalDataError, match="External data required"):
        make("Questions-v0", file=str(tmp_path / "none.jsonl"))
    file = tmp_path / "broken.jsonl"
    file.write_text('{"question": "2+2"}\n')
    with pytest.raises(ValueError, match=r"Line 1 of .*'answer'"):
        make("Questions-v0", file=str(file))
    file.write_text("")
    with pytest.raises(ValueError, match="holds no questions"):
        make("Questions-v0", file=str(file))
