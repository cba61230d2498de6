"""Where the cells of a study run: on local processes, or on a Ray cluster."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from ctrl.cluster import ray_cluster
from ctrl.study.cells import RESULT, run_cell
from ctrl.study.plan import Cell, Study
from reward_models.errors import UserError

# What comes back from another machine: enough to plot and to evaluate again, not the checkpoints.
_RETURNED = ("config.yaml", "versions.json", "progress.csv", "result.json", "final/*")
_RETRIES = 3
_KILLED = "its process was killed (out of memory?)"


class Finished(NamedTuple):
    """A cell that ended: with a result, or with the reason why there is none."""

    cell: Cell
    result: dict[str, Any] | None
    error: str | None


def run_locally(
    study: Study, cells: Sequence[Cell], folder: Path, processes: int
) -> Iterator[Finished]:
    """Run cells on local processes and yield each as it ends.

    A cell that fails does not stop the others. A process that is killed takes the cells that ran
    at that moment with it; they count as failed, and a second call runs them again.

    Args:
        study: the study.
        cells: those to run.
        folder: of the study.
        processes: at once.
    """
    waiting = list(cells)
    while waiting:
        # A pool whose worker was killed is broken as a whole: the rest gets another one.
        yield from _pool_of(study, waiting, folder, min(processes, len(waiting)))


def _pool_of(study: Study, waiting: list[Cell], folder: Path, workers: int) -> Iterator[Finished]:
    """Take cells from ``waiting`` until it is empty or a worker process dies."""
    # Fresh interpreters: a forked copy of a process that runs torch threads can deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_quiet_worker) as pool:
        running: dict[Future[Any], Cell] = {}
        broken = False
        try:
            while running or (waiting and not broken):
                # Only as many as run: after Ctrl-C nothing is left in a queue to be started.
                while waiting and not broken and len(running) < workers:
                    try:
                        future = pool.submit(_attempt, study, waiting[0], folder / waiting[0].name)
                    except BrokenProcessPool:
                        broken = True
                    else:
                        running[future] = waiting.pop(0)
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    ended = _finished(running.pop(future), future)
                    broken = broken or ended.error == _KILLED
                    yield ended
        except BaseException:
            for process in pool._processes.values():
                process.terminate()
            raise


def _finished(cell: Cell, future: Future[Any]) -> Finished:
    try:
        result, error = future.result()
    except BrokenProcessPool:
        return Finished(cell, None, _KILLED)
    return Finished(cell, result, error)


def _quiet_worker() -> None:
    """Leave Ctrl-C to the parent, which ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _attempt(study: Study, cell: Cell, folder: Path) -> tuple[dict[str, Any] | None, str | None]:
    """Run a cell and return its result or the error as text."""
    try:
        return run_cell(study, cell, folder), None
    except UserError as error:
        return None, str(error)
    except Exception:
        return None, traceback.format_exc()


def run_on_ray(
    study: Study, cells: Sequence[Cell], folder: Path, address: str
) -> Iterator[Finished]:
    """Run cells on a Ray cluster, one processor each, and yield each as it ends.

    Every node needs ctrl installed in the same version, and the code that the study names under the
    same path. Run folders come back without their checkpoints. A cell whose node dies is run again
    elsewhere, from its start, up to 3 times.

    Args:
        study: the study.
        cells: those to run.
        folder: of the study, on this machine.
        address: of the cluster, for example ``127.0.0.1:6379`` or ``auto``.

    Raises:
        MissingDependencyError: Ray is not installed.
        UserError: there is no cluster at the address.
    """
    with ray_cluster(address) as ray:
        remote = ray.remote(num_cpus=1, max_retries=_RETRIES)(_attempt_elsewhere)
        running = {remote.remote(study, cell): cell for cell in cells}
        while running:
            (reference,), _ = ray.wait(list(running), num_returns=1)
            cell = running.pop(reference)
            try:
                result, reason, files = ray.get(reference)
            except ray.exceptions.RayError as problem:
                yield Finished(cell, None, f"its node was lost {_RETRIES + 1} times: {problem}")
                continue
            for name, content in files.items():
                path = folder / cell.name / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            yield Finished(cell, result, reason)


def _attempt_elsewhere(
    study: Study, cell: Cell
) -> tuple[dict[str, Any] | None, str | None, dict[str, bytes]]:
    """Run a cell in a temporary folder of the node and return its files as bytes."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        result, error = _attempt(study, cell, folder)
        wanted = [folder / RESULT]
        for pattern in _RETURNED:
            wanted += sorted((folder / "run").glob(pattern))
        files = {
            str(path.relative_to(folder)): path.read_bytes() for path in wanted if path.is_file()
        }
    return result, error, files
