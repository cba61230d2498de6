"""One episode of a policy, step by step and term by term."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecNormalize

from ctrl.build import acting_config, build_model
from ctrl.checkpoint import load_tree, newest_checkpoint
from ctrl.evaluation import require_trust
from ctrl.run_folder import RunFolder
from ctrl.sb3.model import books_of
from ctrl.sb3.state import restore_policy
from ctrl.tables import ledger_rows
from reward_models.errors import UserError
from reward_models.mix import MixedReward, RewardMix
from reward_models.rollout import Rollout


@dataclass(frozen=True)
class Ledger:
    """What every term paid in one episode.

    Attributes:
        run_folder: whose policy and mix.
        rows: one per step and term, see ``ctrl.tables.ledger_rows``.
        task_return: undiscounted return by the environment's own reward.
        shaped_return: undiscounted sum of all contributions.
        length: steps.
    """

    run_folder: str
    rows: list[dict[str, Any]]
    task_return: float
    shaped_return: float
    length: int

    def as_dict(self) -> dict[str, Any]:
        """Return the totals as plain data."""
        terms: dict[str, float] = {}
        for row in self.rows:
            terms[row["term"]] = terms.get(row["term"], 0.0) + float(row["contribution"])
        return {
            "run_folder": self.run_folder,
            "length": self.length,
            "task_return": self.task_return,
            "shaped_return": self.shaped_return,
            "terms": terms,
        }


@dataclass(frozen=True, eq=False)
class PlayedEpisode:
    """One episode of a trained policy, with the mix that rewards it.

    Attributes:
        rollout: the episode, ``[T, 1]``; a recurrent policy had seen the episodes before it.
        mixed: its rewards.
        mix: the terms as they were at the newest checkpoint.
        ledger: the same term by term.
    """

    rollout: Rollout
    mixed: MixedReward
    mix: RewardMix
    ledger: Ledger


def episode_ledger(
    run: RunFolder, *, episode: int = 0, seed: int = 10_000, trust_code: bool = False
) -> Ledger:
    """Run a policy and reward one of its episodes with the mix of its newest checkpoint.

    Args:
        run: the run folder.
        episode: which episode after the reset with ``seed``, from 0.
        seed: of the environment.
        trust_code: allow the reward code that the run folder names.

    Raises:
        UserError: no checkpoint, or untrusted code.
    """
    return play_episode(run, episode=episode, seed=seed, trust_code=trust_code).ledger


def play_episode(
    run: RunFolder, *, episode: int = 0, seed: int = 10_000, trust_code: bool = False
) -> PlayedEpisode:
    """Return one episode of a run's policy and the mix that rewards it; see `episode_ledger`."""
    if episode < 0:
        raise UserError(f"--episode counts from 0, got {episode}.")
    config = run.config()
    require_trust(config, run, trust_code)
    checkpoint = newest_checkpoint(run.checkpoints)
    if checkpoint is None:
        raise UserError(f"{run.path} has no checkpoint, so its reward models cannot be loaded.")
    model: Any = build_model(acting_config(config))
    tree = load_tree(checkpoint)
    restore_policy(model, tree)
    books = books_of(model)
    _load_mix(books.mix, tree["mix"])
    env, recorder = model.env, books.recorder
    if isinstance(env, VecNormalize):
        env.training = False
    env.seed(seed)
    observation = env.reset()
    state, starts = None, np.ones(1, dtype=bool)
    for _ in range(episode + 1):
        recorder.begin(1024)
        done = np.zeros(1, dtype=bool)
        while not done[0]:
            action, state = model.predict(
                observation, state=state, episode_start=starts, deterministic=True
            )
            observation, _, done, _ = env.step(action)
            starts = done
    rollout = recorder.rollout()
    mixed = books.mix.rewards(rollout)
    env.close()
    ledger = Ledger(
        run_folder=str(run.path),
        rows=ledger_rows(mixed),
        task_return=float(rollout.reward.sum()),
        shaped_return=float(mixed.total.sum()),
        length=rollout.T,
    )
    return PlayedEpisode(rollout, mixed, books.mix, ledger)


def _load_mix(mix: Any, state: dict[str, Any]) -> None:
    # The running returns of the training columns do not fit the single column here.
    mix.load_state_dict(state)
    for scale in mix.scales.values():
        if hasattr(scale, "running"):
            scale.running = scale.running[:1]
