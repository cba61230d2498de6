"""Samples of an environment to compare rewards on: a random policy, and actions tried per state."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, final

import gymnasium
import numpy as np

import envs
from ctrl.build import alone, build_env
from ctrl.config import EnvConfig
from ctrl.sb3.recorder import Recorder
from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout

GROUPS = 10
"""Independent parts of the samples, one column each; errors come from leaving one out."""

_STRIDE = 10
_TRIAL_SUCCESSORS = 4

Key = tuple[str, ...]


@final
@dataclass(frozen=True, eq=False)
class EnvSamples:
    """What a uniformly random policy met.

    Attributes:
        observation_space: of one environment.
        visits: ``[T, B]`` with B = `GROUPS` columns.
        tried: ``[1, n * K * M]``: K actions in each of n states, M times each.
        second: ``[1, n * (K - 1)]``: the second and further of these actions in the state that the
            first one led to; None unless asked for. False in ``mask`` where the task had ended.
        shape: n, K, M.
        random_dynamics: the same action in the same state can lead to different states.
    """

    observation_space: gymnasium.Space
    visits: Rollout
    tried: Rollout
    second: Rollout | None
    shape: tuple[int, int, int]
    random_dynamics: bool


def gather(
    config: EnvConfig,
    *,
    requires: frozenset[str],
    steps: int,
    states: int,
    actions: int,
    successors: int | None,
    second: bool,
    seed: int,
) -> EnvSamples:
    """Step an environment with uniformly random actions, and try several in some of the states.

    Args:
        config: the environment.
        requires: record keys beyond the core ones that the rewards need.
        steps: environment steps of the policy, over all columns.
        states: n: where actions are tried, 10 steps apart.
        actions: K. With 1, the transitions of the policy itself are taken, and the environment
            need not be able to save its state.
        successors: M; None takes 1 where the dynamics use no random numbers, else 4.
        second: also try actions in successors, for DARD; needs at least two actions.
        seed: of environments and actions.

    Raises:
        UserError: the environment cannot be made, or cannot save its state.
        UnknownNameError: a quantity that rewards need is not in ``info``.
    """
    if actions == 1 and ((successors or 1) > 1 or second):
        raise UserError(
            "With one action per state there is one successor; use --actions 2 or more."
        )
    visits, space = _visits(config, requires, steps, seed)
    if actions == 1:
        flat = visits.flatten()
        states = min(states, flat.B)
        rows = np.linspace(0, flat.B - 1, states).astype(int)
        tried = Rollout(
            continued=flat.continued[rows],
            **{key: value[:, rows] for key, value in flat.data.items()},
        )
        return EnvSamples(space, visits, tried, None, (states, 1, 1), False)
    vector = build_env(
        EnvConfig(config.id, options=config.options, backend="threads", threads=1),
        n_envs=1, seed=seed,
    )  # fmt: skip
    try:
        env = vector.envs[0]  # type: ignore[attr-defined]
        walk = _Walk(env, requires, seed)
        tried, seconds, count = walk.samples(states, actions, successors, second=second)
        shape = (states, actions, count)
        return EnvSamples(space, visits, tried, seconds, shape, walk.random_dynamics)
    finally:
        vector.close()


def _visits(
    config: EnvConfig, requires: frozenset[str], steps: int, seed: int
) -> tuple[Rollout, gymnasium.Space]:
    vector = build_env(alone(config), n_envs=GROUPS, seed=seed)
    recorder = Recorder(vector, requires=requires)
    recorder.seed(seed)
    recorder.reset()
    space = deepcopy(vector.action_space)
    space.seed(seed)
    length = max(2, steps // GROUPS)
    recorder.begin(length)
    for _ in range(length):
        recorder.step(np.array([space.sample() for _ in range(GROUPS)]))
    rollout = recorder.rollout()
    vector.close()
    return rollout, vector.observation_space


class _Rows:
    """Transitions, collected one by one."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = keys
        self._columns: dict[Key, list[Any]] = {}

    def add(self, before: Any, action: Any, outcome: tuple[Any, ...], real: bool = True) -> None:
        after, reward, terminated, truncated, info = outcome
        row: dict[str, Any] = {
            "observation": before, "action": action, "next_observation": after,
            "reward": np.float64(reward), "terminated": bool(terminated),
            "truncated": bool(truncated and not terminated), "mask": real,
        }  # fmt: skip
        for name in self._keys:
            if name == "success":
                row[name] = bool(info.get("is_success", info.get("success", False)))
            else:
                row.setdefault("state", {})[name.removeprefix("state.")] = _quantity(info, name)
        for key, value in _leaves(row):
            self._columns.setdefault(key, []).append(value)

    def rollout(self) -> Rollout:
        nested: dict[str, Any] = {}
        for key, values in self._columns.items():
            level = nested
            for part in key[:-1]:
                level = level.setdefault(part, {})
            level[key[-1]] = np.stack([np.asarray(value) for value in values])[None]
        return Rollout(**nested)


