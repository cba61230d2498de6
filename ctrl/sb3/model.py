"""One call that gives an SB3 learner its rewards from a mix."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecNormalize
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from ctrl.objectives.objective import Objective
from ctrl.sb3.algorithms import find_algorithm, is_on_policy, option_names
from ctrl.sb3.books import Books
from ctrl.sb3.objective_hooks import give_objective, with_hooks
from ctrl.sb3.recorder import Recorder
from ctrl.sb3.replay_buffer import (
    RewardedDictReplayBuffer,
    RewardedHerReplayBuffer,
    RewardedNStepReplayBuffer,
    RewardedReplayBuffer,
)
from ctrl.sb3.rollout_buffer import (
    LEARNER_KEYS,
    RewardedDictRolloutBuffer,
    RewardedRecurrentDictRolloutBuffer,
    RewardedRecurrentRolloutBuffer,
    RewardedRolloutBuffer,
)
from ctrl.sb3.sbx import is_sbx, sbx_settings
from reward_models.errors import UnknownNameError, UserError
from reward_models.mix import RewardMix
from reward_models.refusals import hindsight_refusal, transition_refusal

_ENVIRONMENT_KEYS = ("success", "state")


def make_model(
    algorithm: str | type[BaseAlgorithm],
    env: gymnasium.Env | VecEnv,
    *,
    mix: RewardMix | Mapping[str, Any] | None = None,
    policy: str | type | None = None,
    seed: int | None = None,
    update_every: int = 256,
    objective: Objective | None = None,
    **options: Any,
) -> BaseAlgorithm:
    """Build an SB3 learner whose rewards come from a mix.

    The learner is SB3's own class; what changes is its buffer, through SB3's extension points.
    With an empty mix the trained weights equal plain SB3's bit for bit.

    Args:
        algorithm: a name (``"ppo"``) or an SB3 class. By name, ctrl's starting settings apply
            (see ``ctrl.sb3.algorithms``); by class, SB3's.
        env: an environment or vector environment. A ``VecNormalize`` may be outermost, with
            ``norm_reward=False``; the reward models still see raw observations.
        mix: reward terms; a mapping is built into a ``RewardMix`` with the learner's discount.
        policy: policy name or class; by default the one that fits the observation space.
        seed: seed of the learner and the environments.
        update_every: off-policy learners let the mix learn after this many new transitions.
        objective: advantage shapers and loss terms, for PPO and A2C.
        **options: SB3's own settings (``learning_rate``, ``n_steps``, ``gamma`` ...).

    Returns:
        The learner; ``books_of(model)`` gives the mix and its numbers.

    Raises:
        UserError: a combination that would silently give wrong rewards, with reason and cure.
        UnknownNameError: no such algorithm or setting.
    """
    if isinstance(algorithm, str):
        entry = find_algorithm(algorithm)
        algorithm_class = entry.load()
        options = {**entry.options, **options}
        policy = policy or _policy_for(env, entry.policy, entry.dict_policy, entry.image_policy)
    else:
        algorithm_class = algorithm
        policy = policy or _policy_for(env, "MlpPolicy", "MultiInputPolicy", "CnnPolicy")
    accepted = {*option_names(algorithm_class), "device", "verbose", "tensorboard_log"}
    for name in options:
        if name not in accepted:
            raise UnknownNameError(f"{algorithm_class.__name__} setting", name, accepted)
    if objective is not None and not objective.is_empty:
        algorithm_class = with_hooks(algorithm_class)
    else:
        objective = None
    if is_sbx(algorithm_class):
        options = sbx_settings(algorithm_class, policy, options, env.observation_space)

    default_gamma = inspect.signature(algorithm_class).parameters["gamma"].default
    gamma = float(options.get("gamma", default_gamma))
    if not isinstance(mix, RewardMix):
        mix = RewardMix(mix, gamma=gamma)
    elif mix.gamma != gamma:
        raise UserError(
            f"The mix was built with gamma={mix.gamma}, the learner uses gamma={gamma}. "
            "Build the mix with the learner's discount."
        )
    on_policy = is_on_policy(algorithm_class)
    requires = mix.requires | (objective.requires if objective is not None else frozenset())
    _check_requirements(requires, on_policy)
    stack, recorder = _with_recorder(_vectorised(env), requires, open_bootstrap=on_policy)
    books = Books(mix=mix, recorder=recorder, concurrent=on_policy)
    options = {"policy": policy, "env": stack, **options, "seed": seed}
    if on_policy:
        model = _build_on_policy(algorithm_class, books, options)
        if objective is not None:
            give_objective(model, objective)
        return model
    return _build_off_policy(algorithm_class, books, options, update_every=update_every)


def books_of(model: BaseAlgorithm) -> Books:
    """Return the books of a learner that ``make_model`` built.

    Raises:
        UserError: the learner was built without ctrl.
    """
    for name in ("rollout_buffer", "replay_buffer"):
        books = getattr(getattr(model, name, None), "books", None)
        if books is not None:
            return books
    raise UserError("This SB3 learner has no reward mix; build it with ctrl.sb3.make_model(...).")


def _build_on_policy(algorithm: Any, books: Books, options: dict[str, Any]) -> BaseAlgorithm:
    is_dict = isinstance(options["env"].observation_space, spaces.Dict)
    if issubclass(algorithm, RecurrentPPO):
        # RecurrentPPO chooses its buffer itself; an equal one with a mix takes its place.
        model = algorithm(**options)
        kind = RewardedRecurrentDictRolloutBuffer if is_dict else RewardedRecurrentRolloutBuffer
        plain: Any = model.rollout_buffer
        model.rollout_buffer = kind(
            plain.buffer_size, plain.observation_space, plain.action_space,
            plain.hidden_state_shape, plain.device, plain.gae_lambda, plain.gamma, plain.n_envs,
            books=books,
        )  # fmt: skip
        return model
    return algorithm(
        rollout_buffer_class=RewardedDictRolloutBuffer if is_dict else RewardedRolloutBuffer,
        rollout_buffer_kwargs={"books": books},
        **options,
    )


def _build_off_policy(
    algorithm: Any, books: Books, options: dict[str, Any], *, update_every: int
) -> BaseAlgorithm:
    mix, env = books.mix, options["env"]
    is_dict = isinstance(env.observation_space, spaces.Dict)
    mix.check_usable(f"{algorithm.__name__}, which replays transitions", transition_refusal)
    given = options.pop("replay_buffer_class", None)
    kwargs = {**(options.pop("replay_buffer_kwargs", None) or {}), "books": books}
    kwargs["update_every"] = update_every
    n_steps = options.pop("n_steps", 1)
    if options.get("optimize_memory_usage"):
        raise UserError(
            "optimize_memory_usage=True overwrites the final observation of every episode, so the "
            "rewards of those transitions would be wrong. Leave it out."
        )
    if kwargs.get("handle_timeout_termination") is False:
        raise UserError(
            "handle_timeout_termination=False treats every time limit as failure. Leave it out."
        )
    if given is not None and issubclass(given, HerReplayBuffer):
        if n_steps > 1:
            raise UserError("n_steps > 1 cannot be combined with hindsight replay in SB3.")
        if isinstance(env, VecNormalize):
            raise UserError(
                "Hindsight replay under VecNormalize is refused: the new goal would reach the "
                "reward models normalised. Leave observation normalisation out."
            )
        mix.check_usable("hindsight replay (HER)", hindsight_refusal)
        kind: type = RewardedHerReplayBuffer
    elif n_steps > 1 or (given is not None and issubclass(given, NStepReplayBuffer)):
        if is_dict:
            raise UserError("SB3 has no n-step replay for dict observations; use n_steps=1.")
        kind = RewardedNStepReplayBuffer
        kwargs.setdefault("n_steps", n_steps if n_steps > 1 else 3)
        if kwargs.setdefault("gamma", mix.gamma) != mix.gamma:
            raise UserError(
                f"replay_buffer_kwargs has gamma={kwargs['gamma']}, the learner uses {mix.gamma}."
            )
    elif given is not None and given.__name__ not in ("ReplayBuffer", "DictReplayBuffer"):
        raise UserError(
            f"replay_buffer_class={given.__name__} is not known to ctrl: it could read rewards "
            "past the mix. Supported: ReplayBuffer, DictReplayBuffer, NStepReplayBuffer, "
            "HerReplayBuffer."
        )
    else:
        kind = RewardedDictReplayBuffer if is_dict else RewardedReplayBuffer
    model = algorithm(replay_buffer_class=kind, replay_buffer_kwargs=kwargs, **options)
    model.replay_buffer.keep_finals = isinstance(env, VecNormalize)
    return model


def _vectorised(env: gymnasium.Env | VecEnv) -> VecEnv:
    if isinstance(env, VecEnv):
        return env
    return DummyVecEnv([lambda: env if isinstance(env, Monitor) else Monitor(env)])


def _with_recorder(
    env: VecEnv, requires: frozenset[str], *, open_bootstrap: bool
) -> tuple[VecEnv, Recorder]:
    """Put the recorder directly below an outermost VecNormalize, or outermost without one."""
    wrapper: VecEnv = env
    above: list[VecEnv] = []
    while isinstance(wrapper, VecEnvWrapper):
        if isinstance(wrapper, Recorder):
            raise UserError("This environment already feeds another learner; make a new one.")
        if isinstance(wrapper, VecNormalize) and above:
            raise UserError(
                f"{type(above[-1]).__name__} stands above VecNormalize. Off-policy learners in "
                "SB3 silently drop what it does to rewards. Put it below: "
                f"VecNormalize({type(above[-1]).__name__}(env), norm_reward=False)."
            )
        above.append(wrapper)
        wrapper = wrapper.venv
    kwargs: dict[str, Any] = {
        "requires": requires - LEARNER_KEYS,
        "open_bootstrap": open_bootstrap,
    }
    if not isinstance(env, VecNormalize):
        recorder = Recorder(env, **kwargs)
        return recorder, recorder
    if env.norm_reward:
        raise UserError(
            "VecNormalize(norm_reward=True) divides every term by the deviation of their joint "
            "return, so weights lose their meaning. Pass norm_reward=False and scale terms one by "
            "one: Term(model, weight=..., scale='return_std')."
        )
    recorder = Recorder(env.venv, **kwargs)
    env.venv = recorder
    return env, recorder


def _check_requirements(requires: frozenset[str], on_policy: bool) -> None:
    provided = LEARNER_KEYS if on_policy else frozenset()
    missing = sorted(
        key
        for key in requires
        if key.partition(".")[0] not in _ENVIRONMENT_KEYS and key not in provided
    )
    if missing:
        kind = "On-policy" if on_policy else "Off-policy"
        recorded = ", ".join(sorted({*provided, *_ENVIRONMENT_KEYS}))
        raise UserError(
            f"{kind} SB3 learners do not record {', '.join(missing)}, which a reward term or a "
            f"part of the objective requires. They record: {recorded}."
        )


def _policy_for(env: gymnasium.Env | VecEnv, vector: str, nested: str, image: str) -> str:
    from stable_baselines3.common.preprocessing import is_image_space

    space = env.observation_space
    if isinstance(space, spaces.Dict):
        return nested
    return image if is_image_space(space) else vector
