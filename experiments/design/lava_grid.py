r"""The whole loop of reward design on the lava grid, with tabular Q-learning and prepared replies.

The world and the learner are those of the page on Auto MC-Reward: 300 episodes of at most 60 steps,
learning rate 0.5, discount 0.95, epsilon from 0.5 to 0.05 over the first 200 episodes, success and
death in the last 50. Every seed is a column of one batch and learns for itself.

    python experiments/design/lava_grid.py --seeds 10 \
        --out experiments/results/design-lava-grid.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any, final

import numpy as np

import envs
from ctrl.design.attempts import Trial
from ctrl.design.config import DesignConfig
from ctrl.design.episode_log import EpisodeLog
from ctrl.design.metric import Metric
from ctrl.design.run import design
from ctrl.design.trainer import Trainer, judged
from reward_models.coded.limits import Limits
from reward_models.coded.program import Program
from reward_models.coded.runner import Runner
from reward_models.coded.sandbox import Sandbox
from reward_models.rollout import Rollout

REPLIES = Path(__file__).parent / "replies"
LEARNING_RATE, GAMMA = 0.5, 0.95
EPSILON, EPSILON_END, EPSILON_EPISODES = 0.5, 0.05, 200
EPISODES, LAST = 300, 50
QUANTITIES = ("goal", "lava", "position", "goal_distance")


@final
class QLearning(Trainer):
    """Tabular Q-learning on the lava grid, one column for every seed.

    Args:
        config: the design.
        metric: of the task.
        seeds: columns.
        episodes: of every column.
        last: how many of the last ones are judged.
    """

    def __init__(
        self,
        config: DesignConfig,
        metric: Metric,
        *,
        seeds: int = 10,
        episodes: int = EPISODES,
        last: int = LAST,
    ) -> None:
        self._config, self._metric = config, metric
        self._seeds, self._episodes, self._last = seeds, episodes, last
        self.by_program: list[dict[str, list[float]]] = []

    def __call__(
        self,
        program: Path | None,
        folder: Path,
        *,
        seed: int,
        fallback: Path | None = None,
        start: Path | None = None,
    ) -> Trial:
        """Learn in every column from nothing, and judge the last episodes of all of them."""
        with Sandbox(Limits()) as sandbox:
            runner = None if program is None else Runner(Program.load(program), sandbox)
            logs = self._learn(runner, seed)
        self.by_program.append(
            {
                "success": [float(np.mean([bool(e.success) for e in column])) for column in logs],
                "death": [
                    float(np.mean([e.terminated and not e.success for e in column]))
                    for column in logs
                ],
            }
        )
        episodes = [episode for column in logs for episode in column]
        return judged(episodes, self._metric, window=self._config.judge.window)

    def _learn(self, runner: Runner | None, seed: int) -> list[list[EpisodeLog]]:
        """Return the last episodes of every column."""
        columns = np.arange(self._seeds)
        random = [np.random.default_rng([seed, column]) for column in columns]
        env: Any = envs.make_vec("LavaGrid-v0", self._seeds, observation="coordinates")
        observation, info = env.reset(seed=seed)
        cell = start = info["state_index"].copy()
        values = np.zeros((self._seeds, 100, 4))
        finished = np.zeros(self._seeds, dtype=int)
        carried: dict[int, Any] = {}
        running = np.zeros(self._seeds, dtype=bool)
        open_rows: list[list[tuple[Any, ...]]] = [[] for _ in columns]
        logs: list[list[EpisodeLog]] = [[] for _ in columns]
        while (finished < self._episodes).any():
            action = self._act(values[columns, cell], finished, random)
            following, reward, terminated, truncated, info = env.step(action)
            done = terminated | truncated
            paid = reward.astype(float)
            parts: dict[str, np.ndarray] = {}
            if runner is not None:
                after = following.copy()
                for column in np.flatnonzero(done):
                    after[column] = info["final_obs"][column]
                rollout = Rollout(
                    observation=observation[None], action=action[None],
                    next_observation=after[None], reward=reward[None].astype(np.float32),
                    terminated=terminated[None], truncated=truncated[None], continued=running,
                    state={name: info[name][None] for name in QUANTITIES},
                )  # fmt: skip
                said = runner.run(rollout, carried)
                paid, carried = said.reward[0], dict(said.carried)
                parts = {**{name: rows[0] for name, rows in said.parts.items()}, "total": paid}
            arrived = info["state_index"]
            ahead = np.where(terminated, 0.0, values[columns, arrived].max(axis=1))
            error = paid + GAMMA * ahead - values[columns, cell, action]
            values[columns, cell, action] += LEARNING_RATE * error
            for column in columns:
                row = {name: np.copy(info[name][column]) for name in QUANTITIES}
                spent = {name: float(each[column]) for name, each in parts.items()}
                open_rows[column].append((row, float(reward[column]), spent))
                if done[column]:
                    if finished[column] >= self._episodes - self._last and (
                        finished[column] < self._episodes
                    ):
                        logs[column].append(
                            _log(open_rows[column], bool(terminated[column]),
                                 bool(info["goal"][column]))
                        )  # fmt: skip
                    open_rows[column] = []
                    finished[column] += 1
            observation, running = following, ~done
            cell = np.where(done, start, arrived)
        env.close()
        return logs

    def _act(
        self, values: np.ndarray, finished: np.ndarray, random: list[np.random.Generator]
    ) -> np.ndarray:
        share = np.minimum(finished / EPSILON_EPISODES, 1.0)
        epsilon = EPSILON + (EPSILON_END - EPSILON) * share
        chosen = np.zeros(len(random), dtype=np.int64)
        for column, generator in enumerate(random):
            if generator.random() < epsilon[column]:
                chosen[column] = generator.integers(4)
            else:
                best = np.flatnonzero(values[column] == values[column].max())
                chosen[column] = generator.choice(best)
        return chosen


def _log(rows: list[tuple[Any, ...]], terminated: bool, success: bool) -> EpisodeLog:
    return EpisodeLog(
        quantities={name: np.array([row[0][name] for row in rows]) for name in QUANTITIES},
        reward=np.array([row[1] for row in rows]),
        paid={name: np.array([row[2][name] for row in rows]) for name in rows[0][2]},
        terminated=terminated,
        success=success,
    )


def replies(convention: str) -> list[str]:
    """Return the files of the prepared replies in a convention other than ``signed``."""
    return [str(REPLIES / f"lava_grid_{convention}_{number}.md") for number in (1, 2)]


def configuration(**changes: Any) -> dict[str, Any]:
    """Return the design: prepared replies, the task reward alone as baseline."""
    return {
        "env": {"id": "LavaGrid-v0", "observation": "coordinates"},
        "task": "Walk to the goal at the right edge; falling into the lava is death.",
        "backend": {
            "name": "script",
            "replies": [str(REPLIES / f"lava_grid_{number}.md") for number in (1, 2, 3)],
        },
        "inputs": {"quantities": ["observation", *QUANTITIES]},
        "rounds": 2,
        "judge": {"metric": "success"},
        **changes,
    }


def run(seeds: int, folder: Path, *, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Run the design and return its numbers, per seed of the learner.

    Args:
        seeds: columns.
        folder: run folder.
        seed: of the design.
        **changes: of the configuration.
    """
    trainers: list[QLearning] = []

    def make(config: DesignConfig, metric: Metric) -> QLearning:
        trainers.append(QLearning(config, metric, seeds=seeds))
        return trainers[-1]

    began = time.perf_counter()
    result = design(configuration(seed=seed, **changes), out=folder, make_trainer=make)
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().split("\n")[:-1]]
    found = []
    for attempt, numbers in zip(
        [a for a in history if a["trial"] is not None], trainers[0].by_program, strict=True
    ):
        found.append(
            {
                "round": attempt["round"],
                "sample": attempt["sample"],
                "refused": sum(bool(one["faults"]) for one in attempt["tries"]),
                "success_mean": round(float(np.mean(numbers["success"])), 4),
                "success_least": min(numbers["success"]),
                "seeds_below_0.8": sum(value < 0.8 for value in numbers["success"]),
                "death_mean": round(float(np.mean(numbers["death"])), 4),
                "death_most": max(numbers["death"]),
                "causes": attempt["trial"]["facts"]["causes"],
                "success": numbers["success"],
                "death": numbers["death"],
            }
        )
    return {
        "seeds": seeds,
        "best_round": result.best_round,
        "seconds": round(time.perf_counter() - began, 1),
        "attempts": found,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        document = {
            "prepared_replies": run(options.seeds, Path(folder) / "prepared"),
            "search": run(
                options.seeds, Path(folder) / "search", backend={"name": "search"}, rounds=4
            ),
            **{
                convention: run(
                    options.seeds, Path(folder) / convention, convention=convention,
                    backend={"name": "script", "replies": replies(convention)},
                )
                for convention in ("components", "scalar")
            },
        }  # fmt: skip
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for name, part in document.items():
        for attempt in part["attempts"]:
            shown = {k: v for k, v in attempt.items() if k not in ("success", "death")}
            print(name, json.dumps(shown))
        print(name, "best round", part["best_round"], "seconds", part["seconds"])


if __name__ == "__main__":
    main()
