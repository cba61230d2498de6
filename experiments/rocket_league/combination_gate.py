"""How often a mean, a product and a kinesthetic combination pay for the wrong thing.

Random moments: ball and car uniform in the arena, the car's velocity in any direction with a speed
uniform in 0 to 2300 uu/s. Those in which the car is not aligned, or drives away from the ball,
should not be paid. Counts are with their standard errors, over seeds that share nothing.

    python experiments/rocket_league/combination_gate.py
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch

from reward_models.kinesthetic import shapes
from reward_models.kinesthetic.combination import kinesthetic_combination

_OUT = Path(__file__).parents[1] / "results" / "kinesthetic-gate.json"
_HALF = torch.tensor([4096.0, 5120.0, 1022.0])
_MIDDLE = torch.tensor([0.0, 0.0, 1022.0])


def shares(count: int, seed: int, density: float) -> dict[str, float]:
    """Return the share of wrong moments, and which share of them each rule pays.

    Args:
        count: moments.
        seed: of the draws.
        density: of the closeness, 1.1 as in Lucy-SKG's potential.
    """
    random = torch.Generator().manual_seed(seed)
    ball, car = (2 * torch.rand(2, count, 3, generator=random) - 1) * _HALF + _MIDDLE
    way = torch.nn.functional.normalize(torch.randn(count, 3, generator=random), dim=-1)
    velocity = way * 2300.0 * torch.rand(count, 1, generator=random)
    parts = torch.stack(
        [
            shapes.align(car, ball, torch.zeros(count)),
            shapes.velocity_player_to_ball(car, velocity, ball),
            shapes.player_to_ball(car, ball, density=density).clamp_max(1.0),
        ]
    )
    wrong = (parts[:2] < 0).any(0)

    def paid(value: torch.Tensor) -> float:
        return float((value[wrong] > 0).float().mean())

    return {
        "wrong": float(wrong.float().mean()),
        "mean": paid(parts.mean(0)),
        "product": paid(parts.prod(0)),
        "krc": paid(kinesthetic_combination(parts)),
    }


def main() -> None:
    """Draw the moments of every seed and write the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--density", type=float, default=1.1)
    parser.add_argument("--out", type=Path, default=_OUT)
    options = parser.parse_args()
    runs = [shares(options.moments, seed, options.density) for seed in range(options.seeds)]
    found = {}
    for name in runs[0]:
        values = torch.tensor([run[name] for run in runs], dtype=torch.float64)
        error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else 0.0
        found[name] = {
            "mean": round(float(values.mean()), 5),
            "standard_error": round(error, 5),
            "seeds": [round(value, 5) for value in values.tolist()],
        }
    document = {
        "what": "share of wrong moments (not aligned, or driving away) that is paid",
        "moments": options.moments,
        "density": options.density,
        "shares": found,
        "rule": "mean above 0.4 and krc exactly 0",
        "passed": found["mean"]["mean"] > 0.4 and max(found["krc"]["seeds"]) == 0.0,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document["shares"], indent=1))


if __name__ == "__main__":
    main()
