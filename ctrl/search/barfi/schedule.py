"""Which step follows which: warm start, inner steps, and outer steps between fresh episodes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from reward_models.errors import UserError


@dataclass(frozen=True)
class Schedule:
    """The order of work (Gupta et al. 2023, algorithm 1, with the released code's warm start).

    One iteration collects ``episodes`` whole episodes. In the first ``warm_iterations`` the policy
    takes ``warm_steps`` steps on the naive sum, the first of them on the new episodes; then, once,
    ``first_steps`` on the untrained blend. Every later iteration is: new episodes of the present
    policy, one outer step judged by them, ``inner_steps`` steps of the policy on the new blend. So
    fresh data always lie between the policy's steps and the outer step that judges them.

    Attributes:
        episodes: new episodes of an iteration, ``delta``; also the columns of the environment.
        warm_iterations: iterations on the naive sum.
        warm_steps: steps of the policy in each of them.
        first_steps: steps on the untrained blend after them.
        inner_steps: steps of the policy in each iteration of the two-level loop.
        batch: episodes of an inner step, drawn from the replay.
        replay: episodes in the replay.
        hessian: episodes of the Hessian and of the mixed derivative, drawn from the replay without
            the newest ``episodes``.
        horizon: ``H`` that sums over an episode are divided by; None for the environment's time
            limit.
    """

    episodes: int = 3
    warm_iterations: int = 10
    warm_steps: int = 1
    first_steps: int = 50
    inner_steps: int = 15
    batch: int = 1
    replay: int = 1000
    hessian: int = 15
    horizon: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        least = {"warm_iterations": 0, "warm_steps": 0, "first_steps": 0}
        for part in fields(self):
            value = getattr(self, part.name)
            if value is not None and value < least.get(part.name, 1):
                raise UserError(
                    f"schedule.{part.name} must be at least {least.get(part.name, 1)}, got {value}."
                )
        if self.replay <= self.episodes:
            raise UserError(
                f"schedule.replay must be larger than schedule.episodes ({self.episodes}): the "
                f"Hessian is taken on older episodes than the newest; got {self.replay}."
            )
