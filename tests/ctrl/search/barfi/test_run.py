from __future__ import annotations

import csv
import functools
import json
import shutil

import pytest
import torch
from gymnasium import spaces

from ctrl.checkpoint import load_tree
from ctrl.cli import main
from ctrl.config import parse_config
from ctrl.search.barfi import align, resume_align
from ctrl.search.barfi.config import parse_align
from ctrl.training import train
from reward_models.blend import BehaviourAlignment
from reward_models.check import check_reward
from reward_models.errors import UnknownNameError, UserError
from reward_models.mix import RewardMix, Term
from reward_models.rollout import Rollout

TABLE, MOVES = spaces.Discrete(9), spaces.Discrete(2)


def _plain(plain_settings, **changes):
    """Hints that are no code of the test's own, so that their folder needs no trust."""
    hint = {"use": "constant", "value": 0.25, "weight": 2.0}
    return plain_settings(reward={"hint": hint}, **changes)


@pytest.fixture
def run(plain_settings, tmp_path):
    return align(_plain(plain_settings), out=tmp_path / "run")


def _load(folder, **options):
    return BehaviourAlignment(path=folder, observation_space=TABLE, action_space=MOVES, **options)


def _rows(folder):
    return list(csv.DictReader((folder / "progress.csv").read_text().splitlines()))


def _rollout(steps=5, columns=2, **state):
    generator = torch.Generator().manual_seed(0)
    flags = torch.zeros(steps, columns, dtype=torch.bool)
    place = torch.randint(9, (steps + 1, columns), generator=generator)
    return Rollout(
        observation=place[:-1],
        action=torch.randint(2, (steps, columns), generator=generator),
        next_observation=place[1:],
        reward=torch.randn(steps, columns, generator=generator),
        terminated=flags,
        truncated=flags.clone(),
        state=state or None,
    )


def test_a_run_folder_has_everything(run, tmp_path):
    folder = tmp_path / "run"
    assert run.finished
    assert run.iterations == 6
    rows = _rows(folder)
    assert len(rows) == 6
    assert {"return/task", "return/hint", "blend/phi_3/hint", "blend/discount"} <= set(rows[-1])
    assert int(rows[-1]["time/total_timesteps"]) == run.steps
    assert json.loads((folder / "result.json").read_text()) == run.as_dict()
    assert set(load_tree(folder / "final")) == {"weight"}
    assert any(path.name.startswith("events") for path in folder.iterdir())


def test_the_reward_is_the_learned_blend(run, tmp_path):
    model = _load(tmp_path / "run" / "reward")
    rollout = _rollout()
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    weight = load_tree(newest)["coefficients"]["weight"]
    expected = weight[0][rollout.observation] + rollout.reward
    expected = expected + 0.5 * weight[1][rollout.observation]
    torch.testing.assert_close(model(rollout), expected.float())
    assert model.discount == run.discount
    assert not any(parameter.requires_grad for parameter in model.parameters())
    metrics = model.update(rollout)
    assert metrics["phi_2"] == 1.0
    assert metrics["phi_3/hint"] == pytest.approx(float(weight[1][rollout.observation].mean()))


def test_it_meets_the_contract(run, tmp_path):
    report = check_reward(
        functools.partial(BehaviourAlignment, path=tmp_path / "run" / "reward"),
        observation_space=TABLE,
        action_space=MOVES,
    )
    assert report.ok, report


def test_a_mix_logs_its_weights(run, tmp_path):
    model = _load(tmp_path / "run" / "reward")
    mix = RewardMix({"task": 0.0, "aligned": Term(model)}, gamma=0.99)
    mixed, metrics = mix.collect(_rollout(), steps=10)
    torch.testing.assert_close(mixed.total, model(_rollout()))
    assert {"aligned/phi_1", "aligned/phi_2", "aligned/phi_3/hint"} == set(metrics)


@pytest.mark.parametrize("learner", ["ppo", "dqn"])
def test_learners_train_on_it(run, tmp_path, learner):
    options = {
        "ppo": {"n_steps": 16, "batch_size": 16, "n_epochs": 1},
        "dqn": {"learning_starts": 16, "buffer_size": 100},
    }
    config = parse_config(
        {
            "env": {"id": "LureCorridor-v0", "n_envs": 2, "observation": "index"},
            "algo": {"name": learner, "gamma": run.discount, **options[learner]},
            "reward": {
                "task": 0,
                "aligned": {
                    "use": "behaviour_alignment",
                    "path": str(tmp_path / "run" / "reward"),
                },
            },
            "steps": 64,
        }
    )
    assert train(config, out=tmp_path / "policy").finished


def test_own_code_needs_trust(plain_settings, tmp_path):
    align(plain_settings(iterations=2), out=tmp_path / "run")
    with pytest.raises(UserError, match="trust_code: true"):
        _load(tmp_path / "run" / "reward")
    model = _load(tmp_path / "run" / "reward", trust_code=True)
    assert model.requires == {"state.auxiliary_reward_bad"}
    zeros = torch.zeros(5, 2)
    paid = model(_rollout(auxiliary_reward_bad=zeros + 1)) - model(
        _rollout(auxiliary_reward_bad=zeros)
    )
    phi = model.coefficients(_rollout().observation)[..., 2]
    torch.testing.assert_close(paid, phi.float())


