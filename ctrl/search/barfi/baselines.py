"""The ways to use an auxiliary reward that the learned blend is compared with."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ctrl.search.barfi.episodes import EpisodeBatch
from reward_models.errors import UnknownNameError

BASELINES = ("naive", "task", "potential")


def baseline_rewards(name: str, batch: EpisodeBatch, gamma: float) -> Float[Tensor, "T B"]:
    """Return the rewards of a baseline.

    ``task``: the task reward alone. ``naive``: the sum of all terms. ``potential``: the task reward
    shaped by the potential ``Phi_t = sum_k r_aux,k,t``, see `potential_rewards`.

    Raises:
        UnknownNameError: another name.
    """
    if name == "task":
        return batch.task
    if name == "naive":
        return batch.rewards.sum(-1)
    if name == "potential":
        return batch.task + potential_rewards(batch.auxiliary.sum(-1), batch, gamma)
    raise UnknownNameError("baseline", name, BASELINES)


def potential_rewards(
    potential: Float[Tensor, "T B"], batch: EpisodeBatch, gamma: float
) -> Float[Tensor, "T B"]:
    """Return ``gamma Phi_{t+1} - Phi_t`` within each episode.

    After the last step ``Phi`` is 0 where the task ended the episode, and where a time limit did it
    stays what it was at the last step, the newest value that is known. With the former, returns
    change by ``-Phi_t`` exactly: a baseline, which no policy gradient sees in expectation.

    Args:
        potential: ``Phi_t``; values on padding are ignored.
        batch: the episodes.
        gamma: the learner's discount.
    """
    real = potential.masked_fill(~batch.mask, 0.0)
    later = real.new_zeros(real.shape)
    later[:-1] = real[1:]
    columns = range(len(batch))
    last = batch.mask.sum(0) - 1
    later[last, columns] = real[last, columns].masked_fill(batch.terminated, 0.0)
    return (gamma * later - real).masked_fill(~batch.mask, 0.0)
