"""Imitation of a point mass that is brought to the origin: what the gradient penalty is for.

    ctrl study experiments/bars/gail-point-mass.yaml
    ctrl study experiments/bars/gail-distractors.yaml
    ctrl study experiments/bars/gail-preconditioning.yaml

An expert pulls the mass to the origin. TD3 sees nothing of the distance that the score is made of:
its only reward is the discriminator's, recomputed for every minibatch. Numbers that are fixed
within an episode, in the observation, let a discriminator know a few demonstrations by heart.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ctrl
import envs
from ctrl.evaluation import evaluate_run
from ctrl.run_folder import RunFolder
from ctrl.study.measures import AREA, measured
from envs.worlds.point_mass import HORIZON, expert
from reward_models.base import RewardModel
from reward_models.demonstrations import Demonstration, record_demonstration
from reward_models.imitation import AdversarialImitation, Pessimistic, RandomExpertDistillation
from reward_models.imitation.lipschitz import validity
from reward_models.imitation.penalties import gradient_norm

ENV = "PointMass-v0"
_EPISODES, _SEED = 100, 10_000
_K = 1.1
_STEEPNESS = {"critic": "lipschitz/critic", "actor": "lipschitz/actor"}


def imitate(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Learn from demonstrations; for ``gail-point-mass.yaml`` and ``gail-distractors.yaml``.

    Args:
        settings: ``demonstrations`` (episodes), ``context`` (fixed numbers in the observation),
            ``iterations`` of one step in each of 8 environments and ``updates`` of discriminator
            and critic, and ``gail``, options of the discriminator.
        seed: of the demonstrations and of everything random.

    Returns:
        ``score`` (return, 0 for uniform actions and 1 for the expert, on the same starts),
        ``gradient`` (mean ||grad D|| over all that the policy did) and ``c_validity`` (share of it
        up to 1.1).
    """
    model = _discriminator(settings, seed)
    numbers = _train(settings, seed, model)
    norms = visited_gradients(model)
    return {**numbers, "gradient": float(norms.mean()), "c_validity": validity(norms, _K)}


def precondition(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Learn under a preconditioned or another reward; for ``gail-preconditioning.yaml``.

    Args:
        settings: as in `imitate`, with ``pessimistic``, options of the reward around the
            discriminator's, or ``red``, options of random expert distillation in its place.
        seed: of the demonstrations and of everything random.

    Returns:
        ``score``, and how steep the learner was in the mean over training: ``critic`` (norm of the
        gradient of Q) and ``actor`` (norm of the policy's Jacobian).
    """
    if "red" in settings:
        reward: RewardModel = RandomExpertDistillation(
            demonstrations=demonstrations(
                int(settings["demonstrations"]), int(settings["context"]), seed
            ),
            seed=seed,
            **_spaces(settings),
            **settings["red"],
        )
    else:
        reward = _discriminator(settings, seed)
        if "pessimistic" in settings:
            reward = Pessimistic(
                model=reward, seed=seed, **_spaces(settings), **settings["pessimistic"]
            )
    return _train(settings, seed, reward, steepness=True)


def _spaces(settings: Mapping[str, Any]) -> dict[str, Any]:
    env = envs.make(ENV, context=int(settings["context"]))
    found = {"observation_space": env.observation_space, "action_space": env.action_space}
    env.close()
    return found


def _discriminator(settings: Mapping[str, Any], seed: int) -> AdversarialImitation:
    return AdversarialImitation(
        demonstrations=demonstrations(
            int(settings["demonstrations"]), int(settings["context"]), seed
        ),
        steps=int(settings["updates"]),
        seed=seed,
        **_spaces(settings),
        **settings["gail"],
    )


def _train(
    settings: Mapping[str, Any], seed: int, reward: RewardModel, *, steepness: bool = False
) -> dict[str, Any]:
    context, steps = int(settings["context"]), 8 * int(settings["iterations"])
    with tempfile.TemporaryDirectory() as folder:
        run = ctrl.train(
            env={"id": ENV, "n_envs": 8, "context": context},
            algo={
                "name": "td3", "update_every": 8, "gradient_steps": int(settings["updates"]),
                "train_freq": 1, "learning_starts": 128, "batch_size": 128, "learning_rate": 1e-3,
                "gamma": 0.98, "tau": 0.005, "action_noise": 0.2, "buffer_size": 100_000,
                "policy_kwargs": {"net_arch": [64, 64]},
            },
            reward={"task": 0.0, "gail": reward},
            steps=steps,
            seed=seed,
            out=Path(folder) / "run",
            checkpoints={"every": 0},
            diagnostics={"lipschitz": steps // 10 if steepness else 0},
        )  # fmt: skip
        found = evaluate_run(RunFolder.open(run.run_folder), episodes=_EPISODES, seed=_SEED)
        steep = measured(_STEEPNESS if steepness else {}, Path(run.run_folder))[0]
    lowest, highest = (mean_return(policy, context) for policy in (uniform(), expert))
    return {
        "score": (found["task_return_mean"] - lowest) / (highest - lowest),
        "seconds": run.seconds,
        **{key: steep.get(f"{key}{AREA}", steep[key]) for key in _STEEPNESS if key in steep},
    }


def demonstrations(count: int, context: int, seed: int) -> list[Demonstration]:
    """Return episodes of the expert."""
    env = envs.make(ENV, context=context)
    shown = [
        record_demonstration(env, lambda seen, _: expert(seen), seed=1000 * (seed + 1) + number)
        for number in range(count)
    ]
    env.close()
    return shown


@torch.no_grad()
def visited_gradients(model: AdversarialImitation) -> torch.Tensor:
    """Return ||grad D|| at all pairs of the policy that are remembered, ``[N]``."""
    assert model.memory is not None  # the default remembers more than a run here has
    pairs = model.code.from_leaves([part.rows for part in model.memory.parts])
    return gradient_norm(model.discriminator.with_gradient(model.code(pairs))[1])


def uniform() -> Callable[[np.ndarray], np.ndarray]:
    """Return a policy of uniform actions."""
    random = np.random.default_rng(_SEED)
    return lambda seen: random.uniform(-1.0, 1.0, (len(seen), 2)).astype(np.float32)


def mean_return(policy: Callable[[np.ndarray], np.ndarray], context: int) -> float:
    """Return the mean return of a policy over 100 episodes."""
    env = envs.make_vec(ENV, _EPISODES, context=context)
    seen, _ = env.reset(seed=_SEED)
    total = np.zeros(_EPISODES)
    for _ in range(HORIZON):
        seen, reward, _, _, _ = env.step(policy(seen))
        total += reward
    env.close()
    return float(total.mean())
