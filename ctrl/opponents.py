"""Frozen policies as opponents: a run folder plays the other cars.

    env:
      id: ...
      opponent: runs/first                 # or a list: one is drawn for every episode
      opponent: {snapshots: {every: 50000}}   # or the learner's own past

An environment sees no run folder and no learner, only a function from observations to actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, final

import numpy as np

import envs
from ctrl.checkpoint import load_tree
from ctrl.config import EnvConfig, known_keys
from ctrl.run_folder import RunFolder
from ctrl.self_play.draws import TorchDraws
from ctrl.self_play.player import SnapshotPlayer
from ctrl.self_play.pool import SnapshotPool, SnapshotsConfig
from reward_models.errors import UnknownNameError, UserError, nearest_name

OPTION = "opponent"
"""The option of an environment that takes an opponent."""

BUILT_IN = ("idle", "random")
"""Opponents that environments know by name themselves."""

SNAPSHOTS = "snapshots"
"""The key of an opponent from the learner's own past."""

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
        folder: of one of the run's snapshots or checkpoints, instead of the final policy.
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
        folder: Path | None = None,
        trust_code: bool = False,
    ) -> None:
        from ctrl.evaluation import load_policy

        model, _ = load_policy(RunFolder.open(run), best=best, trust_code=trust_code)
        if folder is not None:
            from ctrl.sb3.state import restore_policy

            restore_policy(model, load_tree(folder))
        self._take(model, Path(run) if folder is None else folder, deterministic)
        if model.env is not None:
            model.env.close()

    @classmethod
    def of(cls, learner: Any, path: Path, *, deterministic: bool = False) -> FrozenPolicy:
        """Return the policy of a learner, which must not train any more.

        Args:
            learner: has a ``policy``, and an ``env`` that may be its normaliser.
            path: where it came from, for errors.
            deterministic: act by the mode of the policy.
        """
        player = object.__new__(cls)
        player._take(learner, path, deterministic)
        return player

    def _take(self, learner: Any, path: Path, deterministic: bool) -> None:
        from stable_baselines3.common.vec_env import VecNormalize

        self.path = path
        self.deterministic = deterministic
        self._policy: Any = learner.policy
        env = learner.env
        self._normalize = env.normalize_obs if isinstance(env, VecNormalize) else None
        self._memory: Any = None
        self._starts = np.ones(0, dtype=bool)
        self._draws = TorchDraws()

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
        with self._draws.own():
            actions, self._memory = self.choose(observations, self._memory, self._starts)
        self._starts = np.zeros(rows, dtype=bool)
        return actions

    def choose(
        self, observations: Any, memory: Any = None, starts: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """Act with torch's global random numbers, and remember nothing.

        Args:
            observations: ``[N, ...]``, raw.
            memory: of a recurrent policy, or None.
            starts: bool ``[N]``, where an episode begins; None: nowhere.

        Returns:
            Actions ``[N, ...]`` and the new memory.
        """
        if self._normalize is not None:
            observations = self._normalize(observations)
        return self._policy.predict(
            observations, state=memory, episode_start=starts, deterministic=self.deterministic
        )

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
        other._draws = TorchDraws()
        other._draws.set_state(self._draws.state())
        return other

    def seed(self, number: int) -> None:
        """Start the draws anew.

        Args:
            number: at least 0.
        """
        self._draws.seed(number)

    def snapshot(self) -> dict[str, Any]:
        """Return what acting has changed: the state of the draws and of a recurrent memory."""
        return {
            "random": self._draws.state(),
            "starts": self._starts.copy(),
            "memory": None if self._memory is None else [part.copy() for part in self._memory],
        }

    def restore(self, tree: Mapping[str, Any]) -> None:
        """Continue where `snapshot` was taken."""
        self._draws.set_state(tree["random"])
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
    past = _asked_snapshots(config)
    if past is not None:
        if config.backend == "processes":
            raise UserError(
                f"env.{OPTION}.{SNAPSHOTS} plays in the process that trains: set env.backend: auto."
            )
        options[OPTION] = SnapshotPlayer(SnapshotPool(past))
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


def against(config: EnvConfig, pool: SnapshotPool) -> EnvConfig:
    """Return the environment with the snapshots of a pool as opponents, which keep no score."""
    player = SnapshotPlayer(pool, keeps_score=False)
    return replace(config, options={**config.options, OPTION: player})


def pool_of(config: EnvConfig, env: Any) -> SnapshotPool | None:
    """Return the pool that plays in a vector environment, or None where none does.

    Args:
        config: of the environment.
        env: built from it.
    """
    if _asked_snapshots(config) is None:
        return None
    player: SnapshotPlayer = env.get_attr(OPTION)[0]
    return player.pool


def with_snapshots_in(config: EnvConfig, folder: Path) -> EnvConfig:
    """Return the environment of a run with the folder of its snapshots, if it plays those."""
    past = _asked_snapshots(config)
    if past is None:
        return config
    written = {SNAPSHOTS: replace(past, folder=str(folder)).as_dict()}
    return replace(config, options={**config.options, OPTION: written})


def absolute_opponent(config: EnvConfig) -> EnvConfig:
    """Return the environment with absolute paths, so that a run can be resumed from anywhere.

    Raises:
        UserError: see `parse_opponent`.
    """
    past = _asked_snapshots(config)
    if past is not None:
        written: dict[str, Any] = {SNAPSHOTS: replace(past, folder=None).as_dict()}
        return replace(config, options={**config.options, OPTION: written})
    asked = _asked(config)
    if asked is None:
        return config
    runs = [str(Path(run).resolve()) for run in asked.runs]
    written = {"runs": runs, "deterministic": asked.deterministic, "best": asked.best}
    return replace(config, options={**config.options, OPTION: written})


def absolute_start(config: EnvConfig) -> EnvConfig:
    """Return the environment with absolute paths of the files that its episodes begin from."""
    start = config.options.get("start")
    if not envs.is_self_play(config.id) or not isinstance(start, str | Mapping):
        return config
    weights = {start: 1.0} if isinstance(start, str) else dict(start)
    written = {
        str(Path(name).resolve()) if str(name).endswith(".safetensors") else name: weight
        for name, weight in weights.items()
    }
    if set(written) == set(weights):
        return config
    return replace(config, options={**config.options, "start": written})


def _asked(config: EnvConfig) -> OpponentConfig | None:
    """Return which runs a configuration names, or None where it names none."""
    value = config.options.get(OPTION)
    if value is None or callable(value) or value in BUILT_IN or not envs.is_self_play(config.id):
        return None
    return None if _is_past(value) else parse_opponent(value)


def _is_past(value: Any) -> bool:
    return value == SNAPSHOTS or (isinstance(value, Mapping) and set(value) == {SNAPSHOTS})


def _asked_snapshots(config: EnvConfig) -> SnapshotsConfig | None:
    """Return how the learner's past plays, or None where it does not.

    Raises:
        UnknownNameError: an unknown key, with the nearest one.
        UserError: a value out of range.
    """
    value = config.options.get(OPTION)
    if not envs.is_self_play(config.id) or not _is_past(value):
        return None
    given = {} if value == SNAPSHOTS else dict(value[SNAPSHOTS] or {})  # type: ignore[index]
    known_keys(f"key of env.{OPTION}.{SNAPSHOTS}", given, [f.name for f in fields(SnapshotsConfig)])
    return SnapshotsConfig(**given)


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
