"""Everything an SB3 learner needs to continue as if it had never stopped.

Learners are ``Any`` here: what is saved are attributes that only some of SB3's classes have.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise, VectorizedActionNoise
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from ctrl.sb3.model import books_of
from ctrl.sb3.sbx import is_sbx
from ctrl.sb3.sbx_state import (
    network_state,
    optimizer_state,
    restore_networks,
    restore_optimizers,
)
from envs import SnapshotError
from reward_models.errors import UserError

_COUNTERS = (
    "num_timesteps", "_n_updates", "_episode_num", "_current_progress_remaining",
    "_n_calls", "exploration_rate", "_total_timesteps", "_num_timesteps_at_start",
    "reset_idx",
)  # fmt: skip
_LAST = ("_last_obs", "_last_episode_starts", "_last_original_obs")
_HER = ("ep_start", "ep_length", "_current_ep_start")


def policy_state(model: Any) -> dict[str, Any]:
    """Return what acting needs: the policy's weights and the observation normaliser."""
    weights = network_state(model) if is_sbx(type(model)) else dict(model.policy.state_dict())
    tree: dict[str, Any] = {"policy": weights}
    if isinstance(model.env, VecNormalize):
        tree["normaliser"] = _normaliser_state(model.env)
    return tree


def restore_policy(model: Any, tree: Mapping[str, Any]) -> None:
    """Restore ``policy_state``."""
    if is_sbx(type(model)):
        restore_networks(model, tree["policy"])
    else:
        model.policy.load_state_dict(tree["policy"])
    if isinstance(model.env, VecNormalize):
        _restore_normaliser(model.env, tree["normaliser"])


def learner_state(model: Any, *, replay_buffer: bool = True) -> dict[str, Any]:
    """Return the whole state of training, as plain data and arrays.

    Args:
        model: a learner that ``make_model`` built.
        replay_buffer: include the replay buffer of an off-policy learner.
    """
    books = books_of(model)
    books.finish()
    names, variables = model._get_torch_save_params()
    optimizers = {name: attrgetter(name)(model).state_dict() for name in names if name != "policy"}
    tree: dict[str, Any] = {
        **policy_state(model),
        "optimizers": optimizers,
        "variables": {name: attrgetter(name)(model) for name in variables},
        "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
        "last": {name: _plain(getattr(model, name)) for name in _LAST},
        "episodes": list(model.ep_info_buffer or []),
        "successes": [bool(success) for success in model.ep_success_buffer or []],
        "mix": dict(books.mix.state_dict()),
        "objective": _objective_state(model),
        "books": books.snapshot(),
        "recorder": books.recorder.snapshot(),
        "noise": _noise_state(model),
        "exploration": _exploration_state(model),
        "lstm": _lstm_state(model),
        "environments": _environments_state(model),
        "log": _log_state(model),
        "random": random_state(model),
    }
    if is_sbx(type(model)):
        tree["sbx"] = optimizer_state(model)
    if replay_buffer and getattr(model, "replay_buffer", None) is not None:
        tree["replay"] = _replay_state(model.replay_buffer)
    return tree


def restore_learner(model: Any, tree: Mapping[str, Any]) -> None:
    """Restore ``learner_state`` into a learner that was built from the same configuration."""
    books = books_of(model)
    restore_policy(model, tree)
    for name, state in tree["optimizers"].items():
        attrgetter(name)(model).load_state_dict(state)
    for name, value in tree["variables"].items():
        attrgetter(name)(model).data.copy_(value)
    if is_sbx(type(model)):
        restore_optimizers(model, tree["sbx"])
    for name, value in tree["counters"].items():
        setattr(model, name, value)
    for name, value in tree["last"].items():
        setattr(model, name, _owned(value))
    window = model._stats_window_size
    model.ep_info_buffer = deque(tree["episodes"], maxlen=window)
    model.ep_success_buffer = deque(tree["successes"], maxlen=window)
    books.mix.load_state_dict(tree["mix"])
    if tree.get("objective") is not None:
        model.objective.load_state_dict(tree["objective"])
    books.restore(tree["books"])
    if tree["lstm"] is not None:
        pi, vf = ((first.clone(), second.clone()) for first, second in tree["lstm"])
        model._last_lstm_states = RNNStates(pi, vf)
    _restore_log(model, tree["log"])
    _restore_noise(model, tree["noise"])
    _restore_exploration(model, tree["exploration"])
    if "replay" in tree:
        _restore_replay(model.replay_buffer, tree["replay"])
    if tree["environments"] is None:
        # These environments cannot continue inside an episode, so new episodes begin.
        model._last_obs = model.env.reset()
        model._last_episode_starts = np.ones((model.n_envs,), dtype=bool)
        if isinstance(model.env, VecNormalize):
            model._last_original_obs = model.env.get_original_obs()
            _restore_normaliser(model.env, tree["normaliser"])
        books.recorder.steps = int(tree["recorder"]["steps"])
    else:
        model.env.unwrapped.restore(tree["environments"])
        books.recorder.restore(tree["recorder"])
        if isinstance(model, OnPolicyAlgorithm):
            # On-policy learners begin a new record here; one from the end of a run is complete.
            books.recorder.begin(model.rollout_buffer.buffer_size)
    restore_random(model, tree["random"])


