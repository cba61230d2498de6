"""Every rule is broken once by a small model, and must be the one that is reported."""

import doctest
import functools
import random

import numpy as np
import pytest
import torch
from gymnasium import spaces

import reward_models.check
from reward_models.base import Order, RewardModel, Scope
from reward_models.check import check_reward
from reward_models.checking.contract import output_violations
from reward_models.checking.samples import padded, sampled_rollouts, scrambled_padding
from reward_models.constant import Constant
from reward_models.curiosity.icm import ICM
from reward_models.curiosity.rnd import RND
from reward_models.errors import UserError
from reward_models.mix import TaskReward
from reward_models.potential import FunctionPotential, Potential

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)
SPACES = {
    "observation_space": BOX,
    "action_space": spaces.Discrete(4),
}


def check(reward, **options):
    return check_reward(reward, **{**SPACES, **options})


def rules(reward, **options):
    return {violation.rule for violation in check(reward, **options).violations}


class Plain(RewardModel):
    """A good model that learns: the distance from a running mean of what it saw."""

    centre: torch.Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("centre", torch.zeros(3))

    def forward(self, rollout):
        return (rollout.next_observation - self.centre).norm(dim=-1)

    def update(self, rollout):
        seen = rollout.next_observation[rollout.mask]
        if not len(seen):
            return {}
        self.centre += 0.1 * (seen.mean(0) - self.centre)
        return {"norm": float(self.centre.norm())}


class TestGoodModels:
    @pytest.mark.parametrize(
        "reward",
        [
            Plain(),
            Constant(),
            TaskReward(),
            FunctionPotential(lambda o: o.sum(-1)),
            lambda action, speed: speed - action.float(),
            RND,
            ICM,
        ],
        ids=lambda reward: getattr(reward, "__name__", type(reward).__name__),
    )
    @pytest.mark.parametrize("gamma", [0.9, 1.0])
    def test_no_violation(self, reward, gamma):
        report = check(reward, gamma=gamma)
        assert report.ok, str(report)

    @pytest.mark.parametrize(
        "space",
        [
            spaces.Discrete(5),
            spaces.MultiDiscrete([2, 3]),
            spaces.Box(0, 255, (8, 8, 3), np.uint8),
            spaces.Dict({"a": BOX, "b": spaces.MultiBinary(2)}),
            spaces.Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (2,), np.float32),
        ],
        ids=str,
    )
    def test_any_recordable_space(self, space):
        report = check(lambda action: -action.float().square(), observation_space=space)
        assert report.ok, str(report)
        assert check(RND, observation_space=space, action_space=BOX).ok

    def test_tuple_spaces_are_refused(self):
        with pytest.raises(UserError, match="Tuple spaces cannot be recorded"):
            check(Constant(), observation_space=spaces.Tuple([BOX]))

    def test_rules_without_a_claim_are_left_out(self):
        passed = check(TaskReward()).passed
        assert "task_free" not in passed
        assert "potential_returns" not in passed
        assert "constructor" not in passed
        assert "constructor" in check(RND).passed
        assert {"potential_returns", "potential_optimum"} <= set(
            check(FunctionPotential(lambda o: o[..., 0])).passed
        )


