"""The sections of a report for which a policy acts: ledger, video and heat maps of one episode."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ctrl.evaluation import load_policy
from ctrl.heatmap import HeatMapSettings
from ctrl.heatmap_sources import run_maps
from ctrl.ledger import PlayedEpisode, play_episode
from ctrl.pictures.heatmap import draw_heat_maps
from ctrl.pictures.ledger import contribution_table, draw_ledger
from ctrl.report.html import Html, element, picture, table, together
from ctrl.run_folder import RunFolder
from ctrl.run_groups import RunGroup
from ctrl.tables import LEDGER_COLUMNS
from ctrl.video import take_frames, write_video
from reward_models.errors import TrainingError, UserError

_EDGE_STEPS = 12
_MOST_EPISODES = 8
_VIDEO_WIDTH = 480
# Sharp lines of more points than this make a page of many megabytes.
_MOST_SHARP = 1500


@dataclass(frozen=True)
class EpisodeSettings:
    """Which episode is shown and how.

    Attributes:
        episode: which one after the reset with ``seed``, from 0.
        seed: of the environment.
        maps: axes of the heat maps.
        video: film the episode.
        film_steps: the film ends there at the latest.
        trust_code: allow the code that run folders name.
    """

    episode: int = 0
    seed: int = 10_000
    maps: HeatMapSettings = field(default_factory=HeatMapSettings)
    video: bool = True
    film_steps: int = 400
    trust_code: bool = False


def episodes(groups: Sequence[RunGroup], settings: EpisodeSettings) -> tuple[Html, Html]:
    """Return the episode of every group's first run, and the heat maps of its terms.

    What cannot be shown is replaced by the reason.
    """
    shown, maps = [], []
    for group in groups[:_MOST_EPISODES]:
        run = RunFolder(group.runs[0].path)
        try:
            played = play_episode(
                run, episode=settings.episode, seed=settings.seed, trust_code=settings.trust_code
            )
            ledger: Html = _ledger(played)
        except (UserError, TrainingError) as error:
            played, ledger = None, _missing("The ledger", error)
        parts = [element("h3", f"{group.label}: {run.path}")]
        film = _film(run, settings) if settings.video else None
        parts.append(ledger if film is None else element("div", ledger, film, class_="pair"))
        if played is not None:
            parts.append(_numbers(played.ledger.rows, run.path))
            maps.append(_maps(played, group.label, settings))
        shown.append(element("div", *parts, class_="card"))
    if len(groups) > _MOST_EPISODES:
        text = f"Shown for the first {_MOST_EPISODES} of {len(groups)} methods."
        shown.append(element("p", text, class_="note"))
    if not maps:
        maps.append(element("div", _missing("They", "no episode could be run"), class_="card"))
    return together(shown), together(maps)


def _ledger(played: PlayedEpisode) -> Html:
    ledger = played.ledger
    figure = draw_ledger(ledger.rows)
    sharp = ledger.length * len(played.mix.names) <= _MOST_SHARP
    text = (
        f"{ledger.length} steps, task return {ledger.task_return:.4g}, shaped return "
        f"{ledger.shaped_return:.4g}."
    )
    image = picture(
        figure, "Contribution of each reward term per step of one episode, and cumulative",
        "svg" if sharp else "png",
    )  # fmt: skip
    return element("div", image, element("p", text, class_="note"))


def _numbers(rows: Sequence[Mapping[str, Any]], run: Path) -> Html:
    """Return the totals of the terms, and the first and last steps in full."""
    terms, paid = contribution_table(rows)
    whole = float(np.abs(paid).sum())
    last = {row["term"]: row for row in rows[-len(terms) :]}
    totals = [
        [
            term, f"{last[term]['weight']:.4g}", f"{last[term]['divisor']:.4g}",
            f"{paid[:, k].sum():.4g}",
            f"{100 * np.abs(paid[:, k]).sum() / whole:.1f} %" if whole else "-",
        ]
        for k, term in enumerate(terms)
    ]  # fmt: skip
    headings = ["term", "weight", "scale (divisor)", "contribution", "share of absolute total"]
    columns = [key for key in (*LEDGER_COLUMNS[:-2], "gate", *LEDGER_COLUMNS[-2:])
               if key in rows[0]]  # fmt: skip
    edge = _EDGE_STEPS * len(terms)
    chosen = list(rows) if len(rows) <= 2 * edge else [*rows[:edge], *rows[-edge:]]
    steps = [["-" if row[key] is None else _shown(row[key]) for key in columns] for row in chosen]
    title = "Step by step"
    if len(chosen) < len(rows):
        title += f" (first and last {_EDGE_STEPS}; all of them: ctrl ledger {run} --csv FILE)"
    numeric = tuple(key for key in columns if key != "term")
    return together([
        table(headings, totals, numbers=tuple(headings[1:])),
        element("details", element("summary", title), table(columns, steps, numbers=numeric)),
    ])  # fmt: skip


def _film(run: RunFolder, settings: EpisodeSettings) -> Html:
    try:
        model, config = load_policy(run, trust_code=settings.trust_code)
        film = take_frames(
            model, config.env, seed=settings.seed, episode=settings.episode,
            max_steps=settings.film_steps,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            path = write_video(
                film.frames, film.rate, Path(folder) / "film.mp4", largest=_VIDEO_WIDTH
            )
            content = base64.b64encode(path.read_bytes()).decode("ascii")
    except (UserError, TrainingError, OSError) as error:
        return _missing("The video", error)
    which = f"pisode {settings.episode} of seed {settings.seed}"
    text = f"E{which}, task return {film.task_return:.4g}."
    if not film.ended:
        text = f"The first {settings.film_steps} steps of e{which}."
    player = element(
        "video", src=f"data:video/mp4;base64,{content}", controls=True, loop=True, muted=True,
        playsinline=True, preload="auto",
    )  # fmt: skip
    return element("div", player, element("p", text, class_="note"))


def _maps(played: PlayedEpisode, label: str, settings: EpisodeSettings) -> Html:
    parts = [element("h3", label)]
    try:
        found = run_maps(played, label, settings.maps)
        if found.maps:
            figure = draw_heat_maps(found, titled=False)
            parts.append(picture(figure, "Each reward term over two axes", "png"))
            held = found.caption.removeprefix(f"{label}: ")
            text = f"{held[0].upper()}{held[1:]}. Red pays, blue costs; dots: the episode."
            parts.append(element("p", text, class_="note"))
        parts += [element("p", note, class_="note") for note in found.notes]
    except (UserError, TrainingError) as error:
        parts.append(_missing("The heat maps", error))
    return element("div", *parts, class_="card")


def _missing(what: str, why: Exception | str) -> Html:
    return element("p", f"{what} cannot be shown: {why}", class_="note")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
