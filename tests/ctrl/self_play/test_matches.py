"""Matches between policies, ratings, and the command."""

import json

import numpy as np
import pytest

pytest.importorskip("RocketSim")

import ctrl
import envs
from ctrl.cli import main
from ctrl.config import EnvConfig
from ctrl.self_play.matches import play_matches
from ctrl.self_play.ratings import Rating, RatingModel
from ctrl.self_play.tournament import _interleaved, find_entrants, tournament
from envs.rocket_league.actions import ACTION_TABLE, IDLE
from reward_models.errors import UserError

ENV = "RocketLeague1v1-v0"
SMALL = {"name": "ppo", "n_steps": 8, "batch_size": 16, "policy_kwargs": {"net_arch": [8]}}
FORWARD = int(np.flatnonzero((ACTION_TABLE == [1, 0, 0, 0, 0, 0, 0, 0]).all(axis=1))[0])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("first", "second")):
        ctrl.train(
            env={"id": ENV, "n_envs": 4, "max_episode_steps": 20}, algo=SMALL, steps=96,
            seed=seed, out=folder / name, checkpoints={"every": 32, "keep": 9},
        )  # fmt: skip
    return folder


def driving(observations):
    """Drive straight on."""
    return np.full(len(observations), FORWARD)


def still(observations):
    return np.full(len(observations), IDLE)


def test_that_both_sides_count_for_the_right_player():
    # The ball rolls into a goal whoever drives: a player's wins are decided by its side alone.
    def roll(start, random):
        start.ball_position[:2] = (0.0, 4300.0)
        start.ball_velocity[1] = 1500.0
        start.car_position[:, :2] = (-3000.0, -3000.0), (3000.0, -3000.0)

    env = EnvConfig(ENV, options={"start": roll})
    found = play_matches(("a", still), ("b", still), env, minutes=0.5, matches=2)
    won, drawn, lost = found.counts
    # Blue always scores, and each is blue in every second match.
    assert won == lost > 3
    assert drawn == 0
    assert found.rates["goals"][0] == pytest.approx(found.rates["goals"][1])
    assert found.rates["goals"][0] * found.minutes == pytest.approx(won)
    assert found.minutes == pytest.approx(0.5, rel=0.02)


def test_that_who_drives_touches_the_ball():
    def near(start, random):
        # Neither stands where the other one sends the ball.
        start.car_position[:, :2] = (-1000.0, 0.0), (0.0, 1000.0)
        start.car_rotation[:, 0] = 0.0, -0.5 * np.pi

    env = EnvConfig(ENV, options={"start": near, "no_touch_seconds": 3})
    found = play_matches(("a", driving), ("b", still), env, minutes=0.5, matches=4)
    touches = found.rates["touches"]
    assert touches[0] > 5.0
    assert touches[0] > touches[1]


def test_that_rating_orders_players_and_does_not_care_about_names():
    model = RatingModel()
    better, worse = model.after(Rating(), Rating(), 1)
    assert better.mean > 25.0 > worse.mean
    assert better.deviation < Rating().deviation
    swapped = model.after(Rating(), Rating(), -1)
    assert (swapped[1].mean, swapped[0].mean) == pytest.approx((better.mean, worse.mean))
    equal = model.after(Rating(), Rating(), 0)
    assert equal[0].mean == pytest.approx(25.0) == equal[1].mean
    assert model.chance(Rating(), Rating()) == pytest.approx(0.5)
    assert model.chance(better, worse) > 0.5
    # Strengths 0, 1, 2 on a logistic scale, 60 matches of each pair.
    random, results = np.random.default_rng(0), []
    for first, second in ((0, 1), (0, 2), (1, 2)):
        for _ in range(60):
            first_wins = random.random() < 1 / (1 + np.exp(1.5 * (second - first)))
            results.append((str(first), str(second), 1 if first_wins else -1))
    random.shuffle(results)
    found = model.rate(["0", "1", "2"], [(a, b, int(r)) for a, b, r in results])
    assert found["0"].mean < found["1"].mean < found["2"].mean
    assert found["2"].lower > found["0"].mean


def test_that_results_are_rated_in_turn():
    env = EnvConfig(ENV, options={"no_touch_seconds": 1})
    pair = [play_matches((a, still), ("z", still), env, minutes=0.2, matches=2) for a in "ab"]
    rows = _interleaved(pair)
    assert [row[0] for row in rows[:4]] == ["a", "b", "a", "b"]
    assert {row[2] for row in rows} == {0}


def test_the_command_and_what_it_writes(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(runs)
    moments = tmp_path / "moments.safetensors"
    code = main(
        ["match", "first", "second@32", "--minutes", "0.5", "--matches", "2", "--start", "random",
         "--record", str(moments), "--out", str(tmp_path / "m.json"), "--quiet", "--json"]
    )  # fmt: skip
    assert code == 0
    shown = capsys.readouterr().out
    assert "second@32" in shown.splitlines()[2] + shown.splitlines()[3]
    document = json.loads(shown.splitlines()[-1])
    assert document == json.loads((tmp_path / "m.json").read_text())
    assert {each["name"] for each in document["players"]} == {"first", "second@32"}
    assert document["encounters"][0]["minutes"] == pytest.approx(0.5, rel=0.05)
    env = envs.make_vec(ENV, 2, start=str(moments))
    env.reset(seed=0)
    env.close()
    again = tournament(find_entrants(["first", "second@32"]), minutes=0.5, matches=2,
                       start="random")  # fmt: skip
    assert again["encounters"] == document["encounters"]


def test_that_snapshots_of_one_run_meet(runs):
    names = [each.name for each in find_entrants([str(runs / "first")], snapshots=3)]
    assert [name.partition("@")[2] for name in names] == ["32", "96", ""]


def test_what_is_refused(runs, tmp_path):
    first = str(runs / "first")
    with pytest.raises(UserError, match=r"no snapshot at 33 steps. It has: 32, 64, 96"):
        find_entrants([f"{first}@33"])
    with pytest.raises(UserError, match="two different players"):
        find_entrants([first])
    with pytest.raises(UserError, match="two different players"):
        find_entrants([first, first])
    with pytest.raises(UserError, match="Did you mean"):
        find_entrants([first, str(runs / "secnd")])
    ctrl.train(env={"id": ENV, "n_envs": 2, "tick_skip": 4}, algo=SMALL, steps=16,
               out=tmp_path / "fast")  # fmt: skip
    with pytest.raises(UserError, match=r"env.tick_skip is None for one and 4 for the other"):
        tournament(find_entrants([first, str(tmp_path / "fast")]))
    for options in ({"matches": 3}, {"minutes": 0.0}):
        with pytest.raises(UserError, match="must be"):
            play_matches(("a", still), ("b", still), EnvConfig(ENV), **options)
    with pytest.raises(UserError, match="two equal teams, got RocketLeagueSolo-v0"):
        play_matches(("a", still), ("b", still), EnvConfig("RocketLeagueSolo-v0"))
