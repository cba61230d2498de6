"""A reward over two axes of the record: what it pays here and there, all else held.

A recorded transition is moved: along an axis of the observation it begins at the grid's value and
keeps its own change (``s' = value + recorded change``), so that potentials and differences stay
what they are; an action, or a quantity of the simulator, is set to the value. Everything else stays
as it was recorded, quantities computed from what was moved included. The map is that of one
transition, or the mean over several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from torch import Tensor

from reward_models.errors import UserError, nearest_name
from reward_models.rollout import Rollout

Evaluate = Callable[[Rollout], Tensor]
"""From a rollout to rewards ``[T, B]``, NaN where undefined."""

# Larger arrays are maps and screens: their cells are no axes to search, yet can be named.
_MOST_CELLS = 512
_TRIED_VALUES, _TRIED_TRANSITIONS = 9, 8
_PARTS = ("observation", "action", "state")


@final
@dataclass(frozen=True)
class Axis:
    """One number of the record.

    Attributes:
        key: of the entry, for example ``("observation",)`` or ``("state", "car_position")``.
        index: into what follows ``[T, B]``.
    """

    key: tuple[str, ...]
    index: tuple[int, ...]

    @property
    def name(self) -> str:
        """Dotted, for example ``observation.3`` or ``state.car_position.0``."""
        return ".".join([*self.key, *map(str, self.index)])


@final
@dataclass(frozen=True, eq=False)
class HeatMap:
    """One reward over two axes.

    Attributes:
        name: the reward.
        x_name: axis from left to right.
        y_name: axis from bottom to top.
        x: ``[X]`` increasing.
        y: ``[Y]`` increasing.
        values: ``[Y, X]``, NaN where the reward has nothing to say.
        visited: ``[T, 2]``: where the record was.
        held: which transitions the rest was taken from, in words.
    """

    name: str
    x_name: str
    y_name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    values: NDArray[np.float64]
    visited: NDArray[np.float64]
    held: str

    @property
    def whole(self) -> tuple[bool, bool]:
        """Whether x and y have only whole numbers."""
        return bool((self.x % 1 == 0).all()), bool((self.y % 1 == 0).all())

    @property
    def is_flat(self) -> bool:
        """The reward is the same everywhere on the map, up to rounding."""
        found = self.values[np.isfinite(self.values)]
        return not len(found) or float(np.ptp(found)) <= 1e-5 * float(np.abs(found).max())


@dataclass(frozen=True)
class HeatMapSettings:
    """What is drawn.

    Attributes:
        x: axis by name, or None for the one that moves the reward most; both or neither.
        y: as ``x``.
        grid: values per axis, at least 2; whole-numbered axes have only whole numbers.
        at: step of the record that is moved; None takes the mean over ``over`` steps.
        over: steps of the record, evenly spaced, without those that end the task.
        x_range: lowest and highest value; None takes the recorded ones, and 5 % more.
        y_range: as ``x_range``.
    """

    x: str | None = None
    y: str | None = None
    grid: int = 60
    at: int | None = None
    over: int = 16
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


def heat_map(name: str, evaluate: Evaluate, record: Rollout, settings: HeatMapSettings) -> HeatMap:
    """Return one reward over two axes.

    Args:
        name: of the reward.
        evaluate: the reward, right on single transitions.
        record: recorded transitions, ``[T, B]``.
        settings: the axes, the grid and what the rest is held at.

    Raises:
        UserError: an unusable setting, no such axis, or fewer than two.
    """
    flat = record.flatten()
    _check(settings, flat.B)
    chosen, held = _transitions(flat, settings)
    if settings.x is not None and settings.y is not None:
        x, y = find_axis(flat, settings.x), find_axis(flat, settings.y)
        if x == y:
            raise UserError(f"x and y are the same axis, {x.name}; name two.")
    else:
        x, y = _most_moving(evaluate, flat, chosen)
    across = _grid(flat, x, settings.grid, settings.x_range)
    up = _grid(flat, y, settings.grid, settings.y_range)
    meshes = np.meshgrid(across, up)
    total = torch.zeros(meshes[0].size, dtype=torch.float64)
    counts = torch.zeros_like(total)
    for row in chosen:
        # One transition at a time: a grid of NetHack's screens fills tens of megabytes.
        paid = evaluate(_moved(flat, row, {x: meshes[0].ravel(), y: meshes[1].ravel()}))[0]
        known = ~paid.isnan()
        total += torch.where(known, paid, 0.0)
        counts += known
    values = torch.where(counts > 0, total / counts, torch.nan).numpy().reshape(meshes[0].shape)
    visited = np.stack([_values(flat, axis) for axis in (x, y)], axis=-1)
    return HeatMap(name, x.name, y.name, across, up, values, visited, held)


def find_axis(record: Rollout, name: str) -> Axis:
    """Return the axis that a name means.

    ``observation.3``, ``action.0``, ``state.car_position.0``; the first word can be left out where
    an entry of a dict observation or of ``state`` follows (``blstats.0``, ``x_velocity``), and a
    number alone is one of a vector observation.

    Raises:
        UserError: no such axis, with the nearest name.
    """
    arrays = _arrays(record)
    for text in (name, f"observation.{name}", f"state.{name}"):
        parts = text.split(".")
        count = len(parts)
        while count and parts[count - 1].isdigit():
            count -= 1
        key, index = tuple(parts[:count]), tuple(int(part) for part in parts[count:])
        if key in arrays and _fits(index, arrays[key].shape[2:]):
            return Axis(key, index)
    nearest = nearest_name(name, [axis.name for axis in _axes(record)])
    hint = f" Did you mean {nearest!r}?" if nearest else ""
    listed = ", ".join(_spanned(key, value.shape[2:]) for key, value in sorted(arrays.items()))
    raise UserError(f"Unknown axis {name!r}.{hint} Valid: {listed}.")


def _spanned(key: tuple[str, ...], shape: Sequence[int]) -> str:
    """Return ``state.car_position.0-2`` for an entry and the numbers in it."""
    return ".".join([*key, *(f"0-{size - 1}" if size > 1 else "0" for size in shape)])


def _check(settings: HeatMapSettings, steps: int) -> None:
    if (settings.x is None) != (settings.y is None):
        raise UserError("Name both axes (--x and --y), or neither to have them chosen.")
    if settings.x is None and (settings.x_range or settings.y_range):
        raise UserError("A range needs its axis: name --x and --y.")
    if settings.grid < 2:
        raise UserError(f"--grid must be at least 2 values, got {settings.grid}.")
    if settings.over < 1:
        raise UserError(f"--over must be at least 1 transition, got {settings.over}.")
    if settings.at is not None and not 0 <= settings.at < steps:
        raise UserError(f"--at must be a step of the record, 0 to {steps - 1}, got {settings.at}.")
    for name in ("x", "y"):
        span = getattr(settings, f"{name}_range")
        if span is not None and not (np.isfinite(span).all() and span[0] < span[1]):
            raise UserError(
                f"--{name}-range must be LOW HIGH with LOW below HIGH, got {span[0]} {span[1]}."
            )


def _transitions(record: Rollout, settings: HeatMapSettings) -> tuple[list[int], str]:
    if settings.at is not None:
        return [settings.at], f"all else as in recorded step {settings.at}"
    usable = np.flatnonzero(~record.terminated[0].cpu().numpy())
    usable = usable if len(usable) else np.arange(record.B)
    chosen = usable[np.unique(np.linspace(0, len(usable) - 1, settings.over).round().astype(int))]
    return chosen.tolist(), f"mean over {len(chosen)} recorded transitions"


# -- axes -----------------------------------------------------------------------------------


def _arrays(record: Rollout) -> dict[tuple[str, ...], Tensor]:
    found: dict[tuple[str, ...], Tensor] = {}
    for key, value in record.data.items(include_nested=True, leaves_only=True):
        path: tuple[str, ...] = (key,) if isinstance(key, str) else tuple(key)
        if path[0] in _PARTS and isinstance(value, Tensor):
            found[path] = value
    return found


def _axes(record: Rollout) -> list[Axis]:
    """Return the axes that can be searched: all numbers but those of large arrays."""
    found = []
    for key, value in _arrays(record).items():
        shape = value.shape[2:]
        if shape.numel() <= _MOST_CELLS:
            found += [Axis(key, tuple(map(int, index))) for index in np.ndindex(*shape)]
    return found


def _fits(index: Sequence[int], shape: Sequence[int]) -> bool:
    return len(index) == len(shape) and all(k < n for k, n in zip(index, shape, strict=True))


def _cell(array: Tensor, axis: Axis) -> Tensor:
    """Return the numbers of an axis, ``[T, B]``."""
    place: Any = (slice(None), slice(None), *axis.index)
    return array[place]


def _values(record: Rollout, axis: Axis) -> NDArray[np.float64]:
    return _cell(_arrays(record)[axis.key], axis)[0].cpu().to(torch.float64).numpy()


def _grid(
    record: Rollout, axis: Axis, count: int, span: tuple[float, float] | None
) -> NDArray[np.float64]:
    whole = not _arrays(record)[axis.key].is_floating_point()
    if span is None:
        seen = _values(record, axis)
        low, high = float(seen.min()), float(seen.max())
        margin = 0.0 if whole else 0.05 * (high - low)
        low, high = (low - margin, high + margin) if high > low else (low - 1.0, high + 1.0)
    else:
        low, high = span
    if whole:
        # A uint8 holds nothing below 0, and nothing was recorded there.
        low = max(low, 0.0) if span is None and _values(record, axis).min() >= 0 else low
        return np.unique(np.linspace(low, high, count).round())
    return np.linspace(low, high, count)


def _most_moving(evaluate: Evaluate, record: Rollout, chosen: Sequence[int]) -> tuple[Axis, Axis]:
    """Return the two axes along which the reward varies most, over the recorded values of each.

    What never changed in the record is not searched, unless hardly anything did.
    """
    axes = _axes(record)
    changing = [axis for axis in axes if np.ptp(_values(record, axis))]
    axes = changing if len(changing) > 1 else axes
    if len(axes) < 2:
        raise UserError(
            f"A heat map needs two numbers to vary; the record has {len(axes)}: "
            f"{', '.join(axis.name for axis in axes) or 'none'}."
        )
    rows = chosen[:: max(1, len(chosen) // _TRIED_TRANSITIONS)]
    moved = []
    for axis in axes:
        values = _grid(record, axis, _TRIED_VALUES, None)
        spread = [
            np.nan_to_num(evaluate(_moved(record, row, {axis: values}))[0].cpu().numpy()).std()
            for row in rows
        ]
        moved.append(float(np.mean(spread)))
    # A stable order: of equal axes the first.
    first, second = np.argsort(-np.array(moved), kind="stable")[:2]
    return axes[first], axes[second]


# -- moving ---------------------------------------------------------------------------------


def _moved(record: Rollout, row: int, values: Mapping[Axis, NDArray[np.float64]]) -> Rollout:
    """Return one transition N times, ``[1, N]``, with numbers of it replaced by ``values [N]``."""
    count = len(next(iter(values.values())))

    def repeated(value: Shaped[Tensor, "1 N *rest"]) -> Shaped[Tensor, "1 M *rest"]:
        one = value[:, row : row + 1]
        return one.expand(1, count, *one.shape[2:]).clone()

    def tree(data: Any) -> Any:
        return {
            key: repeated(value) if isinstance(value, Tensor) else tree(value)
            for key, value in data.items()
        }

    entries = tree(record.data)
    for axis, numbers in values.items():
        array = _entry(entries, axis.key)
        new = torch.as_tensor(numbers, device=array.device).to(array.dtype)
        place: Any = (0, slice(None), *axis.index)
        if axis.key[0] == "observation":
            after = _entry(entries, ("next_observation", *axis.key[1:]))
            after[place] = new + (after[place] - array[place])
        array[place] = new
    return Rollout(**entries)


def _entry(entries: Mapping[str, Any], key: Sequence[str]) -> Tensor:
    level: Any = entries
    for part in key:
        level = level[part]
    return level