class TestTheCheckItself:
    def test_the_model_is_left_alone(self):
        model = Plain()
        check(model)
        assert model.centre.sum() == 0

    def test_a_potential_is_not_bound(self):
        model = FunctionPotential(lambda o: o[..., 0])
        assert check(model).ok
        assert model.gamma is None

    def test_global_generators_are_left_alone(self):
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
        check(lambda rollout: torch.rand(rollout.T, rollout.B) + random.random())
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1] == np.random.get_state()[1].tolist()  # noqa: NPY002
        assert before[2] == random.getstate()

    def test_the_spaces_generators_are_left_alone(self):
        space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        space.seed(5)
        expected = [space.sample() for _ in range(2)][1]
        space.seed(5)
        space.sample()
        check(Constant(), observation_space=space)
        assert np.array_equal(space.sample(), expected)

    def test_every_violation_is_listed_at_once(self):
        class Bad(Plain):
            order = "whenever"

            def forward(self, rollout):
                self.centre += 0.01
                rollout.reward.add_(1)
                return rollout.reward + torch.rand(1)

            def update(self, rollout):
                return {"loss": float("nan")}

        report = check(Bad())
        assert not report.ok
        found = {violation.rule for violation in report.violations}
        assert {"declarations", "pure", "update", "task_free"} <= found
        text = str(report)
        assert text.startswith(f"Bad: {len(report.violations)} violations")
        assert all(v.message in text and f"cure: {v.cure}" in text for v in report.violations)

    def test_given_rollouts_are_used(self):
        def f(observation):
            return torch.where(observation[..., 0] > 50, torch.nan, 0.0)

        rollout = sampled_rollouts(rng=np.random.default_rng(0), **SPACES)[0]
        observation = rollout.observation.clone()
        observation[5, 2] = 100
        assert check(f).ok
        report = check(f, rollouts=[rollout.replace(observation=observation)])
        assert "time step 5, column 2" in report.violations[0].message

    def test_shapes_of_quantities(self):
        def f(ball):
            return ball.square().sum(-1)

        assert not check(f).ok
        assert check(f, state={"ball": BOX}).ok
        assert check(lambda hidden: hidden[..., 4], state={"hidden": spaces.Box(-1, 1, (5,))}).ok

    def test_rollouts_without_a_real_step_are_refused(self):
        rollout = sampled_rollouts(rng=np.random.default_rng(0), **SPACES)[0]
        with pytest.raises(UserError, match="no real step"):
            check(Constant(), rollouts=rollout.replace(mask=torch.zeros_like(rollout.mask)))

    def test_a_class_that_needs_more_is_refused_with_the_cure(self):
        class Needy(Constant):
            def __init__(self, *, what):
                super().__init__(value=what)

        with pytest.raises(UserError, match=r"functools.partial\(Needy"):
            check(Needy)
        assert check(functools.partial(Needy, what=2.0)).ok


class TestDeclarations:
    @pytest.mark.parametrize(
        ("name", "value", "part"),
        [
            ("scope", "transitions", "transition"),
            ("order", "reward", "reward_first"),
            ("preferred_scale", "rewardstd", "reward_std"),
            ("task_free", None, "bool"),
            ("requires", "success", "frozenset"),
            ("requires", frozenset({"reward"}), "Leave it out"),
            ("requires", frozenset({"succes"}), "'success'"),
            ("requires", frozenset({"zzzz"}), "'state.zzzz'"),
        ],
    )
    def test_malformed(self, name, value, part):
        model = Constant()
        setattr(model, name, value)
        (violation, *_) = check(model).violations
        assert violation.rule == "declarations"
        assert name in violation.message
        assert part in violation.cure

    def test_strings_of_the_right_names_are_fine(self):
        model = Constant()
        model.scope, model.order = str(Scope.EPISODE), str(Order.UPDATE_FIRST)
        assert check(model).ok

    def test_another_discount(self):
        report = check(FunctionPotential(lambda o: o[..., 0], gamma=0.9), gamma=0.99)
        assert {violation.rule for violation in report.violations} == {"discount"}


class TestOutput:
    @pytest.mark.parametrize(
        ("function", "part"),
        [
            (lambda observation: observation, r"shape [16, 4, 3]"),
            (lambda rollout: rollout.reward.sum(), "shape []"),
            (lambda rollout: rollout.reward > 0, "torch.bool"),
            (lambda rollout: rollout.reward.to(torch.complex64), "complex"),
            (lambda rollout: rollout.reward / 0, "returned"),
            (lambda reward: (reward, {"defined": reward[0]}), "'defined' is [4]"),
            (lambda reward: (reward, {"defined": reward}), "'defined' is torch.float32"),
            (lambda reward: (reward, {"keep": reward}), "other than 0 and 1"),
        ],
    )
    def test_wrong(self, function, part):
        report = check(function)
        assert report.violations[0].rule == "output"
        assert part in report.violations[0].message
        assert "pure" in report.skipped

    def test_tuples(self):
        rollout = sampled_rollouts(rng=np.random.default_rng(0), **SPACES)[0]
        (violation,) = output_violations("output", (rollout.reward, {}, {}), rollout, "")
        assert "(Tensor, dict, dict)" in violation.message
        (violation,) = output_violations("output", [1.0], rollout, "")
        assert "a list" in violation.message

    def test_a_failure_is_a_violation(self):
        report = check(lambda observation: observation["x"])
        assert report.violations[0].rule == "output"
        assert "fails with" in report.violations[0].message

    def test_broken_only_after_updates(self):
        class Later(Plain):
            def forward(self, rollout):
                return torch.log(0.0 - self.centre.abs().sum() + 1e-9) + rollout.reward

        assert "after updates" in check(Later()).violations[0].message


