"""Training that starts from the policy of an earlier run: fine-tuning, or another reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from ctrl.checkpoint import load_tree
from ctrl.config import AlgoConfig, TrainConfig
from ctrl.llm.algorithms import is_language
from ctrl.own_code import own_code
from ctrl.run_folder import RunFolder
from ctrl.sb3.state import restore_policy
from reward_models.errors import UserError

_OF_THE_POLICY = ("policy", "policy_kwargs")


def is_run(folder: str | Path) -> bool:
    """Whether a folder is a run folder, finished or not."""
    return (Path(folder) / "config.yaml").is_file()


def with_run_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what configuration data leave to the run they start from.

    That is the environment, the learner and whether observations are normalised; neither the
    learner's other settings nor the reward.

    Args:
        data: wide data with ``start_from``, a run folder.

    Raises:
        UserError: no training run of SB3, or its environment is code of its own.
    """
    wide, earlier = dict(data), _earlier(str(data["start_from"]))
    env = dict(wide.get("env") or {})
    if "id" not in env:
        code = own_code(replace(earlier, reward={}, objective={}))
        if code:
            raise UserError(
                f"{wide['start_from']} was trained with code of its own ({', '.join(code)}); name "
                "the environment yourself if you trust it."
            )
        own = asdict(earlier.env)
        options = {**own.pop("options"), **dict(env.pop("options", None) or {})}
        wide["env"] = {**own, **env, "options": options}
    wide["algo"] = {"name": earlier.algo.name, **dict(wide.get("algo") or {})}
    wide.setdefault("normalize_observations", earlier.normalize_observations)
    return wide


def starting_from_run(config: TrainConfig) -> TrainConfig:
    """Write out what follows from the run that a configuration starts from.

    The kind of the policy and its architecture are those of the run.

    Raises:
        UserError: another learner, another architecture, or observations that are normalised in
            one of the two only.
    """
    assert config.start_from is not None
    earlier = _earlier(config.start_from)
    if config.algo.name != earlier.algo.name:
        raise UserError(
            f"{config.start_from} is a policy of {earlier.algo.name}; {config.algo.name} cannot "
            f"start from it. Train with algo.name={earlier.algo.name}."
        )
    if config.normalize_observations != earlier.normalize_observations:
        said = "normalised" if earlier.normalize_observations else "raw"
        raise UserError(
            f"The policy of {config.start_from} acts on {said} observations; set "
            f"normalize_observations={str(earlier.normalize_observations).lower()}."
        )
    own = {k: v for k, v in earlier.algo.options.items() if k in _OF_THE_POLICY}
    for key, value in own.items():
        if config.algo.options.get(key, value) != value:
            raise UserError(
                f"The policy of {config.start_from} has {key} = {value!r}; it cannot start with "
                f"{config.algo.options[key]!r}. Leave algo.{key} out."
            )
    algo: AlgoConfig = replace(config.algo, options={**own, **config.algo.options})
    return replace(config, start_from=str(Path(config.start_from).resolve()), algo=algo)


def write_earlier_policy(model: BaseAlgorithm, folder: str) -> None:
    """Give a learner the policy of a run, its critics, and the statistics of its observations.

    Optimisers, replay buffers and SAC's temperature begin anew.

    Args:
        model: built from a configuration that `starting_from_run` returned.
        folder: run folder; its final policy is taken, or that of its newest checkpoint.

    Raises:
        UserError: no policy there, or one of other observations or actions.
    """
    tree = load_tree(RunFolder.open(folder).policy_folder())
    try:
        restore_policy(model, tree)
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[-1].strip()
        raise UserError(
            f"The policy of {folder} does not fit this environment: {reason} Train in an "
            "environment with equal observations and actions."
        ) from error


def _earlier(folder: str) -> TrainConfig:
    config = RunFolder.open(folder).config()
    if is_language(config.algo.name):
        raise UserError(
            f"{folder} is a run of {config.algo.name}, whose policy is a transformer: train with "
            f"algo.model={folder}/transformer instead."
        )
    return config
