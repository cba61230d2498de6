"""A reward mix in anybody's loop: a gymnasium wrapper and its vector twin.

Order of events, the same for both. Every step is rewarded at once with the models, scales and
weights as they are. The raw step is kept. When ``update_every`` steps have been kept, and before
the next step is taken, they go through ``RewardMix.collect`` as one rollout in arrival order: there
the models learn, in the order that each of them asks for, the scales learn, and the step counter
of the weight schedules advances. So a reward never comes from a model that has seen its step,
except for models of order ``update_first``, which see it one chunk late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

from reward_models.errors import UserError
from reward_models.infos import Arrays, InfoOutcome, VectorOutcome, copied, rows
from reward_models.mix import RewardMix
from reward_models.stepwise import StepwiseRewards


class RewardWrapper(gymnasium.Wrapper):
    """Replace the reward of an environment by the total of a mix, step by step.

    ``step`` returns the mix's total as reward. Its ``info`` holds ``task_reward`` (the
    environment's own), ``reward_terms`` (name -> what the term added to the total) and
    ``reward_raw`` (name -> what its model returned). With the task alone at weight 1 the reward is
    the environment's own, unchanged. See the module for when models learn.

    The state is the mix's: save and restore it with ``wrapper.mix.state_dict()``. Steps that were
    kept and not learned yet are not part of it.

    Args:
        env: the environment.
        mix: the reward terms. What they require must be in ``info``: quantities of the simulator
            as ``info["state"][name]`` or ``info[name]``, success as ``info["is_success"]`` or
            ``info["success"]``.
        update_every: steps between two updates of the mix.

    Raises:
        UserError: a term that needs more than single steps, or quantities of a learner.

    Example:
        The two lines for a loop that makes its environments by itself:

        >>> import gymnasium as gym
        >>> from reward_models.mix import RewardMix, Term
        >>> from reward_models.wrappers import RewardWrapper
        >>> env = gym.make("Pendulum-v1")
        >>> mix = RewardMix({"effort": Term(lambda action: -action.square().sum(-1), weight=0.1)},
        ...                 gamma=0.99)
        >>> env = RewardWrapper(env, mix)
        >>> _ = env.reset(seed=0)
        >>> _, reward, _, _, info = env.step([1.0])
        >>> round(reward - info["task_reward"], 6), sorted(info["reward_terms"])
        (-0.1, ['effort', 'task'])
    """

    def __init__(self, env: gymnasium.Env, mix: RewardMix, *, update_every: int = 256) -> None:
        super().__init__(env)
        self.mix = mix
        self._steps = StepwiseRewards(mix, columns=1, update_every=update_every)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; an episode that was still running counts as truncated."""
        observation, info = self.env.reset(**kwargs)
        self._steps.reset(rows(observation), np.ones(1, dtype=bool))
        return observation, info

    @property
    def metrics(self) -> dict[str, float]:
        """What the models reported at the latest update of the mix."""
        return self._steps.metrics

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and return the mix's total as reward.

        Raises:
            RewardError: a term broke its contract.
            UserError: called before ``reset``.
        """
        self._steps.learn_when_due()
        observation, task, terminated, truncated, info = self.env.step(action)
        total, terms, raws = self._steps.add(
            action=rows(action),
            following=rows(observation),
            successor=rows(observation),
            reward=np.array([task], dtype=np.float32),
            terminated=np.array([terminated]),
            truncated=np.array([truncated]),
            real=np.ones(1, dtype=bool),
            outcome=InfoOutcome(info),
        )
        info = {
            **info,
            "task_reward": float(task),
            "reward_terms": {name: float(value[0]) for name, value in terms.items()},
            "reward_raw": {name: float(value[0]) for name, value in raws.items()},
        }
        reward = task if self.mix.is_task_only else float(total[0])
        return observation, reward, terminated, truncated, info


class VectorRewardWrapper(gymnasium.vector.VectorWrapper):
    """Replace the rewards of a vector environment by the totals of a mix, step by step.

    Like ``RewardWrapper``, with arrays ``[B]``; ``infos`` also holds gymnasium's masks
    (``_task_reward`` and so on). All three autoreset modes are handled:

    - next step: the step after an end is a reset. Its reward is 0, it is masked out of the record,
      and no model sees it.
    - same step: the observation that comes back belongs to the next episode; the true successor is
      ``infos["final_obs"]``, and quantities of that step are in ``infos["final_info"]``.
    - disabled: the loop calls ``reset(options={"reset_mask": ...})`` itself.

    Args:
        env: the vector environment; it says in ``metadata["autoreset_mode"]`` how it resets.
        mix: see ``RewardWrapper``.
        update_every: steps, over all columns, between two updates of the mix.

    Raises:
        UserError: a term that cannot be used per step; an unknown autoreset mode.

    Example:
        >>> import gymnasium as gym
        >>> from reward_models.mix import RewardMix, Term
        >>> from reward_models.wrappers import VectorRewardWrapper
        >>> envs = gym.make_vec("CartPole-v1", num_envs=2)
        >>> mix = RewardMix({"alive": Term(lambda observation: observation[..., 0] * 0 + 1.0)},
        ...                 gamma=0.99)
        >>> envs = VectorRewardWrapper(envs, mix)
        >>> _ = envs.reset(seed=0)
        >>> _, rewards, _, _, infos = envs.step(envs.action_space.sample())
        >>> rewards.tolist(), infos["reward_terms"]["alive"].tolist()
        ([2.0, 2.0], [1.0, 1.0])
    """

    def __init__(self, env: VectorEnv, mix: RewardMix, *, update_every: int = 256) -> None:
        super().__init__(env)
        self.mix = mix
        self.autoreset_mode = _autoreset_mode(env)
        self._steps = StepwiseRewards(mix, columns=env.num_envs, update_every=update_every)
        self._ended = np.zeros(env.num_envs, dtype=bool)

    def reset(
        self,
        *,
        seed: Any = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Reset all columns, or those of ``options["reset_mask"]``.

        Episodes that were still running there count as truncated.
        """
        mask = (options or {}).get("reset_mask")
        which = np.ones(self.num_envs, dtype=bool) if mask is None else np.array(mask, dtype=bool)
        observation, infos = self.env.reset(seed=seed, options=options)
        self._steps.reset(copied(observation), which)
        self._ended[which] = False
        return observation, infos

    @property
    def metrics(self) -> dict[str, float]:
        """What the models reported at the latest update of the mix."""
        return self._steps.metrics

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all columns, and return the mix's totals as rewards.

        Raises:
            RewardError: a term broke its contract.
            UserError: called before ``reset``, or the final observation of an episode is missing.
        """
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            raise UserError(
                f"Columns {np.flatnonzero(self._ended).tolist()} have ended and this vector "
                "environment does not reset by itself; call reset(options={'reset_mask': mask})."
            )
        self._steps.learn_when_due()
        executed = copied(actions)
        observation, task, terminated, truncated, infos = self.env.step(actions)
        done = np.logical_or(terminated, truncated)
        next_step = self.autoreset_mode is AutoresetMode.NEXT_STEP
        real = ~self._ended if next_step else np.ones(self.num_envs, dtype=bool)
        following, ended = copied(observation), np.zeros(self.num_envs, dtype=bool)
        successor = following
        if self.autoreset_mode is AutoresetMode.SAME_STEP and done.any():
            successor, ended = _final_observations(following, infos, done), done
        total, terms, raws = self._steps.add(
            action=executed,
            following=following,
            successor=successor,
            reward=np.asarray(task, dtype=np.float32),
            terminated=np.array(terminated, dtype=bool),
            truncated=np.array(truncated, dtype=bool),
            real=real,
            outcome=VectorOutcome(infos, ended, real),
        )
        self._ended = done
        reported = {"task_reward": np.array(task), "reward_terms": terms, "reward_raw": raws}
        masked = {f"_{key}": real.copy() for key in reported}
        for values in (terms, raws):
            values.update({f"_{name}": real.copy() for name in self.mix.names})
        rewards = task if self.mix.is_task_only else total
        return observation, rewards, terminated, truncated, {**infos, **reported, **masked}


def _autoreset_mode(env: VectorEnv) -> AutoresetMode:
    """Return how a vector environment resets.

    The attribute of gymnasium's own vector environments is read before the metadata, because they
    all write into the one metadata dict of the environment's class.

    Raises:
        UserError: it does not say.
    """
    mode = getattr(env.unwrapped, "autoreset_mode", None) or env.metadata.get("autoreset_mode")
    try:
        return mode if isinstance(mode, AutoresetMode) else AutoresetMode(mode)
    except ValueError:
        valid = ", ".join(f"AutoresetMode.{known.name}" for known in AutoresetMode)
        raise UserError(
            "The vector environment must say how it resets, in metadata['autoreset_mode'] = one "
            f"of {valid}; got {mode!r}. Without it the first observation of the next episode "
            "would be taken for the successor of the last step."
        ) from None


def _final_observations(following: Arrays, infos: Mapping[str, Any], done: np.ndarray) -> Arrays:
    """Return the true successors, ``[B, ...]``, where columns have reset in the same step.

    Raises:
        UserError: the final observation of an episode is lost.
    """
    finals = infos.get("final_obs")
    if finals is None or isinstance(finals, Mapping):
        finals = [None] * len(done)
    columns: list[int] = np.flatnonzero(done).tolist()
    lost = [column for column in columns if finals[column] is None]
    if lost:
        raise UserError(
            f"Episodes ended in columns {lost} and infos['final_obs'] does not hold their final "
            "observations, so the true successors are lost. Make the vector environment with "
            "AutoresetMode.NEXT_STEP, or use an adapter that keeps the final observation."
        )
    successors = copied(following)
    for column in columns:
        _put(successors, column, finals[column])
    return successors


def _put(arrays: Arrays, column: int, value: Any) -> None:
    if isinstance(arrays, dict):
        for key, part in arrays.items():
            _put(part, column, value[key])
    else:
        arrays[column] = value
