"""The first Ctrl-C is a request, the second one an interrupt."""

import signal
import threading

import pytest

from ctrl.interruption import stop_on_interrupt


def _press_twice(asked, capsys):
    with stop_on_interrupt(lambda: asked.append(1), after="this round"):
        signal.raise_signal(signal.SIGINT)
        assert asked == [1]
        assert "this round" in capsys.readouterr().out
        signal.raise_signal(signal.SIGINT)


def test_the_first_is_a_request_and_the_second_ends_it(capsys):
    asked = []
    with pytest.raises(KeyboardInterrupt):
        _press_twice(asked, capsys)
    assert asked == [1]


def test_the_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    with stop_on_interrupt(lambda: None, after="this round"):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_changes_nothing():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with stop_on_interrupt(lambda: None, after="this round"):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
