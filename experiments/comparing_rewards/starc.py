"""How well distances between rewards foretell regret, and whether they see through shaping.

    python experiments/comparing_rewards/starc.py

First part: random finite worlds with pairs of random rewards and the rewards between them. The
distance of each to the first reward of its pair is set against what is lost by following its best
policy, exactly, and correlated over all points. Rule: VAL correlates better than EPIC and DARD, at
least 0.1 better than no canonical form, and at 0.75 or more, for every seed.

Second part: in Pendulum-v1, estimated VAL distances from the task reward. Rule: a potential-shaped
copy is nearer than a random reward, and that is nearer than the negated reward, for every seed,
each within 100 s.

Writes ``experiments/results/starc.json`` and ``starc.png``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ctrl.comparing import compare_rewards
from ctrl.run_folder import versions
from ctrl.tables import markdown_table
from envs.worlds.random_mdp import random_reward, random_transition
from reward_models.compare import Canonical, Metric, dard_distance, epic_distance, mean_regret

RESULTS = Path(__file__).resolve().parents[1] / "results"
FULL = {"worlds": 128, "states": 32, "pairs": 8, "between": 16}
PUBLISHED = {"EPIC as published": epic_distance, "DARD as published": dard_distance}
RULES = {
    "VAL > EPIC": lambda r: r["VAL"] > r["EPIC"],
    "VAL > DARD": lambda r: r["VAL"] > r["DARD"],
    "VAL - none >= 0.1": lambda r: r["VAL"] - r["none"] >= 0.1,
    "VAL >= 0.75": lambda r: r["VAL"] >= 0.75,
}
METRICS = {
    "none": Metric(Canonical.NONE),
    "VAL": Metric(Canonical.VAL),
    "EPIC": Metric(Canonical.EPIC),
    "DARD": Metric(Canonical.DARD),
    "VALPotential": Metric(Canonical.VAL_POTENTIAL),
    "Minimal": Metric(Canonical.MINIMAL),
    "MinimalPotential": Metric(Canonical.MINIMAL_POTENTIAL),
}


def main() -> None:
    """Run both parts, print and write the numbers, and say whether the rules hold."""
    parser = argparse.ArgumentParser(description="Distances between rewards against regret.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--worlds", type=int, default=24)
    parser.add_argument("--states", type=int, default=16)
    parser.add_argument("--actions", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--between", type=int, default=8, help="rewards between those of a pair")
    parser.add_argument("--gamma", type=float, default=0.95)
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--pendulum-seeds", type=int, default=5)
    parser.add_argument(
        "--full", action="store_true", help="also 128 worlds of 32 states, 8 pairs, 16 between"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)

    seeds, points = [], {}
    for seed in range(options.seeds):
        began = time.perf_counter()
        points = random_worlds(options, seed)
        found = correlations(points, options.resamples, seed)
        seeds.append({"seed": seed, "seconds": time.perf_counter() - began, **found})
    full = None
    if options.full:
        sizes = argparse.Namespace(**{**vars(options), **FULL})
        full = {**FULL, "seed": 0, **correlations(random_worlds(sizes, 0), 200, 0)}
    pendulum = [pendulum_distances(seed) for seed in range(options.pendulum_seeds)]

    rules = {
        rule: all(holds(found["correlation"]) for found in seeds) for rule, holds in RULES.items()
    }
    if pendulum:
        rules["Pendulum-v1: d(r, r + shaping) < d(r, random) < d(r, -r)"] = all(
            row["shaped"] < row["random"] < row["negated"] for row in pendulum
        )
        rules["Pendulum-v1: within 100 s"] = all(row["seconds"] < 100 for row in pendulum)
    record = {
        "settings": {k: v for k, v in vars(options).items() if k != "out"},
        "random_worlds": seeds,
        "full_scale": full,
        "pendulum": pendulum,
        "rules": rules,
        "passed": all(rules.values()),
        "versions": versions(),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "starc.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    draw(points, seeds, options.out / "starc.png")
    print(f"\n{table(seeds)}\n")
    columns = ["seed", "shaped", "random", "negated", "floor", "seconds"]
    if pendulum:
        print(f"{markdown_table(pendulum, columns)}\n")
    if full is not None:
        print(f"full scale:\n{table([full])}\n")
    for rule, held in rules.items():
        print(f"{'holds' if held else 'BROKEN'}: {rule}")
    print(options.out / "starc.json")


def correlation(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Return how well one distance foretells regret; for ``experiments/bars/starc-regret.yaml``.

    Args:
        settings: ``metric`` (a key of `METRICS`) and the sizes of the worlds.
        seed: of the worlds.
    """
    sizes = argparse.Namespace(**{key: settings[key] for key in settings if key != "metric"})
    points = random_worlds(sizes, seed, metrics=(settings["metric"],))
    return {"correlation": pearson(points[settings["metric"]], points["regret"])}