def random_state(model: Any) -> dict[str, Any]:
    """Return the states of all random generators that training draws from."""
    return {
        "python": random.getstate(),
        "numpy": tuple(np.random.get_state()),  # noqa: NPY002 - SB3 draws from it
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "action_space": _space_state(model.action_space),
        "threads": torch.get_num_threads(),
    }


def restore_random(model: Any, tree: Mapping[str, Any]) -> None:
    """Restore ``random_state``."""
    random.setstate(tree["python"])
    np.random.set_state(tree["numpy"])  # noqa: NPY002
    torch.set_rng_state(tree["torch"])
    if tree["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(tree["cuda"])
    _restore_space(model.action_space, tree["action_space"])


# -- parts ----------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value


def _owned(value: Any) -> Any:
    """Copy arrays: what was read from a file may be shared with other entries."""
    if isinstance(value, dict):
        return {key: np.array(item) for key, item in value.items()}
    return None if value is None else np.array(value)


def _space_state(space: Any) -> dict[str, Any]:
    return space.np_random.bit_generator.state


def _restore_space(space: Any, state: dict[str, Any]) -> None:
    space.np_random.bit_generator.state = state


def _normaliser_state(env: VecNormalize) -> dict[str, Any]:
    statistics = env.obs_rms if isinstance(env.obs_rms, dict) else {"": env.obs_rms}
    return {
        "observations": {
            key: {"mean": rms.mean, "var": rms.var, "count": float(rms.count)}
            for key, rms in statistics.items()
        },
        "rewards": {
            "mean": np.asarray(env.ret_rms.mean),
            "var": np.asarray(env.ret_rms.var),
            "count": float(env.ret_rms.count),
        },
        "returns": env.returns,
        "old": _plain(getattr(env, "old_obs", None)),
    }


def _restore_normaliser(env: VecNormalize, tree: Mapping[str, Any]) -> None:
    statistics = env.obs_rms if isinstance(env.obs_rms, dict) else {"": env.obs_rms}
    for key, state in tree["observations"].items():
        rms = statistics[key]
        rms.mean, rms.var = np.array(state["mean"]), np.array(state["var"])
        rms.count = state["count"]
    rewards = tree["rewards"]
    env.ret_rms.mean, env.ret_rms.var = np.array(rewards["mean"]), np.array(rewards["var"])
    env.ret_rms.count = rewards["count"]
    env.returns = np.array(tree["returns"])
    if tree["old"] is not None:
        env.old_obs = _owned(tree["old"])


def _objective_state(model: Any) -> dict[str, Any] | None:
    objective = getattr(model, "objective", None)
    return None if objective is None else dict(objective.state_dict())


def _lstm_state(model: Any) -> Any:
    states = getattr(model, "_last_lstm_states", None)
    return None if states is None else (tuple(states.pi), tuple(states.vf))


def _noises(model: Any) -> list[OrnsteinUhlenbeckActionNoise]:
    noise = model.action_noise
    all_noises = noise.noises if isinstance(noise, VectorizedActionNoise) else [noise]
    return [one for one in all_noises if isinstance(one, OrnsteinUhlenbeckActionNoise)]


def _noise_state(model: Any) -> list[np.ndarray]:
    return [np.array(noise.noise_prev) for noise in _noises(model)]


def _restore_noise(model: Any, values: list[np.ndarray]) -> None:
    for noise, value in zip(_noises(model), values, strict=True):
        noise.noise_prev = np.array(value)


def _log_state(model: Any) -> dict[str, Any]:
    """Return what was recorded and waits to be written with the next row."""
    if not hasattr(model, "_logger"):
        return {}
    log = model.logger
    return {
        name: [value, log.name_to_count[name], list(log.name_to_excluded.get(name) or ())]
        for name, value in log.name_to_value.items()
        if isinstance(value, int | float | np.number)
    }


def _restore_log(model: Any, tree: Mapping[str, Any]) -> None:
    if not hasattr(model, "_logger"):
        return
    for name, (value, count, excluded) in tree.items():
        # NumPy numbers come back as arrays without dimensions.
        model.logger.name_to_value[name] = value[()] if isinstance(value, np.ndarray) else value
        model.logger.name_to_count[name] = count
        model.logger.name_to_excluded[name] = tuple(excluded)


def _sde(model: Any) -> Any:
    actor = getattr(model, "actor", None) or model.policy
    return getattr(actor, "action_dist", None) if model.use_sde else None


def _exploration_state(model: Any) -> dict[str, torch.Tensor] | None:
    noise = _sde(model)
    if noise is None:
        return None
    return {
        "one": noise.exploration_mat.detach(),
        "all": noise.exploration_matrices.detach(),
    }


def _restore_exploration(model: Any, tree: dict[str, torch.Tensor] | None) -> None:
    noise = _sde(model)
    if noise is not None and tree is not None:
        noise.exploration_mat, noise.exploration_matrices = tree["one"], tree["all"]


def _environments_state(model: Any) -> Any:
    """Return the simulators' state, or None where it cannot be had."""
    base = model.env.unwrapped
    if not hasattr(base, "snapshot"):
        return None
    try:
        return base.snapshot()
    except SnapshotError:
        return None


def _replay_state(buffer: Any) -> dict[str, Any]:
    if getattr(buffer, "copy_info_dict", False):
        raise UserError(
            "Hindsight replay with copy_info_dict=True keeps Python objects, which a checkpoint "
            "does not hold. Set checkpoints.replay_buffer=false."
        )
    size = buffer.buffer_size if buffer.full else buffer.pos
    nested = isinstance(buffer.observations, dict)

    def cut(arrays: Any) -> Any:
        return {k: v[:size] for k, v in arrays.items()} if nested else arrays[:size]

    places = list(buffer.finals)
    return {
        "pos": buffer.pos,
        "full": buffer.full,
        "observations": cut(buffer.observations),
        "next_observations": cut(buffer.next_observations),
        "actions": buffer.actions[:size],
        "rewards": buffer.rewards.raw[:size],
        "dones": buffer.dones[:size],
        "timeouts": buffer.timeouts[:size],
        "quantities": {key: values[:size] for key, values in buffer.quantities.items()},
        "final_places": [list(place) for place in places],
        "finals": [_plain(buffer.finals[place]) for place in places],
        "hindsight": {name: getattr(buffer, name) for name in _HER}
        if isinstance(buffer, HerReplayBuffer)
        else {},
    }


def _restore_replay(buffer: Any, tree: Mapping[str, Any]) -> None:
    buffer.pos, buffer.full = tree["pos"], tree["full"]

    def fill(target: Any, source: Any) -> None:
        if isinstance(target, dict):
            for key, rows in target.items():
                rows[: len(source[key])] = source[key]
        else:
            target[: len(source)] = source

    for name in ("observations", "next_observations", "actions", "dones", "timeouts"):
        fill(getattr(buffer, name), tree[name])
    fill(buffer.rewards.raw, tree["rewards"])
    for key, values in tree["quantities"].items():
        buffer.quantities[key] = np.zeros((buffer.buffer_size, *values.shape[1:]), values.dtype)
        fill(buffer.quantities[key], values)
    buffer.finals = {
        (int(row), int(column)): final
        for (row, column), final in zip(tree["final_places"], tree["finals"], strict=True)
    }
    for name, value in tree["hindsight"].items():
        setattr(buffer, name, np.array(value))
