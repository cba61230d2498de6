"""Rewards of a mix for the trainers of TRL, which call functions of prompts and completions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import torch

from envs.text.rows import encode_row
from reward_models.errors import UserError
from reward_models.mix import RewardMix, column_metrics
from reward_models.rollout import Rollout

TaskReward = Callable[..., Sequence[float]]


@final
class RewardFunction:
    """A mix as one of the ``reward_funcs`` of TRL's ``GRPOTrainer`` and its kin.

    Every completion is an episode of one step: the prompt is the observation, the completion the
    action, both as rows of bytes (``observation["text"]``, ``[1, B, text_bytes]``). The mix learns
    from every call, as it does from a rollout.

    Args:
        mix: the reward terms.
        task: gives the task reward of each completion from the keyword arguments that TRL hands
            over (``prompts``, ``completions``, ``completion_ids`` and the data set's columns); 0
            for all when None.
        success: whether each was right, likewise; fills ``success``.
        text_bytes: width of the rows; longer texts are cut in the record.

    Attributes:
        latest: numbers of the last call, by log key.

    Raises:
        UserError: a term reads what TRL does not hand over.

    Example:
        >>> from reward_models.mix import RewardMix
        >>> function = RewardFunction(
        ...     RewardMix(gamma=1.0),
        ...     task=lambda completions, **_: [float(c == "4") for c in completions])
        >>> function(prompts=["2+2=", "2+2="], completions=["4", "5"])
        [1.0, 0.0]
    """

    def __init__(
        self, mix: RewardMix, *, task: TaskReward | None = None, success: TaskReward | None = None,
        text_bytes: int = 1024,
    ) -> None:  # fmt: skip
        provided = {"success"} if success is not None else set()
        missing = sorted(mix.requires - provided)
        if missing:
            raise UserError(
                f"A reward term reads {', '.join(missing)}, which TRL does not hand over. Train "
                "with `ctrl train` and algo grpo, or leave the term out."
            )
        self.mix, self.task, self.success, self.text_bytes = mix, task, success, text_bytes
        self.latest: dict[str, float] = {}
        # TRL names what it logs after the function.
        self.__name__ = "ctrl_mix"

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> list[float]:
        """Return the mix's total for every completion.

        Args:
            prompts: texts, or chats as lists of messages.
            completions: likewise, one for each prompt.
            **columns: what else TRL hands over.

        Raises:
            UserError: ``task`` or ``success`` returned another number of values.
            RewardError: a term broke its contract.
        """
        given = {"prompts": prompts, "completions": completions, **columns}
        count = len(completions)
        rows = torch.from_numpy(self._rows(prompts)), torch.from_numpy(self._rows(completions))
        every = torch.ones(1, count, dtype=torch.bool)
        rollout = Rollout(
            observation={"text": rows[0]},
            action=rows[1],
            # Nothing follows an answer; the end is terminal, so no term may look behind it.
            next_observation={"text": rows[0]},
            reward=self._values("task", self.task, given, count),
            terminated=every,
            truncated=~every,
            success=None
            if self.success is None
            else self._values("success", self.success, given, count).to(torch.bool),
        )
        state = columns.get("trainer_state")
        steps = int(getattr(state, "global_step", 0)) * count
        mixed, learned = self.mix.collect(rollout, steps=steps)
        self.latest = {**column_metrics(mixed, rollout.mask), **learned}
        total = mixed.total[0]
        if mixed.keep is not None:
            # TRL leaves a completion whose reward is NaN out of its group.
            total = torch.where(mixed.keep[0], total, torch.nan)
        if "log_metric" in columns:
            for name, value in self.latest.items():
                columns["log_metric"](f"reward/{name}", value)
        return total.tolist()

    def _rows(self, texts: Sequence[Any]) -> np.ndarray:
        rows = [encode_row(_text(each), self.text_bytes) for each in texts]
        return np.stack(rows)[np.newaxis] if rows else np.zeros((1, 0, self.text_bytes), np.uint8)

    def _values(
        self, what: str, function: TaskReward | None, given: dict[str, Any], count: int
    ) -> torch.Tensor:
        if function is None:
            return torch.zeros(1, count)
        values = torch.tensor([float(value) for value in function(**given)])
        if values.shape != (count,):
            raise UserError(
                f"{what} must return one number for each of {count} completions, got {len(values)}."
            )
        return values.unsqueeze(0)


def _text(value: Any) -> str:
    """Return a text, or the texts of a chat's messages in lines."""
    if isinstance(value, str):
        return value
    return "\n".join(str(message["content"]) for message in value)
