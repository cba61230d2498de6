"""Episodes of many genomes at once, in one process."""

from __future__ import annotations

from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

import envs
from ctrl.build import alone, build_env
from ctrl.sb3.recorder import Recorder
from ctrl.search.episodes import NO_AREA, Episodes
from ctrl.search.evaluation.executor import Executor
from ctrl.search.evaluation.pictures import (
    FINAL,
    SIZE,
    Pictures,
    pictures_its_end,
    with_final_image,
)
from ctrl.search.evaluation.readings import (
    Reading,
    default_observed,
    default_place,
    wanted,
)
from ctrl.search.evaluation.rewards import episode_rewards, search_mix
from ctrl.search.evaluation.setting import Setting
from ctrl.search.genomes import Actor, make_genome_kind
from reward_models.errors import UserError
from reward_models.rollout import Rollout

_COLUMNS = {True: 256, False: 8}
_ENDS = ("area", "is_success", "success")
_LONGEST = 100_000
"""Steps after which an episode counts as endless."""


@final
class Evaluator(Executor):
    """Runs genomes in the columns of a vector environment, one episode each.

    The randomness of an episode is seeded by the search's seed and the number of its evaluation,
    and no column of an environment or a genome depends on the others, so that an episode is the
    same to the last bit whatever it is evaluated with, and wherever.

    Genomes fill vector environments of 1, 2, 4 ... columns; where too few are left for one, the
    last of them acts in the columns that remain and is not counted. A column whose episode ended
    goes on with another one, of which nothing is kept.

    Args:
        setting: what is evaluated.

    Attributes:
        setting: the same.
        columns: most episodes at once.
        observed: what ``samples`` are, with ``None`` of the setting filled in.
        place: what ``place`` is, likewise.

    Raises:
        UserError: an environment, a genome, a reward or a reading that cannot be used, with the
            cure.
    """

    def __init__(self, setting: Setting) -> None:
        for name in ("samples", "columns"):
            value = getattr(setting, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}.")
        if setting.seed < 0:
            raise UserError(f"seed must be at least 0, got {setting.seed}.")
        self.setting = setting
        self._env = alone(setting.env)
        self._pictures: Pictures | None = None
        # Where the end is all that is asked for, and the world pictures it, one run is enough.
        self._ends_only = setting.images and setting.samples == 1 and pictures_its_end(self._env)
        if self._ends_only:
            self._env = with_final_image(self._env)
        elif setting.images:
            self._pictures = Pictures(self._env)
        self.columns = setting.columns or _COLUMNS[envs.has_vector(self._env.id)]
        # Far apart for different seeds, and small enough for every simulator with its count added.
        self._base = int(np.random.SeedSequence(setting.seed).generate_state(1)[0]) >> 2
        self._made: dict[int, VecEnv] = {}
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        env = self._environment(1)
        self.genome = make_genome_kind(
            self.setting.genome,
            observation_space=env.observation_space,
            action_space=env.action_space,
        )
        self._mix = search_mix(
            self.setting.reward, environment=self._env, env=env, seed=self.setting.seed,
            gamma=self.setting.gamma,
        )  # fmt: skip
        # One step, to see which quantities the environment reports.
        env.seed(self._base)
        act = self.genome.actor(np.zeros((1, self.genome.size)))
        env.step(act(env.reset()))
        observation, quantities = _successor(env), _quantities(env, None)
        place, observed = self.setting.place, self.setting.observe
        self.place = (
            default_place(observation, quantities) if place is None else Reading.parse(place)
        )
        self.observed = (
            default_observed(observation, quantities, self.place)
            if observed is None
            else Reading.parse(observed)
        )
        if self.place.read(observation, quantities).shape[1] != 2:
            raise UserError(f"A place is two numbers, {self.place.text!r} is not.")
        self._sample_size = self.observed.read(observation, quantities).shape[1]
        self._names = wanted(
            (self.place, self.observed), *_ENDS, *((FINAL,) if self._ends_only else ())
        )

    @property
    def sample_size(self) -> int:
        """Numbers ``O`` in a sample."""
        return self._sample_size

    def evaluate(self, genomes: NDArray[np.float64], first: int) -> Episodes:
        """Return one episode per genome, in their order; see `Executor`."""
        genomes = self.genome.checked(genomes)
        parts = []
        for start in range(0, len(genomes), self.columns):
            parts.append(self._run(genomes[start : start + self.columns], first + start))
        return Episodes.joined(parts) if len(parts) > 1 else parts[0]

    def close(self) -> None:
        """Close the environments."""
        for env in self._made.values():
            env.close()
        self._made = {}

    def _environment(self, columns: int) -> VecEnv:
        if columns not in self._made:
            env = build_env(self._env, n_envs=columns, seed=0)
            if not (hasattr(env, "info_columns") and hasattr(env, "next_observation")):
                env.close()
                raise UserError(
                    f"A search cannot use the backend {self._env.backend!r}, which loses the end "
                    "of an episode. Use env.backend: auto."
                )
            self._made[columns] = env
        return self._made[columns]

    def _run(self, genomes: NDArray[np.float64], first: int) -> Episodes:
        """Run at most ``columns`` genomes."""
        n = len(genomes)
        columns = min(1 << (n - 1).bit_length(), self.columns)
        act = self.genome.actor(genomes[np.minimum(np.arange(columns), n - 1)])
        env = self._environment(columns)
        env.seed(self._base + first)
        watch = _Watch(self, env, n)
        watch.run(act)
        images = watch.images
        if self._pictures is not None:
            images = self._pictures.take(
                self.genome, genomes, seed=self._base + first, moments=watch.moments()
            )
        return Episodes(
            genomes=genomes.copy(),
            evaluation=np.arange(first, first + n, dtype=np.int64),
            reward=watch.reward,
            task_reward=watch.task_reward,
            area=watch.area,
            length=watch.length,
            samples=watch.samples(),
            images=images,
            place=watch.place,
        )