def ordering(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Return one distance from Pendulum's task reward; for ``starc-pendulum.yaml``.

    Args:
        settings: ``to``: ``shaped``, ``random`` or ``negated``.
        seed: of the rewards and samples.
    """
    found = pendulum_distances(seed)
    return {"distance": found[settings["to"]], "floor": found["floor"], "took": found["seconds"]}


def random_worlds(
    options: argparse.Namespace,
    seed: int,
    metrics: tuple[str, ...] = (*METRICS, *PUBLISHED),
) -> dict[str, np.ndarray]:
    """Return regret and distances, ``[worlds, pairs * between]`` by name."""
    random = np.random.default_rng(seed)
    sizes = {"num_states": options.states, "num_actions": options.actions}
    shares = np.arange(1, options.between + 1)[:, None, None, None] / options.between
    gamma = options.gamma
    found: dict[str, list[Any]] = {name: [] for name in ("regret", *metrics)}
    for _ in range(options.worlds):
        transition = random_transition(random, **sizes, threshold=threshold(options.states))
        rows: dict[str, list[Any]] = {name: [] for name in found}
        for _ in range(options.pairs):
            one, other = (random_reward(random, **sizes, gamma=gamma) for _ in range(2))
            rewards = one + shares * (other - one)
            rows["regret"].append(mean_regret(transition, one, rewards, gamma=gamma))
            for name in metrics:
                between = METRICS[name].between if name in METRICS else PUBLISHED[name]
                rows[name].append(between(transition, one, rewards, gamma=gamma))
        for name, values in rows.items():
            found[name].append(np.concatenate(values))
    return {name: np.array(values) for name, values in found.items()}


def threshold(states: int) -> float:
    """Return the logit below which a next state is nearly impossible."""
    return 1.0 if states < 50 else 1.5 if states < 100 else 1.8


def correlations(points: dict[str, np.ndarray], resamples: int, seed: int) -> dict[str, Any]:
    """Return Pearson correlations with regret over all points, and their intervals.

    Points of one world are alike, so whole worlds are resampled.
    """
    regret, worlds = points["regret"], len(points["regret"])
    picks = np.random.default_rng(seed).integers(worlds, size=(resamples, worlds))
    names = [name for name in points if name != "regret"]
    drawn = {
        name: np.array([pearson(points[name][rows], regret[rows]) for rows in picks])
        for name in names
    }
    bounds = (0.025, 0.975)
    return {
        "correlation": {name: pearson(points[name], regret) for name in names},
        "interval": {name: np.quantile(drawn[name], bounds).tolist() for name in names},
        "val_minus": {
            name: {
                "point": pearson(points["VAL"], regret) - pearson(points[name], regret),
                "interval": np.quantile(drawn["VAL"] - drawn[name], bounds).tolist(),
            }
            for name in names
            if name != "VAL"
        },
    }


def pearson(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of all entries."""
    return float(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1])


