"""Defects of well-known libraries around shaped rewards, as regression tests.

The table in docs/correctness.md maps each to its row.
"""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper, VecNormalize

from ctrl.sb3 import RewardLogger, books_of, make_model
from ctrl.sb3.vec_env import make_vec_env
from reward_models import Constant, FunctionPotential, RewardModel, Rollout, Term, UserError
from reward_models.curiosity import RND

SMALL = {"n_steps": 32, "batch_size": 32, "device": "cpu", "seed": 0}


class Counting(gym.Env):
    """Observation counts the steps; reward 1; the episode is cut or ends after ``length`` steps."""

    observation_space = spaces.Box(-100.0, 100.0, (1,), np.float32)
    action_space = spaces.Box(-2.0, 2.0, (1,), np.float32)

    def __init__(self, length=5, terminates=False):
        self.length, self.terminates = length, terminates

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        ended = self.t == self.length
        observation = np.full(1, self.t, np.float32)
        info = {"t": self.t, "twice": 2.0 * self.t}
        return observation, 1.0, ended and self.terminates, ended and not self.terminates, info


def counting(n=2, **kwargs):
    return DummyVecEnv([lambda: Counting(**kwargs) for _ in range(n)])


class AddHundred(VecEnvWrapper):
    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        observation, rewards, dones, infos = self.venv.step_wait()
        return observation, rewards + 100.0, dones, infos


class Successor(RewardModel):
    """The count after the step, so rewards show which successor a model saw."""

    def forward(self, rollout: Rollout) -> torch.Tensor:
        return rollout.next_observation[..., 0]


class Seen(RewardModel):
    """Keeps the rollouts it learned from."""

    def __init__(self):
        super().__init__()
        self.rollouts = []

    def forward(self, rollout: Rollout) -> torch.Tensor:
        return torch.zeros(rollout.T, rollout.B)

    def update(self, rollout: Rollout) -> dict[str, float]:
        self.rollouts.append(rollout)
        return {}


def _zero_values(model):
    for parameter in model.policy.value_net.parameters():
        torch.nn.init.zeros_(parameter)


# -- 3.1: a reward wrapper above VecNormalize is silently dropped off-policy ------------------


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_that_a_wrapper_above_vec_normalize_is_refused_with_the_cure(algorithm):
    env = AddHundred(VecNormalize(counting(1), norm_reward=False))
    with pytest.raises(UserError, match=r"AddHundred stands above VecNormalize.*Put it below"):
        make_model(algorithm, env)


def test_that_a_wrapper_below_vec_normalize_reaches_the_replay_buffer():
    env = VecNormalize(AddHundred(counting(1)), norm_reward=False)
    model = make_model(SAC, env, learning_starts=1000, device="cpu", seed=0)
    model.learn(20)
    assert np.allclose(model.replay_buffer.rewards.raw[:20], 101.0)


# -- 3.2: joint reward normalisation destroys the meaning of weights ---------------------------


def test_that_joint_reward_normalisation_is_refused_with_the_cure():
    with pytest.raises(UserError, match=r"norm_reward=False and scale terms one by one"):
        make_model(PPO, VecNormalize(counting()), **SMALL)


def test_that_a_term_keeps_its_weight_beside_a_large_one():
    mix = {
        "task": 1.0,
        "large": Term(Constant(value=100.0)),
        "small": Term(Successor(), weight=0.5, scale="return_std"),
    }
    model = make_model(PPO, counting(), mix=mix, **SMALL)
    model.learn(128)
    metrics = books_of(model).metrics
    assert metrics["reward/small/weight"] == 0.5
    alone = make_model(PPO, counting(), mix={"small": mix["small"]}, **SMALL)
    alone.learn(128)
    expected = books_of(alone).metrics["reward/small/effective_weight"]
    assert metrics["reward/small/effective_weight"] == pytest.approx(expected)


# -- 3.3: the bootstrap at a time limit is mistaken for a reward -------------------------------


def test_that_rewards_and_time_limit_bootstrap_are_kept_apart():
    seen = Seen()
    model = make_model(PPO, counting(length=5), mix={"seen": seen}, **SMALL)
    model.learn(64)
    buffer = model.rollout_buffer
    assert np.array_equal(buffer.task_rewards, np.ones((32, 2), np.float32))
    truncated = seen.rollouts[-1].truncated.numpy()
    assert truncated.sum() == 12
    assert np.all(buffer.bootstrap[~truncated] == 0)
    assert np.all(buffer.bootstrap[truncated] != 0)
    assert all(torch.equal(r.reward, torch.ones(32, 2)) for r in seen.rollouts)