class TestRequires:
    def test_undeclared(self):
        (violation,) = check(lambda rollout: rollout["state.x"]).violations
        assert violation.rule == "requires"
        assert "'state.x'" in violation.message

    def test_never_read(self):
        model = Constant()
        model.requires = frozenset({"success", "state.x"})
        report = check(model)
        assert [violation.rule for violation in report.violations] == ["requires"] * 2
        assert "works without it" in report.violations[0].message

    def test_read_in_update_only_is_honest(self):
        class Late(Plain):
            requires = frozenset({"success"})

            def update(self, rollout):
                rollout["success"]
                return super().update(rollout)

        assert check(Late()).ok

    def test_missing_key_must_be_named(self):
        class Hiding(Plain):
            requires = frozenset({"value"})

            def forward(self, rollout):
                return rollout["value" if "value" in rollout else "values"] * 1.0

        class Silent(Plain):
            requires = frozenset({"value"})

            def forward(self, rollout):
                if "value" not in rollout:
                    raise RuntimeError("something is missing")
                return rollout["value"] * 1.0

        assert rules(Hiding()) == set()  # 'values' contains the name
        assert rules(Silent()) == {"requires"}


class TestPurity:
    def test_learning_in_forward(self):
        class Learns(Plain):
            def forward(self, rollout):
                self.centre += 0.1
                return super().forward(rollout)

        report = check(Learns())
        assert any("changes the model's state: centre" in v.message for v in report.violations)

    def test_hidden_memory(self):
        class Remembers(Plain):
            calls = 0

            def forward(self, rollout):
                self.calls += 1
                return super().forward(rollout) * self.calls

        assert "pure" in rules(Remembers())

    def test_writing_into_the_rollout(self):
        def f(observation):
            observation[..., 0] = 0
            return observation.sum(-1)

        report = check(f)
        assert any("changes the rollout: observation" in v.message for v in report.violations)

    @pytest.mark.parametrize(
        ("draw", "name"),
        [
            (lambda: torch.rand(1).item(), "torch"),
            (lambda: float(np.random.rand()), "numpy"),  # noqa: NPY002
            (random.random, "python"),
        ],
    )
    def test_global_generators(self, draw, name):
        report = check(lambda rollout: rollout.reward * 0 + draw())
        messages = [v.message for v in report.violations if v.rule == "pure"]
        assert any(f"global random generator of {name}," in message for message in messages)

    def test_a_graph_that_nobody_asked_for(self):
        class Graph(RewardModel):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.ones(()))

            def forward(self, rollout):
                with torch.enable_grad():
                    return rollout.reward.nan_to_num() * 0 + self.weight

        assert rules(Graph()) == {"graph"}


class TestUpdate:
    def metric(self, value):
        class Reports(Plain):
            def update(self, rollout):
                return value

        return check(Reports()).violations

    @pytest.mark.parametrize(
        ("value", "part"),
        [
            ({"loss": float("inf")}, "is inf"),
            ({"loss": torch.tensor(1.0)}, "is a Tensor"),
            ({3: 1.0}, "metric 3"),
            (None, "returned a NoneType"),
        ],
    )
    def test_metrics(self, value, part):
        (violation,) = self.metric(value)
        assert violation.rule == "update"
        assert part in violation.message

    def test_global_randomness(self):
        class Noisy(Plain):
            def update(self, rollout):
                self.centre += torch.randn(3)
                return {}

        report = check(Noisy())
        messages = [v.message for v in report.violations if v.rule == "update"]
        assert "global random generator of torch" in messages[0]
        assert "differ in centre" in messages[1]

    def test_writing_into_the_rollout(self):
        class Writes(Plain):
            def update(self, rollout):
                rollout.reward.zero_()
                return {}

        assert any(
            "update changes the rollout: reward" in v.message for v in check(Writes()).violations
        )

    def test_constructor_randomness(self):
        class Unseeded(Plain):
            def __init__(self, *, seed):
                super().__init__()
                self.centre += torch.randn(3)

        found = [v.message for v in check(Unseeded).violations if v.rule == "constructor"]
        assert "global random generator of torch" in found[0]
        assert "differ in centre" in found[1]

    def test_what_cannot_be_copied(self):
        class Locked(Plain):
            def __init__(self):
                super().__init__()
                self.stream = (number for number in range(3))

        report = check(Locked())
        assert [v.rule for v in report.violations] == ["copy"]
        assert "output" in report.skipped or "pure" in report.skipped


