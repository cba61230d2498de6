"""Demonstrations on disk, in the layout of Minari: what one project records others can read.

A data set is a folder with ``main_data.hdf5`` (one group per episode: observations, actions,
rewards, terminations, truncations, infos) and ``metadata.json`` (counts, spaces, identity).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from reward_models.errors import UserError
from reward_models.plain_hdf5 import has_entry, open_hdf5, read_arrays, subgroup, write_arrays
from reward_models.space_json import described_space, space_from

FORMAT, MINARI_VERSION = "hdf5", "0.5.3"
_DATA, _METADATA = "main_data.hdf5", "metadata.json"
_NAME = re.compile(r"([-_\w]+/)*[-_\w]+-v\d+")
_ENTRIES = ("rewards", "terminations", "truncations")


@dataclass(frozen=True)
class Demonstration:
    """One episode of an expert.

    Attributes:
        observations: ``[L + 1, ...]``, or a dict of such arrays; the last is the final one.
        actions: ``[L, ...]``.
        rewards: ``[L]``.
        terminations: ``[L]`` bool.
        truncations: ``[L]`` bool.
        infos: named arrays ``[L + 1, ...]``, such as views that the policy did not see.
        keyframes: frames at which a phase of the task ends and the next begins, the first and the
            last frame among them; empty where nobody annotated them.
        seed: of the episode's reset, or None.
    """

    observations: Any
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    infos: dict[str, np.ndarray] = field(default_factory=dict)
    keyframes: tuple[int, ...] = ()
    seed: int | None = None

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def task_return(self) -> float:
        """Undiscounted sum of the rewards."""
        return float(np.sum(self.rewards, dtype=np.float64))


def write_demonstrations(
    folder: str | Path,
    demonstrations: Sequence[Demonstration],
    *,
    dataset_id: str,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    env_spec: Any = None,
    **metadata: str,
) -> Path:
    """Write a data set that Minari reads, its arrays compressed without losses.

    Args:
        folder: of the data set; Minari finds it as ``<its root>/<dataset_id>/data``.
        demonstrations: at least one.
        dataset_id: ``name-v0``, with a namespace before it where wanted: ``lab/reach/expert-v0``.
        observation_space: of the observations: Box, Discrete, MultiDiscrete, MultiBinary, Dict.
        action_space: of the actions.
        env_spec: gymnasium's description of the environment, to make it again.
        **metadata: further lines such as ``description`` or ``algorithm_name``.

    Returns:
        The folder.

    Raises:
        UserError: nothing to write, a folder with a data set, a space that cannot be described, or
            lengths that do not fit.
        MissingDependencyError: h5py is not installed.
    """
    folder = Path(folder)
    if not demonstrations:
        raise UserError("Expected at least one demonstration to write.")
    check_dataset_id(dataset_id)
    if (folder / _METADATA).exists() or (folder / _DATA).exists():
        raise UserError(f"{folder} holds a data set already; name another folder.")
    described = {
        "observation_space": json.dumps(described_space(observation_space)),
        "action_space": json.dumps(described_space(action_space)),
    }
    for number, each in enumerate(demonstrations):
        _check_lengths(number, each)
    folder.mkdir(parents=True, exist_ok=True)
    with open_hdf5(folder / _DATA, "w") as file:
        for number, each in enumerate(demonstrations):
            group = file.create_group(f"episode_{number}")
            group.attrs["id"], group.attrs["total_steps"] = number, len(each)
            if each.seed is not None:
                group.attrs["seed"] = each.seed
            if each.keyframes:
                group.attrs["keyframes"] = list(each.keyframes)
            write_arrays(group, "observations", each.observations)
            write_arrays(group, "actions", each.actions)
            for name in _ENTRIES:
                write_arrays(group, name, getattr(each, name))
            if each.infos:
                write_arrays(group, "infos", each.infos)
    record = {
        **metadata,
        "dataset_id": dataset_id,
        "total_episodes": len(demonstrations),
        "total_steps": sum(len(each) for each in demonstrations),
        "data_format": FORMAT,
        "minari_version": MINARI_VERSION,
        "dataset_size": round((folder / _DATA).stat().st_size / 1e6, 1),
        **described,
    }
    if env_spec is not None:
        record["env_spec"] = env_spec.to_json()
    (folder / _METADATA).write_text(json.dumps(record), encoding="utf-8")
    return folder


def check_dataset_id(dataset_id: str) -> None:
    """Check a name as Minari demands it: ``name-v0``, with namespaces before it where wanted.

    Raises:
        UserError: another one.
    """
    if _NAME.fullmatch(dataset_id) is None:
        raise UserError(f"dataset_id must look like 'lab/reach/expert-v0', got {dataset_id!r}.")


def read_demonstrations(folder: str | Path) -> list[Demonstration]:
    """Read a data set that `write_demonstrations` or Minari wrote (in its HDF5 layout).

    Files from strangers can be read: nothing in them can run, and no other file is reached.

    Args:
        folder: the data set, or the folder around it in which Minari keeps it as ``data``.

    Raises:
        UserError: there is no data set, one of another layout, a damaged one, or one with links to
            elsewhere, virtual arrays or objects in it.
        MissingDependencyError: h5py is not installed.
    """
    folder, record = _located(folder)
    found = []
    with open_hdf5(folder / _DATA, "r") as file:
        for number in range(int(record["total_episodes"])):
            group = subgroup(file, f"episode_{number}")
            each = Demonstration(
                observations=read_arrays(group, "observations"),
                actions=read_arrays(group, "actions"),
                **{name: read_arrays(group, name) for name in _ENTRIES},
                infos=read_arrays(group, "infos") if has_entry(group, "infos") else {},
                keyframes=tuple(int(frame) for frame in group.attrs.get("keyframes", ())),
                seed=int(group.attrs["seed"]) if "seed" in group.attrs else None,
            )
            _check_lengths(number, each)
            found.append(each)
    return found


def read_metadata(folder: str | Path) -> dict[str, Any]:
    """Return what a data set says about itself, such as ``dataset_id`` and ``description``.

    Raises:
        UserError: there is no data set, or one of another layout.
    """
    return _located(folder)[1]


def read_spaces(folder: str | Path) -> tuple[spaces.Space, spaces.Space]:
    """Return the observation space and the action space of a data set.

    Raises:
        UserError: there is no data set, or it does not say what its spaces are.
    """
    folder, record = _located(folder)
    try:
        texts = [json.loads(record[name]) for name in ("observation_space", "action_space")]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder} does not describe its spaces: {error}.") from error
    observation_space, action_space = (space_from(text) for text in texts)
    return observation_space, action_space


def _located(folder: str | Path) -> tuple[Path, dict[str, Any]]:
    """Return where the files of a data set are, and its metadata."""
    folder = Path(folder)
    if not (folder / _METADATA).is_file() and (folder / "data" / _METADATA).is_file():
        folder = folder / "data"
    try:
        record = json.loads((folder / _METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"There is no data set in {folder}: {error}.") from error
    if not isinstance(record, dict) or not isinstance(record.get("total_episodes"), int):
        raise UserError(f"{folder / _METADATA} does not say how many episodes there are.")
    if record.get("data_format") != FORMAT:
        raise UserError(
            f"{folder} is a data set in the layout {record.get('data_format')!r}; only {FORMAT!r} "
            "is read here. Minari can copy it into that layout."
        )
    return folder, record


def record_demonstration(
    env: gymnasium.Env,
    policy: Any,
    *,
    seed: int | None = None,
    infos: Sequence[str] = (),
) -> Demonstration:
    """Let a policy act for one episode and keep everything.

    Args:
        env: with a time limit or an end.
        policy: ``policy(observation, info) -> action``, such as a scripted expert.
        seed: of the reset.
        infos: names in ``info`` to keep at every frame.

    Raises:
        UserError: ``info`` lacks one of the names.
    """
    observation, info = env.reset(seed=seed)
    frames, kept, steps, done = [observation], [info], [], False
    while not done:
        action = np.asarray(policy(observation, info))
        observation, reward, terminated, truncated, info = env.step(action)
        steps.append((action, float(reward), bool(terminated), bool(truncated)))
        frames.append(observation)
        kept.append(info)
        done = bool(terminated or truncated)
    for name in infos:
        if any(name not in each for each in kept):
            raise UserError(f"info has no {name!r} at every frame; it has {sorted(kept[0])}.")
    actions, rewards, terminations, truncations = (
        np.array(part) for part in zip(*steps, strict=True)
    )
    return Demonstration(
        observations=_stacked(frames),
        actions=actions,
        rewards=rewards,
        terminations=terminations,
        truncations=truncations,
        infos={name: np.stack([np.asarray(each[name]) for each in kept]) for name in infos},
        seed=seed,
    )


def _stacked(frames: Sequence[Any]) -> Any:
    if isinstance(frames[0], Mapping):
        return {key: _stacked([frame[key] for frame in frames]) for key in frames[0]}
    return np.stack([np.asarray(frame) for frame in frames])


def _check_lengths(number: int, each: Demonstration) -> None:
    steps = len(each)
    expected = {
        "observations": (_lengths(each.observations), steps + 1),
        "actions": ({len(each.actions)}, steps),
        "terminations": ({len(each.terminations)}, steps),
        "truncations": ({len(each.truncations)}, steps),
        "infos": (_lengths(each.infos) or {steps + 1}, steps + 1),
    }
    for name, (lengths, wanted) in expected.items():
        if lengths != {wanted}:
            raise UserError(
                f"Demonstration {number} has {steps} rewards and so needs {wanted} {name}, "
                f"got {sorted(lengths)}."
            )


def _lengths(values: Any) -> set[int]:
    if isinstance(values, Mapping):
        return set().union(*(_lengths(value) for value in values.values()))
    return {len(values)}
