"""Rewards by name, as a configuration asks for them."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.errors import UnknownNameError, UserError
from reward_models.registry import build_reward
from reward_models.rollout import Rollout

PLACE = spaces.Box(-1.0, 1.0, (1,), np.float32)


@pytest.fixture
def potential(tmp_path):
    """Return what builds a potential of a file by name, with the options of a configuration."""
    file = tmp_path / "mine.py"
    file.write_text("def place(observation):\n    return observation[..., 0]\n")

    def build(**options):
        return build_reward(
            f"potential:{file}:place",
            observation_space=PLACE, action_space=PLACE, gamma=0.9, options=options,
        )  # fmt: skip

    return build


def test_a_potential_of_a_file_takes_all_its_options(potential, make_walk):
    reward = potential(gamma=0.9, terminal="keep", action_steps=2)
    assert not reward.invariant
    torch.testing.assert_close(reward(make_walk(0.25, 0.5)), torch.tensor([[0.81 * 0.5 - 0.25]]))
    plain = potential(gamma=0.9)
    torch.testing.assert_close(plain(make_walk(0.25, 0.5)), torch.tensor([[-0.25]]))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"terminl": "keep"}, UnknownNameError, "Did you mean 'terminal'"),
        ({"function": len}, UnknownNameError, "function"),
        ({"terminal": "last"}, UnknownNameError, "zero"),
        ({"action_steps": 0}, UserError, "at least 1"),
        ({"action_steps": "two"}, UserError, "cannot be built"),
    ],
)
def test_options_of_a_potential_that_cannot_be(potential, options, error, said):
    with pytest.raises(error, match=said):
        potential(**options)


@pytest.fixture
def make_walk():
    """Return what makes a record of one step that ends the episode."""

    def make(before, after):
        one = torch.ones(1, 1, dtype=torch.bool)
        return Rollout(
            observation=torch.full((1, 1, 1), before), action=torch.zeros(1, 1),
            next_observation=torch.full((1, 1, 1), after), reward=torch.zeros(1, 1),
            terminated=one, truncated=~one,
        )  # fmt: skip

    return make
