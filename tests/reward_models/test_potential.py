import pytest
import torch

from reward_models.errors import UserError
from reward_models.mix import RewardMix, Term
from reward_models.potential import FunctionPotential, Potential
from reward_models.rollout import Rollout


class ZeroedAtEveryEnd(FunctionPotential):
    """The defect of shaping wrappers that know only one kind of end."""

    def forward(self, rollout):
        before, after = (self.potential(o) for o in (rollout.observation, rollout.next_observation))
        return self.gamma * torch.where(rollout.done, 0.0, after) - before


def chain(end: str) -> Rollout:
    """Walk 0 -> 1 -> ... -> 5 in five steps without task reward."""
    places = torch.arange(6, dtype=torch.float32)[:, None, None]
    last = torch.zeros(5, 1, dtype=torch.bool)
    last[-1] = True
    never = torch.zeros(5, 1, dtype=torch.bool)
    return Rollout(
        observation=places[:-1],
        action=torch.zeros(5, 1),
        next_observation=places[1:],
        reward=torch.zeros(5, 1),
        terminated=last if end == "terminated" else never,
        truncated=last if end == "truncated" else never,
    )


def place(observation):
    return observation[..., 0]


def shaped_return(model, rollout):
    """Return the shaped return of the chain, bootstrapped with the shaped value 0 - phi(s_n)."""
    bootstrap = -model.potential(rollout.next_observation)
    return float(rollout.discounted_sum(model(rollout), gamma=0.9, bootstrap=bootstrap)[0, 0])


class TestForward:
    def test_by_hand(self):
        model = FunctionPotential(place, gamma=0.9)
        expected = [0.9 * 1 - 0, 0.9 * 2 - 1, 0.9 * 3 - 2, 0.9 * 4 - 3, -4]
        torch.testing.assert_close(model(chain("terminated"))[:, 0], torch.tensor(expected))
        torch.testing.assert_close(model(chain("truncated"))[-1, 0], torch.tensor(0.9 * 5 - 4))

    def test_kept_on_truncation_the_return_does_not_change(self):
        """5-step chain, phi(s) = s, gamma 0.9, truncated: exactly 0 here, -2.952 when zeroed."""
        rollout = chain("truncated")
        assert shaped_return(FunctionPotential(place, gamma=0.9), rollout) == pytest.approx(
            0.0, abs=1e-6
        )
        assert shaped_return(ZeroedAtEveryEnd(place, gamma=0.9), rollout) == pytest.approx(
            -2.95245, abs=1e-5
        )

    def test_nan_potential_behind_a_terminated_end_does_not_matter(self):
        model = FunctionPotential(lambda o: torch.where(o < 5, o, torch.nan)[..., 0], gamma=0.9)
        assert model(chain("terminated")).isfinite().all()

    def test_one_number_per_step_is_required(self):
        with pytest.raises(UserError, match=r"\[T, B\] = \[5, 1\], got shape \(5, 1, 1\)"):
            FunctionPotential(lambda o: o, gamma=0.9)(chain("open"))

    def test_dict_observations_come_as_they_are(self):
        rollout = chain("open")
        rollout = rollout.replace(
            observation={"x": rollout.observation}, next_observation={"x": rollout.next_observation}
        )
        model = FunctionPotential(lambda observation: observation["x"][..., 0], gamma=1.0)
        assert model(rollout)[:, 0].tolist() == [1] * 5


class TestDiscount:
    def test_none_takes_the_learners(self):
        model = FunctionPotential(place)
        RewardMix({"hint": Term(model)}, gamma=0.9)
        assert model.gamma == 0.9

    def test_a_mismatch_is_refused(self):
        with pytest.raises(UserError, match=r"gamma=0\.99.*gamma=0\.9"):
            RewardMix({"hint": FunctionPotential(place, gamma=0.99)}, gamma=0.9)

    def test_a_second_learner_with_another_discount_is_refused(self):
        model = FunctionPotential(place)
        RewardMix({"hint": model}, gamma=0.9)
        with pytest.raises(UserError, match=r"built with gamma=0\.9"):
            RewardMix({"hint": model}, gamma=0.99)

    def test_no_discount_is_named(self):
        with pytest.raises(UserError, match="has no gamma"):
            FunctionPotential(place)(chain("open"))

    @pytest.mark.parametrize("gamma", [-0.1, 1.1])
    def test_range(self, gamma):
        with pytest.raises(UserError, match=r"\[0, 1\]"):
            FunctionPotential(place, gamma=gamma)

    def test_a_gate_gets_it_too(self):
        gate = FunctionPotential(place)
        RewardMix({"a": Term(lambda action: action, gate=gate)}, gamma=0.9)
        assert gate.gamma == 0.9


def test_function_must_be_callable():
    with pytest.raises(UserError, match="must be callable"):
        FunctionPotential(0.5)


def test_potential_must_be_written():
    with pytest.raises(TypeError, match="abstract"):
        Potential(gamma=0.9)


def test_a_potential_learns_where_a_subclass_says_so():
    class Learned(FunctionPotential):
        def update(self, rollout):
            return {"loss": 0.0}

    assert not FunctionPotential(place).learns
    assert not FunctionPotential(place, terminal="keep").learns
    assert Learned(place).learns
