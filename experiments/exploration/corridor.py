"""A corridor with a television, explored by a tabular learner that is paid by a bonus alone.

    ctrl study experiments/bars/hindsight-corridor.yaml
    ctrl study experiments/bars/hindsight-ring.yaml

Nothing but the bonus differs between the methods: the same environments, the same Q-learning, the
same sampled minibatches. The world models of BYOL-Explore and BYOL-Hindsight see the position
without the screen, and predict an embedding of the whole next observation, screen included, by a
frozen linear layer. The other bonuses see the observation as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import gymnasium
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

import envs
from reward_models.base import RewardModel, split_output
from reward_models.curiosity.hindsight.byol_explore import BYOLExplore
from reward_models.curiosity.hindsight.latent_errors import direction_error, unit
from reward_models.curiosity.hindsight.networks import invariance
from reward_models.encoders import Encoder, seeded
from reward_models.registry import build_reward
from reward_models.rollout import Rollout
from reward_models.scale import RunningScale

TELEVISION = 2
"""The action that asks for a new pattern."""
_WINDOW, _BATCH, _PIXELS = 200, 48, 16


@final
class Place(Encoder):
    """The position one-hot, without the screen: the first ``length`` numbers as they are.

    Args:
        space: of the observation.
        length: number of positions.
    """

    def __init__(self, *, space: gymnasium.spaces.Box, length: int) -> None:
        super().__init__(input_space=space, output_size=length)

    def forward(self, inputs: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the position."""
        return inputs[..., : self.output_size]


@final
class FrozenLinear(Encoder):
    """``W x`` of the whole observation, ``W_ij ~ N(0, 1)`` fixed, no bias.

    Args:
        space: of the observation.
        size: number of features ``D``.
        seed: of the weights.
    """

    weight: Tensor

    def __init__(self, *, space: gymnasium.spaces.Box, size: int = 32, seed: int = 0) -> None:
        super().__init__(input_space=space, output_size=size)
        with seeded(seed):
            self.register_buffer("weight", torch.randn(size, *space.shape))

    def forward(self, inputs: Tensor) -> Float[Tensor, "*batch D"]:
        """Return the features."""
        return inputs @ self.weight.T


