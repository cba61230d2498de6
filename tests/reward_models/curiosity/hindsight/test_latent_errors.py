from __future__ import annotations

import torch

from reward_models.curiosity.hindsight.latent_errors import (
    direction_error,
    mean_over_starts,
    summed_by_outcome,
    unit,
)


def _errors(steps: int, horizon: int, columns: int = 1) -> tuple[list, list]:
    """Return L(t, k) = 10 t + k of all predictions inside ``steps`` transitions."""
    errors = [
        (10.0 * torch.arange(steps - k + 1) + k).unsqueeze(-1).expand(-1, columns)
        for k in range(1, horizon + 1)
    ]
    return errors, [torch.ones_like(values, dtype=torch.bool) for values in errors]


def test_distance_of_directions():
    prediction = torch.tensor([[3.0, 4.0], [1.0, 0.0], [1.0, 1.0]])
    target = torch.tensor([[4.0, 3.0], [0.0, 2.0], [-1.0, -1.0]])
    torch.testing.assert_close(direction_error(prediction, target), torch.tensor([0.08, 2.0, 4.0]))


def test_nothing_points_nowhere():
    assert unit(torch.zeros(2, 3)).tolist() == [[0.0] * 3] * 2
    assert float(direction_error(torch.zeros(3), torch.tensor([2.0, 0.0, 0.0]))) == 1.0


def test_rewards_sum_over_predictions_of_one_outcome():
    # Five observations are four transitions.
    errors, valid = _errors(steps=4, horizon=2)
    assert summed_by_outcome(errors, valid).flatten().tolist() == [1.0, 13.0, 33.0, 53.0]


def test_loss_is_the_mean_over_starts():
    errors, valid = _errors(steps=4, horizon=2)
    assert float(mean_over_starts(errors, valid)) == 16.375


def test_predictions_across_an_end_count_nowhere():
    errors, valid = _errors(steps=4, horizon=2)
    # An episode ends with transition 1, so the prediction from step 1 about transition 2 is cut.
    valid[1][1] = False
    assert summed_by_outcome(errors, valid).flatten().tolist() == [1.0, 13.0, 21.0, 53.0]
    assert float(mean_over_starts(errors, valid)) == (1.5 + 11 + 21.5 + 31) / 4


def test_starts_without_predictions_leave_the_mean():
    errors, valid = _errors(steps=2, horizon=1)
    valid[0][1] = False
    assert float(mean_over_starts(errors, valid)) == 1.0
    valid[0][0] = False
    assert float(mean_over_starts(errors, valid)) == 0.0


def test_what_is_invalid_may_be_anything():
    errors, valid = _errors(steps=2, horizon=1)
    errors[0] = errors[0].clone()
    errors[0][1], valid[0][1] = float("nan"), False
    assert summed_by_outcome(errors, valid).flatten().tolist() == [1.0, 0.0]
    assert float(mean_over_starts(errors, valid)) == 1.0
