"""What a finished search leaves in its run folder: archives, elites and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctrl.checkpoint import save_tree
from ctrl.run_curves import read_progress
from ctrl.run_folder import RunFolder
from ctrl.search.config import SearchConfig
from ctrl.search.elites import Elite, save_elite
from ctrl.search.episodes import Episodes
from ctrl.search.evaluation import Evaluator
from ctrl.search.method import SearchMethod
from ctrl.search.metrics import SearchMetrics

ARCHIVES, ELITES, PICTURES = "archives", "elites", "pictures"
_WAY = 200
"""Most places on the drawn way of an elite."""


def write_findings(
    folder: RunFolder,
    config: SearchConfig,
    method: SearchMethod,
    metrics: SearchMetrics,
    evaluator: Evaluator,
) -> None:
    """Write ``archives/``, ``elites/`` and ``pictures/``.

    An elite is the kept episode with the best reward of a reward area, and ``novelty_*`` are kept
    episodes that ended far from each other.

    Args:
        folder: of the run.
        config: of the search.
        method: with its archives.
        metrics: of all episodes.
        evaluator: runs the elites once more, to draw their ways.
    """
    archives = method.archives
    for name, kept in archives.items():
        save_tree({"episodes": vars(kept).copy()}, folder.path / ARCHIVES / name)
    found = choose_elites(archives.values(), areas=len(metrics.best))
    for name, one in found.items():
        save_elite(
            folder.path / ELITES / name,
            Elite(
                genome=one.genomes[0],
                kind=evaluator.genome.describe(),
                env=config.env,
                numbers={
                    "reward": float(one.reward[0]),
                    "task_reward": float(one.task_reward[0]),
                    "area": int(one.area[0]),
                    "length": int(one.length[0]),
                    "evaluation": int(one.evaluation[0]),
                    "x": float(one.place[0, 0]),
                    "y": float(one.place[0, 1]),
                },
            ),
        )
    _draw(folder, config, archives, metrics, ways(found, evaluator))


def choose_elites(
    groups: Iterable[Episodes], *, areas: int, spread: int = 6
) -> dict[str, Episodes]:
    """Return the episodes worth keeping apart, by name, one row each.

    Args:
        groups: kept episodes.
        areas: reward areas ``K``.
        spread: how many ``novelty_*`` at most; each ended farthest from all that were chosen
            before, beginning with the one with the best reward where no area was reached.

    Returns:
        ``area_0`` ... where something ended there, then ``novelty_0`` ...
    """
    some = [kept for kept in groups if len(kept)]
    if not some:
        return {}
    kept = Episodes.joined(some)
    names: dict[str, int] = {}
    for area in range(areas):
        inside = np.flatnonzero(kept.area == area)
        if len(inside):
            names[f"area_{area}"] = int(inside[kept.reward[inside].argmax()])
    if not names:
        names["novelty_0"] = int(kept.reward.argmax())
    far = np.full(len(kept), np.inf)
    for row in names.values():
        far = np.minimum(far, np.linalg.norm(kept.place - kept.place[row], axis=1))
    count = sum(name.startswith("novelty") for name in names)
    while count < spread and far.max() > 0.0:
        row = int(far.argmax())
        names[f"novelty_{count}"] = row
        far = np.minimum(far, np.linalg.norm(kept.place - kept.place[row], axis=1))
        count += 1
    return {name: kept[np.array([row])] for name, row in names.items()}


def ways(found: dict[str, Episodes], evaluator: Evaluator) -> dict[str, NDArray[np.float64]]:
    """Return the places ``[t, 2]`` through which episodes went, by running them once more."""
    longest = max((int(one.length[0]) for one in found.values()), default=0)
    setting = replace(
        evaluator.setting,
        samples=max(1, min(_WAY, longest)),
        observe=evaluator.place.text,
        images=False,
        columns=1,
    )
    with Evaluator(setting) as watching:
        return {
            name: watching.evaluate(one.genomes, int(one.evaluation[0])).samples[0]
            for name, one in found.items()
        }


def _draw(
    folder: RunFolder,
    config: SearchConfig,
    archives: Mapping[str, Episodes],
    metrics: SearchMetrics,
    found: dict[str, NDArray[np.float64]],
) -> None:
    from ctrl.pictures.search import draw_archives, draw_grid, draw_progress, draw_ways
    from ctrl.pictures.style import save_png

    pictures: Path = folder.path / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    bounds = config.bounds or []
    title = f"{config.method.name} on {config.env.id}, seed {config.seed}"
    some = [kept.place for kept in archives.values() if len(kept)]
    backdrop = np.concatenate(some) if some else np.zeros((0, 2))
    for name, figure in (
        ("archives", draw_archives(archives, bounds)),
        ("grid", draw_grid(metrics.visits, metrics.best_reward, bounds, title=title)),
        ("progress", draw_progress(read_progress(folder.progress_file))),
        ("elites", draw_ways(found, bounds, backdrop)),
    ):
        save_png(figure, pictures / f"{name}.png")
