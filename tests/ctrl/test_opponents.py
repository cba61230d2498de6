"""Frozen runs as opponents: chosen by path, seeded, and never executed."""

import random

import numpy as np
import pytest
import torch
import yaml

pytest.importorskip("RocketSim")

import ctrl
import envs
from ctrl.build import build_env
from ctrl.config import EnvConfig, parse_config
from ctrl.evaluation import evaluate_run, load_policy
from ctrl.opponents import (
    FrozenPolicy,
    OpponentPool,
    absolute_opponent,
    parse_opponent,
    with_opponent,
    without_opponent,
)
from ctrl.run_folder import RunFolder
from reward_models.errors import UnknownNameError, UserError

ENV = "RocketLeague1v1-v0"
SMALL = {"name": "ppo", "n_steps": 8, "batch_size": 16, "policy_kwargs": {"net_arch": [8]}}


def trained(path, *, seed=0, opponent=None, normalize=False):
    env = {"id": ENV, "n_envs": 4, "max_episode_steps": 20}
    if opponent is not None:
        env["opponent"] = opponent
    ctrl.train(env=env, algo=SMALL, steps=64, seed=seed, out=path, normalize_observations=normalize)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [
        trained(folder / "first", seed=0, normalize=True),
        trained(folder / "second", seed=1),
    ]


@pytest.fixture(scope="module")
def observations():
    env = envs.make_vec(ENV, 6)
    found, _ = env.reset(seed=0)
    env.close()
    return found


def test_that_it_acts_as_the_run_does_with_the_runs_normaliser(runs, observations):
    model, _ = load_policy(RunFolder.open(runs[0]))
    scaled = model.env.normalize_obs(observations)
    assert not np.array_equal(scaled, observations)
    expected, _ = model.predict(scaled, deterministic=True)
    player = FrozenPolicy(runs[0], deterministic=True)
    assert np.array_equal(player(observations), expected)


def test_that_its_draws_are_its_own(runs, observations):
    player = FrozenPolicy(runs[1])
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    player.seed(3)
    first = [player(observations).tolist() for _ in range(5)]
    torch.manual_seed(1)
    player.seed(3)
    assert [player(observations).tolist() for _ in range(5)] == first
    player.seed(4)
    assert [player(observations).tolist() for _ in range(5)] != first
    torch.manual_seed(0)
    player(observations)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]


def test_that_players_share_weights_and_nothing_else(runs, observations):
    player = FrozenPolicy(runs[1])
    player.seed(0)
    other = player.fresh()
    first = [player(observations).tolist() for _ in range(3)]
    assert other._policy is player._policy
    assert [other(observations).tolist() for _ in range(3)] == first


def test_that_a_saved_player_goes_on_where_it_was(runs, observations):
    pool = OpponentPool([FrozenPolicy(run) for run in runs])
    pool.seed(5)
    pool(observations)
    saved = pool.snapshot()
    ahead = [pool(observations).tolist() for _ in range(3)]
    pool.begin(np.arange(6) < 3)
    pool.restore(saved)
    assert [pool(observations).tolist() for _ in range(3)] == ahead


def test_that_a_pool_draws_one_member_for_every_episode(runs, observations):
    members = [FrozenPolicy(run, deterministic=True) for run in runs]
    pool = OpponentPool(members)
    pool.seed(0)
    answers = np.stack([member(observations) for member in members])
    assert (answers[0] != answers[1]).any()
    rows = np.arange(6) < 2
    seen = set()
    for _ in range(20):
        pool.begin(rows)
        actions = pool(observations)
        drawn = [np.array_equal(actions[:2], answer[:2]) for answer in answers]
        assert any(drawn)
        seen.add(tuple(pool._drawn[:2].tolist()))
    assert seen == {(0, 0), (1, 1)}


def test_that_a_configuration_names_it_and_a_seed_is_a_match(runs):
    config = EnvConfig(ENV, options={"opponent": str(runs[1])})

    def play(seed):
        env = build_env(config, n_envs=2, seed=seed)
        seen = [env.reset()]
        for _ in range(15):
            seen.append(env.step(np.array([18, 18]))[0])
        env.close()
        return np.array(seen)

    assert np.array_equal(play(0), play(0))
    assert not np.array_equal(play(0), play(1))
    idle = build_env(EnvConfig(ENV, options={"opponent": "idle"}), n_envs=2, seed=0)
    still = [idle.reset()] + [idle.step(np.array([18, 18]))[0] for _ in range(15)]
    assert not np.array_equal(np.array(still), play(0))


def test_that_training_and_evaluation_against_it_work(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(runs[0].parent)
    path = trained(tmp_path / "third", opponent={"runs": ["first", "second"]})
    result = evaluate_run(RunFolder.open(path), episodes=2)
    assert result["episodes"] == 2
    # The opponents of a run are not needed to load its policy.
    monkeypatch.chdir(tmp_path)
    assert load_policy(RunFolder.open(path))[0] is not None


def test_that_a_wrong_path_names_the_nearest_run(runs):
    wrong = str(runs[0].parent / "frist")
    with pytest.raises(UserError, match=r"Did you mean '.*first'"):
        with_opponent(EnvConfig(ENV, options={"opponent": wrong}))
    with pytest.raises(UserError, match="Did you mean 'idle'"):
        with_opponent(EnvConfig(ENV, options={"opponent": "idel"}))
    with pytest.raises(UnknownNameError, match="deterministic"):
        parse_opponent({"runs": [str(runs[0])], "deterministc": True})
    with pytest.raises(UserError, match="names no run folder"):
        parse_opponent({"runs": []})
    with pytest.raises(UserError, match="must be a run folder"):
        parse_opponent(3)


def test_that_another_task_keeps_its_own_option_of_that_name():
    config = EnvConfig("CartPole-v1", options={"opponent": "strong"})
    assert with_opponent(config) == {"opponent": "strong"}
    assert without_opponent(config) == config


def test_that_observations_of_another_team_size_are_refused(runs):
    config = EnvConfig("RocketLeague2v2-v0", options={"opponent": str(runs[0])})
    env = build_env(config, n_envs=2, seed=0)
    env.reset()
    with pytest.raises(UserError, match="was trained on observations of shape"):
        env.step(np.array([0, 0]))
    env.close()


def test_that_a_run_with_code_of_its_own_is_refused(runs, tmp_path):
    folder = RunFolder.open(runs[0])
    plain = yaml.safe_load(folder.config_file.read_text())
    plain["env"]["id"] = "somebodys_module:Own-v0"
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "config.yaml").write_text(parse_config(plain).to_yaml())
    with pytest.raises(UserError, match="environment of its own code"):
        FrozenPolicy(strange)


def test_that_a_pickle_in_the_folder_is_refused(runs, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(runs[1], copy)
    (copy / "final" / "more.pkl").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(UserError, match="pickle"):
        FrozenPolicy(copy)


def test_that_paths_are_written_out(runs, monkeypatch):
    monkeypatch.chdir(runs[0].parent)
    config = absolute_opponent(EnvConfig(ENV, options={"opponent": ["first"]}))
    written = config.options["opponent"]
    assert written == {"runs": [str(runs[0].resolve())], "deterministic": False, "best": False}
    assert parse_opponent(written).runs == (str(runs[0].resolve()),)
    assert absolute_opponent(EnvConfig(ENV)) == EnvConfig(ENV)
