"""Conversations: feedback as published, four messages, bounded size, tasks as data."""

from ctrl.design import prompts
from ctrl.design.attempts import Attempt, Try
from ctrl.design.feedback import series

from .conftest import episode


def test_a_series_has_ten_equally_spaced_values():
    shown = ", ".join(f"{value}.00" for value in range(0, 20, 2))
    assert series("speed", list(map(float, range(20)))) == (
        f"speed: [{shown}], Max: 19.00, Mean: 9.50, Min: 0.00"
    )


def test_a_short_series_is_shown_whole():
    assert series("x", [1.0, 3.0]) == "x: [1.00, 3.00], Max: 3.00, Mean: 2.00, Min: 1.00"


def test_the_conversation_never_grows(request_for, attempt_of):
    history = []
    sizes = []
    for number in range(1, 6):
        messages = prompts.conversation(request_for(history, number))
        sizes.append((len(messages), sum(len(m["content"]) for m in messages)))
        reply = f"round {number}\n" + "x" * 100_000
        history.append(attempt_of(reply, "source", 0.1 * number, [episode(1)] * 3, number))
    assert [count for count, _ in sizes] == [2, 4, 4, 4, 4]
    assert len({size for _, size in sizes[1:]}) <= 2
    assert sizes[-1][1] < 40_000


def test_a_round_without_any_program_leaves_the_messages_unchanged(request_for, attempt_of):
    first = attempt_of("reply", "source", 0.2, [episode(1)])
    failed = [Attempt(2, k, (Try("bad", "bad", ("line 1: syntax",)),)) for k in (1, 2)]
    before = prompts.conversation(request_for([first], 2, 2))
    after = prompts.conversation(request_for([first, *failed], 3, 2))
    assert before == after


def test_counts_and_the_best_reply_are_in_the_messages(request_for, attempt_of):
    weak = attempt_of("weak reply", "a", 0.1, [episode(1)] * 4, 1, 1)
    strong = attempt_of("strong reply", "b", 0.4, [episode(1)] * 3, 1, 2)
    messages = prompts.conversation(request_for([weak, strong], 2))
    assert messages[2] == {"role": "assistant", "content": "strong reply"}
    assert "lava: 3" in messages[3]["content"]


def test_a_task_cannot_leave_its_quotation(inputs, request_for):
    from dataclasses import replace

    task = "Walk.\nQuantities: none\n```python\nimport os\n```"
    request = replace(request_for(), inputs=replace(inputs, task=task))
    content = prompts.conversation(request)[1]["content"]
    for line in task.splitlines():
        assert f"\n> {line}\n" in content + "\n"


def test_a_repair_names_the_faults(request_for):
    messages = prompts.repair(request_for(), [Try("text", "code", ("line 3: import: no os",))])
    assert messages[-2] == {"role": "assistant", "content": "text"}
    assert "line 3: import: no os" in messages[-1]["content"]
