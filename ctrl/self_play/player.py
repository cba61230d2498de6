"""Snapshots of the learner as the opponent in an environment: one is drawn for every episode."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, final

import numpy as np

from ctrl.self_play.draws import TorchDraws
from ctrl.self_play.pool import SnapshotPool


@final
class SnapshotPlayer:
    """Drives the other cars of N rows, those of a match by one snapshot for a whole episode.

    Which snapshots are met changes slowly: a few of them are *on*, each episode begins against one
    of these, and one after another they are drawn anew.

    Args:
        pool: whose snapshots play; it may grow at any time.
        keeps_score: report the results of episodes to the pool.
    """

    def __init__(self, pool: SnapshotPool, *, keeps_score: bool = True) -> None:
        self.pool = pool
        self._keeps_score = keeps_score
        self._generator = np.random.default_rng(0)
        self._draws = TorchDraws()
        self._on: deque[int] = deque(maxlen=pool.config.active)
        self._begun = 0
        self._drawn = np.zeros(0, dtype=np.int64)
        self._result = np.zeros(0, dtype=np.int64)
        self._playing = np.zeros(0, dtype=bool)

    def __call__(self, observations: Any) -> np.ndarray:
        """Act for N cars.

        Args:
            observations: ``[N, ...]``, an array or a dict of arrays; row k is always the same car.

        Raises:
            UserError: there is no snapshot.
        """
        is_dict = isinstance(observations, Mapping)
        rows = len(next(iter(observations.values())) if is_dict else observations)
        self._widen(rows)
        # Episodes that began before there was a snapshot.
        if (self._drawn < 0).any():
            self._drawn[self._drawn < 0] = self._next()
        actions: np.ndarray | None = None
        for place in np.unique(self._drawn).tolist():
            chosen = np.flatnonzero(self._drawn == place)
            seen = (
                {name: values[chosen] for name, values in observations.items()}
                if is_dict
                else observations[chosen]
            )
            member = self.pool.member(place)
            with self._draws.own():
                found, _ = member.choose(seen)
            if actions is None:
                actions = np.empty((rows, *found.shape[1:]), dtype=found.dtype)
            actions[chosen] = found
        assert actions is not None  # N is at least 1
        return actions

    def begin(self, rows: np.ndarray) -> None:
        """Book the episode of a match that is over, and draw who plays the next.

        Args:
            rows: bool ``[N]``, the cars of that match.
        """
        self._widen(len(rows))
        first = int(np.flatnonzero(rows)[0])
        before = int(self._drawn[first])
        if self._keeps_score and self._playing[first] and before >= 0:
            self.pool.record(before, int(self._result[first]))
        matches = len(rows) // int(rows.sum())
        if self._begun % max(1, matches // self.pool.config.active) == 0 or not self._on:
            self._on.append(self.pool.draw(self._generator))
        self._begun += 1
        self._drawn[rows] = self._next()
        self._result[rows] = 0
        self._playing[rows] = True
        self.pool.forget({*self._on, *np.unique(self._drawn).tolist()})

    def result(self, rows: np.ndarray, value: int) -> None:
        """Hear that a goal fell; an episode without one is a draw.

        Args:
            rows: bool ``[N]``, the cars of that match.
            value: 1 when the learner's team scored, -1 when it conceded.
        """
        self._widen(len(rows))
        self._result[rows] = value

    def fresh(self) -> SnapshotPlayer:
        """Return a player over the same pool with draws of its own."""
        return SnapshotPlayer(self.pool, keeps_score=self._keeps_score)

    def seed(self, number: int) -> None:
        """Start the draws anew; episodes that were running are forgotten.

        Args:
            number: at least 0.
        """
        self._generator = np.random.default_rng(number)
        self._draws.seed(number)
        self._on.clear()
        self._begun = 0
        self._drawn = np.zeros(0, dtype=np.int64)

    def snapshot(self) -> dict[str, Any]:
        """Return the state of the draws and of the pool."""
        return {
            "generator": dict(self._generator.bit_generator.state),
            "draws": self._draws.state(),
            "on": list(self._on),
            "begun": self._begun,
            "drawn": self._drawn.copy(),
            "result": self._result.copy(),
            "playing": self._playing.copy(),
            "pool": self.pool.state(),
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken.

        Raises:
            UserError: a snapshot is no longer on disk.
        """
        self.pool.set_state(tree["pool"])
        self._generator.bit_generator.state = tree["generator"]
        self._draws.set_state(tree["draws"])
        self._on = deque(tree["on"], maxlen=self.pool.config.active)
        self._begun = int(tree["begun"])
        self._drawn = np.array(tree["drawn"], dtype=np.int64)
        self._result = np.array(tree["result"], dtype=np.int64)
        self._playing = np.array(tree["playing"], dtype=bool)

    def _next(self) -> int:
        if any(place < 0 for place in self._on) and len(self.pool):
            self._on.clear()
        if not self._on:
            self._on.append(self.pool.draw(self._generator))
        return self._on[int(self._generator.integers(len(self._on)))]

    def _widen(self, rows: int) -> None:
        if len(self._drawn) != rows:
            self._drawn = np.full(rows, -1, dtype=np.int64)
            self._result = np.zeros(rows, dtype=np.int64)
            self._playing = np.zeros(rows, dtype=bool)
