from __future__ import annotations

import pytest
import torch

from reward_models.errors import UnknownNameError
from reward_models.imitation.reward_forms import FORMS, SIGNS, check_form, reward_of, slope_of


@pytest.mark.parametrize(
    ("logit", "form", "reward"),
    [
        (0.0, "minimax", 0.693147),
        (1.5, "minimax", 1.701413),
        (-2.0, "minimax", 0.126928),
        (1.5, "nonsat", -0.201413),
        (1.5, "sum", 1.5),
    ],
)
def test_rewards_at_some_logits(logit, form, reward):
    assert float(reward_of(torch.tensor([logit]), form)) == pytest.approx(reward, abs=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_the_slope_is_the_derivative(form):
    logits = torch.linspace(-12, 12, 49, requires_grad=True)
    (derivative,) = torch.autograd.grad(reward_of(logits, form).sum(), logits)
    torch.testing.assert_close(slope_of(logits.detach(), form), derivative, rtol=1e-4, atol=1e-6)
    assert float(derivative.max()) <= 1 + 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_signs_and_ranges(form):
    rewards = reward_of(torch.linspace(-60, 60, 241), form)
    assert bool(rewards.isfinite().all())
    if SIGNS[form] > 0:
        assert float(rewards.min()) >= 0
        assert float(rewards.max()) == pytest.approx(18.42068, abs=1e-4)
    elif SIGNS[form] < 0:
        assert float(rewards.max()) <= 0
    else:
        assert float(rewards.min()) < 0 < float(rewards.max())


def test_an_unknown_form_is_refused():
    with pytest.raises(UnknownNameError, match="minimax"):
        check_form("minmax")
