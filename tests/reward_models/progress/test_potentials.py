import functools

import numpy as np
import pytest
import torch
from gymnasium import spaces

from envs.worlds.chains import progress_chain
from envs.worlds.mdp import FiniteMDP
from envs.worlds.random_mdp import random_reward, random_transition
from envs.worlds.solve import value_iteration
from reward_models.check import check_reward
from reward_models.errors import UnknownNameError, UserError
from reward_models.mix import RewardMix
from reward_models.potential import ActionAdvice, FunctionPotential, shaping
from reward_models.progress import HopModel, ProgressPotential, StoredPotential
from reward_models.refusals import transition_refusal
from reward_models.rollout import Rollout

VECTOR = spaces.Box(-2, 2, (3,), np.float32)
PHI = np.array([0.0, 0.4, 0.8, 1.0])


def _shaped(mdp: FiniteMDP, phi: np.ndarray, gamma: float, **options) -> FiniteMDP:
    """Return the world with the shaping reward that the shared component pays."""
    here, there = (torch.as_tensor(grid.copy()) for grid in np.meshgrid(phi, phi, indexing="ij"))
    ends = torch.as_tensor(np.broadcast_to(mdp.terminal, here.shape).copy())
    paid = shaping(here, there, gamma=gamma, terminated=ends, **options).numpy()
    return mdp.with_reward(mdp.reward + paid[:, None, :])


def _world(seed: int) -> FiniteMDP:
    generator = np.random.default_rng(seed)
    transition = random_transition(generator, 12, 3, 0.5)
    reward = random_reward(generator, 12, 3, 0.9)
    terminal = np.zeros(12, dtype=bool)
    terminal[[4, 9]] = True
    transition[terminal], reward[terminal] = 0.0, 0.0
    transition[[4, 9], :, [4, 9]] = 1.0
    return FiniteMDP(transition, reward, terminal, np.full(12, 1 / 12))


class TestChain:
    """Progress 0, .4, .8, 1; the last step succeeds with p, else it falls back to the start."""

    @staticmethod
    def solved(p, change, gamma=0.9):
        mdp = progress_chain(1, success_probability=p).mdp
        return value_iteration(change(mdp), gamma)

    def test_gold_advances(self):
        solution = self.solved(0.3, lambda mdp: mdp)
        assert solution.policy[:3].tolist() == [1, 1, 1]
        assert solution.q[2].tolist() == pytest.approx([0.55136, 0.61262], abs=1e-5)

    def test_shaping_is_gold_minus_the_progress(self):
        solution = self.solved(0.3, lambda mdp: _shaped(mdp, PHI, 0.9))
        assert solution.policy[:3].tolist() == [1, 1, 1]
        assert solution.q[2].tolist() == pytest.approx([-0.24864, -0.18738], abs=1e-5)

    def test_naive_difference_stays_before_the_last_step(self):
        naive = PHI[None, None, :] - PHI[:, None, None]
        solution = self.solved(0.3, lambda mdp: mdp.with_reward(np.tile(naive, (1, 2, 1))))
        assert solution.policy[2] == 0
        assert solution.q[2].tolist() == pytest.approx([0.0, -0.0212], abs=1e-4)

    def test_gold_does_not_save_a_large_naive_difference(self):
        naive = 5.0 * (PHI[None, None, :] - PHI[:, None, None])
        solution = self.solved(0.2, lambda mdp: mdp.with_reward(mdp.reward + naive))
        assert solution.policy[2] == 0
        assert solution.q[2].tolist() == pytest.approx([0.0, -0.064], abs=1e-3)
        shaped = self.solved(0.2, lambda mdp: _shaped(mdp, 5.0 * PHI, 0.9))
        assert shaped.policy[:3].tolist() == [1, 1, 1]


@pytest.mark.parametrize("seed", range(10))
def test_on_random_worlds_the_values_move_by_the_potential_exactly(seed):
    mdp, gamma = _world(seed), 0.9
    phi = np.random.default_rng(100 + seed).normal(size=12) * 3.0
    plain = value_iteration(mdp, gamma, tolerance=1e-14)
    shaped = value_iteration(_shaped(mdp, phi, gamma), gamma, tolerance=1e-14)
    going = ~mdp.terminal
    assert np.abs(shaped.q[going] - (plain.q - phi[:, None])[going]).max() < 1e-9
    assert (shaped.policy == plain.policy)[going].all()


