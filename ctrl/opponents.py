"""Frozen policies as opponents: a run folder plays the other cars.

    env:
      id: ...
      opponent: runs/first                 # or a list: one is drawn for every episode

An environment sees no run folder and no learner, only a function from observations to actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

import envs
from ctrl.config import EnvConfig
from ctrl.run_folder import RunFolder
from reward_models.errors import UnknownNameError, UserError, nearest_name

OPTION = "opponent"
"""The option of an environment that takes an opponent."""

BUILT_IN = ("idle", "random")
"""Opponents that environments know by name themselves."""

_KEYS = ("runs", "deterministic", "best")


@dataclass(frozen=True)
class OpponentConfig:
    """Which policies play, and how.

    Attributes:
        runs: run folders; with several, one is drawn for every episode of every match.
        deterministic: act by the mode of the policy; otherwise sample from it.
        best: take the policy with the best evaluated return instead of the final one.
    """

    runs: tuple[str, ...]
    deterministic: bool = False
    best: bool = False


@final
class FrozenPolicy:
    """The policy of a finished run as a function of observations; it never learns.

    The run's own observation normaliser is applied and not updated. Sampling draws from numbers of
    its own: torch's global generator is left as it was found. No code of the run's environment or
    rewards is executed, and no pickle is read.

    Args:
        run: the run folder.
        deterministic: act by the mode of the policy.
        best: the policy with the best evaluated return instead of the final one.
        trust_code: allow a run whose environment is code of its own.

    Raises:
        UserError: no such run (with the nearest name), no policy in it, or own code.
    """

    def __init__(
        self,
        run: str | Path,
        *,
        deterministic: bool = False,
        best: bool = False,
        trust_code: bool = False,
    ) -> None:
        from stable_baselines3.common.vec_env import VecNormalize

        from ctrl.evaluation import load_policy

        model, _ = load_policy(RunFolder.open(run), best=best, trust_code=trust_code)
        self.path = Path(run)
        self.deterministic = deterministic
        self._policy: Any = model.policy
        self._normalize = model.env.normalize_obs if isinstance(model.env, VecNormalize) else None
        self._memory: Any = None
        self._starts = np.ones(0, dtype=bool)
        self._random = torch.Generator().manual_seed(0).get_state()
        if model.env is not None:
            model.env.close()

    def __call__(self, observations: Any) -> np.ndarray:
        """Act for N cars.

        Args:
            observations: ``[N, ...]``, raw; row k is always the same car of the same match.

        Returns:
            Actions ``[N, ...]`` of the run's action space.

        Raises:
            UserError: the observations are not of the shape that the policy was trained on.
        """
        rows = self._rows(observations)
        if len(self._starts) != rows:
            self._memory, self._starts = None, np.ones(rows, dtype=bool)
        if self._normalize is not None:
            observations = self._normalize(observations)
        before = torch.get_rng_state()
        torch.set_rng_state(self._random)
        try:
            actions, self._memory = self._policy.predict(
                observations, state=self._memory, episode_start=self._starts,
                deterministic=self.deterministic,
            )  # fmt: skip
        finally:
            self._random = torch.get_rng_state()
            torch.set_rng_state(before)
        self._starts = np.zeros(rows, dtype=bool)
        return actions

    def begin(self, rows: np.ndarray) -> None:
        """Forget what a recurrent policy remembers of some rows, whose episode begins.

        Args:
            rows: bool ``[N]``.
        """
        if len(self._starts) == len(rows):
            self._starts |= rows

    def _rows(self, observations: Any) -> int:
        space = self._policy.observation_space
        if isinstance(observations, Mapping):
            return len(next(iter(observations.values())))
        if space.shape != observations.shape[1:]:
            raise UserError(
                f"The opponent {self.path} was trained on observations of shape {space.shape}, "
                f"this environment gives {observations.shape[1:]}. Train and play with the same "
                "team size and the same observations."
            )
        return len(observations)

    def fresh(self) -> FrozenPolicy:
        """Return a player with the same network and settings, and with draws of its own."""
        other = copy(self)
        other._memory, other._starts = None, np.ones(0, dtype=bool)
        return other

    def seed(self, number: int) -> None:
        """Start the draws anew.

        Args:
            number: at least 0.
        """
        self._random = torch.Generator().manual_seed(number).get_state()

    def snapshot(self) -> dict[str, Any]:
        """Return what acting has changed: the state of the draws and of a recurrent memory."""
        return {
            "random": self._random.numpy().copy(),
            "starts": self._starts.copy(),
            "memory": None if self._memory is None else [part.copy() for part in self._memory],
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken."""
        self._random = torch.from_numpy(np.array(tree["random"], dtype=np.uint8))
        self._starts = np.array(tree["starts"], dtype=bool)
        memory = tree["memory"]
        self._memory = None if memory is None else tuple(np.array(part) for part in memory)


