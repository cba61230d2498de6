"""The learner's past: snapshots of its policy on disk, and who of them plays.

As in fictitious self-play, a learner that meets its past does not forget how to beat it, and cannot
go round in circles against its newest self alone.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, final

import numpy as np
import torch

from ctrl.checkpoint import POLICY, load_tree, save_tree
from ctrl.self_play.ratings import Rating, RatingModel
from reward_models.errors import UnknownNameError, UserError

RULES = ("uniform", "rating")
"""By which an opponent is drawn."""
_RECENT = 100
_ENVIRONMENTS = ("venv", "class_attributes")


@dataclass(frozen=True)
class SnapshotsConfig:
    """Opponents from the learner's past.

    Attributes:
        every: environment steps between two snapshots.
        keep: only so many of the newest play; all of them stay on disk.
        draw: ``uniform``, or ``rating``: in proportion to ``p (1 - p)``, where p is the chance by
            the ratings that the learner wins, so that equals meet more often.
        latest: share of draws that take the newest snapshot whatever the rule, in [0, 1].
        active: about so many different snapshots play at a time, because each acts by itself.
        deterministic: snapshots act by the mode of their policy; otherwise they sample.
        folder: where they lie; None: in the run folder that training makes.
    """

    every: int = 100_000
    keep: int = 50
    draw: str = "uniform"
    latest: float = 0.5
    active: int = 4
    deterministic: bool = False
    folder: str | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UserError: a value out of range.
            UnknownNameError: no such rule.
        """
        for name in ("every", "keep", "active"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UserError(f"env.opponent.snapshots.{name} must be at least 1, got {value!r}.")
        if self.draw not in RULES:
            raise UnknownNameError("rule of env.opponent.snapshots.draw", str(self.draw), RULES)
        if not 0.0 <= self.latest <= 1.0:
            raise UserError(
                f"env.opponent.snapshots.latest must be in [0, 1], got {self.latest!r}."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@final
class SnapshotPool:
    """Snapshots of one learner, oldest first, and what is known about their strength.

    Args:
        config: who plays; with a ``folder``, what lies there is the pool.

    Attributes:
        names: of all snapshots, as their folders are called.
        learner: rating of the learner.
        ratings: of the snapshots, in the order of ``names``.
        results: of the last 100 episodes for the learner: 1, 0 or -1.
    """

    def __init__(self, config: SnapshotsConfig) -> None:
        self.config = config
        self.folder = None if config.folder is None else Path(config.folder)
        self.names: list[str] = []
        self.learner = Rating()
        self.ratings: list[Rating] = []
        self.results: deque[int] = deque(maxlen=_RECENT)
        self._model = RatingModel() if config.draw == "rating" else None
        self._template: Any = None
        self._loaded: dict[str, Any] = {}
        if self.folder is not None and self.folder.is_dir():
            self.names = sorted(path.name for path in self.folder.glob("step_*"))
            self.ratings = [Rating()] * len(self.names)

    def __len__(self) -> int:
        """Return how many snapshots there are."""
        return len(self.names)

    def attach(self, learner: Any, folder: Path) -> None:
        """Make this the pool of a learner that is about to train.

        Args:
            learner: whose policy is copied for its snapshots.
            folder: where they are written.

        Raises:
            UserError: snapshots of such a learner cannot play, see `check_learner`.
        """
        check_learner(learner)
        self.folder = folder
        self._template = _acting_part(learner)
        self._loaded.clear()

    def add(self, learner: Any, steps: int) -> str:
        """Write a snapshot of the learner's policy; it begins with the learner's rating.

        Args:
            learner: to which this pool is attached.
            steps: environment steps done.

        Returns:
            Its name.
        """
        from ctrl.sb3.state import policy_state

        name = f"step_{steps:012d}"
        save_tree(policy_state(learner), self._path(name), arrays_file=POLICY)
        self._loaded.pop(name, None)
        if name not in self.names:
            self.names.append(name)
            self.ratings.append(self.learner)
        return name

    def drop_later(self, steps: int) -> None:
        """Remove what an interrupted run wrote after the checkpoint that it goes on from."""
        if self.folder is None:
            return
        for path in self.folder.glob("step_*"):
            if path.name > f"step_{steps:012d}":
                shutil.rmtree(path)
        kept = sum(name <= f"step_{steps:012d}" for name in self.names)
        del self.names[kept:], self.ratings[kept:]

    def draw(self, generator: np.random.Generator) -> int:
        """Return the place of a snapshot among ``names``; -1 while there is none."""
        last = len(self.names) - 1
        if last < 0 or generator.random() < self.config.latest:
            return last
        first = max(0, len(self.names) - self.config.keep)
        if self._model is None:
            return int(generator.integers(first, last + 1))
        chances = [self._model.chance(self.learner, other) for other in self.ratings[first:]]
        weights = np.array([chance * (1.0 - chance) for chance in chances]) + 1e-9
        return first + int(generator.choice(len(weights), p=weights / weights.sum()))

    def record(self, member: int, result: int) -> None:
        """Book an episode: 1 when the learner won it, -1 when it lost, 0 for a draw."""
        self.results.append(result)
        if self._model is not None:
            self.learner, self.ratings[member] = self._model.after(
                self.learner, self.ratings[member], result
            )

    def member(self, place: int) -> Any:
        """Return a snapshot as a function of observations (see `FrozenPolicy.choose`).

        Raises:
            UserError: it is not on disk, or there is no snapshot yet.
        """
        if place < 0:
            raise UserError(
                "The pool of snapshots is empty: they come from training. Train with it, or name "
                "another env.opponent."
            )
        name = self.names[place]
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def forget(self, playing: set[int]) -> None:
        """Drop networks from memory but those of the places that play."""
        wanted = {self.names[place] for place in playing if place >= 0}
        self._loaded = {name: each for name, each in self._loaded.items() if name in wanted}

    def state(self) -> dict[str, Any]:
        """Return names, ratings and results as plain data; the weights lie in the folder."""
        return {
            "names": list(self.names),
            "ratings": [[each.mean, each.deviation] for each in (self.learner, *self.ratings)],
            "results": list(self.results),
        }

    def set_state(self, tree: Mapping[str, Any]) -> None:
        """Go on from `state`.

        Raises:
            UserError: a snapshot is no longer on disk.
        """
        for name in tree["names"]:
            if self.folder is not None and not self._path(name).is_dir():
                raise UserError(
                    f"The snapshot {self._path(name)} is missing, and this run plays against it."
                )
        self.names = list(tree["names"])
        self.learner, *self.ratings = (Rating(*pair) for pair in tree["ratings"])
        self.results = deque(tree["results"], maxlen=_RECENT)

    def _path(self, name: str) -> Path:
        if self.folder is None:
            raise UserError("The pool of snapshots has no folder yet; it gets one from training.")
        return self.folder / name

    def _load(self, name: str) -> Any:
        from ctrl.opponents import FrozenPolicy
        from ctrl.sb3.state import restore_policy

        path = self._path(name)
        if self._template is None:
            self._template = _acting_part(_trained(path.parent.parent))
        acting = _acting_part(self._template)
        restore_policy(acting, load_tree(path))
        return FrozenPolicy.of(acting, path, deterministic=self.config.deterministic)


def check_learner(learner: Any) -> None:
    """Refuse a learner whose snapshots cannot play.

    A recurrent policy would have to remember each match through changes of who plays it, and the
    policies of SBX are kept otherwise than torch's.

    Raises:
        UserError: with what to do instead.
    """
    policy = learner.policy
    kind = "recurrent" if hasattr(policy, "lstm_actor") else ""
    if not isinstance(policy, torch.nn.Module) or not list(policy.parameters()):
        kind = "one of SBX"
    if kind:
        raise UserError(
            f"The policy of {type(learner).__name__} is {kind}, and env.opponent: snapshots needs "
            "a torch policy without memory, such as that of ppo. Leave env.opponent out, so that "
            "the policy plays itself, or name finished runs."
        )


def _trained(run: Path) -> Any:
    from ctrl.evaluation import load_policy
    from ctrl.run_folder import RunFolder

    return load_policy(RunFolder.open(run))[0]


def _acting_part(learner: Any) -> Any:
    """Return a copy of a learner's policy and normaliser that shares nothing with it."""
    from stable_baselines3.common.vec_env import VecNormalize

    policy = deepcopy(learner.policy)
    policy.optimizer = None
    policy.set_training_mode(False)
    normaliser = None
    if isinstance(learner.env, VecNormalize):
        # What scales observations, without the environments below it.
        normaliser = object.__new__(VecNormalize)
        own = {key: each for key, each in vars(learner.env).items() if key not in _ENVIRONMENTS}
        vars(normaliser).update(deepcopy(own))
    return SimpleNamespace(policy=policy, env=normaliser)
