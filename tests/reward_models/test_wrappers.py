import doctest

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

import reward_models.wrappers
from reward_models.base import Order, RewardModel, Scope
from reward_models.constant import Constant
from reward_models.errors import RewardError, UnknownNameError, UserError
from reward_models.mix import RewardMix, Term
from reward_models.potential import FunctionPotential
from reward_models.wrappers import RewardWrapper, VectorRewardWrapper


class Line(gymnasium.Env):
    """Walk 100 k, 100 k + 1, ... in episode ``k``; the reward is the place that was reached."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, length=3, truncates=False, nested=False):
        self.length, self.truncates, self.nested = length, truncates, nested
        self.metadata = {}
        self.episode = -1
        if nested:
            self.observation_space = spaces.Dict({"x": self.observation_space})

    def _seen(self):
        place = np.array([100.0 * self.episode + self.at])
        return {"x": place} if self.nested else place

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.at = self.episode + 1, 0
        return self._seen(), {"speed": -1.0}

    def step(self, action):
        self.at += 1
        end = self.at >= self.length
        info = {"speed": float(self.at), "is_success": end, "state": {"height": 10.0 * self.at}}
        place = 100.0 * self.episode + self.at
        return self._seen(), place, end and not self.truncates, end and self.truncates, info


class Witness(RewardModel):
    """Keeps every rollout it learns from; pays the number of updates."""

    def __init__(self, order=Order.REWARD_FIRST):
        super().__init__()
        self.order = order
        self.seen = []
        self.rewarded = []

    def forward(self, rollout):
        self.rewarded.append(rollout)
        return torch.full_like(rollout.reward, float(len(self.seen)))

    def update(self, rollout):
        self.seen.append(rollout)
        return {"steps": float(rollout.mask.sum())}


def move(observation, next_observation):
    return (next_observation - observation)[..., 0].float()


def vector(lengths, mode=AutoresetMode.NEXT_STEP, kind=SyncVectorEnv, **options):
    return kind([lambda n=n: Line(n, **options) for n in lengths], autoreset_mode=mode)


ACTION = np.zeros(1, dtype=np.float32)


class TestSingle:
    def test_total_terms_and_task_reward(self):
        mix = RewardMix({"move": Term(move, weight=0.5), "task": 2.0}, gamma=0.9)
        env = RewardWrapper(Line(), mix)
        env.reset()
        _, reward, terminated, _, info = env.step(ACTION)
        assert (reward, terminated) == (2.5, False)
        assert info["task_reward"] == 1
        assert info["reward_terms"] == {"task": 2.0, "move": 0.5}
        assert info["reward_raw"] == {"task": 1.0, "move": 1.0}
        assert info["speed"] == 1

    def test_task_alone_stays_to_the_last_bit(self):
        class Precise(Line):
            def step(self, action):
                observation, _, *rest = super().step(action)
                return observation, 0.1, *rest

        env = RewardWrapper(Precise(), RewardMix(gamma=0.9))
        env.reset()
        assert env.step(ACTION)[1] == 0.1

    @pytest.mark.parametrize("truncates", [False, True])
    def test_a_potential_is_exact_at_both_ends(self, truncates):
        model = FunctionPotential(lambda o: o[..., 0].float())
        env = RewardWrapper(Line(3, truncates), RewardMix({"p": model, "task": 0.0}, gamma=0.5))
        env.reset()
        found = [env.step(ACTION)[1] for _ in range(3)]
        assert found == [0.5 * 1 - 0, 0.5 * 2 - 1, (0.5 * 3 if truncates else 0) - 2]

    def test_models_learn_in_chunks_before_the_next_step(self):
        model = Witness()
        env = RewardWrapper(
            Line(3), RewardMix({"w": model, "task": 0.0}, gamma=0.9), update_every=2
        )
        env.reset()
        rewards = []
        for step in range(5):
            if step == 3:
                env.reset()
            rewards.append(env.step(ACTION)[1])
        assert rewards == [0, 0, 1, 1, 2]
        first, second = model.seen
        assert first.observation[:, 0, 0].tolist() == [0, 1]
        assert first.next_observation[:, 0, 0].tolist() == [1, 2]
        assert not first.continued.any()
        assert second.observation[:, 0, 0].tolist() == [2, 100]
        assert second.next_observation[:, 0, 0].tolist() == [3, 101]
        assert second.terminated[:, 0].tolist() == [True, False]
        assert second.continued.all()
        assert env.metrics == {"w/steps": 2.0}
        assert env.mix.steps == 4

    def test_update_first_sees_its_step_one_chunk_late(self):
        model = Witness(Order.UPDATE_FIRST)
        mix = RewardMix({"w": model, "task": 0.0}, gamma=0.9)
        env = RewardWrapper(Line(9), mix, update_every=1)
        env.reset()
        assert [env.step(ACTION)[1] for _ in range(3)] == [0, 1, 2]

    def test_an_abandoned_episode_counts_as_truncated(self):
        model = Witness()
        env = RewardWrapper(Line(9), RewardMix({"w": model}, gamma=0.9), update_every=2)
        for _ in range(3):
            env.reset()
            env.step(ACTION)
            env.step(ACTION)
        assert [chunk.truncated[:, 0].tolist() for chunk in model.seen] == [[False, True]] * 2
        assert not any(chunk.continued.any() for chunk in model.seen)

    @pytest.mark.parametrize("how", ["terminated", "truncated", "abandoned"])
    def test_no_return_leaks_into_the_next_episode(self, how):
        mix = RewardMix({"one": Term(Constant(), scale="return_std")}, gamma=1.0)
        length = 99 if how == "abandoned" else 4
        env = RewardWrapper(Line(length, how == "truncated"), mix, update_every=4)
        for _ in range(10):
            env.reset()
            for _ in range(4):
                env.step(ACTION)
        env.reset()
        env.step(ACTION)
        # Returns 1, 2, 3, 4 in every episode; batches enter with unbiased variances.
        assert mix.scales["one"].divisor() == pytest.approx(np.std([1, 2, 3, 4], ddof=1), rel=1e-6)
        assert float(mix.scales["one"].running) == 0

    def test_quantities_and_success_come_from_info(self):
        def f(height, speed, success):
            return height + speed + 1000 * success

        env = RewardWrapper(Line(2), RewardMix({"f": f, "task": 0.0}, gamma=0.9))
        env.reset()
        assert env.step(ACTION)[1] == 11
        assert env.step(ACTION)[1] == 1022

    def test_all_quantities(self):
        def f(observation, **state):
            return state["height"] + 0 * observation[..., 0]

        env = RewardWrapper(Line(2), RewardMix({"f": f, "task": 0.0}, gamma=0.9))
        env.reset()
        assert env.step(ACTION)[1] == 10

    def test_a_missing_quantity_names_the_nearest(self):
        env = RewardWrapper(Line(), RewardMix({"f": lambda heigth: heigth}, gamma=0.9))
        env.reset()
        with pytest.raises(UnknownNameError, match=r"'heigth'.*Did you mean 'height'"):
            env.step(ACTION)

    def test_dict_observations(self):
        def f(observation, next_observation):
            return (next_observation["x"] - observation["x"])[..., 0]

        env = RewardWrapper(Line(nested=True), RewardMix({"f": f, "task": 0.0}, gamma=0.9))
        env.reset()
        assert env.step(ACTION)[1] == 1

    def test_step_before_reset(self):
        env = RewardWrapper(Line(), RewardMix({"m": move}, gamma=0.9))
        env.env.reset()
        with pytest.raises(UserError, match="reset"):
            env.step(ACTION)

    def test_keep_cannot_be_honoured(self):
        def f(reward):
            return reward, {"keep": torch.zeros_like(reward)}

        env = RewardWrapper(Line(), RewardMix({"f": f}, gamma=0.9))
        env.reset()
        with pytest.raises(RewardError, match="keep = 0"):
            env.step(ACTION)

    def test_state_is_the_mixs(self):
        def build():
            return RewardMix({"m": Term(move, scale="reward_std")}, gamma=0.9)

        env = RewardWrapper(Line(50), build(), update_every=10)
        env.reset()
        for _ in range(30):
            env.step(ACTION)
        other = build()
        other.load_state_dict(env.mix.state_dict())
        assert other.steps == 20


class TestRefusals:
    def refuse(self, model, match, **options):
        with pytest.raises(UserError, match=match):
            RewardWrapper(Line(), RewardMix({"a": model}, gamma=0.9), **options)

    def test_episode_scope(self):
        model = Constant()
        model.scope = Scope.EPISODE
        self.refuse(model, "a: its value depends on a whole episode.*use a learner")

    def test_group_scope(self):
        model = Constant()
        model.scope = Scope.GROUP
        self.refuse(model, "whole group")

    def test_memory_needs_an_update_at_every_step(self):
        model = Constant()
        model.replayable = False
        self.refuse(model, "set update_every=1")
        RewardWrapper(Line(), RewardMix({"a": model}, gamma=0.9), update_every=1)

    def test_quantities_of_the_learner(self):
        self.refuse(lambda value, hidden: value, "reads hidden, value, which the learner has")

    def test_update_every(self):
        self.refuse(Constant(), "at least 1", update_every=0)


class TestVector:
    def mixed(self, model=None):
        terms = {"move": move, "task": 0.0}
        return RewardMix({**terms, "w": Term(model, weight=0.0)} if model else terms, gamma=0.9)

    @pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
    def test_next_step_masks_the_reset(self, kind):
        model = Witness()
        envs = VectorRewardWrapper(vector([2, 3], kind=kind), self.mixed(model), update_every=6)
        envs.reset()
        rewards, infos = [], []
        for _ in range(5):
            _, reward, _, _, info = envs.step(np.zeros((2, 1), dtype=np.float32))
            rewards.append(reward.tolist())
            infos.append(info)
        envs.close()
        assert rewards == [[1, 1], [1, 1], [0, 1], [1, 0], [1, 1]]
        assert infos[2]["_task_reward"].tolist() == [False, True]
        assert infos[2]["reward_terms"]["move"].tolist() == [0, 1]
        # Rows 2 and 3 have one reset each, so six real steps are complete after row 3.
        (chunk,) = model.seen
        assert chunk.mask.tolist() == [[True, True], [True, True], [False, True], [True, False]]
        real = chunk.flatten()
        assert (real.next_observation - real.observation)[0, :, 0].tolist() == [1] * 6
        assert chunk.terminated.tolist() == [
            [False, False],
            [True, False],
            [False, True],
            [False] * 2,
        ]
        assert [(e.column, e.start, e.stop) for e in chunk.episodes()] == [
            (0, 0, 2),
            (0, 3, 4),
            (1, 0, 3),
        ]

    def test_no_model_sees_a_step_where_all_columns_reset(self):
        model = Witness()
        envs = VectorRewardWrapper(vector([2, 2]), self.mixed(model), update_every=2)
        envs.reset()
        rewards = [envs.step(np.zeros((2, 1)))[1].tolist() for _ in range(4)]
        assert rewards == [[1, 1], [1, 1], [0, 0], [1, 1]]
        assert all(rollout.mask.all() for rollout in model.rewarded)

    @pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
    def test_same_step_takes_the_final_observation_and_info(self, kind):
        model = Witness()
        terms = {
            "move": move,
            "speed": lambda speed: speed * 1000,
            "height": lambda height: height * 10000,
            "win": lambda success: success * 1e6,
            "w": Term(model, weight=0.0),
            "task": 0.0,
        }
        mix = RewardMix(terms, gamma=0.9)
        envs = VectorRewardWrapper(
            vector([2, 3], AutoresetMode.SAME_STEP, kind), mix, update_every=1
        )
        envs.reset()
        found = []
        for _ in range(3):
            observation, reward, *_ = envs.step(np.zeros((2, 1), dtype=np.float32))
            found.append(reward.tolist())
        envs.close()
        assert observation[:, 0].tolist() == [101, 100]
        one, two, three = (101001.0 + 0, 202001.0, 303001.0)
        assert found[0] == [one, one]
        assert found[1] == [two + 1e6, two]
        assert found[2] == [one, three + 1e6]
        assert model.seen[1].next_observation[0, :, 0].tolist() == [2, 2]
        # In the second rewarded row column 0 ended; the next row starts its next episode.
        assert model.seen[1].terminated[0].tolist() == [True, False]
        assert model.seen[1].continued.tolist() == [True, True]
        assert model.rewarded[-1].continued.tolist() == [False, True]

    def test_disabled_resets_by_mask(self):
        model = Witness()
        envs = VectorRewardWrapper(
            vector([2, 3], AutoresetMode.DISABLED), self.mixed(model), update_every=6
        )
        envs.reset()
        action = np.zeros((2, 1))
        envs.step(action)
        assert envs.step(action)[2].tolist() == [True, False]
        with pytest.raises(UserError, match=r"Columns \[0\] have ended.*reset_mask"):
            envs.step(action)
        envs.reset(options={"reset_mask": np.array([True, False])})
        assert envs.step(action)[1].tolist() == [1, 1]
        envs.reset()
        assert envs.step(action)[1].tolist() == [1, 1]
        (chunk,) = model.seen
        assert chunk.observation[..., 0].tolist() == [[0, 0], [1, 1], [100, 2]]
        # The full reset cut column 0; column 1 had ended by itself.
        assert chunk.truncated[2].tolist() == [True, False]

    def test_dict_observations_in_same_step_mode(self):
        def f(observation, next_observation):
            return (next_observation["x"] - observation["x"])[..., 0]

        mix = RewardMix({"f": f, "task": 0.0}, gamma=0.9)
        envs = VectorRewardWrapper(vector([2], AutoresetMode.SAME_STEP, nested=True), mix)
        envs.reset()
        assert [envs.step(np.zeros((1, 1)))[1].tolist() for _ in range(3)] == [[1], [1], [1]]

    def test_lost_final_observation_is_refused(self):
        class Losing(VectorWrapper):
            def step(self, actions):
                *rest, infos = self.env.step(actions)
                infos.pop("final_obs", None)
                return *rest, infos

        envs = VectorRewardWrapper(Losing(vector([2, 3], AutoresetMode.SAME_STEP)), self.mixed())
        envs.reset()
        envs.step(np.zeros((2, 1)))
        with pytest.raises(UserError, match=r"columns \[0\].*'final_obs'.*lost"):
            envs.step(np.zeros((2, 1)))

    def test_unknown_autoreset_mode_is_refused(self):
        class Silent(gymnasium.vector.VectorEnv):
            metadata = {}  # noqa: RUF012

        with pytest.raises(UserError, match="must say how it resets"):
            VectorRewardWrapper(Silent(), self.mixed())

    def test_the_mode_is_the_environments_own(self):
        """Vector environments of one class write into one metadata dict; the last one wins."""
        first, second = (
            SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")], autoreset_mode=mode)
            for mode in (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)
        )
        assert first.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        assert VectorRewardWrapper(first, self.mixed()).autoreset_mode is AutoresetMode.NEXT_STEP
        assert VectorRewardWrapper(second, self.mixed()).autoreset_mode is AutoresetMode.SAME_STEP

    def test_a_quantity_that_some_columns_lack_is_refused(self):
        class Partly(VectorWrapper):
            def step(self, actions):
                *rest, infos = self.env.step(actions)
                return *rest, {**infos, "_speed": np.array([True, False])}

        mix = RewardMix({"f": lambda speed: speed}, gamma=0.9)
        envs = VectorRewardWrapper(Partly(vector([3, 3])), mix)
        envs.reset()
        with pytest.raises(UserError, match=r"'speed', but columns \[1\]"):
            envs.step(np.zeros((2, 1)))

    def test_task_alone_stays_to_the_last_bit(self):
        envs = VectorRewardWrapper(vector([2, 3]), RewardMix(gamma=0.9))
        envs.reset()
        reward = envs.step(np.zeros((2, 1)))[1]
        assert reward.dtype == np.float64

    def test_gymnasiums_own_wrappers_work_on_top(self):
        envs = VectorRewardWrapper(vector([2, 3]), self.mixed())
        envs = DictInfoToList(RecordEpisodeStatistics(envs))
        envs.reset()
        infos = envs.step(np.zeros((2, 1)))[-1]
        assert infos[1]["reward_terms"] == {"task": 0, "move": 1}

    def test_single_wrapper_inside_a_vector_environment(self):
        envs = SyncVectorEnv([lambda: RewardWrapper(Line(3), self.mixed()) for _ in range(2)])
        envs.reset()
        _, rewards, _, _, infos = envs.step(np.zeros((2, 1)))
        assert rewards.tolist() == [1, 1]
        assert infos["reward_terms"]["move"].tolist() == [1, 1]

    def test_learning_equals_that_of_single_environments(self):
        """Masked steps add nothing: the statistics are those of the two environments alone."""
        mix = RewardMix({"x": Term(lambda observation: observation[..., 0], scale="reward_std")},
                        gamma=0.9)  # fmt: skip
        envs = VectorRewardWrapper(vector([2, 3]), mix, update_every=1)
        envs.reset()
        seen = []
        for _ in range(8):
            _, _, _, _, infos = envs.step(np.zeros((2, 1)))
            seen.extend(infos["reward_raw"]["x"][infos["_reward_raw"]].tolist())
        envs.step(np.zeros((2, 1)))
        statistics = mix.scales["x"].statistics
        assert float(statistics.count) == len(seen) == mix.steps
        assert float(statistics.mean) == pytest.approx(np.mean(seen))


def test_examples():
    assert doctest.testmod(reward_models.wrappers).failed == 0
