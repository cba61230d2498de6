from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from tensordict import TensorDict

from reward_models.curiosity.networks import (
    ActionCode,
    ObservationNormalizer,
    in_chunks,
    prediction_error,
    require_finite,
)
from reward_models.errors import UserError


def test_prediction_error_is_the_mean_over_features():
    prediction = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    target = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    torch.testing.assert_close(prediction_error(prediction, target), torch.tensor([13 / 3, 1.0]))


def test_chunks_give_what_the_whole_gives():
    rows = torch.arange(2500.0).reshape(-1, 1)
    nested = TensorDict({"x": rows}, batch_size=[2500])
    out = in_chunks(lambda plain, inner: (plain * 2 + inner["x"]).squeeze(-1), rows, nested)
    assert torch.equal(out, rows.squeeze(-1) * 3)


def test_discrete_actions_start_where_their_space_does():
    code = ActionCode(space=spaces.Discrete(3, start=5))
    rows = code(torch.tensor([5, 7]))
    assert rows.tolist() == [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert torch.equal(code(torch.tensor([[5], [7]])), rows)
    with pytest.raises(UserError, match=r"\[5, 7\].*got 0"):
        code(torch.tensor([0]))


def test_cross_entropy_is_averaged_over_components():
    code = ActionCode(space=spaces.MultiDiscrete([2, 4]))
    rows = code(torch.tensor([[1, 2]]))
    loss = code.loss(torch.zeros(1, 6), rows)
    torch.testing.assert_close(loss, torch.tensor([(math.log(2) + math.log(4)) / 2]))
    logits = torch.tensor([[0.3, -0.2, 1.0, 0.0, 2.0, -1.0]])
    expected = torch.nn.functional.cross_entropy(logits[:, :2], torch.tensor([1]))
    expected = expected + torch.nn.functional.cross_entropy(logits[:, 2:], torch.tensor([2]))
    torch.testing.assert_close(code.loss(logits, rows)[0], expected / 2)


def test_box_actions_lose_the_mean_over_their_numbers():
    code = ActionCode(space=spaces.Box(-1, 1, (2, 2)))
    rows = code(torch.ones(3, 2, 2, dtype=torch.float64))
    assert tuple(rows.shape) == (3, 4)
    prediction = torch.tensor([[1.0, 1.0, 1.0, 3.0]]).expand(3, 4)
    assert code.loss(prediction, rows).tolist() == [1.0, 1.0, 1.0]


def test_unusable_actions_are_refused():
    with pytest.raises(UserError, match="inverse model needs"):
        ActionCode(space=spaces.Text(3))
    with pytest.raises(UserError, match="must hold 2 number"):
        ActionCode(space=spaces.Box(-1, 1, (2,)))(torch.zeros(4, 3))


def test_only_vectors_are_normalised():
    space = spaces.Dict(
        {
            "keys": spaces.Box(-np.inf, np.inf, (2,)),
            "image": spaces.Box(0, 255, (7, 7, 3), np.uint8),
            "dot.ted": spaces.Discrete(3),
        }
    )
    normalizer = ObservationNormalizer(space=space)
    inputs = TensorDict(
        {
            "keys": torch.tensor([[0.0, 5.0], [2.0, 5.0]]),
            "image": torch.full((2, 7, 7, 3), 200, dtype=torch.uint8),
            "dot.ted": torch.tensor([0, 2]),
        },
        batch_size=[2],
    )
    normalizer.update(inputs)
    scaled = normalizer(inputs)
    torch.testing.assert_close(
        scaled["keys"][:, 0], torch.tensor([-1.0, 1.0]) / math.sqrt(2), atol=1e-3, rtol=0
    )
    assert scaled["image"] is inputs["image"]
    assert scaled["dot.ted"].tolist() == [0, 2]


def test_disabled_normaliser_passes_everything():
    normalizer = ObservationNormalizer(space=spaces.Box(-1, 1, (2,)), enabled=False)
    inputs = torch.full((3, 2), 1e6)
    normalizer.update(inputs)
    assert normalizer(inputs) is inputs
    assert not normalizer.state_dict()


def test_nan_is_named_before_it_is_learned():
    with pytest.raises(UserError, match=r"observation\.x must be finite.*1 values of 2"):
        require_finite(
            "observation", TensorDict({"x": torch.tensor([1.0, math.nan])}, batch_size=[2])
        )
