"""Writing an analysis: a folder of PNGs, the numbers as JSON, and one page of HTML."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import envs
from ctrl.analysis.pictures import figures
from ctrl.analysis.recorded import Values, load_matches, paid_over, play_matches
from ctrl.analysis.rewards import Looked, look_at, options_of
from ctrl.analysis.scene import Scene, opening
from ctrl.build import build_env
from ctrl.config import EnvConfig
from ctrl.pictures.style import data_uri, save_png
from ctrl.report.html import Html, element, page, table, together
from reward_models.errors import UserError
from reward_models.rollout import Rollout

_COLUMNS = 12
_LAYOUT = frozenset({"state.team", "state.cars_in_match"})


@final
@dataclass(frozen=True)
class Analysis:
    """What was written.

    Attributes:
        page: the HTML page.
        pictures: the PNGs.
        numbers: of every reward over the recorded matches.
        correlation: ``[R][R]``, None where a reward never changed.
        settings: environment, matches, discount and seed.
    """

    page: Path
    pictures: tuple[Path, ...]
    numbers: tuple[dict[str, Any], ...]
    correlation: tuple[tuple[float | None, ...], ...]
    settings: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "page": str(self.page),
            "pictures": [str(picture) for picture in self.pictures],
            "rewards": list(self.numbers),
            "correlation": [list(row) for row in self.correlation],
            "settings": self.settings,
        }


def analyse_rewards(
    rewards: Sequence[str] | Mapping[str, Any] = (),
    *,
    out: str | Path,
    env: str = "RocketLeague1v1-v0",
    options: Sequence[str] = (),
    run: str | Path | None = None,
    record: str | Path | None = None,
    steps: int = 900,
    gamma: float = 0.995,
    seed: int = 0,
    trust_code: bool = False,
) -> Analysis:
    """Draw rewards of Rocket League, and look at what they pay over recorded matches.

    Of every reward: contours of what moments are worth to a blue car, with the ball and with the
    car moved over the arena; and best velocities. Of all: distributions over the steps of a
    record, and their correlations. Rewards that shape by a potential are drawn by the potential,
    and paid in the record.

    Args:
        rewards: see `ctrl.analysis.rewards.look_at`; by default Lucy-SKG's shape functions.
        out: folder for ``index.html``, ``analysis.json`` and the PNGs.
        env: a Rocket League environment, in which every car is a column.
        options: ``env.KEY=VALUE``.
        run: run folder of the policy that drives all cars; None: random actions from random
            starts, unless ``env.start`` says another.
        record: a saved record to take instead of new matches.
        steps: of every match; 15 are a second.
        gamma: discount of the potentials.
        seed: of environment, actions and rewards.
        trust_code: allow a run whose environment is code of its own.

    Raises:
        UserError: a reward, environment, run or record that cannot be used; the folder cannot be
            written.
    """
    if steps < 2:
        raise UserError(f"--steps must be at least 2, got {steps}.")
    if run is not None and record is not None:
        raise UserError("Give --policy for new matches, or --record, not both.")
    chosen = options_of(options)
    if run is None and "start" in envs.options(env):
        # At a kick-off, random actions hardly ever reach the ball.
        chosen = {"start": "random", **chosen}
    config = EnvConfig(env, options=chosen)
    vector = build_env(config, n_envs=envs.whole_columns(env, _COLUMNS), seed=seed)
    try:
        looked = look_at(
            rewards, observation_space=vector.observation_space,
            action_space=vector.action_space, gamma=gamma, seed=seed,
        )  # fmt: skip
        requires = frozenset(key for one in looked for key in one.model.requires)
        if record is None:
            matches = play_matches(
                vector, requires=requires | _LAYOUT, steps=steps, seed=seed,
                run=None if run is None else Path(run), trust_code=trust_code,
            )  # fmt: skip
        else:
            matches = load_matches(Path(record), requires | _LAYOUT)
    finally:
        vector.close()
    values = paid_over(looked, matches)
    settings = {
        "env": env, "options": chosen, "gamma": gamma, "seed": seed,
        "matches": str(record) if record is not None else str(run) if run else "random actions",
        "steps": matches.T, "columns": matches.B,
    }  # fmt: skip
    return _write(Path(out), looked, _scene(matches), values, settings)


def _scene(matches: Rollout) -> Scene:
    """Return the opening with as many cars a side as play in the first match."""
    cars = int(matches["state.cars_in_match"][0, 0])
    orange = int(matches["state.team"][0, :cars].sum())
    return opening(cars - orange, orange)


def _write(
    folder: Path, looked: list[Looked], scene: Scene, values: Values, settings: dict[str, Any]
) -> Analysis:
    drawn = figures(looked, scene, values)
    pictures = {name: save_png(figure, folder / f"{name}.png") for name, figure in drawn.items()}
    numbers = values.numbers()
    correlation = tuple(
        tuple(None if value != value else float(value) for value in row)  # noqa: PLR0124 - NaN
        for row in values.correlation()
    )
    images = {
        name: element("img", src=data_uri(figure, "png"), alt=name)
        for name, figure in drawn.items()
    }
    result = Analysis(
        folder / "index.html", tuple(pictures.values()), tuple(numbers), correlation, settings
    )
    _write_text(folder / "index.html", _page(looked, images, numbers, settings))
    _write_text(folder / "analysis.json", json.dumps(result.as_dict(), indent=1) + "\n")
    return result


def _page(
    looked: list[Looked],
    images: Mapping[str, Html],
    numbers: list[dict[str, Any]],
    settings: Mapping[str, Any],
) -> str:
    headings = ["reward", "steps", "mean", "std", "min", "max", "nonzero"]
    rows = [[_text(row.get(key, "")) for key in headings] for row in numbers]
    over = together(
        [
            element("div", table(headings, rows, headings[1:]), class_="card"),
            *(
                element("div", images[name], class_="card")
                for name in ("correlations", "distributions")
                if name in images
            ),
        ]
    )
    sections: list[tuple[str, str, str]] = [("matches", "Recorded matches", over)]
    for number, one in enumerate(looked, start=1):
        shown = [image for name, image in images.items() if name.startswith(f"{number:02d}-")]
        note = element(
            "p",
            f"Worth of moments to the ringed blue car: its {one.unit}. Blue attacks to the right.",
            class_="note",
        )
        content = together([note, *(element("div", image, class_="card") for image in shown)])
        sections.append((f"reward-{number}", one.name, content))
    where = f"{settings['env']}, gamma {settings['gamma']:g}"
    return page(
        "Rewards over the arena",
        f"{where}; {settings['steps']} steps of {settings['columns']} cars ({settings['matches']})",
        sections,
    )


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _write_text(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writing = path.with_name(f".{path.name}.writing")
        writing.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(writing, path)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error}.") from error
