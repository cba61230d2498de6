import functools

import numpy as np
import pytest
import torch

from reward_models.errors import UnknownNameError, UserError
from reward_models.function import FunctionReward
from reward_models.rollout import Rollout


def make(**entries):
    size, flags = (3, 2), torch.zeros(3, 2, dtype=torch.bool)
    core = {
        "observation": torch.arange(24, dtype=torch.float32).reshape(3, 2, 4),
        "action": torch.full((*size, 1), 2.0),
        "next_observation": torch.ones(*size, 4),
        "reward": torch.ones(size),
        "terminated": flags,
        "truncated": flags,
        "state": {"speed": torch.full(size, 3.0), "height": torch.full(size, 5.0)},
    }
    return Rollout(**{**core, **entries})


class TestForms:
    def test_whole_rollout_by_name(self):
        assert torch.equal(FunctionReward(lambda rollout: rollout.reward)(make()), torch.ones(3, 2))

    def test_whole_rollout_by_annotation(self):
        def f(record: Rollout):
            return record.reward * 2

        assert FunctionReward(f)(make()).sum() == 12

    def test_whole_rollout_with_options(self):
        def f(rollout, scale=3.0):
            return rollout.reward * scale

        model = FunctionReward(f)
        assert model.requires == frozenset()
        assert model(make()).sum() == 18

    def test_record_keys_by_name(self):
        def f(observation, action, next_observation):
            return (next_observation - observation).sum(-1) - action.squeeze(-1)

        model = FunctionReward(f)
        assert model.requires == frozenset()
        assert model(make())[0, 0] == 4 - (0 + 1 + 2 + 3) - 2

    def test_other_names_are_quantities_of_the_state(self):
        model = FunctionReward(lambda action, speed: speed - action[..., 0])
        assert model.requires == {"state.speed"}
        assert model(make()).tolist() == [[1, 1]] * 3

    def test_all_quantities(self):
        def f(observation, **state):
            return state["speed"] + state["height"] + 0 * observation[..., 0]

        model = FunctionReward(f)
        assert model.requires == {"state"}
        assert model(make()).tolist() == [[8, 8]] * 3

    def test_quantities_beside_all_of_them(self):
        def f(speed, **state):
            return speed * state["height"]

        model = FunctionReward(f)
        assert model.requires == {"state", "state.speed"}
        assert model(make()).tolist() == [[15, 15]] * 3

    def test_optional_record_keys_are_required(self):
        model = FunctionReward(lambda success, mask: (success & mask).float())
        assert model.requires == {"success"}
        assert model(make(success=torch.ones(3, 2))).sum() == 6

    def test_defaults_of_other_names_stay(self):
        def f(speed, power=2.0):
            return speed**power

        model = FunctionReward(f)
        assert model.requires == {"state.speed"}
        assert model(make()).tolist() == [[9, 9]] * 3

    def test_partial(self):
        model = FunctionReward(functools.partial(lambda rollout, k: rollout.reward * k, k=4.0))
        assert model(make()).sum() == 24

    def test_missing_quantity_is_named(self):
        model = FunctionReward(lambda speed_x: speed_x)
        with pytest.raises(UnknownNameError, match=r"'state.speed_x'.*Did you mean 'state.speed'"):
            model(make())

    @pytest.mark.parametrize("function", [lambda *arguments: 0, lambda: 0, lambda a, /: a])
    def test_parameters_that_name_nothing_are_refused(self, function):
        with pytest.raises(UserError, match="must take"):
            FunctionReward(function)

    def test_unreadable_parameters_are_refused(self):
        with pytest.raises(UserError, match="cannot be read"):
            FunctionReward(dict)


class TestClaims:
    def test_task_free_is_seen_from_the_parameters(self):
        assert FunctionReward(lambda action: action).task_free
        assert not FunctionReward(lambda reward: reward).task_free

    def test_a_function_of_the_rollout_claims_nothing(self):
        assert not FunctionReward(lambda rollout: rollout.reward).task_free

    def test_attributes_of_the_function_declare(self):
        def f(rollout):
            return rollout["state.speed"]

        f.requires, f.task_free, f.goal_relabelling = {"state.speed"}, True, True
        model = FunctionReward(f)
        assert model.requires == {"state.speed"}
        assert model.task_free
        assert model.goal_relabelling


class TestResults:
    def test_arrays_become_tensors(self):
        model = FunctionReward(lambda rollout: np.ones((3, 2)))
        assert torch.equal(model(make()), torch.ones(3, 2, dtype=torch.float64))

    def test_extras_become_tensors(self):
        model = FunctionReward(lambda reward: (reward, {"defined": np.ones((3, 2), dtype=bool)}))
        assert model(make())[1]["defined"].dtype == torch.bool

    @pytest.mark.parametrize("result", [[1.0], None, "high", (1, 2, 3)])
    def test_other_results_are_refused(self, result):
        with pytest.raises(UserError, match="must return a tensor or an array"):
            FunctionReward(lambda rollout: result)(make())
