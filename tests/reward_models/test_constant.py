import pytest
import torch

from reward_models.constant import Constant
from reward_models.errors import UserError
from reward_models.rollout import Rollout


def test_every_step_gets_the_value():
    flags = torch.zeros(3, 2, dtype=torch.bool)
    nothing = torch.zeros(3, 2)
    rollout = Rollout(
        observation=nothing,
        action=nothing,
        next_observation=nothing,
        reward=torch.full((3, 2), torch.nan),
        terminated=flags,
        truncated=flags,
    )
    assert Constant(value=-0.5)(rollout).tolist() == [[-0.5, -0.5]] * 3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_must_be_finite(value):
    with pytest.raises(UserError, match="finite"):
        Constant(value=value)
