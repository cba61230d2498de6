"""Some text environments in a process of their own; the other end is `envs.text.vector`."""

from __future__ import annotations

import contextlib
import pickle
import signal
import traceback
from multiprocessing.connection import Connection

from envs.text.vector import call


def serve(descriptor: int) -> None:
    """Make environments and answer requests until told to end, or until the parent is gone.

    Args:
        descriptor: of this end of the socket. First come the functions by column, then requests
            ``(number, method, arguments)``; the answers are ``(number, worked, result or error)``.
    """
    # Ctrl-C reaches all processes of a terminal; it is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(descriptor) as link, contextlib.ExitStack() as made:
        try:
            envs = {}
            for column, make in pickle.loads(link.recv_bytes()).items():
                envs[column] = make()
                made.callback(envs[column].close)
        except Exception as error:
            link.send((0, False, _portable(error)))
            return
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                number, method, arguments = link.recv()
                if method == "close":
                    return
                try:
                    answer = (number, True, call(envs, method, arguments))
                except Exception as error:
                    answer = (number, False, _portable(error))
                link.send(answer)


def _portable(error: Exception) -> Exception:
    """Return the error with its traceback as a note, as one that another process can read."""
    error.add_note("In a worker process:\n" + "".join(traceback.format_exception(error)))
    with contextlib.suppress(Exception):
        if str(pickle.loads(pickle.dumps(error))) == str(error):
            return error
    return RuntimeError(f"{type(error).__name__}: {error}")
