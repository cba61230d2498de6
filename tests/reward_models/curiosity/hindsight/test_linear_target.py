from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity import BYOLExplore, BYOLHindsight
from reward_models.curiosity.hindsight.linear_target import LinearTarget
from reward_models.encoders import VectorEncoder
from reward_models.errors import UnknownNameError, UserError

BOX = spaces.Box(-1, 1, (2,), np.float32)


def _numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_is_linear_and_has_no_bias():
    target = LinearTarget(space=spaces.Box(-9, 9, (3, 2)), size=5)
    first, second = _numbers(4, 3, 2), _numbers(4, 3, 2, seed=1)
    torch.testing.assert_close(
        target(2 * first - second), 2 * target(first) - target(second), rtol=1e-4, atol=1e-5
    )
    assert float(target(torch.zeros(1, 3, 2)).abs().max()) == 0
    assert target(_numbers(4, 7, 3, 2)).shape == (4, 7, 5)


def test_weights_are_standard_normal_and_fixed():
    target = LinearTarget(space=spaces.Box(-9, 9, (500,)), size=32, seed=3)
    assert float(target.weight.mean()) == pytest.approx(0.0, abs=0.03)
    assert float(target.weight.std()) == pytest.approx(1.0, abs=0.03)
    assert not target.weight.requires_grad
    before = target.weight.clone()
    target.redraw()
    assert torch.equal(before, target.weight)


def test_codes_count_one_by_one():
    space = spaces.Box(0, 255, (2,), np.uint8)
    target = LinearTarget(space=space, size=4)
    codes = torch.tensor([[0, 7], [255, 7]], dtype=torch.uint8)
    found = target(codes)
    torch.testing.assert_close(found[0], target.weight[0] + target.weight[256 + 7])
    torch.testing.assert_close(found[1], target.weight[255] + target.weight[256 + 7])


def test_a_dict_adds_up_and_images_are_brought_to_one():
    space = spaces.Dict(
        {"image": spaces.Box(0, 255, (4, 4, 3), np.uint8), "place": spaces.Discrete(5, start=-2)}
    )
    target = LinearTarget(space=space, size=4)
    image = torch.full((1, 4, 4, 3), 255, dtype=torch.uint8)
    found = target({"image": image, "place": torch.tensor([-1])})
    expected = target.parts["image"].weight.sum(0) + target.parts["place"].weight[1]
    torch.testing.assert_close(found[0], expected)


def test_what_does_not_fit_memory_is_refused():
    big = spaces.Box(0, 255, (2000, 2000, 3), np.uint8)
    with pytest.raises(UserError, match="choose smaller entries"):
        LinearTarget(space=big, size=32)


@pytest.mark.parametrize("kind", ["vector", "small_image", "discrete", "multi_binary", "dict"])
@pytest.mark.parametrize("cls", [BYOLExplore, BYOLHindsight])
def test_is_a_target_for_every_kind_of_observation(make_rollout, observation_spaces, cls, kind):
    space = observation_spaces[kind]
    model = cls(
        observation_space=space, action_space=BOX, target="random_linear", embedding_size=8,
        hidden=(12,),
    )  # fmt: skip
    rollout = make_rollout(space)
    before = {name: value.clone() for name, value in model.target.state_dict().items()}
    model.update(rollout)
    assert bool(model(rollout).isfinite().all())
    assert all(torch.equal(v, before[name]) for name, v in model.target.state_dict().items())


def test_one_target_at_a_time():
    space = spaces.Box(-1, 1, (3,))
    with pytest.raises(UnknownNameError, match="random_linear"):
        BYOLExplore(observation_space=space, action_space=BOX, target="linear")
    with pytest.raises(UserError, match="not both"):
        BYOLExplore(
            observation_space=space,
            action_space=BOX,
            target="random_linear",
            target_encoder=VectorEncoder(space=space),
        )
