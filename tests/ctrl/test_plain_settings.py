"""What cannot be written into a run folder is refused before anything is written."""

import numpy as np
import pytest
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

import ctrl
from ctrl.config import parse_config
from ctrl.plain_settings import check_plain
from reward_models.errors import UserError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"algo": {"name": "ppo", "policy_kwargs": {"features_extractor_class": nn.Identity}}},
            r"algo.policy_kwargs.features_extractor_class is the class Identity.*"
            r"policy_kwargs.features_extractor by name: nethack, combined, chosen_keys",
        ),
        (
            {"algo": {"name": "ppo", "policy_kwargs": {"activation_fn": nn.Tanh}}},
            r"activation_fn is the class Tanh.*Give a name: tanh, relu",
        ),
        (
            {"algo": {"name": "td3", "action_noise": object()}},
            r"algo.action_noise is <object.*ctrl.sb3.make_model",
        ),
        (
            {"env": {"id": "PointMass-v0", "sizes": [1, np.float32(2.0)]}},
            r"env.sizes\[1\] is .*Give numbers",
        ),
        (
            {"reward": {"rnd": {"use": "rnd", "encoder": nn.Linear(2, 2)}}},
            r"reward.rnd.encoder is Linear.*give the whole reward as an object",
        ),
    ],
)
def test_objects_are_refused_by_their_place(settings, message):
    config = parse_config({"env": "PointMass-v0", **settings})
    with pytest.raises(UserError, match=message):
        check_plain(config)


def test_what_can_be_written_passes():
    kwargs = {"net_arch": {"pi": [8], "vf": (8, 8)}, "activation_fn": "tanh", "ortho_init": None}
    check_plain(
        parse_config({"env": "PointMass-v0", "algo": {"name": "ppo", "policy_kwargs": kwargs}})
    )


def test_training_from_python_with_a_class_leaves_no_run_folder(tmp_path):
    kwargs = {"features_extractor_class": FlattenExtractor}
    with pytest.raises(UserError, match="features_extractor_class is the class FlattenExtractor"):
        ctrl.train(
            env="PointMass-v0",
            algo={"name": "ppo", "policy_kwargs": kwargs},
            out=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()
