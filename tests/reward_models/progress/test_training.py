"""A hop model on disk rewards an on-policy and an off-policy learner."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

import ctrl
from ctrl.checking import check_on_env
from ctrl.config import parse_config, read_config
from ctrl.run_curves import find_runs
from reward_models.errors import UserError
from reward_models.progress import HopModel, HopTraining, save_hop_model

VIEWS = spaces.Box(-np.inf, np.inf, (3, 5), np.float32)
PPO = {"name": "ppo", "n_steps": 32, "batch_size": 32, "n_epochs": 1}
SAC = {"name": "sac", "learning_starts": 32, "batch_size": 16, "buffer_size": 200}


@pytest.fixture
def stored(tmp_path):
    hop = HopModel(observation_space=VIEWS, views=3, latent_size=4, hidden=8)
    generator = torch.Generator().manual_seed(0)
    HopTraining(epochs=2).fit(hop, [torch.randn(8, 3, 5, generator=generator)])
    return str(save_hop_model(hop, tmp_path / "hop"))


def _train(tmp_path, algo, term):
    """Train from a configuration file, as ``ctrl train FILE`` does."""
    import yaml

    path = tmp_path / "run.yaml"
    config = {
        "env": {"id": "PickAndPlace2D-v0", "observation": "views", "n_envs": 2},
        "algo": algo, "reward": {"progress": term}, "steps": 128, "seed": 0,
    }  # fmt: skip
    path.write_text(yaml.safe_dump(config))
    return ctrl.train(parse_config(read_config(path)), out=tmp_path / "run")


@pytest.mark.parametrize("naive", [False, True])
def test_ppo_with_the_fused_progress(tmp_path, stored, naive):
    term = {"hop_model": stored, "gold": "none", "naive": naive, "consistency": 1.0}
    _train(tmp_path, PPO, term)
    run = find_runs(tmp_path / "run")[0]
    confidence, spread = (run.curve(f"reward/progress/{key}")[1] for key in ("confidence", "std"))
    assert len(confidence) > 0
    assert ((confidence > 0) & (confidence <= 1)).all()
    assert (spread > 0).all()


def test_sac_with_the_progress_of_a_state(tmp_path, stored):
    _train(tmp_path, SAC, {"use": "progress_potential", "hop_model": stored})
    assert (tmp_path / "run" / "final").is_dir()


def test_sac_refuses_a_reward_that_remembers_the_episode(tmp_path, stored):
    with pytest.raises(UserError, match="memory of the running episode"):
        _train(tmp_path, SAC, {"hop_model": stored})


@pytest.mark.parametrize("use", ["progress", "progress_potential"])
def test_check_reward_on_the_environment(stored, use):
    options = [f"hop_model={stored}", "env.observation=views"]
    report = check_on_env(use, env="PickAndPlace2D-v0", steps=64, options=options)
    assert report.ok, report.violations
    assert ("potential_optimum" in report.passed) == (use == "progress_potential")
