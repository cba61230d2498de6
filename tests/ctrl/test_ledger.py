"""The ledger of a trained policy: its sums, its picture, and the film of the same episode."""

import json

import numpy as np
import pytest

import ctrl
from ctrl.cli import main
from ctrl.evaluation import load_policy
from ctrl.ledger import play_episode
from ctrl.pictures.ledger import contribution_table, draw_ledger
from ctrl.pictures.style import save_png
from ctrl.run_folder import RunFolder
from ctrl.video import take_frames
from reward_models.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    ctrl.train(
        env={"id": "PointMass-v0", "n_envs": 2, "max_episode_steps": 12},
        algo={"name": "ppo", "n_steps": 32, "batch_size": 32, "n_epochs": 1},
        reward={"rnd": {"use": "rnd", "weight": 0.25}}, steps=128, out=folder,
        normalize_observations=True,
    )  # fmt: skip
    return RunFolder.open(folder)


def test_that_each_row_is_weight_times_value_over_scale_and_they_sum_up(run):
    played = play_episode(run, episode=1)
    rows, ledger = played.ledger.rows, played.ledger
    assert ledger.length == 12 == played.rollout.T
    for row in rows:
        expected = row["weight"] * row["raw"] / row["divisor"]
        assert row["contribution"] == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert {row["term"]: row["weight"] for row in rows} == {"task": 1.0, "rnd": 0.25}
    terms, paid = contribution_table(rows)
    assert terms == ("task", "rnd")
    last = [row["cumulative"] for row in rows[-2:]]
    np.testing.assert_allclose(paid.sum(0), last, rtol=1e-6)
    assert paid.sum() == pytest.approx(ledger.shaped_return, rel=1e-5)
    assert paid[:, 0].sum() == pytest.approx(ledger.task_return, rel=1e-5)


@pytest.mark.parametrize("episode", [0, 2])
def test_that_the_film_shows_the_episode_of_the_ledger(run, episode):
    model, config = load_policy(run)
    film = take_frames(model, config.env, seed=10_000, episode=episode)
    ledger = play_episode(run, seed=10_000, episode=episode).ledger
    assert film.ended
    assert len(film.frames) == ledger.length + 1
    assert film.task_return == pytest.approx(ledger.task_return, rel=1e-5)
    cut = take_frames(model, config.env, seed=10_000, episode=episode, max_steps=5)
    assert not cut.ended
    assert [(one == other).all() for one, other in zip(cut.frames, film.frames, strict=False)] == (
        [True] * 6
    )


def rows_of(paid):
    return [
        {"step": step, "term": name, "contribution": value}
        for step, values in enumerate(paid)
        for name, value in zip("ab", values, strict=True)
    ]


def test_that_costs_are_stacked_below_zero_and_gains_above():
    figure = draw_ledger(rows_of([(2.0, -1.0), (1.0, 3.0), (-2.0, -1.0)]))
    above = figure.axes[0]
    reach = {}
    for bar in above.patches:
        step = round(bar.get_x() + bar.get_width() / 2)
        ends = (bar.get_y(), bar.get_y() + bar.get_height())
        low, high = reach.get(step, (0.0, 0.0))
        reach[step] = (min(low, *ends), max(high, *ends))
    assert reach == {0: (-1.0, 2.0), 1: (0.0, 4.0), 2: (-3.0, 0.0)}
    sums = [line.get_ydata() for line in figure.axes[1].lines if len(line.get_ydata()) == 3]
    np.testing.assert_array_equal(sums, [[2, 3, 1], [-1, 2, 1], [1, 5, 2]])


@pytest.mark.parametrize("steps", [1, 2, 200])
def test_that_episodes_of_any_length_are_drawn_the_same_way_every_time(steps, tmp_path):
    paid = np.random.default_rng(0).normal(size=(steps, 2))
    for name in ("one.png", "two.png"):
        save_png(draw_ledger(rows_of(paid), title="$a_{ run"), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_the_command_draws_it(run, tmp_path, capsys):
    picture = tmp_path / "episode.png"
    words = ["ledger", str(run.path), "--episode", "0", "--png", str(picture), "--json"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert json.loads(said.strip().splitlines()[-1])["png"] == str(picture)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    for heading in ("raw", "divisor", "weight", "contribution", "cumulative"):
        assert heading in said
    with pytest.raises(UserError, match=r"picture\.png"):
        save_png(draw_ledger(rows_of([(1.0, 2.0)])), tmp_path / "picture.jpg")
