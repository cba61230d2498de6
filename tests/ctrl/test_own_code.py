"""Code of one's own is found wherever a configuration names it, and runs on request only."""

import csv

import pytest

import ctrl
from ctrl.config import parse_config
from ctrl.own_code import absolute_term, own_code
from reward_models.errors import UserError

STEEP = {"use": "pessimistic", "model": {"use": "mine.py:steep"}}


def _config(**reward):
    return parse_config({"env": "PointMass-v0", "reward": reward})


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ({"use": "gail", "demonstrations": "C:/expert:1"}, []),
        ({"use": "pessimistic", "model": {"use": "rnd", "latent_size": 8}}, []),
        ({"use": "mine.py:fast"}, ["mine.py:fast"]),
        ({"use": "rnd", "gate": "mine.py:open"}, ["mine.py:open"]),
        ({"use": "potential", "function": "mine.py:phi"}, ["mine.py:phi"]),
        (STEEP, ["mine.py:steep"]),
        ({"use": "pessimistic", "model": "mine.py:steep"}, ["mine.py:steep"]),
        (
            {"use": "pessimistic", "model": {"use": "potential", "function": "mine.py:phi"}},
            ["mine.py:phi"],
        ),
        (
            {"use": "pessimistic", "model": {"use": "pessimistic", "model": "a.b:C"}},
            ["a.b:C"],
        ),
        (
            {"use": "behaviour_alignment", "path": "their/reward", "trust_code": True},
            ["what their/reward names (trust_code: true)"],
        ),
        ({"use": "behaviour_alignment", "path": "their/reward", "trust_code": False}, []),
    ],
)
def test_own_code_is_found_at_any_depth(term, found):
    assert own_code(_config(a=term)) == [f"reward a: {use}" for use in found]


def test_files_are_written_out_at_any_depth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = {"use": "potential", "function": "mine.py:phi", "gamma": 0.9}
    term = _config(a={"use": "pessimistic", "gate": "mine.py:open", "model": model}).reward["a"]
    written = absolute_term(term)
    assert written.gate == f"{tmp_path}/mine.py:open"
    assert written.options == {"model": {**model, "function": f"{tmp_path}/mine.py:phi"}}
    assert absolute_term(written) == written
    listed = _config(a={"use": "pessimistic", "model": "gail", "kappa": "own"}).reward["a"]
    assert absolute_term(listed) == listed


def test_nested_code_runs_in_training_and_later_only_on_request(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "def steep(observation):\n    return 100 + observation[..., 0]\n"
    )
    monkeypatch.chdir(tmp_path)
    settings = {
        "env": {"id": "PointMass-v0", "n_envs": 2},
        "algo": {"name": "ppo", "n_steps": 16, "batch_size": 32, "n_epochs": 1},
        "reward": {"steep": {**STEEP, "weight": 0.5}},
        "checkpoints": {"every": 32},
    }
    assert ctrl.train(steps=64, out=tmp_path / "run", **settings).finished
    with (tmp_path / "run" / "progress.csv").open() as file:
        paid = [row["reward/steep/mean"] for row in csv.DictReader(file)]
    # The gradient is 1, as wanted, so that nothing is taken away.
    assert all(98 < float(mean) < 102 for mean in paid if mean)
    assert any(paid)
    # From elsewhere, and with another file in its place.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(UserError, match=r"reward steep: .*/mine.py:steep\n.*--trust-code"):
        ctrl.resume(tmp_path / "run", steps=96)
    assert ctrl.resume(tmp_path / "run", steps=96, trust_code=True).steps == 96