def test_that_the_bootstrap_is_gamma_times_the_value_of_the_final_observation():
    model = make_model(PPO, counting(length=5), **SMALL)
    model.learn(32)
    # One more collection with the weights as they are now, so the values can be recomputed.
    callback = model._init_callback(None)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, 32)
    final = torch.full((1, 1), 5.0)
    with torch.no_grad():
        value = model.policy.predict_values(final).item()
    bootstrap = model.rollout_buffer.bootstrap
    assert bootstrap[bootstrap != 0] == pytest.approx(0.99 * value)


# -- 3.4, 3.5, 3.6, 3.22: a bonus that arrives too late has no effect or no credit --------------


def test_that_a_constant_bonus_shifts_the_return_by_its_geometric_sum():
    """On one endless episode, lambda = 1 and V = 0: the return gains beta * sum gamma^k."""
    beta, gamma, steps = 0.25, 0.9, 32
    returns = []
    for bonus in (0.0, beta):
        env = counting(1, length=10_000)
        mix = {"bonus": Constant(value=bonus)}
        model = make_model(
            PPO, env, mix=mix, n_steps=steps, batch_size=32, gamma=gamma, gae_lambda=1.0,
            device="cpu", seed=0,
        )  # fmt: skip
        _zero_values(model)
        model._setup_learn(steps)
        model.collect_rollouts(model.env, model._init_callback(None), model.rollout_buffer, steps)
        returns.append(model.rollout_buffer.returns[:, 0].copy())
    expected = beta * (1 - gamma ** np.arange(steps, 0, -1)) / (1 - gamma)
    assert returns[1] - returns[0] == pytest.approx(expected, rel=1e-4)


def test_that_one_bonus_is_credited_backwards_through_gae():
    """Gamma 0.9, lambda 0.8, V = 0, a bonus of 1 at the 4th of 6 steps."""

    def bonus(next_observation: torch.Tensor) -> torch.Tensor:
        return (next_observation[..., 0] == 4).float()

    model = make_model(
        PPO, counting(1, length=10_000), mix={"task": 0.0, "bonus": bonus}, n_steps=6,
        batch_size=6, gamma=0.9, gae_lambda=0.8, device="cpu", seed=0,
    )  # fmt: skip
    _zero_values(model)
    model._setup_learn(6)
    model.collect_rollouts(model.env, model._init_callback(None), model.rollout_buffer, 6)
    expected = [0.373248, 0.5184, 0.72, 1.0, 0.0, 0.0]
    assert model.rollout_buffer.advantages[:, 0] == pytest.approx(expected, abs=1e-6)


def test_that_a_bonus_changes_the_on_policy_gradient():
    weights = []
    for bonus in (0.0, 1.0):
        env = make_vec_env("Hopper-v5", n_envs=2)
        mix = {"height": Term(lambda observation: observation[..., 0], weight=bonus)}
        model = make_model(PPO, env, mix=mix, **SMALL).learn(64)
        weights.append(model.policy.action_net.weight.detach().clone())
    assert not torch.equal(*weights)


def test_that_a_bonus_reaches_the_off_policy_targets():
    mix = {"bonus": Term(Constant(value=2.0), weight=3.0)}
    model = make_model(SAC, counting(1), mix=mix, learning_starts=1000, device="cpu", seed=0)
    model.learn(30)
    assert torch.all(model.replay_buffer.sample(16).rewards == 7.0)


# -- 3.7: a bonus stored with the transition goes stale or is lost ------------------------------


def test_that_replayed_rewards_come_from_the_present_model_also_under_vec_normalize():
    env = VecNormalize(make_vec_env("Hopper-v5", n_envs=1), norm_reward=False)
    rnd = RND(observation_space=env.observation_space)
    mix = {"task": 0.0, "rnd": Term(rnd, scale="none")}
    model = make_model(SAC, env, mix=mix, learning_starts=10_000, device="cpu", seed=0)
    model.learn(60)
    buffer, rows = model.replay_buffer, np.arange(50)
    before = buffer.rewards[rows, np.zeros(50, int)]
    stored = buffer.transitions(rows, np.zeros(50, int))
    for _ in range(20):
        rnd.update(stored)
    after = buffer.rewards[rows, np.zeros(50, int)]
    assert after.mean() < before.mean()
    assert np.allclose(after, rnd(buffer.transitions(rows, np.zeros(50, int))).numpy()[0])


# -- 3.10: the same transition gets two rewards in collection and in replay ---------------------