def test_kept_terminal_potentials_change_what_is_best():
    changed = 0
    for seed in range(10):
        mdp = _world(seed)
        phi = np.random.default_rng(100 + seed).normal(size=12) * 3.0
        plain = value_iteration(mdp, 0.9)
        kept = value_iteration(_shaped(mdp, phi, 0.9, terminal="keep"), 0.9)
        changed += int((kept.policy != plain.policy)[~mdp.terminal].any())
    assert changed >= 3


def test_without_discount_episodes_that_end_telescope_too():
    phi = torch.tensor([0.2, 0.7, 0.4, 0.9])
    ends = torch.tensor([False, False, True])
    paid = shaping(phi[:-1], phi[1:], gamma=1.0, terminated=ends)
    assert float(paid.sum()) == pytest.approx(-0.2)


def test_an_action_of_several_steps_is_discounted_as_often():
    before, after = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1.0])
    ends = torch.tensor([False, False])
    assert shaping(before, after, gamma=0.9, terminated=ends, action_steps=3).tolist() == (
        pytest.approx([0.729 - 0.5] * 2)
    )
    each = shaping(before, after, gamma=0.9, terminated=ends, action_steps=torch.tensor([1, 2]))
    assert each.tolist() == pytest.approx([0.4, 0.31])
    model = FunctionPotential(lambda observation: observation[..., 0], gamma=0.9, action_steps=3)
    assert float(model(_line((0.5, 1.0)))) == pytest.approx(0.229)


def _line(places, terminated=False, continued=False):
    steps = torch.tensor(places)[:, None, None]
    flags = torch.zeros(len(places) - 1, 1, dtype=torch.bool)
    ends = flags.clone()
    ends[-1] = terminated
    return Rollout(
        observation=steps[:-1], next_observation=steps[1:], action=torch.zeros(flags.shape),
        reward=torch.zeros(flags.shape), terminated=ends, truncated=flags,
        continued=torch.tensor([continued]),
    )  # fmt: skip


class TestKeptTerminal:
    def test_is_paid_and_logged(self):
        """(0, .3, .2, .6, .97) with gamma .9: gamma^4 * .97 - 0 = .636417."""
        rollout = _line((0.0, 0.3, 0.2, 0.6, 0.97), terminated=True)
        model = FunctionPotential(lambda o: o[..., 0], gamma=0.9, terminal="keep")
        total = rollout.discounted_sum(model(rollout), gamma=0.9)[0, 0]
        assert float(total) == pytest.approx(0.636417, abs=1e-6)
        assert model.update(rollout) == {"kept_terminal": pytest.approx(0.873)}
        assert not model.invariant

    def test_the_default_is_not_and_says_nothing(self):
        rollout = _line((0.0, 0.3, 0.97), terminated=True)
        model = FunctionPotential(lambda o: o[..., 0], gamma=0.9)
        assert float(rollout.discounted_sum(model(rollout), gamma=0.9)[0, 0]) == pytest.approx(0)
        assert model.update(rollout) == {}

    def test_is_found_by_the_checker(self):
        model = FunctionPotential(lambda o: o[..., 0], terminal="keep")
        report = check_reward(model, observation_space=VECTOR, action_space=spaces.Discrete(2))
        assert {violation.rule for violation in report.violations} == {
            "potential_returns",
            "potential_optimum",
        }


class TestStored:
    class Learning(FunctionPotential):
        """A potential that changes with every update."""

        def __init__(self):
            super().__init__(lambda o: self.scale * o[..., 0], gamma=0.9)
            self.register_buffer("scale", torch.tensor(1.0))

        def update(self, rollout):
            self.scale += 1.0
            return {}

    @staticmethod
    def total(model):
        pieces = [(0.1, 0.3), (0.3, 0.2, 0.6), (0.6, 0.9)]
        total, steps = 0.0, 0
        for number, places in enumerate(pieces):
            rollout = _line(places, terminated=number == 2, continued=number > 0)
            for paid in model(rollout)[:, 0]:
                total += 0.9**steps * float(paid)
                steps += 1
            model.update(rollout)
        return total

    def test_the_sum_of_an_episode_telescopes_while_the_potential_learns(self):
        assert self.total(StoredPotential(self.Learning())) == pytest.approx(-0.1, abs=1e-6)

    def test_which_it_does_not_when_evaluated_anew(self):
        assert abs(self.total(self.Learning()) + 0.1) > 0.1

    def test_keeps_the_contract(self):
        report = check_reward(
            StoredPotential(self.Learning()),
            observation_space=VECTOR, action_space=spaces.Discrete(2), gamma=0.9,
        )  # fmt: skip
        assert report.ok, report.violations

    def test_what_cannot_be_stored_is_refused(self):
        with pytest.raises(UserError, match="keep"):
            StoredPotential(FunctionPotential(lambda o: o[..., 0], terminal="keep"))
        assert transition_refusal(StoredPotential(self.Learning())) is not None


