import numpy as np
import pytest
import torch

from reward_models.base import Order, RewardModel, Scope
from reward_models.constant import Constant
from reward_models.errors import RewardError, UnknownNameError, UserError
from reward_models.mix import (
    RewardMix,
    TaskReward,
    Term,
    column_metrics,
)
from reward_models.potential import FunctionPotential
from reward_models.refusals import hindsight_refusal, transition_refusal
from reward_models.rollout import Rollout
from reward_models.schedules import Linear, Schedule


class Counter(RewardModel):
    """Pays the number of updates it has seen."""

    count: torch.Tensor

    def __init__(self, order=Order.REWARD_FIRST):
        super().__init__()
        self.order = order
        self.register_buffer("count", torch.zeros(()))

    def forward(self, rollout):
        return torch.ones_like(rollout.reward) * self.count

    def update(self, rollout):
        assert torch.is_grad_enabled()
        self.count += 1
        return {"count": float(self.count)}


def make(steps=4, columns=3, seed=0, **entries):
    rng = np.random.default_rng(seed)
    size = (steps, columns)
    core = {
        "observation": rng.normal(size=(*size, 2)).astype(np.float32),
        "action": rng.normal(size=(*size, 1)).astype(np.float32),
        "next_observation": rng.normal(size=(*size, 2)).astype(np.float32),
        "reward": rng.normal(size=size).astype(np.float32),
        "terminated": np.zeros(size, dtype=bool),
        "truncated": np.zeros(size, dtype=bool),
    }
    return Rollout(**{**core, **entries})


def filled(value):
    return lambda rollout: torch.full_like(rollout.reward, value)


def first(observation):
    return observation[..., 0]


class TestTaskAlone:
    @pytest.mark.parametrize("terms", [None, {}, {"task": 1.0}, {"task": TaskReward()}])
    def test_total_is_the_same_tensor(self, terms):
        mix, rollout = RewardMix(terms, gamma=0.99), make()
        assert mix.is_task_only
        assert mix.total(rollout) is rollout.reward
        assert mix.rewards(rollout).total is rollout.reward
        assert mix.collect(rollout, steps=12)[0].total is rollout.reward

    @pytest.mark.parametrize(
        "terms",
        [
            {"task": 0.5},
            {"other": Constant()},
            {"task": Term(TaskReward(), scale="reward_std")},
            {"task": Term(TaskReward(), gate=filled(1.0))},
            {"task": first},
        ],
    )
    def test_anything_else_is_not(self, terms):
        assert not RewardMix(terms, gamma=0.99).is_task_only