class _Walk:
    """A random walk of one environment, left and taken up again at the states it tries."""

    def __init__(self, env: gymnasium.Env, requires: frozenset[str], seed: int) -> None:
        self.env = env
        self._observation, info = env.reset(seed=seed)
        keys = tuple(sorted(requires - {"state"}))
        if "state" in requires:
            source = info.get("state", info)
            names = (k for k, v in source.items() if isinstance(v, int | float | np.ndarray))
            keys = tuple(sorted({*keys, *(f"state.{name}" for name in names)}))
        self._keys = keys
        if not envs.can_snapshot(env):
            raise UserError(
                f"{env.unwrapped} cannot save and restore its state, so several actions cannot be "
                "tried in one state. Use --actions 1, which compares on the transitions as they "
                "come."
            )
        self._space = deepcopy(env.action_space)
        self._space.seed(seed + 1)
        self._random = np.random.default_rng([seed, 2])
        self.random_dynamics = self._uses_random_numbers()

    def samples(
        self, states: int, actions: int, successors: int | None, *, second: bool
    ) -> tuple[Rollout, Rollout | None, int]:
        count = successors or (_TRIAL_SUCCESSORS if self.random_dynamics else 1)
        if count > 1 and _random_parts(envs.snapshot(self.env)) is None:
            raise UserError(
                f"The random numbers of {self.env.unwrapped} cannot be exchanged, so one action "
                "has one successor here. Use --successors 1."
            )
        tried, seconds = _Rows(self._keys), _Rows(self._keys)
        for _ in range(states):
            self._walk()
            self._try(tried, seconds if second else None, actions, count)
        return tried.rollout(), seconds.rollout() if second else None, count

    def _walk(self) -> None:
        for _ in range(_STRIDE):
            self._observation, _, terminated, truncated, _ = self.env.step(self._space.sample())
            if terminated or truncated:
                self._observation, _ = self.env.reset()

    def _try(self, tried: _Rows, seconds: _Rows | None, actions: int, successors: int) -> None:
        here, before = envs.snapshot(self.env), deepcopy(self._observation)
        chosen = [self._space.sample() for _ in range(actions)]
        for k, action in enumerate(chosen):
            for _ in range(successors):
                envs.restore(self.env, self._reseeded(here) if successors > 1 else here)
                outcome = self.env.step(action)
                tried.add(before, action, outcome)
            if seconds is not None and k == 0:
                self._try_after(seconds, outcome, chosen[1:])
        envs.restore(self.env, here)

    def _try_after(self, seconds: _Rows, first: tuple[Any, ...], actions: list[Any]) -> None:
        there, ended = envs.snapshot(self.env), bool(first[2])
        for action in actions:
            if ended:
                seconds.add(first[0], action, first, real=False)
            else:
                envs.restore(self.env, there)
                seconds.add(first[0], action, self.env.step(action))

    def _uses_random_numbers(self) -> bool:
        here = envs.snapshot(self.env)
        before = _random_parts(here)
        self.env.step(self._space.sample())
        after = _random_parts(envs.snapshot(self.env))
        envs.restore(self.env, here)
        return before is not None and not _same(before, after)

    def _reseeded(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Return a snapshot with other random numbers to come."""
        state = dict(tree["state"])
        number = int(self._random.integers(2**62))
        if "own" in state:
            from envs.simulation import ColumnRandom

            random = ColumnRandom(1)
            random.seed(0, number)
            state["own"] = {**state["own"], "random": random.snapshot()}
        else:
            state["rng"] = {**state["rng"], **np.random.PCG64(number).state}
        return {**tree, "state": state}


def _random_parts(tree: Mapping[str, Any]) -> Any:
    """Return the random numbers in a snapshot, or None where their place is not known."""
    state = tree["state"]
    if "own" not in state:
        return state["rng"]
    random = state["own"].get("random")
    known = isinstance(random, Mapping) and "blocks" in random
    return random if known else None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return all(map(_same, one, other))
    return bool(np.array_equal(one, other))


def _leaves(row: Mapping[str, Any], prefix: Key = ()) -> list[tuple[Key, Any]]:
    found = []
    for key, value in row.items():
        place = (*prefix, str(key))
        found += _leaves(value, place) if isinstance(value, Mapping) else [(place, value)]
    return found


def _quantity(info: Mapping[str, Any], key: str) -> Any:
    name = key.removeprefix("state.")
    for source in (info.get("state"), info):
        if isinstance(source, Mapping) and name in source:
            return source[name]
    raise UnknownNameError("simulator quantity (a reward asked for it by this name)", name, info)
