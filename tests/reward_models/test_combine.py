import numpy as np
import pytest
import torch

from reward_models.base import Order, RewardModel, Scope
from reward_models.check import check_reward
from reward_models.combine import Gated, Lexicographic, Minimum, Product
from reward_models.constant import Constant
from reward_models.errors import RewardError, UserError
from reward_models.mix import RewardMix, TaskReward
from reward_models.potential import FunctionPotential
from reward_models.rollout import Rollout


class Learner(RewardModel):
    total: torch.Tensor

    def __init__(self, order=Order.REWARD_FIRST):
        super().__init__()
        self.order = order
        self.register_buffer("total", torch.zeros(()))

    def forward(self, rollout):
        return torch.ones_like(rollout.reward) * self.total

    def update(self, rollout):
        self.total += 1.0
        return {"total": float(self.total)}


def row(*columns):
    """Return a rollout ``[1, B]`` with one observation component per argument."""
    observation = torch.tensor(columns, dtype=torch.float32).T[None]
    flags = torch.zeros(observation.shape[:2], dtype=torch.bool)
    return Rollout(
        observation=observation,
        action=observation,
        next_observation=observation,
        reward=torch.zeros(flags.shape),
        terminated=flags,
        truncated=flags,
    )


def component(index):
    return lambda observation: observation[..., index]


def where_positive(observation):
    defined = observation[..., 0] > 0
    return torch.where(defined, observation[..., 0], torch.nan), {"defined": defined}


def values(model, rollout):
    return model(rollout)[0][0].tolist()


class TestValues:
    def test_product(self):
        model = Product(models=[component(0), component(1)])
        assert values(model, row([2, 0, -1], [3, 5, 4])) == [6, 0, -4]

    def test_minimum(self):
        model = Minimum(models={"a": component(0), "b": component(1)})
        assert values(model, row([2, 0, -1], [3, -5, 4])) == [2, -5, -1]

    def test_gated_is_strict(self):
        model = Gated(condition=component(0), model=component(1), threshold=1.0)
        assert values(model, row([0, 1, 2], [7, 7, 7])) == [0, 0, 7]

    def test_lexicographic_by_hand(self):
        model = Lexicographic(models=[component(0), component(1), component(2)], thresholds=[1, 2])
        found = values(model, row([0.5, 1.0, 3.0, 1.0], [9, 1.5, 2.0, -1], [9, 9, 4, 9]))
        # Unsatisfied first: its value; then threshold 1 and the second; then 1 + 2 and the third.
        assert found == [0.5, 2.5, 7.0, 0.0]

    def test_lexicographic_order_of_points(self):
        model = Lexicographic(models=[component(0), component(1)], thresholds=[1.0])
        better, worse = [5.0, 0.2], [0.9, 100.0]
        high, low = values(model, row(*zip(better, worse, strict=True)))
        assert high > low

    def test_padding_and_undefined_steps_are_zero(self):
        model = Product(models=[where_positive, component(1)])
        reward, extras = model(row([2, -1], [3, 3]))
        assert reward.tolist() == [[6, 0]]
        assert extras["defined"].tolist() == [[True, False]]

    def test_a_closed_gate_pays_zero_where_the_model_is_undefined(self):
        model = Gated(condition=component(1), model=where_positive)
        reward, extras = model(row([2, -1, -1], [1, 1, 0]))
        assert reward.tolist() == [[2, 0, 0]]
        assert extras["defined"].tolist() == [[True, False, True]]

    def test_an_undefined_condition_is_undefined(self):
        model = Gated(condition=where_positive, model=component(1))
        assert model(row([2, -1], [5, 5]))[1]["defined"].tolist() == [[True, False]]

    def test_keep_is_joined_and_other_extras_carry_the_childs_name(self):
        def one(observation):
            return observation[..., 0], {
                "keep": torch.tensor([[1, 0]]),
                "error": observation[..., 0],
            }

        def two(observation):
            return observation[..., 0], {"keep": torch.tensor([[True, True]])}

        extras = Product(models={"one": one, "two": two})(row([2, 3]))[1]
        assert extras["keep"].tolist() == [[True, False]]
        assert extras.keys() == {"keep", "defined", "one/error"}

    def test_a_broken_child_is_named(self):
        model = Product(models={"fine": Constant(), "broken": lambda action: action.log()[..., 0]})
        with pytest.raises(RewardError, match="'Product/broken': returned nan"):
            model(row([-1.0]))
        with pytest.raises(RewardError, match=r"'Minimum/0'.*got \[1, 1, 1\]"):
            Minimum(models=[lambda action: action])(row([1.0]))

    def test_gradient_only_when_asked(self):
        class Weight(RewardModel):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.tensor(2.0))

            def forward(self, rollout):
                return rollout.reward + self.weight

        model = Product(models=[Weight(), Weight()])
        assert not model(row([1.0]))[0].requires_grad
        assert model(row([1.0]), gradient=True)[0].requires_grad