class TestState:
    def test_a_counter_outside_of_the_state(self):
        class Counts(Plain):
            seen = 0

            def update(self, rollout):
                self.seen += 1
                return {}

            def forward(self, rollout):
                return super().forward(rollout) * self.seen

        assert rules(Counts()) == {"state"}

    def test_hidden_state_of_learning_only(self):
        class Decays(Plain):
            rate = 1.0

            def update(self, rollout):
                self.rate *= 0.5
                self.centre += self.rate * int(rollout.mask.any())
                return {}

        (first, *_) = check(Decays()).violations
        assert first.rule == "state"
        assert "learning continues differently" in first.message

    def test_a_generator_outside_of_the_state(self):
        class Draws(Plain):
            def __init__(self):
                super().__init__()
                self.generator = torch.Generator().manual_seed(0)

            def update(self, rollout):
                self.centre += torch.randn(3, generator=self.generator)
                return {}

        assert rules(Draws()) == {"state"}

    def test_no_pickles_in_the_state(self):
        class Pickled(Plain):
            def get_extra_state(self):
                return {"seen": 3}

            def set_extra_state(self, state):
                pass

        report = check(Pickled())
        assert [v.rule for v in report.violations] == ["state"]
        assert "_extra_state" in report.violations[0].message

    def test_a_state_that_a_fresh_model_does_not_take(self):
        class Grows(Plain):
            def update(self, rollout):
                self.register_buffer("late", torch.zeros(2))
                return {}

        report = check(Grows())
        assert any("cannot be loaded into a fresh model" in v.message for v in report.violations)


class TestDependence:
    def test_task_free_claims_are_tried(self):
        def f(rollout):
            return rollout.reward * 0 + 1

        assert rules(f) == set()
        f.task_free = True
        assert "task_free" in rules(f)

    def test_learning_from_the_task_reward(self):
        class Copies(Plain):
            def update(self, rollout):
                self.centre += (rollout.reward * rollout.mask).mean()
                return {}

        assert "task_free" in rules(Copies())

    def test_transition_scope_is_tried(self):
        def f(rollout):
            return torch.cumsum(torch.ones_like(rollout.reward), 0)

        assert "replay" in rules(f)

    @pytest.mark.parametrize("honest", ["scope", "replayable"])
    def test_honest_sequence_models_are_fine(self, honest):
        class Scan(RewardModel):
            def forward(self, rollout):
                return rollout.discounted_sum(torch.ones(rollout.T, rollout.B), gamma=0.9)

        model = Scan()
        if honest == "scope":
            model.scope = Scope.EPISODE
        else:
            model.replayable = False
        assert check(model).ok

    def test_statistics_over_the_batch(self):
        def f(observation):
            return (observation[..., 0] - observation[..., 0].mean()) / observation[..., 0].std()

        found = rules(f)
        assert "replay" in found or "padding" in found
        assert "edges" in found

    def test_columns_are_alike(self):
        class Ranked(RewardModel):
            scope = Scope.EPISODE

            def forward(self, rollout):
                return torch.arange(rollout.B).expand(rollout.T, rollout.B).float()

        assert rules(Ranked()) == {"columns"}

    def test_padding_must_not_reach_real_steps(self):
        class Leaks(RewardModel):
            scope = Scope.EPISODE

            def forward(self, rollout):
                return rollout.next_observation[..., 0].flip(0).cumsum(0).flip(0)

        assert rules(Leaks()) == {"padding"}

    def test_learning_from_padding(self):
        class Learns(Plain):
            def update(self, rollout):
                self.centre += rollout.next_observation.mean((0, 1))
                return {}

        report = check(Learns())
        (message,) = [v.message for v in report.violations if v.rule == "padding"]
        assert message.startswith("the model learns from padding")

    @pytest.mark.parametrize(
        ("function", "case"),
        [
            (lambda rollout: (rollout.reward - rollout.reward.std(0)).nan_to_num(5.0) * 0
             + 1 / (rollout.T - 1), "T = 1"),
            (lambda observation: observation[..., 0] * 0 + 1 / observation.std((0, 1)).sum(),
             "constant observations"),
            (lambda rollout: rollout.reward * 0 + 1.0 / (rollout.B - 1), "B = 1"),
        ],
    )  # fmt: skip
    def test_edges(self, function, case):
        found = [v.message for v in check(function).violations if v.rule == "edges"]
        assert any(f"with {case}" in message for message in found)

    def test_update_on_no_real_step(self):
        class Means(Plain):
            def update(self, rollout):
                self.centre += rollout.next_observation[rollout.mask].mean(0)
                return {}

        (violation,) = check(Means()).violations
        assert violation.rule == "edges"
        assert "no real step" in violation.message


