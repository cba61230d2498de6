"""Recording what a trained policy does as demonstrations, and saying what a data set holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv

import envs
from ctrl.build import alone, build_env
from ctrl.config import EnvConfig
from ctrl.evaluation import load_policy, play
from ctrl.opponents import without_opponent
from ctrl.run_folder import RunFolder
from ctrl.sb3.recorder import Recorder
from ctrl.sb3.state import random_state, restore_random
from ctrl.statistics import bootstrap_interval
from reward_models.demonstrations import (
    Demonstration,
    check_dataset_id,
    read_demonstrations,
    read_metadata,
    read_spaces,
    write_demonstrations,
)
from reward_models.errors import UserError
from reward_models.rollout import Episode, Rollout


def record_run(
    run: RunFolder,
    *,
    episodes: int = 20,
    out: str | Path | None = None,
    seed: int = 10_000,
    best: bool = False,
    deterministic: bool = True,
    minimum_return: float | None = None,
    dataset_id: str | None = None,
    trust_code: bool = False,
) -> dict[str, Any]:
    """Record episodes of a trained policy as a data set that Minari reads too.

    Observations are raw, never normalised; actions are those the environment executed, in its own
    units. Numbers of 64 bits are kept in 32, which is what policies compute in.

    Args:
        run: the run folder.
        episodes: how many to play, at least 1.
        out: folder of the data set; None is ``demonstrations`` in the run folder.
        seed: episode ``k`` begins with a reset to ``seed + k``.
        best: the policy with the best evaluated task return instead of the last one.
        deterministic: act by the mode of the policy; else sampled actions, seeded too.
        minimum_return: keep only episodes whose task return reaches it.
        dataset_id: Minari's name such as ``lab/hopper-v0``; None names environment and learner.
        trust_code: allow an environment of the run folder's own code.

    Returns:
        `summarise` of the data set, with ``run_folder``, ``dropped`` (episodes below the minimum)
        and ``played`` (seed, return, length and end of every episode).

    Raises:
        UserError: no policy, a folder with a data set, spaces that cannot be stored, or no episode
            that reaches the minimum.
    """
    if episodes < 1:
        raise UserError(f"--episodes must be at least 1, got {episodes}.")
    folder = run.path / "demonstrations" if out is None else Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty. Name another folder with --out.")
    if dataset_id is not None:
        check_dataset_id(dataset_id)
    model, config = load_policy(run, best=best, trust_code=trust_code)
    env = build_env(alone(config.env), n_envs=min(episodes, 8), seed=seed)
    played = record_episodes(
        model, env, episodes=episodes, seed=seed, deterministic=deterministic
    )  # fmt: skip
    observation_space = _compact_space(env.observation_space)
    env.close()
    kept = [each for each in played if minimum_return is None or each.task_return >= minimum_return]
    if not kept:
        most = max(each.task_return for each in played)
        raise UserError(
            f"None of {episodes} episodes returned {minimum_return:g} or more; the best returned "
            f"{most:.2f}."
        )
    how = "the mode of the policy" if deterministic else "sampled actions"
    write_demonstrations(
        folder,
        kept,
        dataset_id=dataset_id or _default_id(config.env.id, config.algo.name),
        observation_space=observation_space,
        action_space=env.action_space,
        env_spec=_env_spec(config.env),
        algorithm_name=config.algo.name,
        description=f"{len(kept)} episodes of {config.algo.name} on {config.env.id}, by {how}.",
    )
    rows = [
        {
            "seed": each.seed,
            "task_return": each.task_return,
            "length": len(each),
            "end": "terminated" if each.terminations[-1] else "truncated",
            "kept": any(each is other for other in kept),
        }
        for each in played
    ]
    found = {"run_folder": str(run.path), "dropped": len(played) - len(kept), "played": rows}
    return {**found, **summarise(folder)}


def record_episodes(
    model: BaseAlgorithm, env: VecEnv, *, episodes: int, seed: int, deterministic: bool = True
) -> list[Demonstration]:
    """Return whole episodes of a policy; episode ``k`` begins with a reset to ``seed + k``.

    The global random generators are left as they were.

    Args:
        model: the learner; its observation normaliser is applied and not updated.
        env: raw environments; each column plays one episode at a time.
        episodes: how many.
        seed: of the episodes, and of sampled actions.
        deterministic: act by the mode of the policy.
    """
    recorder = Recorder(env)
    before = random_state(model)
    found: list[Demonstration] = []
    try:
        set_random_seed(seed)
        while len(found) < episodes:
            first = seed + len(found)
            recorder.begin(256)
            done = np.zeros(env.num_envs, dtype=bool)
            wanted = min(env.num_envs, episodes - len(found))
            for _, dones, _ in play(model, recorder, seed=first, deterministic=deterministic):
                done |= dones
                if done[:wanted].all():
                    break
            rollout = recorder.rollout()
            pieces = [piece for piece in rollout.episodes() if piece.start == 0]
            found += [_demonstration(rollout, piece, first) for piece in pieces[:wanted]]
    finally:
        restore_random(model, before)
    return found


def summarise(folder: str | Path) -> dict[str, Any]:
    """Return what a data set holds, as plain data.

    Lengths and returns of episodes say little about each other's tasks where episodes can end
    early; ``reward_per_step`` does not depend on when they end.

    Raises:
        UserError: no data set, or one that is not safe to read.
    """
    demonstrations = read_demonstrations(folder)
    if not demonstrations:
        raise UserError(f"{folder} holds no episode.")
    observation_space, action_space = read_spaces(folder)
    returns = np.array([each.task_return for each in demonstrations])
    lengths = np.array([len(each) for each in demonstrations])
    interval = bootstrap_interval(returns, np.mean)
    return {
        "folder": str(folder),
        "dataset_id": str(read_metadata(folder).get("dataset_id", "")),
        "episodes": len(demonstrations),
        "steps": int(lengths.sum()),
        "task_return_mean": float(returns.mean()),
        "task_return_interval": [interval.low, interval.high],
        "task_return_std": float(returns.std()),
        "task_return_range": [float(returns.min()), float(returns.max())],
        "length_mean": float(lengths.mean()),
        "length_range": [int(lengths.min()), int(lengths.max())],
        "terminated": sum(bool(each.terminations[-1:].any()) for each in demonstrations),
        "truncated": sum(bool(each.truncations[-1:].any()) for each in demonstrations),
        "reward_per_step": float(returns.sum() / max(1, lengths.sum())),
        "observation_space": str(observation_space),
        "action_space": str(action_space),
        "bytes": sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()),
    }


def _demonstration(rollout: Rollout, piece: Episode, seed: int) -> Demonstration:
    rows, column = slice(piece.start, piece.stop), piece.column
    observations = _cut(rollout.observation, rows, column)
    final = _cut(rollout.next_observation, slice(piece.stop - 1, piece.stop), column)
    return Demonstration(
        observations=_joined(observations, final),
        actions=_cut(rollout.action, rows, column),
        rewards=_cut(rollout.reward, rows, column),
        terminations=_cut(rollout.terminated, rows, column),
        truncations=_cut(rollout.truncated, rows, column),
        seed=seed + column,
    )


def _cut(entry: Any, rows: slice, column: int) -> Any:
    if hasattr(entry, "items"):
        return {key: _cut(value, rows, column) for key, value in entry.items()}
    array = entry[rows, column].cpu().numpy()
    return array.astype(np.float32) if array.dtype == np.float64 else array.copy()


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, dict):
        return {key: _joined(first[key], second[key]) for key in first}
    return np.concatenate([first, second])


def _compact_space(space: spaces.Space) -> spaces.Space:
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _compact_space(part) for key, part in space.spaces.items()})
    if isinstance(space, spaces.Box) and space.dtype == np.float64:
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
        return spaces.Box(low, high, dtype=np.float32)
    return space


def _default_id(env: str, learner: str) -> str:
    words = [part for part in env.replace(":", "-").replace("/", "-").split("-") if part]
    name = "-".join(words[:-1]) if words[-1][:1] == "v" and words[-1][1:].isdigit() else env
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
    return f"ctrl/{plain}/{learner}-v0"


def _env_spec(config: EnvConfig) -> Any:
    """Return gymnasium's description of the environment, or None where it cannot be written."""
    env = envs.make(config.id, **without_opponent(config).options)
    spec = env.spec
    env.close()
    try:
        if spec is not None:
            spec.to_json()
    except ValueError:
        return None
    return spec


def describe(found: dict[str, Any]) -> Sequence[str]:
    """Return the lines that a summary of `summarise` is shown by."""
    low, high = found["task_return_interval"]
    least, most = found["task_return_range"]
    shortest, longest = found["length_range"]
    return (
        f"{found['dataset_id']}: {found['episodes']} episodes, {found['steps']} steps, "
        f"{found['bytes'] / 1e3:.0f} kB",
        f"task return {found['task_return_mean']:.2f} (95 % interval {low:.2f} to {high:.2f}, "
        f"range {least:.2f} to {most:.2f}), {found['reward_per_step']:.4g} per step",
        f"length {found['length_mean']:.0f} (range {shortest} to {longest}); "
        f"{found['terminated']} terminated, {found['truncated']} truncated",
        f"observation {found['observation_space']}",
        f"action {found['action_space']}",
    )