class TestSum:
    def test_by_hand(self):
        rollout = make(steps=1, columns=2, reward=[[1.0, 2.0]])
        mix = RewardMix(
            {
                "task": 0.5,
                "bonus": Term(filled(3.0), weight=2.0),
                "gated": Term(filled(10.0), weight=0.1, gate=lambda reward: (reward > 1.5).float()),
            },
            gamma=0.99,
        )
        mixed = mix.rewards(rollout)
        assert mixed.names == ("task", "bonus", "gated")
        torch.testing.assert_close(mixed.raw, torch.tensor([[[1.0, 3.0, 10.0], [2.0, 3.0, 10.0]]]))
        torch.testing.assert_close(
            mixed.contributions(), torch.tensor([[[0.5, 6.0, 0.0], [1.0, 6.0, 1.0]]])
        )
        torch.testing.assert_close(mixed.total, torch.tensor([[6.5, 8.0]]))
        torch.testing.assert_close(mix.total(rollout), mixed.total)

    def test_task_comes_first_and_is_always_there(self):
        assert RewardMix({"b": Constant(), "a": Constant()}, gamma=0.9).names == ("task", "b", "a")
        assert RewardMix({"b": Constant(), "task": 0.0}, gamma=0.9).names == ("task", "b")

    def test_weights_follow_their_schedule_in_collected_steps(self):
        mix = RewardMix({"bonus": Term(Constant(), weight=Linear(1.0, 0.0, 100))}, gamma=0.9)
        rollout = make(reward=np.zeros((4, 3)))
        assert mix.collect(rollout, steps=0)[0].total[0, 0] == 1
        assert mix.collect(rollout, steps=25)[0].total[0, 0] == 0.75
        assert mix.rewards(rollout).total[0, 0] == 0.75
        assert mix.collect(rollout, steps=500)[0].total[0, 0] == 0

    def test_scale_divides_by_the_deviation_of_the_terms_own_return(self):
        mix = RewardMix({"x": Term(first, scale="return_std"), "task": 0.0}, gamma=0.5)
        rollout = make()
        mixed, _ = mix.collect(rollout, steps=12)
        # Each column's returns run forward in time.
        returns, running = [], np.zeros(3)
        for row in rollout.observation[..., 0].numpy().astype(np.float64):
            running = 0.5 * running + row
            returns.append(running)
        expected = np.std(returns, ddof=1)
        assert float(mixed.divisors[1]) == pytest.approx(expected, rel=1e-6)
        torch.testing.assert_close(mixed.total, rollout.observation[..., 0] / expected)

    def test_rewards_learn_nothing(self):
        mix = RewardMix({"x": Term(first, scale="return_std"), "c": Counter()}, gamma=0.5)
        before = {key: value.clone() for key, value in mix.state_dict().items()}
        for seed in range(3):
            mix.rewards(make(seed=seed))
        assert all(torch.equal(before[key], value) for key, value in mix.state_dict().items())

    def test_frozen_scales_stay(self):
        mix = RewardMix({"x": Term(first, scale="return_std")}, gamma=0.5)
        mix.collect(make(), steps=12)
        divisor = float(mix.rewards(make()).divisors[1])
        mix.freeze_scales()
        mix.collect(make(seed=5), steps=24)
        assert float(mix.rewards(make()).divisors[1]) == divisor
        mix.freeze_scales(False)
        mix.collect(make(seed=6), steps=36)
        assert float(mix.rewards(make()).divisors[1]) != divisor

    def test_model_can_ask_for_its_scale(self):
        model = Constant()
        model.preferred_scale = "reward_std"
        mix = RewardMix({"a": model, "b": Term(model, scale="none")}, gamma=0.5)
        assert [mix.scales[name].kind for name in mix.names] == ["none", "reward_std", "none"]

    def test_a_constant_bonus_shifts_every_return_by_its_geometric_sum(self):
        """The bonus reaches the returns the learner is trained with (a known silent failure)."""
        beta, gamma, steps = 0.3, 0.9, 400
        rollout = make(steps=steps, columns=1)
        mix = RewardMix({"bonus": Term(Constant(), weight=beta)}, gamma=gamma)
        plain = rollout.discounted_sum(rollout.reward, gamma=gamma)
        shaped = rollout.discounted_sum(mix.total(rollout), gamma=gamma)
        assert float(shaped[0, 0] - plain[0, 0]) == pytest.approx(beta / (1 - gamma), rel=1e-4)
        assert float(shaped[-1, 0] - plain[-1, 0]) == pytest.approx(beta, rel=1e-4)

    @pytest.mark.parametrize("scale", ["none", "return_std", "reward_std"])
    def test_weights_keep_their_meaning_beside_a_larger_term(self, scale):
        """A term 100 times larger must not change what another term contributes."""
        terms = {"shaping": Term(first, weight=0.5, scale=scale)}
        large = {"large": Term(filled(100.0), scale=scale)}
        alone, beside = RewardMix(terms, gamma=0.9), RewardMix({**terms, **large}, gamma=0.9)
        for seed in range(3):
            rollout = make(seed=seed)
            one = alone.collect(rollout, steps=0)[0].contributions()
            other = beside.collect(rollout, steps=0)[0].contributions()
        assert torch.equal(one, other[..., :2])


class TestOrder:
    def test_novelty_is_measured_before_it_is_learned(self):
        mix = RewardMix({"new": Counter(Order.REWARD_FIRST)}, gamma=0.9)
        mixed, metrics = mix.collect(make(), steps=1)
        assert mixed.raw[0, 0, 1] == 0
        assert metrics == {"new/count": 1.0}
        assert mix.collect(make(), steps=2)[0].raw[0, 0, 1] == 1

    def test_a_discriminator_learns_first(self):
        mix = RewardMix({"real": Counter(Order.UPDATE_FIRST)}, gamma=0.9)
        assert mix.collect(make(), steps=1)[0].raw[0, 0, 1] == 1

    def test_gates_learn_in_their_own_order(self):
        gates = {order: Counter(order) for order in Order}
        mix = RewardMix(
            {str(order): Term(filled(1.0), gate=gate) for order, gate in gates.items()}, gamma=0.9
        )
        mixed, metrics = mix.collect(make(), steps=1)
        assert mixed.gates is not None
        assert mixed.gates[0, 0].tolist() == [1, 0, 1]
        assert metrics == {"reward_first/gate/count": 1.0, "update_first/gate/count": 1.0}

    def test_a_model_in_two_places_learns_once(self):
        model = Counter()
        mix = RewardMix({"a": model, "b": Term(first, gate=model)}, gamma=0.9)
        assert mix.collect(make(), steps=1)[1] == {"a/count": 1.0}
        assert model.count == 1


