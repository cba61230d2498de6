"""The environment under check: making it, and recording what it does."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from envs.checking.comparison import kept


@dataclass(frozen=True)
class Step:
    """One step, in copies.

    Attributes:
        action: what was done.
        observation: what `step` returned, and so on for the others.
    """

    action: Any
    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: Any

    @property
    def done(self) -> bool:
        """The episode ended."""
        return bool(self.terminated) or bool(self.truncated)


@dataclass
class Episode:
    """From a reset up to an end, or up to where the record stops.

    Attributes:
        observation: the first.
        info: of the reset.
        steps: in order.
    """

    observation: Any
    info: Any
    steps: list[Step] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """It has its end."""
        return bool(self.steps) and self.steps[-1].done


@dataclass
class Subject:
    """An environment with what is needed to try it.

    Attributes:
        name: for the report.
        make: makes an independent instance; takes ``max_episode_steps`` and ``render_mode`` where
            ``takes_options``.
        make_vector: makes the vector twin with that many columns; None where there is none.
        takes_options: whether the environment is made by name, so that a time limit can be chosen.
        coupled: the columns of the vector twin meet in one world, so they are not independent.
        checked_actions: made by `envs.make`, which refuses bad actions.
        seed: of resets and actions.
        steps: length of the main record.
        resets: for the rule on leaks.
        command: name and options, for a process of its own; None where it was not given by name.
    """

    name: str
    make: Callable[..., gymnasium.Env]
    make_vector: Callable[..., VectorEnv] | None = None
    takes_options: bool = False
    coupled: bool = False
    checked_actions: bool = False
    seed: int = 0
    steps: int = 1000
    resets: int = 10_000
    command: tuple[str, dict[str, Any]] | None = None
    _record: list[Episode] | None = None

    @contextmanager
    def env(self, **options: Any) -> Iterator[gymnasium.Env]:
        """Make an instance and close it afterwards."""
        made = self.make(**options)
        try:
            yield made
        finally:
            made.close()

    @contextmanager
    def vector(self, num_envs: int, **options: Any) -> Iterator[VectorEnv]:
        """Make the vector twin and close it afterwards."""
        if self.make_vector is None:
            raise RuntimeError(f"{self.name} has no vector twin.")
        made = self.make_vector(num_envs, **options)
        try:
            yield made
        finally:
            made.close()

    @property
    def record(self) -> list[Episode]:
        """The episodes of the main record: random actions from one seeded reset on."""
        if self._record is None:
            with self.env() as env:
                self._record = rollout(env, self.steps, seed=self.seed)
        return self._record

    def record_steps(self) -> list[Step]:
        """All steps of the main record."""
        return [step for episode in self.record for step in episode.steps]


def action_source(space: gymnasium.Space, seed: int) -> Callable[[], Any]:
    """Return a function that draws actions of ``space`` without touching the space itself."""
    own = copy.deepcopy(space)
    own.seed(seed)
    return own.sample


def rollout(
    env: gymnasium.Env,
    steps: int,
    *,
    seed: int | None,
    actions: Callable[[], Any] | None = None,
    first: tuple[Any, Any] | None = None,
) -> list[Episode]:
    """Record ``steps`` steps with a reset after every end.

    Args:
        env: the environment.
        steps: at least 1.
        seed: of the first reset, and of the actions.
        actions: draws actions; by default seeded with ``seed``.
        first: observation and info of a reset that has been done already.
    """
    draw = actions or action_source(env.action_space, seed or 0)
    episodes = [begin(env, seed) if first is None else Episode(*first)]
    for _ in range(steps):
        if episodes[-1].done:
            episodes.append(begin(env, None))
        episodes[-1].steps.append(one_step(env, draw()))
    return episodes


def begin(env: gymnasium.Env, seed: int | None) -> Episode:
    """Reset and start a record."""
    return Episode(*kept(env.reset(seed=seed)))


def one_step(env: gymnasium.Env, action: Any) -> Step:
    """Step once and record it."""
    return Step(kept(action), *kept(env.step(kept(action))))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings: the rules report in their own words what others warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def same_seed_actions(space: gymnasium.Space, steps: int, columns: int, seed: int) -> np.ndarray:
    """Return actions ``[steps, columns, ...]`` drawn from the space of one column."""
    draw = action_source(space, seed)
    return np.array([[draw() for _ in range(columns)] for _ in range(steps)])
