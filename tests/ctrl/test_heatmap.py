"""Heat maps against rewards that are known in closed form."""

import json

import numpy as np
import pytest
import torch

import ctrl
from ctrl.cli import main
from ctrl.heatmap import HeatMapSettings, find_axis, heat_map
from ctrl.heatmap_sources import reward_maps, run_maps
from ctrl.ledger import play_episode
from ctrl.run_folder import RunFolder
from reward_models.base import as_reward_model
from reward_models.errors import UserError
from reward_models.potential import FunctionPotential
from reward_models.rollout import Rollout

GAMMA = 0.9


def make_record(steps=20, columns=2, seed=0):
    random = np.random.default_rng(seed)
    size = (steps, columns)
    ended = np.zeros(size, dtype=bool)
    ended[-1] = True
    return Rollout(
        observation=random.normal(size=(*size, 3)).astype(np.float32),
        action=random.uniform(-1, 1, size=(*size, 2)).astype(np.float32),
        next_observation=random.normal(size=(*size, 3)).astype(np.float32),
        reward=np.zeros(size), terminated=ended, truncated=~ended & False,
        state={
            "ball": random.normal(size=(*size, 2)).astype(np.float32),
            "lives": random.integers(0, 4, size=size),
        },
    )  # fmt: skip


def evaluate(reward):
    return as_reward_model(reward)


def test_that_a_potential_keeps_the_recorded_change():
    record = make_record().flatten()
    model = FunctionPotential(lambda s: s[..., 0] ** 2 + 3 * s[..., 1], gamma=GAMMA)
    step = 5
    found = heat_map(
        "phi", evaluate(model), record,
        HeatMapSettings(x="0", y="observation.1", grid=7, at=step),
    )  # fmt: skip
    change = (record.next_observation - record.observation)[0, step].double().numpy()
    x, y = np.meshgrid(found.x, found.y)
    expected = GAMMA * ((x + change[0]) ** 2 + 3 * (y + change[1])) - (x**2 + 3 * y)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)
    assert found.held == "all else as in recorded step 5"
    assert (found.x_name, found.y_name) == ("observation.0", "observation.1")


def test_that_state_and_action_are_set_to_the_value():
    record = make_record()
    found = heat_map(
        "r", evaluate(lambda action, ball: ball[..., 1] - action[..., 0].abs()), record,
        HeatMapSettings(x="action.0", y="ball.1", grid=5, x_range=(-2, 2), y_range=(0, 1)),
    )  # fmt: skip
    x, y = np.meshgrid(np.linspace(-2, 2, 5), np.linspace(0, 1, 5))
    np.testing.assert_allclose(found.values, y - np.abs(x), atol=1e-6)


def test_that_the_mean_is_over_single_steps_that_do_not_end_the_task():
    record = make_record(columns=1)

    def product(observation, next_observation):
        return observation[..., 0] * next_observation[..., 2]

    common = {"x": "0", "y": "1", "grid": 4, "x_range": (-1, 1), "y_range": (-1, 1)}
    single = [
        heat_map("r", evaluate(product), record, HeatMapSettings(**common, at=step)).values
        for step in range(19)  # the last of 20 steps ends the task
    ]
    mean = heat_map("r", evaluate(product), record, HeatMapSettings(**common, over=100))
    np.testing.assert_allclose(mean.values, np.mean(single, axis=0), atol=1e-6)
    assert mean.held == "mean over 19 recorded transitions"


def test_that_the_axes_that_move_a_reward_are_found():
    record = make_record()
    found = heat_map(
        "r", evaluate(lambda observation, ball: 5 * ball[..., 0] + observation[..., 2]), record,
        HeatMapSettings(grid=4),
    )  # fmt: skip
    assert (found.x_name, found.y_name) == ("state.ball.0", "observation.2")
    assert not found.is_flat
    constant = heat_map("c", evaluate(lambda reward: reward + 0.1), record, HeatMapSettings())
    assert constant.is_flat


def test_that_whole_numbers_stay_whole_and_undefined_is_nan():
    record = make_record()

    def few(rollout):
        lives = rollout["state.lives"]
        return lives.float() / (lives > 0)  # undefined without a life: 0 / 0

    found = heat_map("r", evaluate(few), record, HeatMapSettings(x="lives", y="0", grid=60))
    np.testing.assert_array_equal(found.x, [0, 1, 2, 3])
    assert found.whole == (True, False)
    assert np.isnan(found.values[:, 0]).all()
    np.testing.assert_allclose(found.values[:, 2], 2.0)


