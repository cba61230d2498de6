"""Ctrl-C: the first one ends long work where it can go on later, the second one ends it now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_on_interrupt(request: Callable[[], None], *, after: str) -> Iterator[None]:
    """Turn the first Ctrl-C into a request; outside of the main thread nothing is changed.

    Args:
        request: called once, in the signal handler; sets a flag that the work looks at.
        after: what is finished first, for the message: ``this rollout``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(signum: int, frame: Any) -> None:
        request()
        print(f"\nStopping at the end of {after}; press Ctrl-C again to stop now.", flush=True)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