def test_a_damaged_or_missing_reward_is_refused(run, tmp_path):
    folder = tmp_path / "run" / "reward"
    with pytest.raises(UserError, match="ctrl align"):
        _load(tmp_path)
    with pytest.raises(UserError, match="other observations"):
        BehaviourAlignment(path=folder, observation_space=spaces.Discrete(5), action_space=MOVES)
    broken = shutil.copytree(folder, tmp_path / "broken")
    (broken / "reward.safetensors").write_bytes(b"\x80\x04 no tensors")
    with pytest.raises(UserError, match="damaged"):
        _load(broken)


def test_an_interrupted_run_goes_on_bit_for_bit(plain_settings, tmp_path):
    changes = {"discount": {"learning_rate": 0.1}, "checkpoints": {"every": 3, "keep": 5}}
    align(_plain(plain_settings, **changes), out=tmp_path / "whole")
    align(_plain(plain_settings, **changes), out=tmp_path / "cut")
    newest = sorted((tmp_path / "cut" / "checkpoints").iterdir())
    shutil.rmtree(newest[-1])
    shutil.rmtree(tmp_path / "cut" / "reward")
    resumed = resume_align(tmp_path / "cut")
    assert resumed.finished
    for name in ("reward/reward.safetensors", "final/policy.safetensors", "progress.csv"):
        whole, cut = (tmp_path / run / name for run in ("whole", "cut"))
        assert whole.read_bytes() == cut.read_bytes(), name
    with pytest.raises(UserError, match="is finished"):
        resume_align(tmp_path / "cut")


def test_resuming_own_code_needs_trust(plain_settings, tmp_path):
    align(plain_settings(iterations=2), out=tmp_path / "run")
    with pytest.raises(UserError, match="trust"):
        resume_align(tmp_path / "run", iterations=3)
    assert resume_align(tmp_path / "run", iterations=3, trust_code=True).iterations == 3


def test_a_baseline_leaves_no_reward(plain_settings, tmp_path):
    align(_plain(plain_settings, baseline="naive"), out=tmp_path / "run")
    assert not (tmp_path / "run" / "reward").exists()
    assert (tmp_path / "run" / "final").is_dir()


def test_rewards_may_be_python_objects(plain_settings, tmp_path):
    result = align(
        _plain(plain_settings, iterations=2),
        out=tmp_path / "run",
        terms={"hint": lambda action: action.float()},
    )
    rows = _rows(tmp_path / "run")
    assert result.iterations == 2
    assert 0 < float(rows[0]["return/hint"]) < 20


def test_the_command(plain_settings, tmp_path, capsys):
    import yaml

    file = tmp_path / "align.yaml"
    file.write_text(yaml.safe_dump(_plain(plain_settings)))
    out = tmp_path / "run"
    words = ["align", str(file), "iterations=3", "blend.penalty=0.01", "--out", str(out), "--quiet"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "finished: 3 iterations" in printed
    assert "behaviour_alignment" in printed
    text = (out / "config.yaml").read_text()
    config = parse_align(yaml.safe_load(text))
    assert config.blend.penalty == 0.01
    assert config.schedule.horizon == 20
    assert parse_align(config.as_dict()) == config
    assert main(["resume", str(out), "--quiet"]) == 2
    assert "is finished" in capsys.readouterr().err
    assert main(["resume", str(out), "--iterations", "5", "--quiet"]) == 0
    assert "finished: 5 iterations" in capsys.readouterr().out
    assert main(["resume", str(out), "--budget", "5", "--quiet"]) == 2
    assert "takes --iterations" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"iteration": 3}, UnknownNameError, "Did you mean 'iterations'"),
        ({"schedule": {"episode": 3}}, UnknownNameError, "Did you mean 'episodes'"),
        ({"schedule": {"inner_steps": 0}}, UserError, "schedule.inner_steps"),
        ({"schedule": {"replay": 4}}, UserError, "older episodes"),
        ({"policy": {"hidden": [1.5]}}, UserError, "whole numbers"),
        ({"policy": {"hidden": 8}}, UserError, "list"),
        ({"policy": {"learning_rate": -1.0}}, UserError, "learning_rate"),
        ({"blend": {"start": ["a"]}}, UserError, "list of numbers"),
        ({"gamma": 0.0}, UserError, "gamma"),
        ({"iterations": 0}, UserError, "at least 1"),
        ({"env": {"id": "LureCorridor-v0", "n_envs": 7}}, UserError, "leave n_envs out"),
    ],
)
def test_settings_that_cannot_work_are_refused(plain_settings, changes, error, message):
    with pytest.raises(error, match=message):
        parse_align(plain_settings(**changes))
