"""From a configuration to the two-level learner."""

from __future__ import annotations

from dataclasses import replace

import envs
from ctrl.build import Terms, build_env, build_mix
from ctrl.config import TASK, TermConfig, TrainConfig
from ctrl.own_code import absolute_term
from ctrl.sb3.recorder import Recorder
from ctrl.search.barfi.config import AlignConfig
from ctrl.search.barfi.discount import LearnedDiscount
from ctrl.search.barfi.episodes import EpisodeCollector
from ctrl.search.barfi.hypergradient import make_solver
from ctrl.search.barfi.learner import AlignmentLearner
from ctrl.search.barfi.policies import make_policy
from ctrl.search.barfi.regulariser import Regulariser
from reward_models.blend.coefficients import BlendCoefficients
from reward_models.blend.features import make_features
from reward_models.errors import UserError


def complete(config: AlignConfig) -> AlignConfig:
    """Write out what the configuration leaves to defaults, so that the run folder records it.

    Raises:
        UserError: no horizon is given, and the environment tells no time limit.
    """
    terms = {TASK: TermConfig(use=TASK), **config.reward}
    every, horizon = config.checkpoints.every, config.schedule.horizon
    return replace(
        config,
        reward={name: absolute_term(t) for name, t in terms.items()},
        schedule=replace(config.schedule, horizon=horizon or _time_limit(config)),
        checkpoints=replace(
            config.checkpoints,
            every=max(1, config.iterations // 10) if every is None else every,
        ),
    )


def build_learner(config: AlignConfig, *, terms: Terms | None = None) -> AlignmentLearner:
    """Build environments, reward terms and the two levels from a configuration.

    Args:
        config: the alignment.
        terms: reward models or functions by name, used instead of what the configuration names.

    Raises:
        UserError: an unknown name or a combination that cannot work, with the cure.
    """
    solver = make_solver(config.hypergradient.name, config.hypergradient.options)
    horizon = config.schedule.horizon or _time_limit(config)
    env = build_env(config.env, n_envs=config.schedule.episodes, seed=config.seed)
    training = TrainConfig(env=config.env, reward=config.reward, seed=config.seed)
    mix = build_mix(training, env=env, gamma=config.gamma, terms=terms)
    space = env.observation_space
    policy, blend = config.policy, config.blend
    collector = EpisodeCollector(Recorder(env, requires=mix.requires), mix, seed=config.seed)
    return AlignmentLearner(
        policy=make_policy(
            make_features(policy.features, space, policy.options),
            env.action_space,
            hidden=policy.hidden,
            deviation=policy.deviation,
            seed=config.seed,
        ),
        coefficients=BlendCoefficients(
            make_features(blend.features, space, blend.options),
            auxiliary=len(mix.names) - 1,
            hidden=blend.hidden,
            fixed_task=blend.fixed_task,
            start=blend.start,
            seed=config.seed + 1,
        ),
        discount=LearnedDiscount(config.discount.start),
        collector=collector,
        schedule=replace(config.schedule, horizon=horizon),
        solver=solver,
        regulariser=Regulariser(
            reward_penalty=blend.penalty,
            discount_penalty=config.discount.penalty,
            anchor=blend.anchor,
        ),
        baseline=config.baseline,
        gamma=config.gamma,
        entropy=policy.entropy,
        policy_rate=policy.learning_rate,
        reward_rate=blend.learning_rate,
        discount_rate=config.discount.learning_rate,
        policy_optimizer=policy.optimizer,
        reward_optimizer=blend.optimizer,
        seed=config.seed,
    )


def _time_limit(config: AlignConfig) -> int:
    """Return the environment's time limit.

    Raises:
        UserError: it tells none.
    """
    limit = config.env.options.get("max_episode_steps")
    if limit is None:
        env = envs.make(config.env.id, **config.env.options)
        limit = None if env.spec is None else env.spec.max_episode_steps
        env.close()
    if limit is None:
        raise UserError(
            f"{config.env.id} tells no time limit, and whole episodes need one. Set "
            "env.max_episode_steps, or schedule.horizon where its episodes always end."
        )
    return int(limit)
