"""Token returns, REINFORCE++ and advantages over tokens and turns, against figures by hand."""

import pytest
import torch
from torch.testing import assert_close

from ctrl.objectives.gae import generalised_advantages, turn_advantages
from ctrl.objectives.masked import placed_at_end
from ctrl.objectives.reinforce_returns import (
    reinforce_plus_plus,
    reinforce_plus_plus_baseline,
    token_returns,
)
from reward_models.errors import UserError

NAN = float("nan")


def columns(*rows):
    """Write sequences as rows; return them as columns [T, B]."""
    return torch.tensor(rows).T.contiguous()


def test_reinforce_plus_plus():
    rewards = columns([0.0, 0.0, 1.0], [0.0, -1.0, NAN])
    mask = columns([True, True, True], [True, True, False])
    assert_close(
        token_returns(rewards, mask, gamma=0.5), columns([0.25, 0.5, 1.0], [-0.5, -1.0, 0.0])
    )
    expected = columns([0.25049, 0.563602, 1.189826], [-0.688847, -1.315071, 0.0])
    found = reinforce_plus_plus(rewards, mask, gamma=0.5)
    assert_close(found, expected, atol=1e-6, rtol=0)


def test_the_baseline_variant_is_whitened_over_tokens():
    returns, group = torch.tensor([1.0, 0.0, 4.0]), torch.tensor([0, 0, 1])
    mask = columns([True, False], [True, True], [True, True])
    found = reinforce_plus_plus_baseline(returns, group, mask)
    values = torch.tensor([0.5, -0.5, -0.5, 0.0, 0.0])
    expected = (values - values.mean()) / values.std()
    assert_close(found[0, 0], expected[0])
    assert_close(found[1, 1], expected[1])
    assert found[1, 0] == 0.0


def test_gae():
    rewards, values = columns([0.0, 0.0, 1.0]), columns([0.2, 0.5, 0.6])
    mask = torch.ones(3, 1, dtype=torch.bool)
    advantages, returns = generalised_advantages(rewards, values, mask, gamma=1.0, lam=0.95)
    assert_close(advantages, columns([0.756, 0.48, 0.4]))
    assert_close(returns, columns([0.956, 0.98, 1.0]))


def test_gae_steps_over_what_the_environment_said():
    rewards, values = columns([0.0, NAN, 0.0, 1.0, NAN]), columns([0.2, NAN, 0.5, 0.6, NAN])
    mask = columns([True, False, True, True, False])
    advantages, returns = generalised_advantages(rewards, values, mask, gamma=1.0, lam=0.95)
    assert_close(advantages, columns([0.756, 0.0, 0.48, 0.4, 0.0]))
    assert_close(returns, columns([0.956, 0.0, 0.98, 1.0, 0.0]))


def test_a_time_limit_is_bootstrapped_and_an_end_is_not():
    rewards, values = torch.zeros(2, 2), torch.full((2, 2), 0.5)
    mask = torch.ones(2, 2, dtype=torch.bool)
    after = torch.tensor([0.5, 0.0])
    advantages, _ = generalised_advantages(rewards, values, mask, lam=0.0, bootstrap=after)
    assert advantages[-1].tolist() == [0.0, -0.5]


def test_lambda_one_gives_returns_minus_values():
    generator = torch.Generator().manual_seed(3)
    rewards, values = (torch.rand(6, 4, generator=generator) for _ in range(2))
    mask = torch.rand(6, 4, generator=generator) < 0.7
    advantages, _ = generalised_advantages(rewards, values, mask, gamma=0.9, lam=1.0)
    expected = torch.where(mask, token_returns(rewards, mask, gamma=0.9) - values, 0.0)
    assert_close(advantages, expected)


def test_turns_are_single_actions():
    turn = columns([0, 0, 1, 1, 1, 2], [4, 4, 4, 4, 9, 9])
    rewards = columns([0.1, 0.2, 0.0, 0.0, 0.3, 1.0], [0.0, 0.0, 0.0, 1.0, 0.0, NAN])
    values = columns([0.2, NAN, 0.5, 9.0, 9.0, 0.6], [0.3, 9.0, 9.0, 9.0, 0.4, NAN])
    mask = columns([True] * 6, [True, True, True, True, True, False])
    values[1, 0] = 9.0
    advantages, returns = turn_advantages(rewards, values, turn, mask, gamma=0.9, lam=0.5)
    small, _ = generalised_advantages(
        columns([0.3, 0.3, 1.0], [1.0, 0.0, 0.0]),
        columns([0.2, 0.5, 0.6], [0.3, 0.4, 0.0]),
        columns([True, True, True], [True, True, False]),
        gamma=0.9, lam=0.5,
    )  # fmt: skip
    assert_close(advantages[:, 0], small[[0, 0, 1, 1, 1, 2], 0])
    assert_close(advantages[:5, 1], small[[0, 0, 0, 0, 1], 1])
    assert advantages[5, 1] == returns[5, 1] == 0.0
    assert_close(returns[0, 0], small[0, 0] + 0.2)


def test_turns_that_go_back_are_refused():
    ones, mask = torch.ones(3, 1), torch.ones(3, 1, dtype=torch.bool)
    with pytest.raises(UserError, match="never decrease"):
        turn_advantages(ones, ones, columns([0, 1, 0]), mask)


def test_one_reward_goes_to_the_last_valid_token():
    mask = columns([True, True, False], [False, False, False])
    found = placed_at_end(torch.tensor([2.0, 5.0]), mask)
    assert found.tolist() == [[0.0, 0.0], [2.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"lam": 1.5}, "lam must lie"), ({"gamma": -0.1}, "gamma must lie"),
     ({"bootstrap": torch.zeros(3)}, r"bootstrap must be \[B\] = \[1\]")],
)  # fmt: skip
def test_mistakes_are_named(change, words):
    ones, mask = torch.ones(3, 1), torch.ones(3, 1, dtype=torch.bool)
    with pytest.raises(UserError, match=words):
        generalised_advantages(ones, ones, mask, **change)