class _Watch:
    """What is written down while the first episodes of some columns run.

    Args:
        evaluator: what to look at.
        env: seeded, not yet reset; the first ``n`` columns count.
        n: genomes.
    """

    def __init__(self, evaluator: Evaluator, env: VecEnv, n: int) -> None:
        self._evaluator, self._env, self._n = evaluator, env, n
        self._several = evaluator.setting.samples > 1
        self._trace: list[NDArray[np.float64]] = []
        self._last = np.zeros((n, evaluator.sample_size))
        self.length = np.zeros(n, dtype=np.int64)
        self.task_reward = np.zeros(n)
        self.reward = self.task_reward
        self.area = np.full(n, NO_AREA, dtype=np.int64)
        self.place = np.zeros((n, 2))
        self.images: NDArray[np.uint8] | None = None
        if evaluator._ends_only:
            self.images = np.zeros((n, 1, SIZE, SIZE, 3), dtype=np.uint8)

    def run(self, act: Actor) -> None:
        """Step until every episode has ended."""
        mix, env = self._evaluator._mix, self._env
        recorder = None if mix.is_task_only else Recorder(env, requires=mix.requires)
        stepped: VecEnv = env if recorder is None else recorder
        observation = stepped.reset()
        if recorder is not None:
            recorder.begin(64)
        running = np.ones(self._n, dtype=bool)
        while running.any():
            observation, reward, done, _ = stepped.step(act(observation))
            # One addition after the other: how numpy adds up an array depends on its shape.
            self.task_reward[running] += reward[: self._n][running]
            self.length += running
            ended = running & done[: self._n]
            if self._several:
                self._trace.append(self._read(self._evaluator.observed))
            if ended.any():
                self._end(np.flatnonzero(ended))
                running &= ~ended
            elif self.length.max() >= _LONGEST:
                raise UserError(
                    f"An episode of {self._evaluator._env.id} has not ended after {_LONGEST} "
                    "steps. Give it a limit: env.max_episode_steps=1000."
                )
        if not np.isfinite(self.task_reward).all():
            raise UserError(
                f"The rewards of an episode of {self._evaluator._env.id} do not add up to a "
                "finite number."
            )
        if recorder is not None:
            self.reward = episode_rewards(mix, _recorded(recorder), self.length)

    def _read(self, reading: Reading) -> NDArray[np.float64]:
        quantities = _quantities(self._env, self._evaluator._names)
        return reading.read(_successor(self._env), quantities)[: self._n]

    def _end(self, columns: NDArray[np.int64]) -> None:
        """Write down where some episodes ended."""
        quantities = _quantities(self._env, self._evaluator._names)
        observation = _successor(self._env)
        self.place[columns] = self._evaluator.place.read(observation, quantities)[columns]
        self._last[columns] = self._evaluator.observed.read(observation, quantities)[columns]
        if self.images is not None:
            self.images[columns, 0] = quantities[FINAL][columns]
        if "area" in quantities:
            self.area[columns] = quantities["area"][columns]
            return
        for name in _ENDS[1:]:
            if name in quantities:
                self.area[columns] = np.where(quantities[name][columns], 0, NO_AREA)

    def moments(self) -> NDArray[np.int64]:
        """Return the steps at which episodes are looked at, counted from 1, ``[n, S]``.

        Moment ``s`` of ``S`` is step ``ceil(s * length / S)``; the last is the last step.
        """
        count = self._evaluator.setting.samples
        return -(-self.length[:, None] * np.arange(1, count + 1) // count)

    def samples(self) -> NDArray[np.float64]:
        """Return what was looked at, float64 ``[n, S, O]``."""
        if not self._several:
            return self._last[:, None]
        trace = np.stack(self._trace)
        return trace[self.moments() - 1, np.arange(self._n)[:, None]]


def _recorded(recorder: Recorder) -> Rollout:
    return recorder.rollout()


def _successor(env: Any) -> Any:
    return env.next_observation


def _quantities(env: Any, names: tuple[str, ...] | None) -> dict[str, NDArray[Any]]:
    return env.info_columns(names)
