"""One search of a study: coverage and the best rewards that a budget of episodes finds.

The settings are those of ``ctrl search``; this leaves out its run folder and pictures. Run by the
study files of ``experiments/bars``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctrl.search.config import parse_search
from ctrl.search.episodes import Episodes
from ctrl.search.evaluation import CountedEvaluate, Evaluator, Setting
from ctrl.search.methods import make_method
from ctrl.search.metrics import SearchMetrics
from ctrl.search.run import complete

POINTS = 60


def run(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Search once and return the closing numbers, and how they came about.

    Args:
        settings: of the search.
        seed: of everything random.

    Returns:
        ``mean_best`` (best reward of an episode, averaged over the reward areas), ``coverage`` (of
        the grid of places, by all episodes), ``archive_coverage``, ``uniformity``, ``areas`` (in
        which a reward above 0 was found), ``all_areas`` (1 when in every one), ``evaluations``, and
        curves of the first two over evaluations.
    """
    config = complete(parse_search({**settings, "seed": seed}))
    setting = Setting(
        env=config.env, genome=config.genome, seed=seed, reward=config.reward,
        samples=config.samples, observe=config.observe, place=config.place,
        images=bool(config.images),
    )  # fmt: skip
    metrics = SearchMetrics(bounds=config.bounds, cells=config.cells, areas=config.areas)
    rows: list[tuple[float, float, float]] = []
    with Evaluator(setting) as evaluator:
        method = make_method(config, evaluator, config.bounds)
        evaluate = CountedEvaluate(evaluator)

        def watched(genomes: NDArray[np.float64]) -> Episodes:
            episodes = evaluate(genomes)
            metrics.add(episodes)
            return episodes

        while evaluate.used < config.budget:
            method.step(watched, config.budget - evaluate.used)
            rows.append((float(evaluate.used), metrics.mean_best, metrics.coverage))
    found = int((np.asarray(metrics.best) > 0).sum())
    used, best, coverage = np.array(rows)[np.linspace(0, len(rows) - 1, POINTS).astype(int)].T
    return {
        "mean_best": metrics.mean_best,
        "coverage": metrics.coverage,
        "archive_coverage": metrics.coverage_of(method.archives.values()),
        "uniformity": metrics.uniformity,
        "areas": float(found),
        "all_areas": float(found == config.areas),
        "evaluations": float(evaluate.used),
        "curves": {
            "mean_best": [used.tolist(), best.tolist()],
            "coverage": [used.tolist(), coverage.tolist()],
        },
    }
