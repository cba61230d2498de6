"""Imitation of MuJoCo's runners from a few demonstrations, off policy, with and without penalty.

    ctrl study experiments/bars/gail-hopper.yaml

SAC (in JAX, from the extra ``sbx``) sees no task reward; the discriminator's is recomputed for
every minibatch. Behaviour cloning of the same demonstrations stands beside it. Experts are trained
by the files in ``experts/`` and recorded by ``ctrl demos`` into ``demonstrations/``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import ctrl
from ctrl.evaluation import evaluate_run
from ctrl.run_folder import RunFolder
from ctrl.study.measures import measured
from reward_models.demonstrations import (
    read_demonstrations,
    read_spaces,
    write_demonstrations,
)

FOLDER = Path(__file__).parent / "demonstrations"
_SEED, _HORIZON = 10_000, 1000
_MEASURES = {
    "training_return": "return/task",
    "gradient": "reward/gail/gradient",
    "c_validity": "reward/gail/c_validity",
}


def imitate(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Learn to run from demonstrations.

    Args:
        settings: ``demonstrations`` (name of the data set), ``episodes`` (how many of it), ``env``,
            ``algo`` and ``steps`` of the run, ``uniform_return`` (of uniform actions), and
            ``gail``, options of the discriminator, with ``pessimistic``, options of the
            preconditioning around it, where wanted; or ``cloning``, options of behaviour cloning.
        seed: of everything random; also which demonstration is the first one to be used.

    Returns:
        ``score`` (mean return over 10 episodes, 0 for uniform actions and 1 for the expert),
        ``task_return``, ``horizon_return`` (of exactly 1,000 steps, beginning anew after every
        fall); and for the discriminator's methods ``training_return``, ``gradient`` (mean
        ||grad D|| on the policy's fresh transitions) and ``c_validity`` at the end, with curves.
    """
    source = FOLDER / settings["demonstrations"]
    shown = read_demonstrations(source)
    count = int(settings["episodes"])
    chosen = [shown[(seed * count + k) % len(shown)] for k in range(count)]
    config: dict[str, Any] = {
        "env": settings["env"],
        "seed": seed,
        "checkpoints": {"every": 0},
    }
    with tempfile.TemporaryDirectory() as folder:
        spaces = read_spaces(source)
        data = write_demonstrations(
            Path(folder) / "data", chosen, dataset_id="part-v0",
            observation_space=spaces[0], action_space=spaces[1],
        )  # fmt: skip
        if "cloning" in settings:
            config |= {
                "algo": {"name": "sac", "policy_kwargs": settings["algo"]["policy_kwargs"]},
                "behaviour_cloning": {"demonstrations": str(data), **settings["cloning"]},
                "steps": 0,
            }
        else:
            gail = {"use": "gail", "demonstrations": str(data), **settings["gail"]}
            if "pessimistic" in settings:
                gail = {"use": "pessimistic", "model": gail, **settings["pessimistic"]}
            config |= {
                "algo": settings["algo"],
                "reward": {"task": 0.0, "gail": gail},
                "steps": int(settings["steps"]),
            }
        run = Path(ctrl.train(**config, out=Path(folder) / "run").run_folder)
        found = evaluate_run(RunFolder.open(run), episodes=10, seed=_SEED, horizon=_HORIZON)
        plain = "cloning" not in settings and "pessimistic" not in settings
        metrics, curves = measured(_MEASURES if plain else {}, run)
    expert = float(np.mean([each.task_return for each in shown]))
    lowest = float(settings["uniform_return"])
    return {
        "score": (found["task_return_mean"] - lowest) / (expert - lowest),
        "task_return": found["task_return_mean"],
        "horizon_return": found["horizon_return_mean"],
        **metrics,
        "curves": curves,
    }
