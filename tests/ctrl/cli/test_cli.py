"""The command line as a user meets it: outputs, exit codes, and errors that name the cure."""

import csv
import json
import pickle
import sys

import gymnasium
import numpy as np
import pytest

from ctrl.cli import main

SMALL = ["env.n_envs=2", "algo.n_steps=64", "algo.batch_size=64", "--quiet"]
TRAIN = ["train", "--env", "Hopper-v5", "--steps", "256", *SMALL]

MY_REWARDS = """
import torch

def fast(x_velocity):
    return x_velocity.float()

def height(observation):
    return observation[..., 0].float()

def broken(reward):
    reward = reward.clone()
    reward[3, 1] = float("nan")
    return reward

def flat(reward):
    return reward.sum(0)
"""


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MY_REWARDS)
    return tmp_path


def last_json(capsys):
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def failed(capsys, *arguments):
    """Run a command that must fail as a user's mistake, and return what it says."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr().err
    assert code == 2, said
    assert "Traceback" not in said
    return said


def test_the_whole_way_from_training_to_pictures(inside, capsys):
    terms = ["--reward", "rnd=0.1", "--reward", "mine.py:fast=0.5"]
    assert main([*TRAIN, *terms, "--out", "run", "--json"]) == 0
    trained = last_json(capsys)
    assert trained["steps"] == 256
    assert trained["finished"]
    assert trained["steps_per_second"] > 0
    assert set(trained["terms"]) == {"task", "rnd", "fast"}

    assert main(["eval", "run", "--episodes", "3", "--json"]) == 0
    evaluated = last_json(capsys)
    assert evaluated["episodes"] == 3
    low, high = evaluated["task_return_interval"]
    assert low <= evaluated["task_return_mean"] <= high

    assert main(["ledger", "run", "--csv", "ledger.csv", "--trust-code", "--json"]) == 0
    ledger = last_json(capsys)
    rows = list(csv.DictReader((inside / "ledger.csv").read_text().splitlines()))
    assert len(rows) == 3 * ledger["length"]
    fast = [row for row in rows if row["term"] == "fast"]
    assert float(fast[0]["weight"]) == 0.5
    assert sum(float(row["contribution"]) for row in fast) == pytest.approx(
        ledger["terms"]["fast"], rel=1e-4
    )

    assert main(["plot", "run", "--out", "curves.png", "--json"]) == 0
    drawn = last_json(capsys)
    assert (inside / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert drawn["groups"][0]["env"] == "Hopper-v5"

    assert main(["resume", "run", "--steps", "384", "--trust-code", "--quiet", "--json"]) == 0
    assert last_json(capsys)["steps"] == 384


def test_that_a_file_and_an_override_make_the_effective_configuration(inside, capsys):
    (inside / "job.yaml").write_text(
        "env: {id: Hopper-v5, n_envs: 2}\n"
        "algo: {name: ppo, n_steps: 64, batch_size: 64}\n"
        "reward:\n  constant: 0.5\n  rnd: 0.1\n  fast: {use: 'mine.py:fast', weight: 2}\n"
        "steps: 128\n"
    )
    command = ["train", "job.yaml", "--seed", "7", "reward.rnd.weight=0.05", "--out", "run"]
    assert main([*command, "--quiet", "algo.n_epochs=3"]) == 0
    config = (inside / "run" / "config.yaml").read_text()
    assert "weight: 0.05" in config
    assert "n_epochs: 3" in config
    assert "seed: 7" in config
    assert str(inside / "mine.py") in config


def test_that_several_seeds_train_at_once_and_are_plotted_together(inside, capsys):
    assert main([*TRAIN, "--seeds", "2", "--processes", "2", "--out", "runs", "--json"]) == 0
    found = last_json(capsys)
    assert [run["run_folder"] for run in found["runs"]] == ["runs/seed_0", "runs/seed_1"]
    returns = [run["task_return"] for run in found["runs"]]
    assert returns[0] != returns[1]
    assert found["task_return_iqm"] == pytest.approx(np.mean(returns))
    assert main(["plot", "runs", "--json"]) == 0
    out = capsys.readouterr().out
    assert "| ppo | 2 |" in out
    assert (inside / "runs" / "plot.png").is_file()


def test_that_a_video_is_written(inside):
    pytest.importorskip("imageio")
    assert main([*TRAIN, "--out", "run"]) == 0
    assert main(["eval", "run", "--episodes", "1", "--video", "episode.mp4"]) == 0
    assert (inside / "episode.mp4").stat().st_size > 1000


@pytest.mark.parametrize("what", ["rewards", "envs", "algos"])
def test_that_lists_name_what_exists(what, capsys):
    assert main(["list", what, "--json"]) == 0
    names = set(last_json(capsys)[what])
    expected = {
        "rewards": {"task", "constant", "potential", "rnd", "icm"},
        "envs": {"HalfCheetah-v5", "HalfCheetahGoal-v0", "CartPole-v1"},
        "algos": {"ppo", "a2c", "trpo", "recurrent_ppo", "sac", "td3", "ddpg", "dqn", "tqc"},
    }
    assert expected[what] <= names


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["trian"], "Did you mean 'train'"),
        (["train", "--evn", "Hopper-v5"], "Did you mean '--env'"),
        (["train", "--env", "Hoper-v5"], "Did you mean 'Hopper-v5'"),
        (["train", "--env", "Hopper-v5", "--algo", "pppo"], "Did you mean 'ppo'"),
        (["train", "--env", "Hopper-v5", "--reward", "rdn=0.1"], "Did you mean 'rnd'"),
        (["train", "--env", "Hopper-v5", "algo.n_step=64"], "Did you mean 'n_steps'"),
        (["train", "--env", "Hopper-v5", "step=64"], "Did you mean 'steps'"),
        (["train", "--env", "Hopper-v5", "--reward", "rnd=0.1", "reward.rnd.latent_sise=3"],
         "Did you mean 'latent_size'"),
        (["train", "--env", "Hopper-v5", "--reward", "mine.py:heigth"], "Did you mean 'height'"),
        (["train", "--env", "Hopper-v5", "--reward", "mime.py:fast"], "Did you mean 'mine.py'"),
        (["train", "--env", "Hopper-v5", "reward.rnd.scale=std_return"], "Valid: none,"),
        (["train", "--env", "Hopper-v5", "algo.n_envs=2"], "env.n_envs"),
        (["train", "--env", "Hopper-v5", "--reward", "rnd=big"], "is no number"),
        (["train", "--env", "Hopper-v5", "--steps", "0"], "steps must be at least 1"),
        (["train", "--env", "Hopper-v5", "--seeds", "x"], "--seeds takes a count"),
        (["train", "--env", "Hopper-v5", "env.backend=fast"], "backend must be one of"),
        (["train", "--env", "Hopper-v5", "env.ctrl_cost=3"], "Did you mean 'ctrl_cost_weight'"),
        (["train", "--env", "Hopper-v5", "--reward", "rnd=1", "reward.rnd.scal=none"],
         "Did you mean 'scale'"),
        (["train", "--env", "CartPole-v1", "--algo", "sac"], "action space"),
        (["train"], "needs an environment"),
        (["eval", "nowhere"], "does not exist"),
        (["plot", "nowhere"], "nowhere"),
        (["list", "env"], "Did you mean 'envs'"),
        (["check-reward", "rdn", "--env", "Hopper-v5"], "Did you mean 'rnd'"),
        (["check-env", "Hoper-v5"], "Did you mean 'Hopper-v5'"),
        (["check-env", "Pendulum-v1", "gg=3"], "Did you mean 'g'"),
        (["check-env", "Pendulum-v1", "--steps", "3"], "steps must be at least 20"),
        (["bench", "envs", "--families", "mujocco"], "Did you mean 'mujoco'"),
        (["bench", "envs", "--seconds", "0"], "--seconds must be positive"),
    ],
)  # fmt: skip
def test_that_mistakes_end_with_code_2_and_the_nearest_name(inside, capsys, words, hint):
    assert hint in failed(capsys, *words)
    assert not (inside / "runs").exists()


def test_that_errors_are_json_too_when_asked(capsys):
    assert main(["eval", "nowhere", "--json"]) == 2
    assert "does not exist" in last_json(capsys)["error"]


@pytest.mark.parametrize(
    ("reward", "says"),
    [("broken", "returned nan at time step 3, column 1"), ("flat", "got [2]")],
)
def test_that_a_bad_reward_stops_the_run_by_name(inside, capsys, reward, says):
    assert main([*TRAIN, "--reward", f"mine.py:{reward}", "--out", "run"]) == 1
    said = capsys.readouterr().err
    assert f"Reward term '{reward}'" in said
    assert says in said
    assert "The last good state is kept" in said
    assert list((inside / "run" / "checkpoints").glob("step_*"))


def test_that_own_code_of_a_run_folder_runs_only_on_request(inside, capsys):
    assert main([*TRAIN, "--reward", "mine.py:fast=0.5", "--out", "run"]) == 0
    (inside / "mine.py").write_text("raise SystemExit('it ran')")
    assert "--trust-code" in failed(capsys, "resume", "run", "--steps", "384")
    assert "--trust-code" in failed(capsys, "ledger", "run")
    # evaluation is by the task reward and needs no reward code at all
    assert main(["eval", "run", "--episodes", "1"]) == 0


def test_that_pickles_are_refused(inside, capsys):
    (inside / "policy.pkl").write_bytes(pickle.dumps({"weights": [1.0]}))
    assert "a pickle can run any code" in failed(capsys, "eval", "policy.pkl")


def test_that_check_reward_reports_every_violation(inside, capsys):
    assert main(["check-reward", "mine.py:flat", "--env", "Hopper-v5", "--json"]) == 1
    found = last_json(capsys)
    assert not found["ok"]
    assert found["violations"][0]["rule"] == "output"
    assert main(["check-reward", "mine.py:fast", "--env", "Hopper-v5"]) == 0
    assert main(["check-reward", "potential:mine.py:height", "--env", "Hopper-v5"]) == 0
    assert "potential_optimum" in capsys.readouterr().out


BROKEN_TASK = """
import gymnasium, numpy as np
from gymnasium import spaces

