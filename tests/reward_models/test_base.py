import pytest
import torch

from reward_models.base import (
    RewardModel,
    as_reward_model,
    checked_output,
    checked_values,
    split_output,
)
from reward_models.constant import Constant
from reward_models.errors import RewardError, UserError
from reward_models.function import FunctionReward
from reward_models.rollout import Rollout


class Weighted(RewardModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, rollout):
        return self.weight * rollout.reward


def make(steps=3, columns=2, **entries):
    size = (steps, columns)
    flags = torch.zeros(size, dtype=torch.bool)
    core = {
        "observation": torch.zeros(*size, 4),
        "action": torch.zeros(*size, 1),
        "next_observation": torch.ones(*size, 4),
        "reward": torch.ones(size),
        "terminated": flags,
        "truncated": flags,
    }
    return Rollout(**{**core, **entries})


class TestCalling:
    def test_no_graph_unless_asked(self):
        model, rollout = Weighted(), make()
        assert not model(rollout).requires_grad
        assert model(rollout, gradient=True).requires_grad

    def test_gradient_mode_of_the_caller_survives(self):
        with torch.enable_grad():
            Weighted()(make())
            assert torch.is_grad_enabled()

    def test_update_learns_nothing_by_default(self):
        assert Constant().update(make()) == {}

    def test_forward_must_be_written(self):
        with pytest.raises(TypeError, match="abstract"):
            RewardModel()


class TestAsRewardModel:
    def test_a_model_is_itself(self):
        model = Constant()
        assert as_reward_model(model) is model

    def test_a_function_is_wrapped(self):
        assert isinstance(as_reward_model(lambda action: action[..., 0]), FunctionReward)

    def test_a_class_is_refused_with_the_cure(self):
        with pytest.raises(UserError, match=r"build it first: Constant\(\.\.\.\)"):
            as_reward_model(Constant)

    def test_anything_else_is_refused(self):
        with pytest.raises(UserError, match="got float"):
            as_reward_model(0.5)


class TestCheckedOutput:
    def test_split_output(self):
        value = torch.ones(3, 2)
        assert split_output(value) == (value, {})
        assert split_output((value, {"keep": value}))[1].keys() == {"keep"}

    def test_values_come_in_float32_and_zero_where_undefined(self):
        mask = torch.tensor([[True, True], [True, True], [True, False]])
        defined = torch.tensor([[False, True], [True, True], [True, True]])
        value = torch.full((3, 2), 5, dtype=torch.float64)
        value[0, 0] = torch.nan
        found, where, extras = checked_output(
            "t", (value, {"defined": defined, "error": value}), make(mask=mask)
        )
        assert found.dtype == torch.float32
        assert found.tolist() == [[0, 5], [5, 5], [5, 0]]
        assert torch.equal(where, mask & defined)
        assert extras.keys() == {"error"}

    def test_nan_on_padding_is_ignored(self):
        value, mask = torch.zeros(3, 2), torch.ones(3, 2, dtype=torch.bool)
        value[2, 1], mask[2, 1] = torch.nan, False
        assert checked_output("t", value, make(mask=mask))[0].isfinite().all()

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
    def test_not_finite_names_term_step_column_and_value(self, bad):
        value = torch.zeros(3, 2)
        value[2, 1] = bad
        with pytest.raises(RewardError) as raised:
            checked_output("speed", value, make())
        message = str(raised.value)
        assert raised.value.term == "speed"
        assert f"'speed': returned {bad} at time step 2, column 1" in message
        assert "[T=3, B=2]" in message

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (torch.zeros(2, 3), r"value must have shape \[T, B\] = \[3, 2\].*got \[2, 3\]"),
            (torch.zeros(3, 2, 1), r"got \[3, 2, 1\]"),
            (torch.zeros(3, 2, dtype=torch.complex64), "must be real, got torch.complex64"),
            ([1.0, 2.0], r"must be a tensor \[T, B\], got list"),
            ((torch.zeros(3, 2),), "got a tuple of"),
            ((torch.zeros(3, 2), torch.zeros(3, 2)), r"got a tuple of \(Tensor, Tensor\)"),
            ((torch.zeros(3, 2), {"keep": torch.ones(3)}), r"extra 'keep' must have shape"),
            ((torch.zeros(3, 2), {"keep": True}), r"extra 'keep' must be a tensor"),
        ],
    )
    def test_wrong_output_is_named(self, value, message):
        with pytest.raises(RewardError, match=message):
            checked_output("t", value, make())

    def test_bool_and_int_become_float(self):
        assert checked_values("t", "value", torch.ones(3, 2, dtype=torch.bool), make()).sum() == 6
