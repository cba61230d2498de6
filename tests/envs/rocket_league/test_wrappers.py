"""The reward wrapper for any loop, over Rocket League's own vector environment."""

from __future__ import annotations

import numpy as np

import envs
from reward_models.mix import RewardMix, Term
from reward_models.wrappers import VectorRewardWrapper


def test_quantities_are_read_at_the_ends_of_episodes_too():
    mix = RewardMix({"fast": Term(lambda ball_position: ball_position[..., 2] / 100.0)}, gamma=0.99)
    made = envs.make_vec("RocketLeague1v1-v0", 4, max_episode_steps=6)
    wrapped = VectorRewardWrapper(made, mix, update_every=4)
    wrapped.reset(seed=0)
    ends = 0
    for _ in range(14):
        _, reward, terminated, truncated, _ = wrapped.step(
            np.zeros((4, *made.single_action_space.shape), made.single_action_space.dtype)
        )
        ends += int((terminated | truncated).sum())
        assert reward.shape == (4,)
    wrapped.close()
    assert ends >= 4