@pytest.mark.parametrize("normalized", [False, True])
def test_that_collection_and_replay_reward_the_same_transition_alike(normalized):
    seen = Seen()

    def everything(observation, action, next_observation, terminated, twice):
        total = observation[..., 0] + 10 * action[..., 0] + 100 * next_observation[..., 0]
        return total + 1000 * terminated + 10_000 * twice

    env = counting(2, length=7)
    env = VecNormalize(env, norm_reward=False, clip_obs=0.5) if normalized else env
    mix = {"task": 0.0, "everything": everything, "seen": seen}
    model = make_model(
        SAC, env, mix=mix, learning_starts=1000, update_every=2, device="cpu", seed=0
    )
    model.learn(40)
    rows = np.repeat(np.arange(20), 2)
    columns = np.tile(np.arange(2), 20)
    replayed = model.replay_buffer.rewards[rows, columns].reshape(20, 2)
    books = books_of(model)
    collected = torch.cat([books.mix.rewards(rollout).total for rollout in seen.rollouts]).numpy()
    assert len(collected) == 20
    assert replayed == pytest.approx(collected, rel=1e-6)


# -- 3.11: rewards of the previous round's discriminator ---------------------------------------


def test_that_an_update_first_model_rewards_with_what_it_just_learned():
    class Discriminator(RewardModel):
        order = "update_first"

        def __init__(self):
            super().__init__()
            self.register_buffer("rounds", torch.zeros(()))

        def forward(self, rollout: Rollout) -> torch.Tensor:
            return self.rounds.expand(rollout.T, rollout.B)

        def update(self, rollout: Rollout) -> dict[str, float]:
            self.rounds += 1
            return {}

    mix = {"task": 0.0, "judge": Discriminator()}
    model = make_model(PPO, counting(), mix=mix, **SMALL)
    model.learn(64)
    assert books_of(model).metrics["reward/judge/mean"] == 1.0


# -- 3.16, 3.23: lost final observations, time limits that look like failure -------------------


class Spoiled(VecEnvWrapper):
    """A vector environment that forgets one thing at the end of an episode."""

    def __init__(self, venv, forgets):
        super().__init__(venv)
        self.forgets = forgets

    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        observation, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            info.pop(self.forgets, None)
        return observation, rewards, dones, infos


@pytest.mark.parametrize("key", ["terminal_observation", "TimeLimit.truncated"])
def test_that_an_adapter_that_forgets_how_an_episode_ended_is_refused(key):
    model = make_model(PPO, Spoiled(counting(), key), **SMALL)
    with pytest.raises(UserError, match=key.replace(".", r"\.")):
        model.learn(64)


def test_that_models_see_the_true_successor_at_the_end_of_an_episode():
    seen = Seen()
    model = make_model(PPO, counting(1, length=5), mix={"seen": seen}, **SMALL)
    model.learn(32)
    rollout = seen.rollouts[0]
    expected = torch.tensor([float(t % 5 + 1) for t in range(32)])
    assert torch.equal(rollout.next_observation[:, 0, 0], expected)
    assert torch.equal(rollout.observation[:, 0, 0], expected - 1)
    assert rollout.truncated.sum() == 6
    assert not rollout.terminated.any()


def test_that_termination_and_truncation_are_both_recorded():
    seen = Seen()
    make_model(PPO, counting(1, terminates=True), mix={"seen": seen}, **SMALL).learn(32)
    assert seen.rollouts[0].terminated.sum() == 6
    assert not seen.rollouts[0].truncated.any()


# -- 3.17: hindsight relabelling ignores module rewards ----------------------------------------


class Reaching(gym.Env):
    """A point that should come to its goal; rewards -1 until it does."""

    space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    observation_space = spaces.Dict(
        {"observation": space, "achieved_goal": space, "desired_goal": space}
    )
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.t = np.zeros(1, np.float32), 0
        self.goal = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self._observation(), {}

    def step(self, action):
        self.at = np.clip(self.at + 0.1 * action, -1, 1).astype(np.float32)
        self.t += 1
        reward = float(self.compute_reward(self.at[None], self.goal[None], None)[0])
        return self._observation(), reward, False, self.t == 10, {}

    def compute_reward(self, achieved, desired, info):
        return -(np.abs(achieved - desired)[..., 0] > 0.05).astype(np.float32)

    def _observation(self):
        return {"observation": self.at, "achieved_goal": self.at, "desired_goal": self.goal}


class Closeness(RewardModel):
    """Minus the distance to the goal that stands in the observation."""

    goal_relabelling = True

    def forward(self, rollout: Rollout) -> torch.Tensor:
        after = rollout.next_observation
        return -(after["achieved_goal"] - after["desired_goal"]).abs()[..., 0]


def _hindsight_model(mix):
    from stable_baselines3 import HerReplayBuffer

    return make_model(
        SAC, DummyVecEnv([Reaching]), mix=mix, replay_buffer_class=HerReplayBuffer,
        learning_starts=1000, device="cpu", seed=0,
    )  # fmt: skip


def test_that_hindsight_goals_reach_the_reward_models():
    model = _hindsight_model({"task": 1.0, "closeness": Term(Closeness(), weight=10.0)})
    model.learn(100)
    samples = model.replay_buffer.sample(256)
    after = samples.next_observations
    distance = (after["achieved_goal"] - after["desired_goal"]).abs()
    task = -(distance > 0.05).float()
    assert torch.allclose(samples.rewards, task - 10.0 * distance, atol=1e-5)
    assert (samples.rewards > -0.5).any()