class TestDelegation:
    def test_requires_and_claims(self):
        model = Product(models=[lambda speed: speed, lambda success: success.float()])
        assert model.requires == {"state.speed", "success"}
        assert model.task_free
        assert not model.goal_relabelling
        assert not Product(models=[Constant(), TaskReward()]).task_free
        assert Product(models=[Constant(), TaskReward()]).goal_relabelling

    @pytest.mark.parametrize(
        ("scopes", "widest"),
        [
            ([Scope.TRANSITION, Scope.EPISODE], Scope.EPISODE),
            ([Scope.GROUP, Scope.EPISODE], Scope.GROUP),
            ([Scope.TRANSITION, Scope.TRANSITION], Scope.TRANSITION),
        ],
    )
    def test_scope_is_the_widest(self, scopes, widest):
        models = [Constant() for _ in scopes]
        for model, scope in zip(models, scopes, strict=True):
            model.scope = scope
        assert Minimum(models=models).scope is widest

    def test_one_memory_makes_it_not_replayable(self):
        model = Constant()
        model.replayable = False
        assert not Gated(condition=Constant(), model=model).replayable

    def test_order_is_that_of_the_learners(self):
        first = Learner(Order.UPDATE_FIRST)
        assert Product(models=[Constant(), first]).order is Order.UPDATE_FIRST
        assert Product(models=[Constant()]).order is Order.REWARD_FIRST
        nested = Product(models=[Product(models=[Constant()]), first])
        assert nested.order is Order.UPDATE_FIRST
        assert nested.learns
        assert not Product(models=[Constant()]).learns

    def test_mixed_orders_are_refused_with_the_cure(self):
        with pytest.raises(UserError, match=r"0 is reward_first, 1 is update_first.*RewardMix"):
            Product(models=[Learner(), Learner(Order.UPDATE_FIRST)])

    def test_update_reaches_the_children_and_the_state(self):
        model, other = (Product(models={"a": Learner(), "b": Constant(value=3.0)}) for _ in "12")
        assert model.update(row([1.0])) == {"a/total": 1.0}
        assert values(model, row([1.0])) == [3]
        other.load_state_dict(model.state_dict())
        assert values(other, row([1.0])) == [3]

    def test_discount_reaches_the_children(self):
        child = FunctionPotential(component(0))
        RewardMix({"a": Product(models=[child, Constant()])}, gamma=0.9)
        assert child.gamma == 0.9
        with pytest.raises(UserError, match=r"gamma=0\.5"):
            RewardMix(
                {"a": Product(models=[FunctionPotential(component(0), gamma=0.5)])}, gamma=0.9
            )


class TestConstruction:
    @pytest.mark.parametrize("name", ["", "a.b", "a/b", "items"])
    def test_unusable_names(self, name):
        with pytest.raises(UserError, match="name"):
            Product(models={name: Constant()})

    def test_nothing_is_refused(self):
        with pytest.raises(UserError, match="at least one"):
            Minimum(models=[])

    @pytest.mark.parametrize(("count", "thresholds"), [(1, []), (2, []), (2, [1, 2])])
    def test_lexicographic_counts(self, count, thresholds):
        with pytest.raises(UserError, match="one threshold for each but the last"):
            Lexicographic(models=[Constant()] * count, thresholds=thresholds)

    def test_thresholds_are_finite(self):
        with pytest.raises(UserError, match="finite"):
            Gated(condition=Constant(), model=Constant(), threshold=float("nan"))


@pytest.mark.parametrize(
    "model",
    [
        Product(models=[component(0), Learner()]),
        Minimum(models=[component(0), TaskReward()]),
        Gated(condition=component(0), model=where_positive),
        Lexicographic(models=[component(0), component(1)], thresholds=[0.1]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_combinations_keep_the_contract(model):
    from gymnasium import spaces

    box = spaces.Box(-1.0, 1.0, (2,), np.float32)
    report = check_reward(model, observation_space=box, action_space=box)
    assert report.ok, str(report)