class TestExtras:
    def test_undefined_steps_pay_nothing_and_leave_the_scale(self):
        def f(observation):
            defined = torch.zeros(observation.shape[:2], dtype=torch.bool)
            defined[:2] = True
            return torch.where(defined, observation[..., 0], torch.nan), {"defined": defined}

        mix = RewardMix({"x": Term(f, scale="reward_std"), "task": 0.0}, gamma=0.9)
        rollout = make()
        mixed, _ = mix.collect(rollout, steps=1)
        assert mixed.total[2:].abs().sum() == 0
        assert mixed.total[:2].abs().min() > 0
        assert not mixed.defined[2:, :, 1].any()
        expected = rollout.observation[:2, :, 0].std()
        assert float(mixed.divisors[1]) == pytest.approx(float(expected), rel=1e-5)
        metrics = column_metrics(mixed, rollout.mask)
        assert metrics["x/mean"] == pytest.approx(float(rollout.observation[:2, :, 0].mean()))

    def test_steps_not_kept_leave_every_statistic(self):
        def f(observation):
            return observation[..., 0], {"keep": torch.arange(4)[:, None].expand(4, 3) < 2}

        def g(observation):
            return observation[..., 1], {"keep": torch.arange(4)[:, None].expand(4, 3) > 0}

        mix = RewardMix({"f": f, "g": Term(g, scale="reward_std")}, gamma=0.9)
        rollout = make()
        mixed, _ = mix.collect(rollout, steps=1)
        assert mixed.keep is not None
        assert mixed.keep[:, 0].tolist() == [False, True, False, False]
        assert float(mixed.divisors[2]) == pytest.approx(
            float(rollout.observation[1, :, 1].std()), rel=1e-5
        )
        assert column_metrics(mixed, rollout.mask)["task/mean"] == pytest.approx(
            float(rollout.reward[1].mean())
        )

    def test_no_term_says_keep(self):
        assert RewardMix({"a": Constant()}, gamma=0.9).rewards(make()).keep is None

    def test_others_carry_the_terms_name(self):
        mix = RewardMix({"a": lambda reward: (reward, {"error": reward * 2})}, gamma=0.9)
        assert mix.rewards(make()).extras.keys() == {"a/error"}

    def test_padding_pays_nothing(self):
        mask = np.ones((4, 3), dtype=bool)
        mask[2:, 0] = False
        mixed = RewardMix({"a": Constant()}, gamma=0.9).rewards(make(mask=mask))
        assert mixed.raw[2:, 0].abs().sum() == 0
        assert not mixed.defined[2:, 0].any()


class TestBrokenTerms:
    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_not_finite_names_term_step_column_value_and_environment_step(self, bad):
        def f(observation):
            value = torch.zeros(observation.shape[:2])
            value[2, 1] = bad
            return value

        mix = RewardMix({"fine": Constant(), "broken": f}, gamma=0.9)
        with pytest.raises(RewardError) as raised:
            mix.collect(make(), steps=4096)
        assert raised.value.term == "broken"
        for part in (f"returned {bad}", "time step 2", "column 1", "environment step 4096"):
            assert part in str(raised.value)

    def test_task_reward_is_checked_too(self):
        reward = np.zeros((4, 3))
        reward[1, 2] = np.nan
        with pytest.raises(RewardError, match="'task': returned nan at time step 1, column 2"):
            RewardMix({"a": Constant()}, gamma=0.9).rewards(make(reward=reward))

    def test_wrong_shape_names_both_shapes(self):
        mix = RewardMix({"broken": lambda observation: observation}, gamma=0.9)
        with pytest.raises(RewardError, match=r"'broken'.*= \[4, 3\].*got \[4, 3, 2\]"):
            mix.rewards(make())

    def test_a_gate_is_checked_too(self):
        mix = RewardMix({"a": Term(Constant(), gate=filled(float("nan")))}, gamma=0.9)
        with pytest.raises(RewardError, match="'gate of a': returned nan"):
            mix.rewards(make())

    def test_overflow_of_the_total_names_the_term(self):
        mix = RewardMix({"huge": Term(filled(1e38), weight=1e3)}, gamma=0.9)
        with pytest.raises(RewardError, match=r"'huge': contributes inf at time step 0, column 0"):
            mix.rewards(make())


