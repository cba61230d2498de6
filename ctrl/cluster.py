"""Connecting to a Ray cluster, with errors that say what is wrong."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reward_models.errors import MissingDependencyError, UserError


@contextmanager
def ray_cluster(address: str) -> Iterator[Any]:
    """Connect to a running Ray cluster.

    Every node needs ctrl installed in the same version.

    Args:
        address: for example ``127.0.0.1:6379`` or ``auto``.

    Yields:
        The module ``ray``; the connection ends with the context.

    Raises:
        MissingDependencyError: Ray is not installed.
        UserError: there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            "Running on a cluster needs Ray: pip install 'ctrl[ray]'."
        ) from error
    _require_listener(address)
    # Ray warns of a change to come unless this is chosen; processes without a GPU see none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"There is no Ray cluster at {address!r}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Raise where nothing listens: Ray itself would try for minutes and then end the process."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return  # "auto" and the like
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"There is no Ray cluster at {address!r} ({error}). Start one with `ray start --head`, "
            "which prints its address."
        ) from error
