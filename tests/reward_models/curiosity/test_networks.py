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
    over_transitions,
    prediction_error,
    real_steps,
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


def _chain(steps: int, columns: int, *, nested: bool = False):
    """Return observations and successors: chained, but for ends in one of ten steps."""
    generator = torch.Generator().manual_seed(0)
    seen = torch.randn(steps + 1, columns, 4, generator=generator)
    after = seen[1:].clone()
    ended = torch.rand(steps, columns, generator=generator) < 0.1
    after[ended] = torch.randn(int(ended.sum()), 4, generator=generator)
    # A nested entry repeats the numbers, but one of its leaves is the same at every step.
    if nested:
        before, after = (
            TensorDict({"x": x, "same": torch.zeros(x.shape[:2])}, batch_size=x.shape[:2])
            for x in (seen[:-1], after)
        )
        return before, after, ended
    return seen[:-1], after, ended


@pytest.mark.parametrize("nested", [False, True], ids=["tensor", "dict"])
@pytest.mark.parametrize(("steps", "columns"), [(300, 3), (5, 600), (513, 1), (1, 4), (2, 1)])
def test_features_of_transitions_are_those_of_each_observation(steps, columns, nested):
    before, after, _ = _chain(steps, columns, nested=nested)
    weight = torch.randn(4, 2, generator=torch.Generator().manual_seed(1))

    def encode(rows):
        return (rows["x"] if nested else rows) @ weight

    def function(first, second, factor):
        return (first - 2 * second).sum(-1) * factor

    factor = torch.arange(float(steps * columns))
    with torch.no_grad():
        found = over_transitions(function, encode, before, after, factor)
        expected = function(encode(before.flatten(0, 1)), encode(after.flatten(0, 1)), factor)
    torch.testing.assert_close(found, expected)


def test_an_observation_of_two_steps_is_encoded_once():
    before, after, ended = _chain(300, 3)
    encoded = []

    def encode(rows):
        encoded.append(len(rows))
        return rows

    def function(first, second):
        return (first - second).sum(-1)

    with torch.no_grad():
        over_transitions(function, encode, before, after)
    assert sum(encoded) == 301 * 3 + int(ended[:-1].sum())
    # Unrelated successors share nothing; NaN equals nothing.
    for others in (torch.randn(300, 3, 4), torch.full((300, 3, 4), math.nan)):
        encoded.clear()
        with torch.no_grad():
            over_transitions(function, encode, before, others)
        assert sum(encoded) == 2 * 300 * 3


def test_with_gradients_each_entry_receives_its_own():
    seen = torch.randn(9, 2, 3)
    before, after = seen[:-1].clone().requires_grad_(), seen[1:].clone().requires_grad_()
    over_transitions(
        lambda b, a: (b * a).sum(-1), lambda rows: rows, before, after
    ).sum().backward()
    torch.testing.assert_close(before.grad, seen[1:])
    torch.testing.assert_close(after.grad, seen[:-1])


def test_real_steps_are_rows_in_time_order():
    inputs = torch.arange(12.0).reshape(2, 3, 2).requires_grad_()
    mask = torch.tensor([[True, False, True], [True, True, False]])
    assert torch.equal(real_steps(inputs, mask), inputs[mask])
    everything = real_steps(inputs, torch.ones_like(mask))
    assert torch.equal(everything, inputs.flatten(0, 1))
    assert not everything.requires_grad
    nested = TensorDict({"x": inputs}, batch_size=[2, 3])
    assert torch.equal(real_steps(nested, mask)["x"], inputs[mask])


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


def test_large_numbers_are_finite():
    # Their sum is not.
    require_finite("observation", torch.full((4,), 3e38))


def test_nan_is_named_before_it_is_learned():
    with pytest.raises(UserError, match=r"2 values of 3"):
        require_finite("action", torch.tensor([math.inf, 0.0, -math.inf]))
    with pytest.raises(UserError, match=r"observation\.x must be finite.*1 values of 2"):
        require_finite(
            "observation", TensorDict({"x": torch.tensor([1.0, math.nan])}, batch_size=[2])
        )
