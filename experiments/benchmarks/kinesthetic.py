"""Measure what the rewards of Lucy-SKG cost beside the matches that they reward.

    python experiments/benchmarks/kinesthetic.py --json experiments/benchmarks/kinesthetic.json

16 arenas with every car a column, one thread for the engine and one for torch. Each turn steps them
with random actions for one rollout, and then lets a `RewardMix` reward that rollout and learn from
it, as training does:

- ``stepping``: the environment, with observations and ``info``;
- ``lucy``: potential and events, each shared by team spirit;
- ``everything``: the same with pressure.

Times are CPU time of the process in microseconds per step of all 16 arenas: medians over the turns.
Ratios are medians over the turns of rewards over stepping in the same turn. ``load`` is the load
average of the machine before and after: both sides are measured in turns, so that other work meets
both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import envs
from reward_models.kinesthetic.match_events import MatchEvents
from reward_models.kinesthetic.pressure import Pressure
from reward_models.kinesthetic.state_potential import KinestheticPotential
from reward_models.kinesthetic.team_spirit import TeamSpirit
from reward_models.mix import RewardMix, Term
from reward_models.rollout import Rollout

ARENAS, GAMMA = 16, 0.99539
LIMIT = 0.10


def main() -> None:
    """Run the measurements, print the table and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--rollout", type=int, default=128, help="steps of every turn")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    load_before = os.getloadavg()
    rows = {f"{size}v{size}": measured(size, options) for size in (1, 2, 3)}
    document = {
        "what": f"CPU microseconds per step of {ARENAS} arenas, and rewards over stepping",
        "rollout": options.rollout,
        "repeats": options.repeats,
        "rows": rows,
        "limit": LIMIT,
        "passed": all(row["ratios"]["everything"] <= LIMIT for row in rows.values()),
        "load": {"before": load_before, "after": os.getloadavg()},
        "machine": {"cpus": os.cpu_count(), "processor": platform.processor()},
        "versions": {name: version(name) for name in ("torch", "numpy", "RocketSim")},
    }
    print(json.dumps(document, indent=1))
    if options.json:
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def measured(size: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return times and ratios for teams of one size."""
    columns = 2 * size * ARENAS
    env = envs.make_vec(f"RocketLeague{size}v{size}-v0", columns, threads=1, start="random")
    env.reset(seed=0)
    draw = np.random.default_rng(0)
    shared = {
        "potential": Term(TeamSpirit(model=KinestheticPotential())),
        "events": Term(TeamSpirit(model=MatchEvents())),
    }
    more = {
        "potential": Term(TeamSpirit(model=KinestheticPotential())),
        "events": Term(TeamSpirit(model=MatchEvents())),
        "pressure": Term(TeamSpirit(model=Pressure())),
    }
    mixes = {
        "lucy": RewardMix({"task": 0.0, **shared}, gamma=GAMMA),
        "everything": RewardMix({"task": 0.0, **more}, gamma=GAMMA),
    }
    names = {key.removeprefix("state.") for key in mixes["everything"].requires}
    times: dict[str, list[float]] = {"stepping": [], **{name: [] for name in mixes}}
    continued = np.zeros(columns, dtype=bool)
    for _ in range(options.repeats + 1):
        actions = draw.integers(90, size=(options.rollout, columns))
        kept: list[tuple[Any, ...]] = []
        began = time.process_time()
        for row in actions:
            kept.append(env.step(row))
        times["stepping"].append(_per_step(began, options.rollout))
        rollout = _rollout(kept, names, continued)
        continued = rollout.done[-1].logical_not().numpy()
        for name, mix in mixes.items():
            began = time.process_time()
            mix.collect(rollout, steps=0)
            times[name].append(_per_step(began, options.rollout))
    env.close()
    # What happens once only, in the first turn, is not measured.
    times = {name: values[1:] for name, values in times.items()}
    return {
        "microseconds": {name: round(statistics.median(v), 1) for name, v in times.items()},
        "ratios": {
            name: round(
                statistics.median(
                    own / step for own, step in zip(times[name], times["stepping"], strict=True)
                ),
                4,
            )
            for name in mixes
        },
    }


def _per_step(began: float, steps: int) -> float:
    return 1e6 * (time.process_time() - began) / steps


def _rollout(kept: list[tuple[Any, ...]], names: set[str], continued: np.ndarray) -> Rollout:
    """Return the steps as a record with the quantities that rewards need."""
    seen, reward, terminated, truncated, infos = zip(*kept, strict=True)
    nothing = torch.zeros(len(seen), len(reward[0]), 0)
    return Rollout(
        observation=nothing, action=nothing, next_observation=nothing,
        reward=torch.as_tensor(np.array(reward), dtype=torch.float32),
        terminated=torch.as_tensor(np.array(terminated)),
        truncated=torch.as_tensor(np.array(truncated)), continued=torch.as_tensor(continued),
        state={name: torch.as_tensor(np.array([i[name] for i in infos])) for name in names},
    )  # fmt: skip


if __name__ == "__main__":
    main()