@final
class OpponentPool:
    """Several frozen policies, of which one is drawn for every episode of every match.

    Args:
        members: the policies; each sees all rows at every step, so that memories stay in order.
    """

    def __init__(self, members: Sequence[FrozenPolicy]) -> None:
        self.members = tuple(members)
        self._generator = np.random.default_rng(0)
        self._drawn = np.zeros(0, dtype=np.int64)

    def __call__(self, observations: Any) -> np.ndarray:
        """Act for N cars, each by the member drawn for its episode."""
        answers = np.stack([member(observations) for member in self.members])
        self._widen(answers.shape[1])
        return answers[self._drawn, np.arange(answers.shape[1])]

    def begin(self, rows: np.ndarray) -> None:
        """Draw one member for the rows of a match whose episode begins.

        Args:
            rows: bool ``[N]``.
        """
        self._widen(len(rows))
        self._drawn[rows] = self._generator.integers(len(self.members))
        for member in self.members:
            member.begin(rows)

    def fresh(self) -> OpponentPool:
        """Return a pool of the same policies with draws of its own."""
        return OpponentPool([member.fresh() for member in self.members])

    def seed(self, number: int) -> None:
        """Start the draws of the pool and of its members anew.

        Args:
            number: at least 0.
        """
        self._generator = np.random.default_rng(number)
        for place, member in enumerate(self.members):
            member.seed(number + 1 + place)

    def snapshot(self) -> dict[str, Any]:
        """Return the state of the draws and of the members."""
        return {
            "generator": dict(self._generator.bit_generator.state),
            "drawn": self._drawn.copy(),
            "members": [member.snapshot() for member in self.members],
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken."""
        self._generator.bit_generator.state = tree["generator"]
        self._drawn = np.array(tree["drawn"], dtype=np.int64)
        for member, state in zip(self.members, tree["members"], strict=True):
            member.restore(state)

    def _widen(self, rows: int) -> None:
        if len(self._drawn) != rows:
            self._drawn = self._generator.integers(len(self.members), size=rows)


def with_opponent(config: EnvConfig) -> dict[str, Any]:
    """Return the options of an environment with its opponent loaded.

    Args:
        config: its option ``opponent`` may be a run folder, a list of them, a mapping (see
            `OpponentConfig`), a function, or a name that the environment knows itself.

    Raises:
        UserError: no such run folder, with the nearest name; or an unknown key.
    """
    options = dict(config.options)
    asked = _asked(config)
    if asked is not None:
        # The code of this very environment runs already: naming it once is enough.
        members = [
            FrozenPolicy(
                run,
                deterministic=asked.deterministic,
                best=asked.best,
                trust_code=RunFolder.open(run).config().env.id == config.id,
            )
            for run in asked.runs
        ]
        options[OPTION] = members[0] if len(members) == 1 else OpponentPool(members)
    return options


def without_opponent(config: EnvConfig) -> EnvConfig:
    """Return an environment that is only there to act in: it needs no opponent's policy.

    Loading a policy would otherwise load that of its opponent, and of the opponent's opponent.
    """
    if not envs.is_self_play(config.id) or callable(config.options.get(OPTION)):
        return config
    options = {key: item for key, item in config.options.items() if key != OPTION}
    return replace(config, options=options)


def absolute_opponent(config: EnvConfig) -> EnvConfig:
    """Return the environment with absolute paths, so that a run can be resumed from anywhere.

    Raises:
        UserError: see `parse_opponent`.
    """
    asked = _asked(config)
    if asked is None:
        return config
    runs = [str(Path(run).resolve()) for run in asked.runs]
    written = {"runs": runs, "deterministic": asked.deterministic, "best": asked.best}
    return replace(config, options={**config.options, OPTION: written})


def _asked(config: EnvConfig) -> OpponentConfig | None:
    """Return which runs a configuration names, or None where it names none."""
    value = config.options.get(OPTION)
    if value is None or callable(value) or value in BUILT_IN or not envs.is_self_play(config.id):
        return None
    return parse_opponent(value)


def parse_opponent(value: Any) -> OpponentConfig:
    """Check what a configuration says about the opponent.

    Raises:
        UnknownNameError: an unknown key, with the nearest one.
        UserError: something that names no run folder, or one that does not exist.
    """
    if isinstance(value, str | Path):
        value = {"runs": [value]}
    elif isinstance(value, Sequence):
        value = {"runs": value}
    if not isinstance(value, Mapping):
        raise UserError(
            f"env.{OPTION} must be a run folder, a list of run folders, "
            f"{' or '.join(BUILT_IN)}, got {value!r}."
        )
    for key in value:
        if key not in _KEYS:
            raise UnknownNameError(f"key in env.{OPTION}", str(key), _KEYS)
    runs = value.get("runs", ())
    runs = [runs] if isinstance(runs, str | Path) else list(runs)
    if not runs:
        raise UserError(f"env.{OPTION} names no run folder.")
    for run in runs:
        _require_run(run)
    return OpponentConfig(
        runs=tuple(map(str, runs)),
        deterministic=bool(value.get("deterministic", False)),
        best=bool(value.get("best", False)),
    )


def _require_run(run: Any) -> None:
    if not isinstance(run, str | Path):
        raise UserError(f"env.{OPTION} must name run folders, got {run!r}.")
    if Path(run).is_dir():
        return
    name = str(run)
    if "/" not in name and (nearest := nearest_name(name, BUILT_IN)):
        raise UserError(f"The opponent {name!r} does not exist. Did you mean {nearest!r}?")
    RunFolder.open(run)
