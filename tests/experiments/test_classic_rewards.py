"""The heuristics of classic control are what their docstrings say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

import envs
from ctrl.cli import main

FILE = Path(__file__).resolve().parents[2] / "experiments" / "classic" / "rewards.py"
_SPEC = importlib.util.spec_from_file_location("classic_rewards", FILE)
rewards = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(rewards)


def episode(name, act, seed):
    """Return observations [T, 1, D], actions [T, 1], next observations and the length."""
    env = envs.make(name)
    observation, _ = env.reset(seed=seed)
    rows, done = [], False
    while not done:
        action = act(torch.as_tensor(observation))
        successor, _, terminated, truncated, _ = env.step(action)
        rows.append((observation, action, successor))
        observation, done = successor, terminated or truncated
    before, actions, after = (
        torch.as_tensor(np.array(part))[:, None] for part in zip(*rows, strict=True)
    )
    return before, actions, after, terminated


def test_the_controller_balances_the_pole_from_every_start():
    for seed in range(10):
        before, actions, _, terminated = episode(
            "CartPole-v1", lambda observation: int(rewards.balancing_push(observation)), seed
        )
        assert len(before) == 500
        assert not terminated
        assert (rewards.cart_pole_controller(before, actions) == 5.0).all()
        assert (rewards.cart_pole_controller(before, 1 - actions) == -1.0).all()
        assert (rewards.cart_pole_misleading(before, actions) == -1.0).all()
        assert (rewards.cart_pole_misleading(before, 1 - actions) == 0.0).all()


def test_swinging_reaches_the_flag_and_is_paid_for_it():
    for seed in range(3):
        before, actions, after, terminated = episode(
            "MountainCar-v0", lambda observation: 2 if observation[1] >= 0 else 0, seed
        )
        assert terminated
        goal = rewards.mountain_car_goal(after)
        assert goal.flatten().tolist() == [0.0] * (len(after) - 1) + [1.0]
        # At a standstill no push has the sign of the velocity.
        moving = before[..., 1] != 0
        assert (rewards.mountain_car_swing(before, actions)[moving] == 1.0).all()
        assert (rewards.mountain_car_swing(before, 2 - actions) == -1.0).all()
        assert (rewards.mountain_car_swing(before, torch.ones_like(actions)) == -1.0).all()
        assert rewards.mountain_car_speed(after).max() <= 0.07


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("MountainCar-v0", ("mountain_car_goal", "mountain_car_swing", "mountain_car_speed")),
        ("CartPole-v1", ("cart_pole_controller", "cart_pole_misleading")),
    ],
)
def test_they_train(name, functions, tmp_path):
    terms = [word for function in functions for word in ("--reward", f"{FILE}:{function}=0.1")]
    command = ["train", "--env", name, *terms, "--steps", "128", "--out", str(tmp_path / "run")]
    small = ["env.n_envs=2", "algo.n_steps=64", "algo.batch_size=64"]
    assert main([*command, "--quiet", *small]) == 0
