"""Windows never reach into another episode."""

import pytest
import torch

from ctrl.objectives.auxiliary.windows import last_steps, steps_into_episode
from reward_models.rollout import Rollout


def rollout(steps, columns, ends, *, mask=None, continued=None):
    done = torch.zeros(steps, columns, dtype=torch.bool)
    for t, b in ends:
        done[t, b] = True
    zeros = torch.zeros(steps, columns)
    return Rollout(
        observation=zeros, action=zeros, next_observation=zeros, reward=zeros, terminated=done,
        truncated=torch.zeros_like(done), mask=mask, continued=continued,
    )  # fmt: skip


def test_that_episodes_planted_with_their_number_never_mix():
    steps, columns, length = 90, 5, 20
    generator = torch.Generator().manual_seed(0)
    ends = [
        (t, b)
        for t in range(steps)
        for b in range(columns)
        if torch.rand((), generator=generator) < 0.08
    ]
    made = rollout(steps, columns, ends)
    planted = made.episode_numbers() * columns + torch.arange(columns)
    assert planted.unique().numel() > 25
    time, column = (grid.flatten() for grid in torch.meshgrid(
        torch.arange(steps), torch.arange(columns), indexing="ij"))  # fmt: skip
    windows = last_steps(made, time, column, length)
    assert windows.row.shape == (length, steps * columns) == windows.inside.shape
    own = planted[time, column]
    found = planted.flatten()[windows.row]
    assert (found == own)[windows.inside].all()
    # The newest is the step itself, and before it stand its predecessors in order.
    assert torch.equal(windows.row[-1], time * columns + column)
    back = torch.arange(length - 1, -1, -1).unsqueeze(1)
    assert torch.equal(
        windows.row[windows.inside], ((time - back) * columns + column)[windows.inside]
    )
    # As many of them as the episode has had steps, by a plain loop.
    for place in range(steps * columns):
        t, b = int(time[place]), int(column[place])
        count = 1
        while count < length and t - count >= 0 and not made.done[t - count, b]:
            count += 1
        assert int(windows.inside[:, place].sum()) == count
        assert windows.inside[length - count :, place].all()


def test_that_an_episode_from_before_the_rollout_is_filled_up_like_a_new_one():
    made = rollout(4, 1, [], continued=torch.tensor([True]))
    assert steps_into_episode(made).flatten().tolist() == [0, 1, 2, 3]


def test_that_gaps_of_padding_end_an_episode():
    mask = torch.tensor([True, True, False, True, True]).unsqueeze(1)
    assert steps_into_episode(rollout(5, 1, [], mask=mask))[[0, 1, 3, 4], 0].tolist() == [
        0,
        1,
        0,
        1,
    ]


@pytest.mark.parametrize("length", [1, 3])
def test_the_length_of_windows(length):
    windows = last_steps(rollout(6, 1, [(2, 0)]), torch.tensor([4]), torch.tensor([0]), length)
    assert windows.row.shape == (length, 1)
    assert int(windows.inside.sum()) == min(length, 2)