class Untidy(gymnasium.Env):
    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Discrete(2)
    def __init__(self, scale=1.0):
        self.scale = scale
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}
    def step(self, action):
        return np.full(1, self.scale * np.random.random(), np.float32), 0.0, False, False, {}

gymnasium.register("Untidy-v0", entry_point=Untidy, max_episode_steps=20)
"""


@pytest.fixture
def untidy(inside, monkeypatch):
    (inside / "untidy_task.py").write_text(BROKEN_TASK)
    monkeypatch.syspath_prepend(inside)
    yield "untidy_task:Untidy-v0"
    gymnasium.registry.pop("Untidy-v0", None)
    sys.modules.pop("untidy_task", None)


def test_that_check_env_lists_every_violation_and_ends_with_code_1(untidy, capsys):
    command = ["check-env", untidy, "--steps", "60", "--resets", "50", "--json"]
    assert main([*command, "scale=3"]) == 1
    captured = capsys.readouterr().out
    found = json.loads(captured.splitlines()[-1])
    rules = {violation["rule"] for violation in found["violations"]}
    assert {"observation", "seeding", "global_random"} <= rules
    assert not found["ok"]
    assert all(f"FAILED {rule}" in captured for rule in rules)
    assert main(["check-env", "Pendulum-v1", "g=3", *command[2:-1]]) == 0
    assert "keeps the contract" in capsys.readouterr().out


def test_that_environments_are_listed_by_family_with_what_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "RocketSim", None)
    assert main(["list", "envs", "--json"]) == 0
    out = capsys.readouterr().out
    families = json.loads(out.splitlines()[-1])["families"]
    assert families["mujoco"]["installed"]
    assert not families["rocket_league"]["installed"]
    assert "HopperGoal-v0" in families["mujoco"]["tasks"]
    assert 'Rocket League  (not installed: RocketSim; pip install "ctrl[rocket-league]")' in out
    assert " - RocketLeague1v1-v0" in out
    assert "hopper paid 1" in out


def test_that_bench_envs_prints_a_table_and_writes_it(inside, capsys):
    command = ["bench", "envs", "--families", "classic", "--seconds", "0.001", "--repeats", "2"]
    assert main([*command, "--out", "speed/classic.json", "--json"]) == 0
    out = capsys.readouterr().out
    document = json.loads((inside / "speed" / "classic.json").read_text())
    assert document == json.loads(out.splitlines()[-1])
    rows = document["groups"][0]["rows"]
    assert all(len(row["per_second"]) == 2 for row in rows.values())
    assert "Gymnasium loop" in out
