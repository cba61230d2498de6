"""With an empty mix, training through ctrl equals plain SB3 bit for bit."""

import warnings

import pytest
import torch
from sb3_contrib import TQC, TRPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from ctrl.sb3 import books_of, make_model
from ctrl.sb3.vec_env import make_vec_env

SHORT = {"max_episode_steps": 50}
ON_POLICY = {"n_steps": 64, "batch_size": 32}
OFF_POLICY = {"learning_starts": 30}

CASES = [
    (PPO, "Hopper-v5", 2, ON_POLICY, 256),
    (A2C, "Hopper-v5", 2, {}, 120),
    (TRPO, "Hopper-v5", 2, ON_POLICY, 128),
    (RecurrentPPO, "Hopper-v5", 2, {**ON_POLICY, "policy": "MlpLstmPolicy"}, 128),
    (SAC, "Hopper-v5", 1, OFF_POLICY, 80),
    (SAC, "Hopper-v5", 1, {**OFF_POLICY, "n_steps": 3}, 80),
    (TD3, "Hopper-v5", 1, OFF_POLICY, 80),
    (DDPG, "Hopper-v5", 1, OFF_POLICY, 60),
    (TQC, "Hopper-v5", 1, OFF_POLICY, 60),
    (DQN, "CartPole-v1", 1, OFF_POLICY, 200),
]


def _same_weights(a, b):
    left, right = a.policy.state_dict(), b.policy.state_dict()
    assert left.keys() == right.keys()
    return all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize(
    "case",
    CASES,
    ids=[f"{c[0].__name__}{'-nstep' if c[3].get('n_steps') == 3 else ''}" for c in CASES],
)
@pytest.mark.parametrize("normalized", [False, True], ids=["raw", "normalized"])
def test_that_an_empty_mix_changes_no_weight(case, normalized):
    algorithm, env, columns, options, steps = case
    options = dict(options)
    policy = options.pop("policy", "MlpPolicy")
    kwargs = SHORT if env == "Hopper-v5" else None

    def wrapped(venv):
        return VecNormalize(venv, norm_reward=False) if normalized else venv

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        plain_env = sb3_make_vec_env(env, n_envs=columns, env_kwargs=kwargs)
        plain = algorithm(policy, wrapped(plain_env), seed=3, device="cpu", **options)
        plain.learn(steps)
        # ours also runs on ctrl's own vector environment, so this covers the fast path too
        ours_env = make_vec_env(env, n_envs=columns, env_kwargs=kwargs)
        ours = make_model(
            algorithm, wrapped(ours_env), policy=policy, seed=3, device="cpu", **options
        )
        ours.learn(steps)
    assert books_of(ours).mix.is_task_only
    assert _same_weights(plain, ours)


def test_that_another_seed_gives_other_weights():
    models = []
    for seed in (0, 1):
        env = make_vec_env("Hopper-v5", n_envs=2, env_kwargs=SHORT)
        models.append(make_model(PPO, env, seed=seed, device="cpu", **ON_POLICY).learn(128))
    assert not _same_weights(*models)


def test_that_a_term_of_weight_zero_changes_no_weight():
    """A stochastic reward model must not touch the policy's random stream."""
    from reward_models import Term
    from reward_models.curiosity import RND

    models = []
    for with_rnd in (False, True):
        env = make_vec_env("Hopper-v5", n_envs=2, env_kwargs=SHORT)
        mix = {"rnd": Term(RND(observation_space=env.observation_space), weight=0.0)}
        models.append(
            make_model(PPO, env, mix=mix if with_rnd else None, seed=0, device="cpu", **ON_POLICY)
        )
        models[-1].learn(256)
    assert _same_weights(*models)


def test_that_learning_beside_the_policy_changes_no_weight_and_no_reward_model(monkeypatch):
    from reward_models import Term
    from reward_models.curiosity import ICM, RND

    models = []
    for cores in (1, 2):
        monkeypatch.setattr("os.sched_getaffinity", lambda pid, cores=cores: set(range(cores)))
        env = make_vec_env("Hopper-v5", n_envs=4, env_kwargs=SHORT, threads=1)
        spaces = {
            "observation_space": env.observation_space,
            "action_space": env.action_space,
        }
        mix = {
            "rnd": Term(RND(observation_space=env.observation_space), weight=0.5),
            "icm": Term(ICM(**spaces), weight=0.5),
        }
        models.append(make_model(PPO, env, mix=mix, seed=0, device="cpu", **ON_POLICY).learn(1024))
        books_of(models[-1]).finish()
    assert _same_weights(*models)
    left, right = (books_of(model).mix.state_dict() for model in models)
    assert all(torch.equal(left[key], right[key]) for key in left)
