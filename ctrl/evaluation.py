"""Evaluation of a policy by the task reward alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from ctrl.build import (
    acting_config,
    alone,
    build_env,
    build_model,
    own_code,
    python_objects,
)
from ctrl.checkpoint import load_tree
from ctrl.config import TrainConfig
from ctrl.opponents import without_opponent
from ctrl.run_folder import RunFolder
from ctrl.sb3.state import restore_policy
from ctrl.statistics import bootstrap_interval
from reward_models.errors import UserError


@dataclass(frozen=True)
class Evaluation:
    """Finished episodes of one policy.

    Attributes:
        returns: undiscounted task return of each episode.
        lengths: steps of each episode.
        successes: the task's own success flag at the end of each episode; None where the
            environment reports none.
    """

    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    successes: tuple[bool, ...] | None

    def summary(self) -> dict[str, Any]:
        """Return mean task return with its 95 % bootstrap interval, success rate and length."""
        returns = np.array(self.returns)
        interval = bootstrap_interval(returns, np.mean)
        rate = None if self.successes is None else float(np.mean(self.successes))
        return {
            "episodes": len(self.returns),
            "task_return_mean": float(returns.mean()),
            "task_return_interval": [interval.low, interval.high],
            "task_return_std": float(returns.std()),
            "success_rate": rate,
            "length_mean": float(np.mean(self.lengths)),
        }


def evaluate(
    model: BaseAlgorithm,
    env: VecEnv,
    *,
    episodes: int,
    seed: int,
    deterministic: bool = True,
) -> Evaluation:
    """Run a policy for a number of episodes.

    Every column runs its share of the episodes, whatever their length, so short episodes are not
    over-represented. Global random generators are not touched when ``deterministic``.

    Args:
        model: the learner; its observation normaliser is applied and not updated.
        env: raw environments (not normalised), reset with ``seed``.
        episodes: how many, at least 1.
        seed: of the environments.
        deterministic: act by the mode of the policy.
    """
    env.seed(seed)
    observation = env.reset()
    columns = env.num_envs
    wanted = np.array([(episodes + i) // columns for i in range(columns)])
    done_count = np.zeros(columns, dtype=int)
    returns, lengths = np.zeros(columns), np.zeros(columns, dtype=int)
    found: list[tuple[int, float, int, bool | None]] = []
    state, starts = None, np.ones(columns, dtype=bool)
    while (done_count < wanted).any():
        action, state = model.predict(
            _normalized(model, observation), state=state, episode_start=starts,
            deterministic=deterministic,
        )  # fmt: skip
        observation, rewards, dones, infos = env.step(action)
        returns += rewards
        lengths += 1
        for column in np.flatnonzero(dones):
            if done_count[column] < wanted[column]:
                info = infos[column]
                success = info.get("is_success", info.get("success"))
                found.append((int(column), float(returns[column]), int(lengths[column]), success))
            done_count[column] += 1
            returns[column], lengths[column] = 0.0, 0
        starts = dones
    found.sort(key=lambda episode: episode[0])
    successes = [success for *_, success in found]
    return Evaluation(
        returns=tuple(value for _, value, _, _ in found),
        lengths=tuple(length for _, _, length, _ in found),
        successes=None if None in successes else tuple(bool(s) for s in successes),
    )


def load_policy(
    run: RunFolder, *, best: bool = False, trust_code: bool = False
) -> tuple[BaseAlgorithm, TrainConfig]:
    """Load the policy of a run folder without loading anything that could execute.

    The reward models of the run are not built: evaluation is by the task reward.

    Raises:
        UserError: no policy, or the folder asks for code of its own and is not trusted.
    """
    config = run.config()
    if ":" in config.env.id and not trust_code:
        raise UserError(
            f"{run.path} names an environment of its own code ({config.env.id}). If you trust "
            "it, pass --trust-code."
        )
    plain = TrainConfig(
        env=without_opponent(config.env), algo=config.algo, seed=config.seed, device=config.device,
        normalize_observations=config.normalize_observations,
    )  # fmt: skip
    tree = load_tree(run.policy_folder(best=best))
    model = build_model(acting_config(plain))
    restore_policy(model, tree)
    return model, config


def evaluate_run(
    run: RunFolder,
    *,
    episodes: int = 100,
    seed: int = 10_000,
    best: bool = False,
    deterministic: bool = True,
    video: Path | None = None,
    trust_code: bool = False,
) -> dict[str, Any]:
    """Evaluate the policy of a run folder and return the summary; optionally film one episode."""
    model, config = load_policy(run, best=best, trust_code=trust_code)
    env = build_env(alone(config.env), n_envs=min(episodes, 8), seed=seed)
    result = evaluate(
        model, env, episodes=episodes, seed=seed, deterministic=deterministic
    ).summary()
    env.close()
    result["run_folder"] = str(run.path)
    if video is not None:
        from ctrl.video import film

        result["video"] = str(film(model, config.env, video, seed=seed))
    return result


def require_trust(config: TrainConfig, run: RunFolder, trust_code: bool) -> None:
    """Refuse to run the code that a run folder names, unless the user trusts it.

    Raises:
        UserError: lists the code, or the reward objects that only Python can give again.
    """
    objects = python_objects(config)
    if objects:
        raise UserError(
            f"{run.path} was started from Python with reward objects for {', '.join(objects)}; "
            "go on there: ctrl.resume(path, terms={...})."
        )
    code = own_code(config)
    if code and not trust_code:
        listed = "\n".join(f"  - {item}" for item in code)
        raise UserError(
            f"{run.path} asks to run code that does not come with ctrl:\n{listed}\n"
            "If the run is yours or you trust it, pass --trust-code."
        )


def _normalized(model: BaseAlgorithm, observation: Any) -> Any:
    if isinstance(model.env, VecNormalize):
        return model.env.normalize_obs(observation)
    return observation