class ZeroedAtEveryEnd(FunctionPotential):
    """The defect of shaping wrappers that know only one kind of end."""

    def forward(self, rollout):
        before, after = (self.potential(o) for o in (rollout.observation, rollout.next_observation))
        return self.gamma * torch.where(rollout.done, 0.0, after) - before


class NeverZeroed(FunctionPotential):
    def forward(self, rollout):
        before, after = (self.potential(o) for o in (rollout.observation, rollout.next_observation))
        return self.gamma * after - before


class Undiscounted(FunctionPotential):
    def forward(self, rollout):
        before, after = (self.potential(o) for o in (rollout.observation, rollout.next_observation))
        return torch.where(rollout.terminated, 0.0, after) - before


def phi(observation):
    return 3 * observation[..., 0] + observation[..., 1] + 5


class TestPotentials:
    def test_zero_at_a_time_limit_is_caught(self):
        report = check(ZeroedAtEveryEnd(phi))
        assert {v.rule for v in report.violations} == {"potential_returns"}
        assert "ends truncated" in report.violations[0].message
        assert "kept on truncation" in report.violations[0].cure

    def test_kept_at_termination_changes_the_optimum(self):
        found = {v.rule: v.message for v in check(NeverZeroed(phi)).violations}
        assert set(found) == {"potential_returns", "potential_optimum"}
        assert "ends terminated" in found["potential_returns"]

    def test_without_the_discount_it_changes_the_optimum(self):
        assert rules(Undiscounted(phi), gamma=0.9) == {"potential_returns", "potential_optimum"}
        assert rules(Undiscounted(phi), gamma=1.0) == set()

    def test_real_rollouts_without_time_limits_are_given_some(self):
        rollout = sampled_rollouts(rng=np.random.default_rng(0), **SPACES)[0]
        no_limit = rollout.replace(truncated=torch.zeros_like(rollout.truncated))
        assert rules(ZeroedAtEveryEnd(phi), rollouts=[no_limit]) == {"potential_returns"}

    def test_learned_potentials(self):
        class Learned(Potential):
            def __init__(self):
                super().__init__()
                self.register_buffer("slope", torch.ones(()))

            def potential(self, observation):
                return self.slope * observation[..., 0]

            def update(self, rollout):
                self.slope += 0.5
                return {}

        assert check(Learned()).ok

    def test_dict_and_discrete_observations(self):
        nested = spaces.Dict({"x": BOX, "n": spaces.Discrete(3)})
        model = FunctionPotential(lambda o: o["x"][..., 0] + o["n"])
        assert check(model, observation_space=nested).ok
        assert rules(ZeroedAtEveryEnd(lambda o: o + 1.0), observation_space=spaces.Discrete(7)) == {
            "potential_returns"
        }


class TestSamples:
    def test_rollouts_follow_each_other(self):
        first, second, _ = sampled_rollouts(rng=np.random.default_rng(0), **SPACES)
        assert torch.equal(second.continued, ~first.done[-1])
        last, begun = first.next_observation[-1], second.observation[0]
        assert torch.equal(last[~first.done[-1]], begun[~first.done[-1]])
        running = ~first.done[:-1]
        assert torch.equal(first.next_observation[:-1][running], first.observation[1:][running])
        assert not torch.equal(first.next_observation[:-1], first.observation[1:])

    def test_all_kinds_of_ends_are_there(self):
        for rollout in sampled_rollouts(rng=np.random.default_rng(3), **SPACES):
            assert rollout.terminated.any()
            assert rollout.truncated.any()
            assert any(e.stop - e.start == 1 for e in rollout.episodes())
            assert not (rollout.terminated & rollout.truncated).any()
            assert not rollout.done[:, 1].any()

    def test_scrambling_changes_padding_only(self):
        rollout = padded(sampled_rollouts(rng=np.random.default_rng(0), **SPACES)[0])
        other = scrambled_padding(rollout, np.random.default_rng(1))
        mask = rollout.mask
        for key in ("observation", "reward", "terminated"):
            assert torch.equal(rollout[key][mask], other[key][mask])
        assert not torch.equal(rollout.observation, other.observation)
        assert not mask[:, -1].any()


def test_examples():
    assert doctest.testmod(reward_models.check).failed == 0