def explore(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Explore the corridor; for ``hindsight-corridor.yaml``.

    Sixteen copies are stepped together. At every step the new transitions are paid by the bonus,
    the table of values learns from them column by column, and the bonus learns from 48 transitions
    drawn from the last 200 steps, or from the new ones. Time limits end episodes without ending the
    returns.

    Args:
        settings: ``bonus`` (name of a reward; None for no reward), its ``options``, ``scale`` (see
            ``reward_models.scale``), ``tv`` of the environment, ``steps``, ``envs``,
            ``learning_rate``, ``gamma`` and ``epsilon`` of the Q-learning; ``world_model``: give
            the bonus the two encoders of this file; ``replays``: false for a bonus that learns from
            every new transition once instead.
        seed: of everything random, the patterns included.

    Returns:
        ``tv_share`` (share of television actions in the last third of the steps), ``states``
        (different positions arrived at) and its curve.
    """
    columns, steps = int(settings["envs"]), int(settings["steps"])
    env = envs.make_vec("CorridorTV-v0", columns, tv=settings["tv"], pattern_seed=seed)
    length = positions(env)
    bonus = make_bonus(settings, env, length, seed)
    scale = RunningScale(kind=settings.get("scale", "none"), gamma=settings["gamma"])
    random = np.random.default_rng(seed)
    memory = Transitions(_WINDOW)
    learner = QLearner(
        length, settings["learning_rate"], settings["gamma"], settings["epsilon"], random
    )
    visited = np.zeros(length, dtype=bool)
    asked = np.zeros(steps)
    curve = []
    observation, infos = env.reset(seed=seed)
    place = infos["position"]
    for step in range(steps):
        action = learner.act(place)
        following, _, terminated, truncated, infos = env.step(action)
        done = terminated | truncated
        after = np.where(done[:, None], infos["final_obs"], following) if done.any() else following
        arrived = after[:, :length].argmax(1)
        memory.add(observation, action, after, arrived)
        visited[arrived] = True
        asked[step] = (action == TELEVISION).mean()
        paid = np.zeros(columns)
        if bonus is not None:
            fresh = memory.newest()
            raw = split_output(bonus(fresh))[0]
            scale.update(raw, fresh.done, fresh.mask)
            paid = (raw[0] / scale.divisor()).numpy().astype(float)
            replays = settings.get("replays", True)
            bonus.update(memory.sample(_BATCH, random) if replays else fresh)
        learner.learn(place, action, paid, arrived)
        curve.append(int(visited.sum()))
        observation, place = following, following[:, :length].argmax(1)
    env.close()
    last = max(steps // 3, 1)
    return {
        "tv_share": float(asked[-last:].mean()),
        "states": int(visited.sum()),
        "curves": {"states": [list(range(1, steps + 1, 10)), curve[::10]]},
    }


def supervise(settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Learn the ring from what random actions do in it; for ``hindsight-ring.yaml``.

    Args:
        settings: ``bonus`` (``byol_explore`` or ``byol_hindsight``), its ``options``, ``updates``
            of 48 transitions each, ``envs``, and ``steps`` of random actions in each of those.
        seed: of everything random, the patterns included.

    Returns:
        Over other transitions than were learned from: ``tv_error`` and ``still_error`` (mean
        squared error of the embedding's direction, in [0, 4], after television actions and after
        moves) and ``leak`` (mean ``l_inv`` in nats, in groups of 48; 0 for a model without).
    """
    env = envs.make_vec("RingTV-v0", int(settings["envs"]), pattern_seed=seed)
    random = np.random.default_rng(seed)
    model = make_bonus({**settings, "world_model": True}, env, positions(env), seed)
    assert model is not None  # the settings name one
    learned, held_out = (random_actions(env, settings["steps"], seed + k, random) for k in (0, 1))
    env.close()
    losses = []
    for _ in range(int(settings["updates"])):
        found = model.update(learned.sample(_BATCH, random))
        losses.append(found["loss" if "loss" in found else "reconstruction"])
    groups = [held_out.sample(_BATCH, random) for _ in range(100)]
    error, leak, asked = errors_of(model, groups, seed)
    every = max(len(losses) // 200, 1)
    return {
        "tv_error": float(error[asked].mean()),
        "still_error": float(error[~asked].mean()),
        "leak": float(leak.mean()),
        "curves": {"reconstruction": [list(range(1, len(losses) + 1, every)), losses[::every]]},
    }


@torch.no_grad()
def errors_of(
    model: Any, groups: Sequence[Rollout], seed: int
) -> tuple[Float[Tensor, "G M"], Float[Tensor, "G M"], Bool[Tensor, "G M"]]:
    """Return errors, leaks, and where the television was asked, of rollouts ``[1, M]``."""
    generator = torch.Generator().manual_seed(seed)
    action = torch.cat([group.action for group in groups])
    before = torch.cat([group.observation for group in groups])
    codes = model.actions(action.flatten()).unflatten(0, action.shape)
    context = torch.cat([model.encoder(before), codes], -1)
    target = unit(model.target(torch.cat([group.next_observation for group in groups])))
    if isinstance(model, BYOLExplore):
        prediction, leak = model.world.predictor(context), torch.zeros(action.shape)
    else:
        parts = model.learner.hindsight
        noise = torch.randn(*action.shape, parts.noise_size, generator=generator)
        z = parts.generate(context, target, noise)
        prediction, leak = parts.reconstruct(context, z), invariance(parts.scores(context, z))
    return direction_error(prediction, target), leak, action == TELEVISION


def random_actions(env: Any, steps: int, seed: int, random: np.random.Generator) -> Transitions:
    """Return what uniform actions do in an environment."""
    found = Transitions(steps)
    observation, _ = env.reset(seed=seed)
    for _ in range(steps):
        action = random.integers(3, size=len(observation))
        following, _, terminated, truncated, infos = env.step(action)
        done = terminated | truncated
        after = np.where(done[:, None], infos["final_obs"], following) if done.any() else following
        found.add(observation, action, after, after[:, : positions(env)].argmax(1))
        observation = following
    return found


def positions(env: Any) -> int:
    """Return the number of positions of a corridor or ring with its screen of 16 pixels."""
    return int(env.single_observation_space.shape[0]) - _PIXELS


def make_bonus(settings: Mapping[str, Any], env: Any, length: int, seed: int) -> RewardModel | None:
    """Build the reward that the settings name, or None."""
    if settings.get("bonus") is None:
        return None
    space = env.single_observation_space
    options = dict(settings.get("options") or {})
    if settings.get("world_model"):
        options["encoder"] = Place(space=space, length=length)
        options["target_encoder"] = FrozenLinear(space=space, seed=seed)
    return build_reward(
        settings["bonus"], observation_space=space, action_space=env.single_action_space,
        gamma=settings.get("gamma", 0.95), seed=seed, options=options,
    )  # fmt: skip


class QLearner:
    """Values of positions and actions, learned one transition after the other; all 0 at first.

    Args:
        states: number of positions.
        rate: step size.
        gamma: discount.
        epsilon: share of uniform actions; the others are greedy, ties at random.
        random: of the actions.
    """

    def __init__(
        self, states: int, rate: float, gamma: float, epsilon: float, random: np.random.Generator
    ) -> None:
        self.values = np.zeros((states, 3))
        self.rate, self.gamma, self.epsilon, self.random = rate, gamma, epsilon, random

    def act(self, place: np.ndarray) -> np.ndarray:
        """Return an action for each position, ``[B]``."""
        values = self.values[place]
        best = values == values.max(1, keepdims=True)
        greedy = np.where(best, self.random.random(values.shape), -1.0).argmax(1)
        uniform = self.random.integers(values.shape[1], size=len(values))
        return np.where(self.random.random(len(values)) < self.epsilon, uniform, greedy)

    def learn(
        self, place: np.ndarray, action: np.ndarray, reward: np.ndarray, arrived: np.ndarray
    ) -> None:
        """Learn from one step of every column, column by column."""
        values = self.values
        for s, a, r, after in zip(place, action, reward, arrived, strict=True):
            values[s, a] += self.rate * (r + self.gamma * values[after].max() - values[s, a])


class Transitions:
    """The transitions of the last steps, as rollouts.

    Args:
        window: how many steps are kept.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._steps: list[tuple[np.ndarray, ...]] = []

    def add(self, *arrays: np.ndarray) -> None:
        """Keep a step: observation, action, next observation and position, ``[B, ...]`` each."""
        self._steps.append(tuple(np.array(array) for array in arrays))
        del self._steps[: -self._window]

    def newest(self) -> Rollout:
        """Return the latest step, ``[1, B]``."""
        return as_rollout(*self._steps[-1])

    def sample(self, size: int, random: np.random.Generator) -> Rollout:
        """Return transitions drawn uniformly from what is kept, ``[1, size]``."""
        columns = len(self._steps[0][1])
        rows = random.integers(len(self._steps), size=size)
        picked = random.integers(columns, size=size)
        parts = range(len(self._steps[0]))
        return as_rollout(
            *(
                np.stack([self._steps[t][part][b] for t, b in zip(rows, picked, strict=True)])
                for part in parts
            )
        )


def as_rollout(
    observation: np.ndarray, action: np.ndarray, after: np.ndarray, place: np.ndarray
) -> Rollout:
    """Return single transitions ``[1, N]`` that belong to no common episode."""
    size = len(action)
    ends = torch.zeros(1, size, dtype=torch.bool)
    return Rollout(
        observation=torch.as_tensor(observation)[None],
        action=torch.as_tensor(action)[None],
        next_observation=torch.as_tensor(after)[None],
        reward=torch.zeros(1, size),
        terminated=ends,
        truncated=~ends,
        state={"position": torch.as_tensor(place)[None]},
    )