def test_that_the_record_is_left_as_it_was():
    record = make_record()
    before = {key: value.clone() for key, value in record.data.items()}
    heat_map("r", evaluate(lambda observation: observation.sum(-1)), record, HeatMapSettings())
    for key, value in record.data.items():
        assert (value == before[key]).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"x": "bal.0", "y": "0"}, r"Did you mean 'state.ball.0'.*state.ball.0-1"),
        ({"x": "7", "y": "0"}, "Unknown axis '7'"),
        ({"x": "0", "y": "observation.0"}, "same axis"),
        ({"x": "0"}, "both axes"),
        ({"grid": 1}, "--grid"),
        ({"at": 40}, "0 to 39"),
        ({"over": 0}, "--over"),
        ({"x": "0", "y": "1", "x_range": (1.0, 1.0)}, "LOW below HIGH"),
        ({"x_range": (0.0, 1.0)}, "needs its axis"),
    ],
)
def test_that_mistakes_are_named_with_the_cure(settings, said):
    with pytest.raises(UserError, match=said):
        heat_map("r", evaluate(lambda reward: reward), make_record(), HeatMapSettings(**settings))


def test_that_one_number_is_no_map():
    flags = torch.zeros(4, 1, dtype=torch.bool)
    record = Rollout(
        observation=torch.zeros(4, 1), action=torch.zeros(4, 1, 2, 600),
        next_observation=torch.zeros(4, 1), reward=torch.zeros(4, 1),
        terminated=flags, truncated=flags,
    )  # fmt: skip
    assert find_axis(record, "action.1.599").index == (1, 599)
    with pytest.raises(UserError, match="needs two numbers"):
        heat_map("r", evaluate(lambda reward: reward), record, HeatMapSettings())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    ctrl.train(
        env={"id": "PointMass-v0", "n_envs": 2, "max_episode_steps": 16},
        algo={"name": "ppo", "n_steps": 32, "batch_size": 32, "n_epochs": 1},
        reward={"rnd": {"use": "rnd", "weight": 0.5}}, steps=128, out=folder,
    )  # fmt: skip
    return folder


def test_that_the_terms_of_a_run_are_drawn_as_they_contribute(run):
    played = play_episode(RunFolder.open(run))
    found = run_maps(played, "run", HeatMapSettings(x="0", y="1", grid=3, at=4))
    assert [one.name for one in found.maps] == ["rnd"]
    assert "task has no heat map" in found.notes[0]
    # Asked for where the step was recorded, the map is the ledger.
    here = played.rollout.observation[4, 0].double().numpy()
    exact = HeatMapSettings(
        x="0", y="1", grid=2, at=4, x_range=(here[0], here[0] + 1), y_range=(here[1], here[1] + 1)
    )
    value = run_maps(played, "run", exact).maps[0].values[0, 0]
    row = next(r for r in played.ledger.rows if (r["step"], r["term"]) == (4, "rnd"))
    assert value == pytest.approx(row["contribution"], rel=1e-4)


def test_that_what_nothing_moves_is_left_out_unless_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = reward_maps(["constant"], env="PointMass-v0", settings=HeatMapSettings(), steps=32)
    assert found.maps == ()
    assert "constant has no heat map" in found.notes[0]
    asked = HeatMapSettings(x="0", y="1", grid=3)
    found = reward_maps(["constant"], env="PointMass-v0", settings=asked, steps=32)
    assert found.maps[0].is_flat
    assert "same everywhere" in found.notes[0]


def test_the_command(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def still(action):\n    return -action.square().sum(-1)\n")
    words = ["heatmap", "mine.py:still", "--env", "PointMass-v0", "--x", "action.0",
             "--y", "action.1", "--grid", "5", "--x-range", "-2", "2", "--json"]  # fmt: skip
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert document["axes"] == {"mine.py:still": ["action.0", "action.1"]}
    assert (tmp_path / document["heatmap"]).read_bytes()[:4] == b"\x89PNG"
    assert main(["heatmap", str(run), "--grid", "4", "--out", "run.png"]) == 0
    assert (tmp_path / "run.png").is_file()
    assert main(["heatmap", "task", "--env", "PointMass-v0"]) == 2
    assert "cannot be asked" in capsys.readouterr().err
    assert main(["heatmap", "mine.py:still"]) == 2
    assert main(["heatmap", "rnd", "icm"]) == 2
    assert "with --env" in capsys.readouterr().err


def test_that_a_reward_with_a_memory_has_no_map(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "memory.py").write_text(
        "from reward_models.base import RewardModel\n\n\n"
        "class Memory(RewardModel):\n"
        "    replayable = False\n\n"
        "    def forward(self, rollout):\n"
        "        return rollout.reward\n"
    )
    with pytest.raises(UserError, match="more than one step"):
        reward_maps(["memory.py:Memory"], env="PointMass-v0", settings=HeatMapSettings())