def pendulum_distances(seed: int) -> dict[str, Any]:
    """Return estimated VAL-2-2 distances from the task reward of Pendulum-v1."""
    random = np.random.default_rng(seed)
    potential, reward = (random.standard_normal(size) for size in (8, 12))

    def phi(observation: torch.Tensor) -> torch.Tensor:
        return 5.0 * random_function(observation, potential)

    def shaped(rollout: Any) -> torch.Tensor:
        after, before = phi(rollout.next_observation), phi(rollout.observation)
        return rollout.reward + 0.99 * torch.where(rollout.terminated, 0.0, after) - before

    def another(observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return random_function(torch.cat([observation, action], dim=-1), reward)

    began = time.perf_counter()
    found = compare_rewards(
        {"task": "task", "shaped": shaped, "random": another, "negated": "task=-1"},
        env="Pendulum-v1", seed=seed,
    )  # fmt: skip
    names = found.names[1:]
    return {
        "seed": seed,
        **{name: float(found.distance[0, k + 1]) for k, name in enumerate(names)},
        "standard_error": {name: float(found.error[0, k + 1]) for k, name in enumerate(names)},
        "floor": float(found.floor[0]),
        "seconds": time.perf_counter() - began,
        "settings": {k: v for k, v in found.settings.items() if k != "seconds"},
    }


def random_function(inputs: torch.Tensor, weights: np.ndarray) -> torch.Tensor:
    """Return a fixed wavy function of ``[..., D]``; ``weights`` holds 2 numbers per dimension."""
    half = len(weights) // 2
    scale, shift = torch.tensor(weights[:half]), torch.tensor(weights[half:])
    size = inputs.shape[-1]
    waves = torch.sin(2.0 * scale[:size] * inputs + shift[:size]).sum(-1)
    return waves * torch.cos(inputs[..., -1] * scale[-1] + shift[-1])


def table(seeds: list[dict[str, Any]]) -> str:
    """Return correlations by metric (rows) and seed, with the interval of each."""
    rows = []
    for name in seeds[0]["correlation"]:
        row = {"metric": name}
        for found in seeds:
            low, high = found["interval"][name]
            row[f"seed {found['seed']}"] = (
                f"{found['correlation'][name]:.3f} [{low:.2f}, {high:.2f}]"
            )
        rows.append(row)
    return markdown_table(rows, list(rows[0]))


def draw(points: dict[str, np.ndarray], seeds: list[dict[str, Any]], path: Path) -> None:
    """Draw regret against distance for the last seed, and the correlations of all seeds."""
    import matplotlib.style
    from matplotlib.figure import Figure

    shown = ("none", "EPIC", "DARD", "VAL")
    with matplotlib.style.context(["default", {"font.size": 9, "axes.titlelocation": "left"}]):
        figure = Figure(figsize=(13, 3.2), dpi=130, layout="constrained")
        axes = figure.subplots(1, 5, width_ratios=(1, 1, 1, 1, 1.5))
        last = seeds[-1]
        for panel, name in zip(axes, shown, strict=False):
            panel.scatter(points[name], points["regret"], s=5, alpha=0.4, linewidths=0)
            panel.set_title(f"{name}: r = {last['correlation'][name]:.2f}")
            panel.set_xlabel("distance")
            panel.set_xlim(left=0)
            panel.set_ylim(-0.03, 1.03)
            panel.spines[["top", "right"]].set_visible(False)
        axes[0].set_ylabel(f"regret (seed {last['seed']})")
        names = list(last["correlation"])
        offsets = np.linspace(-0.25, 0.25, len(seeds))
        for offset, found in zip(offsets, seeds, strict=True):
            values = np.array([found["correlation"][name] for name in names])
            low, high = np.array([found["interval"][name] for name in names]).T
            axes[4].errorbar(
                values, np.arange(len(names)) + offset, xerr=(values - low, high - values),
                fmt="o", markersize=3, linewidth=0.8, color="#0072B2",
            )  # fmt: skip
        axes[4].set_yticks(range(len(names)), names)
        axes[4].invert_yaxis()
        axes[4].set_title("correlation with regret, by seed")
        axes[4].set_xlabel("95 % interval over worlds")
        axes[4].grid(axis="x", color="#E3E3E3")
        axes[4].spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    main()