class TestDeclarations:
    def test_requires_of_terms_and_gates(self):
        mix = RewardMix(
            {"a": lambda x_velocity: x_velocity, "b": Term(first, gate=lambda success: success)},
            gamma=0.9,
        )
        assert mix.requires == {"state.x_velocity", "success"}

    def test_all_refusals_are_listed_at_once(self):
        episodic, remembering = Constant(), Constant()
        episodic.scope, remembering.replayable = Scope.EPISODE, False
        mix = RewardMix({"a": episodic, "b": Term(first, gate=remembering)}, gamma=0.9)
        with pytest.raises(UserError) as raised:
            mix.check_usable("replay", transition_refusal)
        message = str(raised.value)
        assert "cannot be used for replay" in message
        assert "- a: its value depends on a whole episode" in message
        assert "- gate of b: it needs the steps in their order" in message
        assert "- b:" not in message

    def test_hindsight_needs_a_claim(self):
        mix = RewardMix({"a": first}, gamma=0.9)
        with pytest.raises(UserError, match="goal_relabelling = True"):
            mix.check_usable("hindsight replay", hindsight_refusal)
        RewardMix({"a": FunctionPotential(first)}, gamma=0.9).check_usable("h", hindsight_refusal)

    @pytest.mark.parametrize("name", ["", "a.b", "a/b", "keys", "training"])
    def test_unusable_names(self, name):
        with pytest.raises(UserError, match="name"):
            RewardMix({name: Constant()}, gamma=0.9)

    @pytest.mark.parametrize("gamma", [-0.1, 1.5])
    def test_discount_range(self, gamma):
        with pytest.raises(UserError, match="gamma"):
            RewardMix(gamma=gamma)

    def test_a_number_is_only_the_tasks_weight(self):
        with pytest.raises(UserError, match=r"'bonus' is the number 0\.5"):
            RewardMix({"bonus": 0.5}, gamma=0.9)

    def test_unknown_scale(self):
        with pytest.raises(UnknownNameError, match="Did you mean 'return_std'"):
            RewardMix({"a": Term(Constant(), scale="return-std")}, gamma=0.9)


class TestMetrics:
    def test_by_hand(self):
        rollout = make(steps=1, columns=4, reward=[[1.0, 3.0, 0.0, 99.0]],
                       mask=[[True, True, True, False]])  # fmt: skip
        mix = RewardMix({"bonus": Term(filled(2.0), weight=-0.5)}, gamma=0.9)
        metrics = column_metrics(mix.rewards(rollout), rollout.mask)
        assert metrics["task/mean"] == pytest.approx(4 / 3)
        assert metrics["task/std"] == pytest.approx(float(np.std([1, 3, 0], ddof=1)))
        assert metrics["task/nonzero"] == pytest.approx(2 / 3)
        assert metrics["bonus/mean"] == 2
        assert metrics["bonus/contribution"] == -1
        assert metrics["bonus/share"] == pytest.approx(1 / (1 + 4 / 3))
        assert metrics["task/share"] + metrics["bonus/share"] == pytest.approx(1)
        assert metrics["bonus/weight"] == -0.5
        assert metrics["bonus/effective_weight"] == -0.5

    def test_effective_weight_has_the_divisor(self):
        mix = RewardMix({"x": Term(first, weight=3.0, scale="reward_std")}, gamma=0.9)
        rollout = make()
        mixed, _ = mix.collect(rollout, steps=1)
        found = column_metrics(mixed, rollout.mask)["x/effective_weight"]
        assert found == pytest.approx(3 / float(rollout.observation[..., 0].std()), rel=1e-5)

    def test_nothing_real_has_none(self):
        rollout = make(mask=np.zeros((4, 3), dtype=bool))
        assert column_metrics(RewardMix(gamma=0.9).rewards(rollout), rollout.mask) == {}


class TestState:
    def build(self):
        return RewardMix(
            {
                "c": Term(Counter(), weight=Linear(1.0, 0.0, 100), scale="return_std"),
                "g": Term(first, scale="return_std", gate=Counter()),
            },
            gamma=0.9,
        )

    def test_round_trip_into_a_fresh_mix_continues(self):
        mix, other = self.build(), self.build()
        for seed in range(3):
            mix.collect(make(seed=seed), steps=10 * seed)
        state = mix.state_dict()
        assert all(isinstance(value, torch.Tensor) for value in state.values())
        other.load_state_dict(state)
        assert other.steps == 20
        rollout = make(seed=9)
        assert torch.equal(mix.rewards(rollout).total, other.rewards(rollout).total)
        first_total = mix.collect(rollout, steps=50)[0].total
        assert torch.equal(first_total, other.collect(rollout, steps=50)[0].total)


def test_own_schedule():
    class Late(Schedule):
        def at(self, steps):
            return float(steps >= 10)

    mix = RewardMix({"a": Term(Constant(), weight=Late()), "task": 0.0}, gamma=0.9)
    assert mix.collect(make(), steps=9)[0].total.sum() == 0
    assert mix.collect(make(), steps=10)[0].total.sum() == 12
