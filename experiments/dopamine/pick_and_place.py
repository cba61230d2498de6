"""Progress learned from one demonstration of a planar pick-and-place seen by three cameras.

For ``experiments/bars/dopamine-progress.yaml`` (how well progress orders time) and
``dopamine-confidence.yaml``. The places of object and goal are fixed and the hand starts anywhere
near its place, so that one demonstration says what the task is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from envs.single import SingleEnv
from envs.worlds.pick_and_place import expert
from reward_models.progress import (
    Fusion,
    HopModel,
    HopTraining,
    ProgressReward,
    value_order_correlation,
)
from reward_models.rollout import Rollout

LIMIT, JITTER = 60, 0.1
PLACES = {"hand": (-0.6, 0.5), "object": (0.3, 0.4), "goal": (0.1, -0.5)}


class FixedPlaces(gymnasium.Env):
    """`PickAndPlace` with given places; the hand starts within 0.1 of its own."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(self, observation: str = "views", render_mode: str | None = None) -> None:
        self.world = SingleEnv(
            "envs.worlds.pick_and_place:PickAndPlace",
            observation=observation,
            render_mode=render_mode,
        )
        self.observation_space = self.world.observation_space
        self.action_space = self.world.action_space
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode at the given places."""
        super().reset(seed=seed)
        self.world.reset(seed=seed)
        world = self.world.simulation
        state = dict(world.state())
        for name, place in PLACES.items():
            state[name] = np.array([place])
        state["hand"] = state["hand"] + self.np_random.uniform(-JITTER, JITTER, (1, 2))
        state["way"] = _distance(state["hand"], state["object"]) + _distance(
            state["object"], state["goal"]
        )
        world.set_state(state)
        info = {
            name: values[0].item() if values.ndim == 1 else np.array(values[0])
            for name, values in world.reset_info().items()
        }
        return world.observe()[0], info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step the world."""
        return self.world.step(action)

    def render(self) -> Any:
        """Return a picture."""
        return self.world.render()


def demonstrations(count: int, noise: float, seed: int) -> list[np.ndarray]:
    """Return the views ``[L, 3, 5]`` of successful episodes of the scripted expert."""
    env, random = FixedPlaces(), np.random.default_rng(seed)
    found: list[np.ndarray] = []
    observation, info = env.reset(seed=seed)
    while len(found) < count:
        seen, success = [observation], False
        while not success and len(seen) <= LIMIT:
            action = expert(info["state"], noise, random)
            observation, _, success, _, info = env.step(action)
            seen.append(observation)
        if success:
            found.append(np.stack(seen))
        observation, info = env.reset()
    return found


def random_views(count: int, seed: int) -> np.ndarray:
    """Return views ``[count, 3, 5]`` of places that have nothing to do with each other."""
    env, random = FixedPlaces(), np.random.default_rng(seed)
    env.reset(seed=seed)
    world, found = env.world.simulation, []
    for _ in range(count):
        state = dict(world.state())
        for name in PLACES:
            state[name] = random.uniform(-1.0, 1.0, (1, 2))
        state["closed"] = random.random(1) < 0.5
        world.set_state(state)
        found.append(world.observe()[0])
    return np.stack(found)


@lru_cache(maxsize=4)
def trained(view: int | None, seed: int, epochs: int, jitter: float) -> HopModel:
    """Return a hop model trained on one demonstration, of all views or of one."""
    demonstration = chosen(demonstrations(1, 0.0, seed)[0], view)
    space = spaces.Box(-np.inf, np.inf, demonstration.shape[1:], np.float32)
    model = HopModel(observation_space=space, views=3 if view is None else None, seed=seed)
    training = HopTraining(epochs=epochs, jitter=jitter, seed=seed, swap_probability=0.0)
    training.fit(model, [demonstration])
    return model


def chosen(views: np.ndarray, view: int | None) -> np.ndarray:
    """Return all views or one of them."""
    return views if view is None else views[:, view]


def trace(model: HopModel, observations: np.ndarray, fusion: Fusion) -> tuple[Any, Any]:
    """Return progress and confidence along a sequence, ``[L - 1]`` each."""
    space: Any = model.observation_space
    reward = ProgressReward(
        hop_model=model, observation_space=space, gold="none",
        perspectives=tuple(fusion.perspectives), consistency=fusion.consistency,
    )  # fmt: skip
    steps = len(observations) - 1
    flags, seen = torch.zeros(steps, 1, dtype=torch.bool), torch.as_tensor(observations)[:, None]
    rollout = Rollout(
        observation=seen[:-1], next_observation=seen[1:], action=torch.zeros(steps, 1),
        reward=torch.zeros(steps, 1), terminated=flags, truncated=flags,
    )  # fmt: skip
    with torch.no_grad():
        found = reward.trace(rollout)
    return found.after[:, 0].numpy(), found.confidence[:, 0].numpy()


def order(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Return how well progress orders time in 20 noisy demonstrations, and its confidence.

    Args:
        settings: ``view`` (None for all three), ``perspectives``, ``epochs``, ``jitter``, ``noise``
            of the held-out demonstrations.
        seed: of the demonstration, the model and the held-out ones.
    """
    torch.set_num_threads(1)
    view, perspectives = settings["view"], tuple(settings["perspectives"])
    model = trained(view, seed, settings["epochs"], settings["jitter"])
    both = {"forward", "backward"} <= set(perspectives)
    fusion = Fusion(perspectives)
    shown = demonstrations(20, settings["noise"], 1000 + seed)
    held_out = [chosen(each, view) for each in shown]
    correlations, ends = [], []
    for views in held_out:
        progress, _ = trace(model, views, fusion)
        correlations.append(value_order_correlation(np.concatenate([[0.0], progress])))
        ends.append(progress[-1])
    found = {"voc": float(np.mean(correlations)), "voc_worst": float(np.min(correlations))}
    found["progress_at_end"] = float(np.mean(ends))
    if both:
        checked = Fusion(perspectives, consistency=1.0)
        known = np.concatenate([trace(model, views, checked)[1] for views in held_out])
        strange = trace(model, chosen(random_views(400, seed), view), checked)[1]
        found["confidence"] = float(known.mean())
        found["confidence_random"] = float(strange.mean())
    return found


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.sqrt(((one - other) ** 2).sum(axis=-1))
