"""Evaluation of a policy by the task reward alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from ctrl.build import acting_config, alone, build_env, build_model, python_objects
from ctrl.checkpoint import load_tree
from ctrl.config import TrainConfig
from ctrl.llm.algorithms import is_language
from ctrl.opponents import without_opponent
from ctrl.own_code import own_code
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


@dataclass(frozen=True)
class FixedHorizon:
    """Stretches of exactly H steps, in which an environment begins anew after every end.

    The ordinary return of tasks with an end mixes how well and how long a policy acts; here every
    policy acts equally long.

    Attributes:
        horizon: H, environment steps of each stretch.
        returns: undiscounted task return of each stretch.
        ends: how many episodes ended in it.
    """

    horizon: int
    returns: tuple[float, ...]
    ends: tuple[int, ...]

    def summary(self) -> dict[str, Any]:
        """Return the mean return with its 95 % bootstrap interval, and the mean count of ends."""
        returns = np.array(self.returns)
        interval = bootstrap_interval(returns, np.mean)
        return {
            "horizon": self.horizon,
            "stretches": len(self.returns),
            "horizon_return_mean": float(returns.mean()),
            "horizon_return_interval": [interval.low, interval.high],
            "horizon_return_std": float(returns.std()),
            "horizon_ends_mean": float(np.mean(self.ends)),
        }


def play(
    model: BaseAlgorithm, env: VecEnv, *, seed: int, deterministic: bool = True
) -> Iterator[tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]]:
    """Let a policy act from a reset with ``seed`` on, without end.

    Args:
        model: the learner; its observation normaliser is applied and not updated.
        env: raw environments (not normalised).
        seed: of the environments; column ``i`` is reset with ``seed + i``.
        deterministic: act by the mode of the policy.

    Yields:
        ``(rewards [B], dones [B], infos)`` of every step.
    """
    env.seed(seed)
    observation = env.reset()
    state, starts = None, np.ones(env.num_envs, dtype=bool)
    while True:
        action, state = model.predict(
            _normalized(model, observation), state=state, episode_start=starts,
            deterministic=deterministic,
        )  # fmt: skip
        observation, rewards, dones, infos = env.step(action)
        yield rewards, dones, infos
        starts = dones


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
    columns = env.num_envs
    wanted = np.array([(episodes + i) // columns for i in range(columns)])
    done_count = np.zeros(columns, dtype=int)
    returns, lengths = np.zeros(columns), np.zeros(columns, dtype=int)
    found: list[tuple[int, float, int, bool | None]] = []
    for rewards, dones, infos in play(model, env, seed=seed, deterministic=deterministic):
        returns += rewards
        lengths += 1
        for column in np.flatnonzero(dones):
            if done_count[column] < wanted[column]:
                info = infos[column]
                success = info.get("is_success", info.get("success"))
                found.append((int(column), float(returns[column]), int(lengths[column]), success))
            done_count[column] += 1
            returns[column], lengths[column] = 0.0, 0
        if (done_count >= wanted).all():
            break
    found.sort(key=lambda episode: episode[0])
    successes = [success for *_, success in found]
    return Evaluation(
        returns=tuple(value for _, value, _, _ in found),
        lengths=tuple(length for _, _, length, _ in found),
        successes=None if None in successes else tuple(bool(s) for s in successes),
    )


def evaluate_horizon(
    model: BaseAlgorithm,
    env: VecEnv,
    *,
    horizon: int,
    stretches: int,
    seed: int,
    deterministic: bool = True,
) -> FixedHorizon:
    """Run a policy for stretches of exactly ``horizon`` steps.

    Every stretch begins with a reset of its own; an episode that ends inside of it, by failure,
    success or time limit, is followed by another.

    Args:
        model: see `evaluate`.
        env: see `evaluate`; the first stretches are reset with ``seed``, ``seed + 1``, ...
        horizon: environment steps of each stretch, at least 1.
        stretches: how many, at least 1.
        seed: of the environments.
        deterministic: act by the mode of the policy.

    """
    found: list[float] = []
    ends: list[int] = []
    while len(found) < stretches:
        returns = np.zeros(env.num_envs)
        counts = np.zeros(env.num_envs, dtype=int)
        acting = play(model, env, seed=seed + len(found), deterministic=deterministic)
        for _ in range(horizon):
            rewards, dones, _ = next(acting)
            returns += rewards
            counts += dones
        found += returns.tolist()
        ends += counts.tolist()
    return FixedHorizon(horizon, tuple(found[:stretches]), tuple(ends[:stretches]))


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
    horizon: int | None = None,
    video: Path | None = None,
    trust_code: bool = False,
) -> dict[str, Any]:
    """Evaluate the policy of a run folder by the task reward.

    Args:
        run: the run folder.
        episodes: how many, at least 1.
        seed: of the environments.
        best: the policy with the best evaluated task return instead of the last one.
        deterministic: act by the mode of the policy.
        horizon: measure also as many stretches of exactly this many steps, see `FixedHorizon`.
        video: film one episode to this file.
        trust_code: allow an environment of the run folder's own code.

    Returns:
        The summaries as one document.

    Raises:
        UserError: no policy, untrusted code, or a horizon below 1.
    """
    if horizon is not None and horizon < 1:
        raise UserError(f"--horizon must be at least 1 step, got {horizon}.")
    config = run.config()
    if is_language(config.algo.name):
        from ctrl.llm.evaluation import evaluate_language_run

        if horizon is not None or video is not None:
            raise UserError("--horizon and --video are for policies that are networks.")
        return evaluate_language_run(
            run, config, episodes=episodes, seed=seed, best=best, deterministic=deterministic
        )
    model, config = load_policy(run, best=best, trust_code=trust_code)
    env = build_env(alone(config.env), n_envs=min(episodes, 8), seed=seed)
    result = evaluate(
        model, env, episodes=episodes, seed=seed, deterministic=deterministic
    ).summary()
    if horizon is not None:
        result |= evaluate_horizon(
            model, env, horizon=horizon, stretches=episodes, seed=seed, deterministic=deterministic
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
