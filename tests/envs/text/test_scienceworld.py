"""ScienceWorld, where Java is there."""

import shutil

import pytest

pytest.importorskip("scienceworld")
if shutil.which("java") is None:
    pytest.skip("ScienceWorld runs on Java", allow_module_level=True)

from envs.text import make_text


@pytest.fixture(scope="module")
def animal():
    env = make_text("ScienceWorld-v0", science_task="find-animal", with_expert=True, max_turns=12)
    yield env
    env.close()


def test_that_the_gold_path_earns_all_points(animal, play):
    turns = play(animal, task=0)
    assert len(turns) == 11
    assert turns[0].info["score"] == 8.0
    assert sum(turn.reward for turn in turns) == pytest.approx(1.0)
    assert sum(turn.info["state"]["raw_reward"] for turn in turns) == 92.0
    assert turns[-1].info["score"] == 100.0
    assert turns[-1].terminated
    assert turns[-1].info["won"]
    assert turns[-1].info["progress"] == 1.0


def test_that_a_wrong_focus_is_a_loss(animal):
    animal.reset(task=0)
    turn = animal.step("focus on agent")
    assert turn.info["state"]["raw_reward"] == -108.0
    assert (turn.reward, turn.terminated, turn.info["lost"]) == (-1.0, True, True)
    assert turn.info["progress"] == 0.0


def test_that_free_actions_end_at_the_limit_of_turns(animal):
    animal.reset(task=0)
    turns = [animal.step("look around") for _ in range(12)]
    assert [turn.truncated for turn in turns] == [False] * 11 + [True]
    assert turns[-1].info["state"]["moves"] == 0
    assert not turns[-1].info["lost"]


def test_that_an_unknown_command_is_a_turn_and_ends_the_gold_path(animal):
    animal.reset(task=0)
    assert animal.expert() == "open door to kitchen"
    turn = animal.step("xyzzy")
    assert not turn.info["valid_command"]
    assert turn.info["turn"] == 1
    assert animal.expert() is None
    assert not animal.step("").info["valid_command"]


def test_that_a_variation_is_the_same_every_time_and_others_are_refused(animal):
    first = animal.reset(task=3)
    assert animal.reset(task=3).text == first.text
    assert len(first.admissible) > 50
    animal.step("go to kitchen")
    assert animal.restore(animal.snapshot()).text.startswith("You move to the kitchen")
    assert len(animal.tasks) == 150
    with pytest.raises(ValueError, match="variations 0 to 299, got 300"):
        animal.reset(task=300)


def test_that_missing_java_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="Install a Java runtime"):
        make_text("ScienceWorld-v0")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"science_task": "find-animl"}, "Did you mean 'find-animal'"),
        ({"split": "x"}, "split must"),
    ],
)
def test_that_bad_options_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        make_text("ScienceWorld-v0", **options)


def test_that_no_server_is_left():
    env = make_text("ScienceWorld-v0", tasks=[0])
    server = env._server._gateway.java_process
    assert server.poll() is None
    env.close()
    env.close()
    assert server.poll() is not None
