"""The learner's past as opponents: who is drawn, what is kept, and resuming."""

import json
import shutil

import numpy as np
import pytest
import torch

pytest.importorskip("RocketSim")

import ctrl
from ctrl.checkpoint import load_tree
from ctrl.config import EnvConfig, parse_config
from ctrl.evaluation import evaluate_run
from ctrl.opponents import absolute_opponent, with_opponent
from ctrl.run_folder import RunFolder
from ctrl.self_play.player import SnapshotPlayer
from ctrl.self_play.pool import SnapshotPool, SnapshotsConfig
from ctrl.self_play.ratings import Rating
from reward_models.errors import UnknownNameError, UserError

ENV = "RocketLeague1v1-v0"


def settings(**snapshots):
    return {
        "env": {
            "id": ENV, "n_envs": 4, "max_episode_steps": 6, "start": "random",
            "opponent": {"snapshots": {"every": 64, **snapshots}},
        },
        "algo": {"name": "ppo", "n_steps": 8, "batch_size": 16, "policy_kwargs": {"net_arch": [8]}},
        "seed": 1,
    }  # fmt: skip


class Stub:
    """A snapshot that always chooses its own number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def choose(self, observations):
        return np.full(len(observations), self.number), None


def pool_of_stubs(size: int, **options) -> SnapshotPool:
    pool = SnapshotPool(SnapshotsConfig(**options))
    for number in range(size):
        pool.names.append(f"step_{number:012d}")
        pool.ratings.append(Rating())
    pool.member = Stub  # type: ignore[method-assign, assignment]
    return pool


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "past"
    ctrl.train(steps=256, out=path, checkpoints={"every": 128, "keep": 9},
               normalize_observations=True, **settings(draw="rating"))  # fmt: skip
    return path


def test_that_snapshots_are_added_as_asked_and_are_the_learner_of_that_time(run):
    names = sorted(path.name for path in (run / "opponents").iterdir())
    assert names == [f"step_{steps:012d}" for steps in (0, 64, 128, 192)]
    for steps in (128,):
        snapshot = load_tree(run / "opponents" / f"step_{steps:012d}")
        checkpoint = load_tree(run / "checkpoints" / f"step_{steps:012d}")
        for key, value in snapshot["policy"].items():
            assert torch.equal(value, checkpoint["policy"][key])
        first = load_tree(run / "opponents" / "step_000000000000")["policy"]
        assert any(not torch.equal(first[key], snapshot["policy"][key]) for key in first)
    assert all(path.suffix in (".safetensors", ".json")
               for path in (run / "opponents").rglob("*") if path.is_file())  # fmt: skip


def test_that_a_run_goes_on_bit_for_bit(run, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(run, again)
    # Stopped after 128 steps: what came later is not there yet, but for a snapshot to be dropped.
    for path in (again / "checkpoints").glob("step_*"):
        if path.name > "step_000000000128":
            shutil.rmtree(path)
    shutil.rmtree(again / "final")
    ctrl.resume(again)
    for place in ("final", "opponents/step_000000000192"):
        ours, theirs = (load_tree(folder / place)["policy"] for folder in (again, run))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    last = "checkpoints/step_000000000256"
    pools = [
        load_tree(folder / last)["environments"]["columns"]["matches"]["opponent"]["player"]["pool"]
        for folder in (again, run)
    ]
    assert pools[0] == pools[1]
    assert len(pools[0]["results"]) > 10
    assert len(pools[0]["ratings"]) == 5


def test_that_evaluation_and_the_next_command_find_the_pool(run):
    config = RunFolder.open(run).config()
    assert config.env.options["opponent"]["snapshots"]["folder"] == str(run / "opponents")
    assert evaluate_run(RunFolder.open(run), episodes=2)["episodes"] == 2
    # The folder is not part of what was configured.
    assert "folder: null" in (run / "config.yaml").read_text()


def test_that_a_missing_snapshot_stops_resuming(run, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(run, again)
    shutil.rmtree(again / "opponents" / "step_000000000064")
    result = json.loads((again / "result.json").read_text())
    with pytest.raises(UserError, match=r"step_000000000064 is missing"):
        ctrl.resume(again, steps=result["steps"] + 64)


def test_that_each_match_keeps_its_opponent_for_a_whole_episode():
    player = SnapshotPlayer(pool_of_stubs(6, latest=0.0, active=3))
    player.seed(0)
    matches = [np.arange(8) // 2 == match for match in range(4)]
    for rows in matches:
        player.begin(rows)
    seen = np.zeros((4, 0), dtype=int)
    random = np.random.default_rng(0)
    for _ in range(300):
        before = player(np.zeros((8, 1)))
        assert (before.reshape(4, 2)[:, 0] == before.reshape(4, 2)[:, 1]).all()
        assert np.array_equal(player(np.zeros((8, 1))), before)
        begins = int(random.integers(4))
        player.begin(matches[begins])
        after = player(np.zeros((8, 1)))
        others = ~matches[begins]
        assert np.array_equal(after[others], before[others])
        seen = np.concatenate((seen, after.reshape(4, 2)[:, :1]), axis=1)
    # Everybody is met, and few at a time.
    assert set(seen.ravel().tolist()) == set(range(6))
    assert len(player._on) == 3


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"latest": 1.0}, [0, 0, 0, 0, 1.0]),
        ({"latest": 0.0}, [0.2, 0.2, 0.2, 0.2, 0.2]),
        ({"latest": 0.5, "keep": 2}, [0, 0, 0, 0.25, 0.75]),
    ],
)
def test_how_often_each_is_drawn(options, expected):
    from scipy.stats import binomtest

    pool, generator = pool_of_stubs(5, **options), np.random.default_rng(0)
    counts = np.bincount([pool.draw(generator) for _ in range(2000)], minlength=5)
    for count, chance in zip(counts.tolist(), expected, strict=True):
        if chance in (0, 1.0):
            assert count == 2000 * chance
        else:
            assert binomtest(count, 2000, chance).pvalue > 1e-3


def test_that_draws_by_rating_prefer_equals():
    pool = pool_of_stubs(3, draw="rating", latest=0.0)
    pool.learner = Rating(30.0, 1.0)
    pool.ratings = [Rating(5.0, 1.0), Rating(30.0, 1.0), Rating(20.0, 1.0)]
    generator = np.random.default_rng(0)
    counts = np.bincount([pool.draw(generator) for _ in range(2000)], minlength=3)
    chances = np.array([pool._model.chance(pool.learner, each) for each in pool.ratings])
    weights = chances * (1 - chances)
    assert np.abs(counts / 2000 - weights / weights.sum()).max() < 0.04
    assert counts[1] > counts[2] > counts[0]


def test_that_results_are_booked_for_who_played():
    pool = pool_of_stubs(2, latest=1.0, draw="rating")
    player = SnapshotPlayer(pool)
    rows = np.ones(1, dtype=bool)
    player.begin(rows)
    assert not pool.results, "nothing was played before the first episode"
    player(np.zeros((1, 1)))
    player.result(rows, 1)
    player.begin(rows)
    player.begin(rows)
    player.result(rows, -1)
    player.begin(rows)
    assert list(pool.results) == [1, 0, -1]
    assert pool.ratings[0] == Rating()
    assert pool.ratings[1] != Rating()
    silent = SnapshotPlayer(pool, keeps_score=False)
    silent.begin(rows)
    silent.begin(rows)
    assert len(pool.results) == 3


def test_what_is_refused():
    def made(**snapshots):
        return with_opponent(EnvConfig(ENV, options={"opponent": {"snapshots": snapshots}}))

    with pytest.raises(UnknownNameError, match="every"):
        made(evry=3)
    with pytest.raises(UnknownNameError, match="rating"):
        made(draw="ratin")
    for wrong in ({"every": 0}, {"keep": 0}, {"active": 0}):
        with pytest.raises(UserError, match="at least 1"):
            made(**wrong)
    with pytest.raises(UserError, match="latest must be in"):
        made(latest=1.5)
    slow = EnvConfig(ENV, backend="processes", options={"opponent": "snapshots"})
    with pytest.raises(UserError, match=r"env.backend: auto"):
        with_opponent(slow)
    player = with_opponent(EnvConfig(ENV, options={"opponent": "snapshots"}))["opponent"]
    with pytest.raises(UserError, match="pool of snapshots is empty"):
        player(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("algo", "kind"),
    [("recurrent_ppo", "recurrent"), pytest.param("sbx_ppo", "of SBX", marks=pytest.mark.jax)],
)
def test_that_learners_whose_snapshots_cannot_play_are_refused(algo, kind, tmp_path):
    config = settings() | {"algo": {"name": algo, "n_steps": 8, "batch_size": 16}}
    with pytest.raises(UserError, match=f"{kind}.*Leave env.opponent out"):
        ctrl.train(steps=64, out=tmp_path / "run", **config)
    assert not (tmp_path / "run").exists()


def test_that_a_configuration_survives_being_written():
    config = absolute_opponent(parse_config({"steps": 1, **settings(keep=3)}).env)
    assert config.options["opponent"]["snapshots"]["keep"] == 3
    assert absolute_opponent(config) == config
