from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

pytest.importorskip("RocketSim")

from ctrl.analysis import pictures
from ctrl.analysis.recorded import Values, load_matches
from ctrl.analysis.rewards import look_at
from ctrl.analysis.scene import opening
from ctrl.analysis.write import analyse_rewards
from ctrl.cli.main import main
from reward_models.errors import UnknownNameError, UserError
from reward_models.kinesthetic import shapes
from reward_models.kinesthetic.state_potential import KinestheticPotential

BOX = spaces.Box(-1.0, 1.0, (1,))
KINDS = {"observation_space": BOX, "action_space": BOX, "gamma": 0.99, "seed": 0}


@pytest.fixture(autouse=True)
def _coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw with few triangles and directions; how many there are is tested beside them."""
    fine, even = pictures.triangulation, pictures.fibonacci_sphere
    monkeypatch.setattr(pictures, "triangulation", lambda: fine(2))
    monkeypatch.setattr(pictures, "fibonacci_sphere", lambda count: even(12))


def test_moments_have_their_formulas() -> None:
    points = np.random.default_rng(0).uniform(-3000, 3000, (9, 3))
    scene = opening(2, 2)
    (one,) = look_at(["ball_to_goal"], **KINDS)
    paid = one.of_moments(scene.at(None, points).rollout()).reshape(9, 4)
    for car, team in enumerate(scene.team):
        ball = torch.as_tensor(points, dtype=torch.float32)
        expected = shapes.ball_to_goal(ball, torch.full((9,), float(team)))
        assert np.allclose(paid[:, car], expected, atol=1e-5)


def test_shaping_is_drawn_by_its_potential() -> None:
    record = opening().rollout()
    for looked in look_at({"a": KinestheticPotential(), "b": {"use": "kinesthetic"}}, **KINDS):
        assert looked.unit == ("potential" if looked.name == "a" else "reward")
        assert np.allclose(looked.of_moments(record), KinestheticPotential().potential(record)[0])


def test_correlations() -> None:
    draw = np.random.default_rng(0)
    one = draw.normal(size=(200, 2))
    paid = np.stack([one, -2 * one, np.zeros_like(one), draw.normal(size=(200, 2))])
    paid[3, :50] = np.nan
    found = Values(("a", "b", "c", "d"), paid, np.zeros((200, 2), bool)).correlation()
    assert np.isclose(found[0, 1], -1)
    assert np.isnan(found[2]).all()
    assert abs(found[0, 3]) < 0.25
    expected = np.corrcoef(paid[0, 50:].ravel(), paid[3, 50:].ravel())[0, 1]
    assert np.isclose(found[0, 3], expected)


def test_writes_pictures_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "seen"
    words = ["offensive_potential", "kinesthetic_potential", "env.no_touch_seconds=1"]
    code = main(["analyse", *words, "--steps", "20", "--out", str(out), "--json"])
    assert code == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    names = {Path(name).name for name in document["pictures"]}
    assert names == {
        "01-offensive_potential-arena.png", "01-offensive_potential-velocities.png",
        "02-kinesthetic_potential-arena.png", "02-kinesthetic_potential-velocities.png",
        "distributions.png", "correlations.png",
    }  # fmt: skip
    assert all((out / name).read_bytes()[:4] == b"\x89PNG" for name in names)
    page = (out / "index.html").read_text()
    assert page.count("data:image/png") == len(names)
    assert "offensive_potential" in page
    assert [row["steps"] for row in document["rewards"]] == [240, 240]
    assert document["correlation"][0][0] == pytest.approx(1.0)
    assert json.loads((out / "analysis.json").read_text()) == document


def test_saved_matches(tmp_path: Path) -> None:
    file = tmp_path / "matches.safetensors"
    opening(2, 2).repeated(3).rollout().save(file)
    result = analyse_rewards(
        {"speed": lambda car_velocity: car_velocity.norm(dim=-1)}, out=tmp_path, record=file
    )
    assert result.settings["columns"] == 12
    assert result.numbers[0]["max"] == pytest.approx(1000.0)
    assert not (tmp_path / "correlations.png").exists()
    with pytest.raises(UserError, match=r"lacks state\.puck"):
        load_matches(file, frozenset({"state.puck"}))


def test_refuses(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="offensive_potential"):
        look_at(["ofensive_potential"], **KINDS)
    with pytest.raises(UserError, match="Look at match_events"):
        look_at(["task"], **KINDS)
    with pytest.raises(UserError, match="not both"):
        analyse_rewards(out=tmp_path, run="a", record="b")
    with pytest.raises(UserError, match="--steps"):
        analyse_rewards(out=tmp_path, steps=1)
    with pytest.raises(UserError, match="ball_position"):
        analyse_rewards(["ball_to_goal"], out=tmp_path, env="Pendulum-v1", steps=2)