def test_that_hindsight_with_a_reward_that_does_not_follow_the_goal_is_refused():
    with pytest.raises(UserError, match=r"- closeness: .*goal_relabelling = True"):
        _hindsight_model({"closeness": lambda observation: observation["observation"][..., 0]})


def test_that_hindsight_with_an_empty_mix_equals_plain_sb3():
    from stable_baselines3 import HerReplayBuffer

    models = []
    for ours in (False, True):
        options = {"learning_starts": 30, "device": "cpu", "seed": 0}
        env = DummyVecEnv([Reaching])
        if ours:
            model = make_model(SAC, env, replay_buffer_class=HerReplayBuffer, **options)
        else:
            model = SAC("MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer, **options)
        models.append(model.learn(60))
    left, right = (model.policy.state_dict() for model in models)
    assert all(torch.equal(left[key], right[key]) for key in left)


# -- 3.18: n-step sums formed before relabelling ------------------------------------------------


def test_that_one_step_rewards_are_relabelled_before_the_n_step_sum():
    gamma = 0.5
    model = make_model(
        SAC, counting(1, length=1000), mix={"task": 0.0, "count": Successor()}, n_steps=3,
        gamma=gamma, learning_starts=1000, device="cpu", seed=0,
    )  # fmt: skip
    model.learn(50)
    samples = model.replay_buffer._get_samples(np.array([0, 10, 20]))
    expected = [[t + gamma * (t + 1) + gamma**2 * (t + 2)] for t in (1, 11, 21)]
    assert samples.rewards.numpy() == pytest.approx(np.array(expected))
    assert samples.discounts.numpy() == pytest.approx(np.full((3, 1), gamma**3))


# -- settings that would silently give wrong rewards ---------------------------------------------


def test_that_memory_optimised_replay_is_refused():
    with pytest.raises(UserError, match="overwrites the final observation"):
        make_model(SAC, counting(1), optimize_memory_usage=True)


def test_that_ignoring_time_limits_in_replay_is_refused():
    with pytest.raises(UserError, match="treats every time limit as failure"):
        make_model(SAC, counting(1), replay_buffer_kwargs={"handle_timeout_termination": False})


def test_that_an_episode_scope_reward_is_refused_off_policy_with_reason_and_cure():
    class Episodic(Seen):
        scope = "episode"

    with pytest.raises(UserError, match=r"- memory: .*whole episode.*use an on-policy learner"):
        make_model(SAC, counting(1), mix={"memory": Episodic()})


def test_that_a_foreign_discount_is_refused():
    potential = FunctionPotential(lambda observation: observation[..., 0], gamma=0.9)
    with pytest.raises(UserError, match=r"gamma=0\.9.*gamma=0\.99"):
        make_model(PPO, counting(), mix={"p": potential}, **SMALL)


def test_that_a_key_no_learner_records_is_refused_before_training():
    class NeedsHidden(Seen):
        requires = frozenset({"hidden"})

    with pytest.raises(UserError, match="do not record hidden"):
        make_model(PPO, counting(), mix={"h": NeedsHidden()}, **SMALL)


def test_that_a_missing_quantity_is_named_with_the_nearest_one():
    def fast(twise: torch.Tensor) -> torch.Tensor:
        return twise

    model = make_model(PPO, counting(), mix={"fast": fast}, **SMALL)
    with pytest.raises(UserError, match="Did you mean 'twice'"):
        model.learn(64)


# -- edges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("columns", [1, 3])
def test_that_short_episodes_and_single_columns_give_finite_weights(length, columns):
    env = counting(columns, length=length)
    mix = {
        "constant": Term(Constant(value=1.0), scale="return_std"),
        "zero": Term(Constant(value=0.0), scale="return_std"),
        "rnd": RND(observation_space=env.observation_space),
    }
    model = make_model(PPO, env, mix=mix, **SMALL)
    model.learn(96 * columns, callback=RewardLogger())
    assert all(torch.isfinite(value).all() for value in model.policy.state_dict().values())
    assert all(np.isfinite(value) for value in books_of(model).metrics.values())


def test_that_task_and_shaped_returns_are_kept_apart():
    mix = {"bonus": Term(Constant(value=2.0), weight=0.5)}
    model = make_model(PPO, counting(2, length=5), mix=mix, **SMALL)
    model.learn(64)
    returns = books_of(model).returns()
    assert returns["return/task"] == 5.0
    assert returns["return/shaped"] == 10.0
    assert returns["return/term/bonus"] == 5.0
    assert returns["return/length"] == 5.0
