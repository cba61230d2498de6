"""Rules for potentials: what they add may not change which policy is best."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reward_models.base import split_output
from reward_models.checking.report import Violation
from reward_models.checking.samples import cut, forced_ends
from reward_models.checking.subject import Subject
from reward_models.potential import Potential
from reward_models.rollout import Rollout

_STATES, _ACTIONS, _SWEEPS = 6, 3, 400
_TOLERANCE = 1e-4


def telescoping(subject: Subject) -> Iterator[Violation]:
    """The shaping of an episode sums up to its first and last potential, time limits included.

    For an episode of ``n`` steps from ``s_0`` to ``s_n``

    ``sum_t gamma^t F_t = gamma^n phi(s_n) (1 - terminated) - phi(s_0)``

    At a time limit, and where an episode is still open, the learner bootstraps with the shaped
    value ``V(s_n) - phi(s_n)``, so the whole shaped return is the task return minus ``phi(s_0)``.
    """
    model, rule = subject.trained(), "potential_returns"
    if not isinstance(model, Potential) or model.gamma is None:
        return
    gamma = model.gamma
    broken: set[str] = set()
    for rollout in (*subject.rollouts, forced_ends(subject.first)):
        shaping = _values(model, rollout)
        before, after = _phi(model, rollout.observation), _phi(model, rollout.next_observation)
        if list(before.shape) != [rollout.T, rollout.B]:
            yield Violation(
                rule,
                f"potential returned shape {list(before.shape)} for observations "
                f"[{rollout.T}, {rollout.B}, ...].",
                "Return one number per leading index of the observation.",
            )
            return
        for episode in rollout.episodes():
            steps, last = slice(episode.start, episode.stop), episode.stop - 1
            terminated = bool(rollout.terminated[last, episode.column])
            discounts = gamma ** np.arange(last - episode.start + 1)
            found = float((discounts * shaping[steps, episode.column].numpy()).sum())
            final = 0.0 if terminated else float(after[last, episode.column])
            expected = gamma * discounts[-1] * final - float(before[episode.start, episode.column])
            size = 1.0 + float(before[steps, episode.column].abs().max()) + abs(final)
            ending = "open" if episode.open_end else "terminated" if terminated else "truncated"
            if ending not in broken and not abs(found - expected) <= _TOLERANCE * size:
                broken.add(ending)
                yield Violation(
                    rule,
                    f"the discounted shaping of an episode of {len(discounts)} steps that ends "
                    f"{ending} is {found:.6g}, expected gamma^n phi(s_n) (1 - terminated) - "
                    f"phi(s_0) = {expected:.6g}.",
                    "Return gamma * phi(s') * (1 - terminated) - phi(s): zero on termination, "
                    "kept on truncation. Potential.forward does; do not override it.",
                )


def same_optimum(subject: Subject) -> Iterator[Violation]:
    """On a small random MDP over the observations, the same policies stay optimal.

    Value iteration with and without the shaping: ``Q'(s, a) = Q(s, a) - phi(s)``.
    """
    model, rule = subject.trained(), "potential_optimum"
    if not isinstance(model, Potential) or model.gamma is None:
        return
    flat = subject.first.flatten()
    count = min(_STATES, flat.B)
    states = torch.as_tensor(subject.rng.choice(flat.B, size=count, replace=False))
    here, there = torch.meshgrid(states, states, indexing="ij")
    shaping = [
        _values(model, _pairs(flat, here.flatten(), there.flatten(), terminated=ends))
        .reshape(count, count)
        .numpy()
        .astype(np.float64)
        for ends in (False, True)
    ]
    phi = _phi(model, cut(flat, slice(None), states).observation)[0].numpy().astype(np.float64)
    rng, size = subject.rng, (count, _ACTIONS, count)
    chances = rng.dirichlet(np.ones(count), size=size[:2])
    ends = rng.uniform(0.1, 0.3, size=size)
    # Task rewards smaller than the shaping, so that a shaping that matters shows.
    task = rng.normal(size=size) * max(1e-3, 0.1 * float(np.std(shaping[0])))
    added = (1 - ends) * shaping[0][:, None] + ends * shaping[1][:, None]
    plain = _optimal(task, chances, ends, model.gamma)
    shaped = _optimal(task + added, chances, ends, model.gamma) + phi[:, None]
    error = float(np.abs(shaped - plain).max())
    if not error <= _TOLERANCE * (1.0 + float(np.abs(phi).max()) + float(np.abs(plain).max())):
        changed = int((shaped.argmax(1) != plain.argmax(1)).sum())
        yield Violation(
            rule,
            f"on a random MDP of {count} observations the optimal values move by up to "
            f"{error:.4g} beyond -phi(s), and the best action changes in {changed} of them.",
            "Return gamma * phi(s') * (1 - terminated) - phi(s), with phi a function of one "
            "observation only; do not override Potential.forward.",
        )


def _optimal(
    rewards: np.ndarray, chances: np.ndarray, ends: np.ndarray, gamma: float
) -> np.ndarray:
    """Return the optimal values ``Q[s, a]`` by value iteration; arrays are ``[s, a, s']``."""
    expected = (chances * rewards).sum(-1)
    follows = gamma * chances * (1 - ends)
    values = np.zeros(len(rewards))
    for _ in range(_SWEEPS):
        values = (expected + follows @ values).max(1)
    return expected + follows @ values


def _pairs(flat: Rollout, here: Tensor, there: Tensor, *, terminated: bool) -> Rollout:
    """Return transitions ``[1, N]`` from some of the observations to others."""
    steps = cut(flat, slice(None), here)
    flags = torch.zeros(1, len(here), dtype=torch.bool)
    return steps.replace(
        next_observation=cut(flat, slice(None), there).observation,
        terminated=flags | terminated,
        truncated=flags,
    )


def _values(model: Potential, rollout: Rollout) -> Tensor:
    return split_output(model(rollout))[0].detach().to(torch.float64)


def _phi(model: Potential, observation: Any) -> Tensor:
    with torch.no_grad():
        return model.potential(observation).to(torch.float64)


RULES = {"potential_returns": telescoping, "potential_optimum": same_optimum}
"""Rules for models that are a ``Potential``."""
