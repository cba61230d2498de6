from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file, save_file

from reward_models.base import Order, RewardModel
from reward_models.check import check_reward
from reward_models.constant import Constant
from reward_models.curiosity.rnd import RND
from reward_models.errors import RewardError, UserError
from reward_models.forward_filter import ForwardFilter
from reward_models.mix import RewardMix, Term
from reward_models.rollout import Rollout

BOX = spaces.Box(-np.inf, np.inf, (3,), np.float32)


def _rollout(rewards, **entries) -> Rollout:
    reward = torch.as_tensor(rewards, dtype=torch.float32)
    if reward.ndim == 1:
        reward = reward.unsqueeze(1)
    flags = torch.zeros(reward.shape, dtype=torch.bool)
    observations = torch.randn(
        reward.shape[0] + 1, reward.shape[1], 3, generator=torch.Generator().manual_seed(1)
    )
    drawn = {
        "observation": observations[:-1],
        "action": torch.zeros(*reward.shape, 1),
        "next_observation": observations[1:],
        "reward": reward,
        "terminated": flags,
        "truncated": flags.clone(),
    }
    return Rollout(**{**drawn, **entries})


def _task(discount: float = 0.99) -> ForwardFilter:
    return ForwardFilter(model=lambda reward: reward, discount=discount)


def test_published_numbers():
    values, _ = _task()(_rollout([1.0, 0.0, 2.0]))
    torch.testing.assert_close(values[:, 0], torch.tensor([1.0, 0.99, 2.9801]))


def test_discount_zero_changes_nothing():
    rollout = _rollout([[1.0, 5.0], [-2.0, 3.0]])
    assert torch.equal(_task(0.0)(rollout)[0], rollout.reward)


def test_the_sum_goes_on_across_rollouts_and_episodes():
    rewards = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    done = torch.zeros(9, 2, dtype=torch.bool)
    done[3, 0] = done[5, 1] = True
    whole, stepped = _task(0.9), _task(0.9)
    expected = whole(_rollout(rewards, terminated=done))[0]
    found = []
    for t in range(9):
        step = _rollout(rewards[t : t + 1], truncated=done[t : t + 1])
        found.append(stepped(step)[0])
        stepped.update(step)
    assert torch.equal(torch.cat(found), expected)


def test_another_number_of_columns_begins_anew():
    model = _task()
    model.update(_rollout([[1.0, 1.0]]))
    assert float(model(_rollout([[3.0]]))[0]) == 3.0


def test_padding_and_undefined_steps_leave_the_sum_alone():
    def child(rollout: Rollout):
        return rollout.reward, {"defined": rollout.reward < 100}

    model = ForwardFilter(model=child, discount=0.5)
    mask = torch.tensor([[True], [False], [True], [True]])
    rollout = _rollout([2.0, float("nan"), 1e6, 4.0], mask=mask)
    values, extras = model(rollout)
    assert extras["defined"][:, 0].tolist() == [True, False, False, True]
    assert values[extras["defined"]].tolist() == [2.0, 5.0]
    model.update(rollout)
    assert float(model(_rollout([0.0]))[0]) == 2.5


def test_the_child_learns_after_it_was_measured():
    child = RND(observation_space=BOX, latent_size=4)
    model = ForwardFilter(model=child, discount=0.9)
    assert model.preferred_scale == "return_std"
    assert model.concurrent_update
    assert model.learns
    rollout = _rollout(torch.zeros(5, 2))
    raw = child(rollout)
    last = model(rollout)[0][-1]
    assert model.update(rollout)["loss"] > 0
    assert not torch.equal(child(rollout), raw)
    following = _rollout(torch.zeros(1, 2))
    torch.testing.assert_close(model(following)[0][0], 0.9 * last + child(following)[0])


def test_columns_do_not_mix():
    rewards = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    other = rewards.clone()
    other[:, 1] = 7.0
    order = torch.tensor([2, 0, 1])
    first, second, turned = (_task()(_rollout(r))[0] for r in (rewards, other, rewards[:, order]))
    assert torch.equal(first[:, [0, 2]], second[:, [0, 2]])
    assert torch.equal(first[:, order], turned)


def test_restored_filter_continues_bit_for_bit(tmp_path):
    def build() -> ForwardFilter:
        return ForwardFilter(model=RND(observation_space=BOX, latent_size=4), discount=0.99)

    model = build()
    model.update(_rollout(torch.zeros(4, 3)))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    save_file(state, tmp_path / "filter.safetensors")
    restored = build()
    restored.load_state_dict(load_file(tmp_path / "filter.safetensors"))
    rollout = _rollout(torch.zeros(4, 3))
    assert torch.equal(model(rollout)[0], restored(rollout)[0])
    assert float(model(rollout)[0][0].min()) > float(model.model(rollout)[0].max())


def test_in_a_mix_the_deviation_comes_after_the_filter():
    mix = RewardMix(
        {"bonus": Term(_task(), weight=1.0, scale="reward_std"), "task": 0.0}, gamma=0.9
    )
    mixed, _ = mix.collect(_rollout([1.0, 0.0, 2.0]), steps=3)
    expected = torch.tensor([1.0, 0.99, 2.9801])
    torch.testing.assert_close(mixed.total[:, 0], expected / expected.std())


def test_it_is_refused_where_steps_come_out_of_order():
    from reward_models.refusals import transition_refusal

    assert "the steps in their order" in str(transition_refusal(_task()))


def test_it_keeps_the_contract():
    model = ForwardFilter(model=RND(observation_space=BOX, latent_size=4), discount=0.9)
    report = check_reward(model, observation_space=BOX, action_space=spaces.Discrete(2))
    assert report.ok, report.violations


class _LearnsFirst(RewardModel):
    order = Order.UPDATE_FIRST

    def forward(self, rollout):
        return rollout.reward


@pytest.mark.parametrize("discount", [-0.1, 1.1, float("nan")])
def test_numbers_out_of_range_are_refused(discount):
    with pytest.raises(UserError, match="discount must lie in"):
        _task(discount)


def test_what_cannot_be_filtered_is_refused():
    with pytest.raises(UserError, match="_LearnsFirst learns first"):
        ForwardFilter(model=_LearnsFirst(), discount=0.9)
    with pytest.raises(UserError, match="build it first"):
        ForwardFilter(model=Constant, discount=0.9)
    with pytest.raises(RewardError, match="must be finite"):
        _task()(_rollout([float("nan")]))
