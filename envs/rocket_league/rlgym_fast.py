"""RLGym's components on the fast environment's matches.

Stepping, starts, actions and ``info`` are those of `envs.rocket_league.vector`; observations,
rewards and ends come from the components that are given, and from the fast environment where none
is. A component costs what it costs in RLGym: Python per car and step. What is not given costs
nothing, and without any component use the fast environment itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, final

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.actions import check_actions
from envs.errors import VectorizationError
from envs.rocket_league.info import INFO_KEYS
from envs.rocket_league.matches import Matches
from envs.rocket_league.rlgym_components import ComponentError, component, draws_globally
from envs.rocket_league.rlgym_game_state import GameStates
from envs.rocket_league.rlgym_match import space_of, stacked
from envs.rocket_league.rlgym_random import GlobalStream
from envs.rocket_league.rlgym_terms import RewardTerms, described


@final
class RLGymFastVectorEnv(VectorEnv[Any, Any, Any]):
    """Fast matches seen, rewarded and ended by RLGym's components; every car is a column.

    Columns are grouped by match, its blue cars first; their names for the components are
    ``"blue-0"``, ..., ``"orange-0"``, .... An episode ends for all cars of a match together, as in
    `envs.rocket_league.rlgym_environment.RLGymVectorEnv`. Every component is made once per match:
    give an instance (it is copied), a class or function that makes one, or a name of RLGym's own.

    Args:
        num_envs: columns, B; a multiple of ``blue + orange``.
        blue: cars of blue per match, 1 to 3.
        orange: cars of orange per match, 0 to 3.
        obs_builder: None for the fast environment's observations.
        reward_fn: None for 1 per goal and -1 per goal conceded.
        termination_cond: None for a goal.
        truncation_cond: None for ``no_touch_seconds`` of the fast environment.
        shared_info_provider: None for none.
        reward_terms: further reward functions by name, whose values are only reported, as
            ``rlgym_<name>`` in ``info``.
        max_episode_steps: truncate after so many steps; None: never.
        **options: ``actions``, ``tick_skip``, ``action_delay``, ``no_touch_seconds``, ``start``
            and ``threads`` of `envs.rocket_league.vector.RocketLeagueVectorEnv`.

    Attributes:
        matches: the engine and what is computed for all cars at once.
        info_keys: every name in ``info``, with its meaning, unit and shape.

    Raises:
        VectorizationError: that number of columns is impossible.
        ComponentError: a component that does not fit its place.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int,
        *,
        blue: int = 1,
        orange: int = 1,
        obs_builder: Any = None,
        reward_fn: Any = None,
        termination_cond: Any = None,
        truncation_cond: Any = None,
        shared_info_provider: Any = None,
        reward_terms: Mapping[str, Any] | None = None,
        max_episode_steps: int | None = None,
        **options: Any,
    ) -> None:
        self._cars = blue + orange
        if num_envs < 1 or num_envs % self._cars:
            raise VectorizationError(
                f"Every match has {self._cars} columns, so their number must be a multiple of "
                f"{self._cars}, got {num_envs}."
            )
        count = num_envs // self._cars
        given = {
            "obs_builder": obs_builder,
            "reward_fn": reward_fn,
            "termination_cond": termination_cond,
            "truncation_cond": truncation_cond,
            "shared_info_provider": shared_info_provider,
        }
        self._parts: list[dict[str, Any]] = [
            {slot: component(slot, value) for slot, value in given.items() if value is not None}
            for _ in range(count)
        ]
        if reward_terms:
            for parts in self._parts:
                parts["reward_fn"] = RewardTerms(parts.get("reward_fn"), reward_terms)
        self.info_keys = {**INFO_KEYS, **described(reward_terms)}
        learners = np.arange(self._cars)
        self.matches = Matches(count, blue, orange, learners, opponent="idle", **options)
        self._games = GameStates(self.matches.arenas)
        self._shared: list[dict[str, Any]] = [{} for _ in range(count)]
        self._seen: list[list[Any]] = [[] for _ in range(count)]
        self._draws = draws_globally([list(parts.values()) for parts in self._parts])
        self._step_stream: GlobalStream | None = None
        self._streams: list[GlobalStream | None] = [None] * count
        self._limit, self._elapsed = max_episode_steps, np.zeros(count, dtype=np.int64)
        self.num_envs = num_envs
        self.single_observation_space = self._observation_space()
        self.single_action_space = self.matches.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every match; seeds as in the fast environment."""
        super().reset(seed=seed if isinstance(seed, int) else None)
        if isinstance(seed, int):
            seeds: list[int | None] = [seed + column for column in range(self.num_envs)]
        else:
            seeds = [None] * self.num_envs if seed is None else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"Expected {self.num_envs} seeds, one per column, got {len(seeds)}.")
        for index, own in enumerate(seeds[:: self._cars]):
            if own is not None or self._streams[index] is None:
                number = int(self.np_random.integers(2**63)) if own is None else own
                self.matches.seed(index, number)
                self._streams[index] = GlobalStream(number)
                if index == 0:
                    self._step_stream = GlobalStream(number + 1) if self._draws else None
        self._begin(np.arange(len(self._parts)))
        return self._observations(), {**self.matches.reset_info(), **self._term_columns()}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every match once; see `envs.rocket_league.vector.RocketLeagueVectorEnv`.

        Raises:
            envs.errors.ActionError: actions that are not of the action space.
            gymnasium.error.ResetNeeded: before the first reset.
        """
        actions = check_actions(actions, self.single_action_space, self.num_envs)
        outcome = self.matches.step(actions)
        self._elapsed += 1
        reward, terminated = outcome.reward.copy(), outcome.terminated.copy()
        truncated = outcome.truncated.copy()
        with nullcontext() if self._step_stream is None else self._step_stream.standing_in():
            for index in range(len(self._parts)):
                self._judge(index, reward, terminated, truncated)
        if self._limit is not None:
            truncated |= np.repeat(self._elapsed >= self._limit, self._cars)
        done = terminated | truncated
        over = done.reshape(-1, self._cars).any(axis=1)
        # A car that is not done itself when its match ends: its future was cut off.
        truncated |= np.repeat(over, self._cars) & ~terminated
        observation = self._observations()
        infos: dict[str, Any] = {**outcome.info, **self._term_columns()}
        if over.any():
            infos["final_obs"], infos["_final_obs"] = observation, np.repeat(over, self._cars)
            self._begin(np.flatnonzero(over))
            observation = self._observations()
        return observation, reward, terminated, truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads."""
        if hasattr(self, "matches"):
            self.matches.close()

    def _begin(self, indices: np.ndarray) -> None:
        """Begin an episode in some of the matches, and tell their components, in RLGym's order."""
        self.matches.reset(indices)
        for index in indices.tolist():
            self._elapsed[index] = 0
            stream = self._streams[index]
            with nullcontext() if stream is None or not self._draws else stream.standing_in():
                self._begin_parts(index)

    def _begin_parts(self, index: int) -> None:
        parts, agents = self._parts[index], self._games.agents
        provider = parts.get("shared_info_provider")
        if provider is not None:
            self._shared[index] = provider.create(self._shared[index])
        state = self._games.begin(index)
        if provider is not None:
            self._shared[index] = provider.set_state(agents, state, self._shared[index])
        for slot in ("obs_builder", "termination_cond", "truncation_cond", "reward_fn"):
            if slot in parts:
                parts[slot].reset(agents, state, self._shared[index])
        self._look(index, state)

    def _look(self, index: int, state: Any) -> None:
        """Keep what the observation builder of one match, if there is one, shows its cars."""
        builder = self._parts[index].get("obs_builder")
        if builder is not None:
            agents = self._games.agents
            shown = builder.build_obs(agents, state, self._shared[index])
            self._seen[index] = [shown[agent] for agent in agents]

    def _observations(self) -> Any:
        if "obs_builder" not in self._parts[0]:
            return self.matches.observe()
        return stacked(self.single_observation_space, [one for seen in self._seen for one in seen])

    def _observation_space(self) -> spaces.Space:
        builder = self._parts[0].get("obs_builder")
        if builder is None:
            return self.matches.observation_space
        found = space_of(builder.get_obs_space(self._games.agents[0]), "observation")
        if found is None:
            raise ComponentError(
                "The observation builder does not say how many numbers it gives before it has "
                "seen a match; for DefaultObs give zero_padding=3."
            )
        return found

    def _term_columns(self) -> dict[str, np.ndarray]:
        """Return what the reward terms paid in the last step, float64 ``[B]`` by name."""
        functions = [parts.get("reward_fn") for parts in self._parts]
        rows = [f.rows(self._games.agents) for f in functions if isinstance(f, RewardTerms)]
        return {
            name: np.array([value for row in rows for value in row[name]])
            for name in (rows[0] if rows else ())
        }

    def _judge(
        self,
        index: int,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> None:
        """Write what the components of one match say of its step, in RLGym's order of calls."""
        parts, agents = self._parts[index], self._games.agents
        columns = slice(index * self._cars, (index + 1) * self._cars)
        state = self._games.read(index)
        if "shared_info_provider" in parts:
            self._shared[index] = parts["shared_info_provider"].step(
                agents, state, self._shared[index]
            )
        shared = self._shared[index]
        self._look(index, state)
        for slot, flags in (("termination_cond", terminated), ("truncation_cond", truncated)):
            if slot in parts:
                said = parts[slot].is_done(agents, state, shared)
                flags[columns] = [bool(said[agent]) for agent in agents]
        if "reward_fn" in parts:
            ended = dict(zip(agents, terminated[columns].tolist(), strict=True))
            cut = dict(zip(agents, truncated[columns].tolist(), strict=True))
            paid = parts["reward_fn"].get_rewards(agents, state, ended, cut, shared)
            if isinstance(parts["reward_fn"], RewardTerms) and parts["reward_fn"].paid is None:
                return
            reward[columns] = [float(paid[agent]) for agent in agents]


def with_rlgym(num_envs: int, **options: Any) -> RLGymFastVectorEnv:
    """Make fast matches with RLGym's components; the arguments are those of the class."""
    return RLGymFastVectorEnv(num_envs, **options)