class TestAdvice:
    def test_values_move_by_the_advice_and_are_read_out_with_it(self):
        generator = np.random.default_rng(0)
        for seed in range(5):
            mdp, gamma = _world(seed), 0.9
            phi = 2.0 * generator.normal(size=(12, 3))
            plain = value_iteration(mdp, gamma, tolerance=1e-14).q
            going = ~mdp.terminal
            # The world whose states are pairs: the action that will be taken is chosen on arrival.
            q = np.zeros((12, 3))
            for _ in range(800):
                best = np.where(going[:, None], q + phi, 0.0).argmax(1)
                ahead = np.where(going, (q + phi)[np.arange(12), best], 0.0)
                q = mdp.expected_reward + gamma * mdp.transition @ ahead - phi
                q[~going] = 0.0
            assert np.abs(q + phi - plain)[going].max() < 1e-9
            assert ((q + phi).argmax(1) == plain.argmax(1))[going].all()

    def test_by_hand(self):
        rollout = _line((0.0, 1.0, 2.0), terminated=True)
        rollout = rollout.replace(
            action=torch.tensor([[1.0], [2.0]]),
            state={"next_action": torch.tensor([[2.0], [9.0]])},
        )
        model = ActionAdvice(lambda o, a: o[..., 0] + a)
        mix = RewardMix({"advice": model, "task": 0.0}, gamma=0.5)
        assert mix.total(rollout)[:, 0].tolist() == [0.5 * 3.0 - 1.0, -3.0]

    def test_without_the_next_action_there_is_none(self):
        with pytest.raises(UnknownNameError, match="next_action"):
            ActionAdvice(lambda o, a: o[..., 0], gamma=0.9)(_line((0.0, 1.0)))


class TestProgressPotential:
    def test_exact_hops_give_the_place(self, exact):
        places = torch.tensor([[0.0], [0.25], [0.97], [1.0]])
        for perspectives in (("forward",), ("backward",), ("forward", "backward")):
            model = ProgressPotential(**exact, perspectives=perspectives)
            torch.testing.assert_close(model.potential(places), places[:, 0])

    def test_keeps_the_contract_with_the_rules_of_potentials(self):
        build = functools.partial(
            ProgressPotential, hop_model=HopModel(observation_space=VECTOR, latent_size=8)
        )
        report = check_reward(
            build, observation_space=VECTOR, action_space=spaces.Box(-1, 1, (2,)), gamma=0.9
        )
        assert report.ok, report.violations
        assert {"potential_returns", "potential_optimum", "replay"} <= set(report.passed)

    def test_it_can_be_replayed(self, exact):
        assert transition_refusal(ProgressPotential(**exact)) is None

    @pytest.mark.parametrize("perspectives", [(), ("incremental",)])
    def test_perspectives_with_a_memory_are_refused(self, exact, perspectives):
        with pytest.raises(UserError, match="perspective"):
            ProgressPotential(**exact, perspectives=perspectives)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 1.5}, "gamma"),
        ({"terminal": "kept"}, "Did you mean 'keep'"),
        ({"after": torch.zeros(4)}, "one shape"),
    ],
)
def test_what_is_no_shaping_is_refused(options, message):
    arguments = {
        "before": torch.zeros(3),
        "after": torch.zeros(3),
        "gamma": 0.9,
        "terminated": torch.zeros(3, dtype=torch.bool),
        **options,
    }
    with pytest.raises(UserError, match=message):
        shaping(arguments.pop("before"), arguments.pop("after"), **arguments)
