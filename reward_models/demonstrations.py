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

from reward_models.errors import MissingDependencyError, UserError

FORMAT, MINARI_VERSION = "hdf5", "0.5.3"
_DATA, _METADATA = "main_data.hdf5", "metadata.json"
_NAME = re.compile(r"([-_\w]+/)*[-_\w]+-v\d+")
_SMALLEST_PICTURE = 32
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
    """Write a data set that Minari reads.

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
    h5py, folder = _h5py(), Path(folder)
    if not demonstrations:
        raise UserError("Expected at least one demonstration to write.")
    if _NAME.fullmatch(dataset_id) is None:
        raise UserError(f"dataset_id must look like 'lab/reach/expert-v0', got {dataset_id!r}.")
    if (folder / _METADATA).exists():
        raise UserError(f"{folder} holds a data set already; name another folder.")
    described = {
        "observation_space": json.dumps(_described(observation_space)),
        "action_space": json.dumps(_described(action_space)),
    }
    for number, each in enumerate(demonstrations):
        _check_lengths(number, each)
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / _DATA, "w", track_order=True) as file:
        for number, each in enumerate(demonstrations):
            group = file.create_group(f"episode_{number}")
            group.attrs["id"], group.attrs["total_steps"] = number, len(each)
            if each.seed is not None:
                group.attrs["seed"] = each.seed
            if each.keyframes:
                group.attrs["keyframes"] = list(each.keyframes)
            _write(group, "observations", each.observations)
            _write(group, "actions", each.actions)
            for name in _ENTRIES:
                _write(group, name, getattr(each, name))
            if each.infos:
                _write(group, "infos", each.infos)
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


def read_demonstrations(folder: str | Path) -> list[Demonstration]:
    """Read a data set that `write_demonstrations` or Minari wrote (in its HDF5 layout).

    Raises:
        UserError: there is no data set, or one of another layout.
        MissingDependencyError: h5py is not installed.
    """
    h5py, folder = _h5py(), Path(folder)
    try:
        record = json.loads((folder / _METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"There is no data set in {folder}: {error}.") from error
    if record.get("data_format") != FORMAT:
        raise UserError(
            f"{folder} is a data set in the layout {record.get('data_format')!r}; only {FORMAT!r} "
            "is read here. Minari can copy it into that layout."
        )
    found = []
    with h5py.File(folder / _DATA, "r") as file:
        for number in range(int(record["total_episodes"])):
            group = file[f"episode_{number}"]
            found.append(
                Demonstration(
                    observations=_read(group["observations"]),
                    actions=_read(group["actions"]),
                    **{name: _read(group[name]) for name in _ENTRIES},
                    infos=_read(group["infos"]) if "infos" in group else {},
                    keyframes=tuple(int(frame) for frame in group.attrs.get("keyframes", ())),
                    seed=int(group.attrs["seed"]) if "seed" in group.attrs else None,
                )
            )
    return found


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


def _described(space: spaces.Space) -> dict[str, Any]:
    """Return a space as plain data, as Minari writes it."""
    if isinstance(space, spaces.Dict):
        parts = {key: _described(part) for key, part in space.spaces.items()}
        return {"type": "Dict", "subspaces": parts}
    if isinstance(space, spaces.Discrete):
        start, n = int(space.start), int(space.n)
        return {"type": "Discrete", "dtype": "int64", "start": start, "n": n}
    if isinstance(space, spaces.MultiDiscrete):
        limits = {"nvec": space.nvec.tolist(), "start": space.start.tolist()}
        return {"type": "MultiDiscrete", "dtype": str(space.dtype), **limits}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": space.n}
    if not isinstance(space, spaces.Box):
        raise UserError(f"A data set of demonstrations cannot describe the space {space}.")
    if _is_picture(space):
        raise UserError(
            f"Minari keeps pictures {list(space.shape)} with losses; give them an axis of views, "
            f"{[1, *space.shape]}, and they are kept exactly."
        )
    return {
        "type": "Box",
        "dtype": str(space.dtype),
        "shape": list(space.shape),
        "low": space.low.tolist(),
        "high": space.high.tolist(),
    }


def _is_picture(space: spaces.Box) -> bool:
    """Whether Minari takes a space for one picture, which it expects as JPEG."""
    large = len(space.shape) in (2, 3) and min(space.shape[:2]) >= _SMALLEST_PICTURE
    return bool(
        space.dtype == np.uint8 and large and (space.low == 0).all() and (space.high == 255).all()
    )


def _write(group: Any, name: str, values: Any) -> None:
    if isinstance(values, Mapping):
        part = group.create_group(name)
        for key, value in values.items():
            _write(part, key, value)
        return
    array = np.asarray(values)
    group.create_dataset(name, data=array, chunks=True, maxshape=(None, *array.shape[1:]))


def _read(entry: Any) -> Any:
    if hasattr(entry, "keys"):
        return {key: _read(value) for key, value in entry.items()}
    return entry[()]


def _h5py() -> Any:
    try:
        import h5py  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise MissingDependencyError(
            'Demonstrations on disk need h5py: pip install "ctrl[demonstrations]".'
        ) from error
    return h5py
