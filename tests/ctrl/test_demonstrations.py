import gymnasium
import numpy as np
import pytest

import ctrl
import envs
from ctrl.build import build_env, build_model
from ctrl.config import EnvConfig, parse_config
from ctrl.demonstrations import record_episodes, record_run, summarise
from ctrl.run_folder import RunFolder
from reward_models.demonstrations import read_demonstrations, read_metadata, read_spaces
from reward_models.errors import UserError

SMALL = {"n_steps": 16, "batch_size": 16}
PENDULUM = {"id": "Pendulum-v1", "max_episode_steps": 30}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on Pendulum, whose actions are not in [-1, 1], with normalised observations."""
    out = tmp_path_factory.mktemp("runs") / "run"
    ctrl.train(
        env={**PENDULUM, "n_envs": 2},
        algo={"name": "ppo", **SMALL},
        normalize_observations=True,
        steps=64,
        out=out,
    )
    return RunFolder.open(out)


def _model(env, algo="ppo", **options):
    return build_model(parse_config({"env": env, "algo": {"name": algo, **options}}))


def test_what_is_recorded_happens_again(run, tmp_path):
    found = record_run(run, episodes=11, out=tmp_path / "demos", seed=5)
    episodes = read_demonstrations(tmp_path / "demos")
    assert [each.seed for each in episodes] == list(range(5, 16))
    env = envs.make("Pendulum-v1", max_episode_steps=30)
    low, high = env.action_space.low, env.action_space.high
    for each in (episodes[0], episodes[7], episodes[10]):
        # Raw observations, and actions in the environment's own units: another simulation from the
        # same seed agrees step by step.
        observation, _ = env.reset(seed=each.seed)
        for t in range(len(each)):
            np.testing.assert_allclose(observation, each.observations[t], rtol=1e-5, atol=1e-5)
            assert (each.actions[t] >= low).all()
            assert (each.actions[t] <= high).all()
            observation, reward, terminated, truncated, _ = env.step(each.actions[t])
            assert reward == pytest.approx(each.rewards[t], rel=1e-5)
            assert (terminated, truncated) == (each.terminations[t], each.truncations[t])
        np.testing.assert_allclose(observation, each.observations[-1], rtol=1e-5, atol=1e-5)
        assert truncated
    env.close()
    assert found["dropped"] == 0
    assert [row["seed"] for row in found["played"]] == list(range(5, 16))
    returns = [each.task_return for each in episodes]
    np.testing.assert_allclose([row["task_return"] for row in found["played"]], returns)
    assert found["task_return_mean"] == pytest.approx(np.mean(returns))


def test_an_episode_depends_on_its_own_seed_only(run):
    config = run.config()
    model = _model(PENDULUM, **SMALL)
    env = build_env(config.env, n_envs=3, seed=0)
    four = record_episodes(model, env, episodes=4, seed=20)
    one = record_episodes(model, env, episodes=1, seed=23)
    env.close()
    np.testing.assert_allclose(four[3].observations, one[0].observations, rtol=1e-4, atol=1e-5)


def test_sampled_actions_are_seeded_and_leave_the_generators():
    import torch

    model = _model(PENDULUM, **SMALL)
    env = build_env(EnvConfig("Pendulum-v1", options={"max_episode_steps": 30}), n_envs=2, seed=0)
    state = torch.get_rng_state()
    first, again = (
        record_episodes(model, env, episodes=2, seed=3, deterministic=False) for _ in range(2)
    )
    mode = record_episodes(model, env, episodes=2, seed=3)
    env.close()
    assert torch.equal(state, torch.get_rng_state())
    np.testing.assert_array_equal(first[1].actions, again[1].actions)
    assert not np.allclose(first[1].actions, mode[1].actions)


def test_ends_by_failure_and_by_time_are_told_apart(tmp_path):
    model = _model({"id": "InvertedPendulum-v5", "max_episode_steps": 26}, **SMALL)
    env = build_env(
        EnvConfig("InvertedPendulum-v5", options={"max_episode_steps": 26}), n_envs=8, seed=0
    )
    episodes = record_episodes(model, env, episodes=24, seed=0)
    env.close()
    ends = {(bool(e.terminations[-1]), bool(e.truncations[-1])) for e in episodes}
    assert ends == {(True, False), (False, True)}
    for each in episodes:
        assert not each.terminations[:-1].any()
        assert not each.truncations[:-1].any()
        assert len(each) == 26 or each.terminations[-1]
        # The final observation is the true one, not the next episode's first.
        assert np.abs(each.observations[-1] - each.observations[-2]).max() < 1.0
        assert abs(each.observations[-1][1]) > 0.2 or not each.terminations[-1]


def test_dictionaries_and_choices_are_recorded(tmp_path):
    out = tmp_path / "run"
    ctrl.train(env="CartPole-v1", algo={"name": "ppo", **SMALL}, steps=16, out=out)
    found = record_run(RunFolder.open(out), episodes=3, out=tmp_path / "choices")
    assert read_spaces(tmp_path / "choices")[1] == gymnasium.spaces.Discrete(2)
    assert found["terminated"] == 3
    nested = {"id": "PickAndPlace2D-v0", "max_episode_steps": 8}
    model = build_model(parse_config({"env": nested, "algo": {"name": "ppo", **SMALL}}))
    env = build_env(parse_config({"env": nested}).env, n_envs=2, seed=0)
    whole = record_episodes(model, env, episodes=2, seed=0)
    env.close()
    assert len(whole) == 2
    assert whole[0].actions.shape[0] == len(whole[0])


def test_minari_reads_the_data_set_and_makes_the_environment(run, tmp_path):
    minari = pytest.importorskip("minari")
    record_run(run, episodes=3, out=tmp_path / "demos", dataset_id="lab/pendulum-v3")
    dataset = minari.MinariDataset(tmp_path / "demos")
    assert (dataset.id, dataset.total_episodes, dataset.total_steps) == ("lab/pendulum-v3", 3, 90)
    assert dataset.observation_space.dtype == np.float32
    env = dataset.recover_environment()
    assert env.spec.id == "Pendulum-v1"
    assert env.spec.max_episode_steps == 30
    env.close()
    for episode, own in zip(
        dataset.iterate_episodes(), read_demonstrations(tmp_path / "demos"), strict=True
    ):
        np.testing.assert_array_equal(episode.observations, own.observations)
        assert episode.observations.dtype == np.float32
        np.testing.assert_array_equal(episode.truncations, own.truncations)


def test_poor_episodes_are_dropped_on_request(run, tmp_path):
    played = record_run(run, episodes=6, out=tmp_path / "all")["played"]
    bar = sorted(row["task_return"] for row in played)[2]
    found = record_run(run, episodes=6, out=tmp_path / "some", minimum_return=bar)
    assert (found["episodes"], found["dropped"]) == (4, 2)
    kept = [row["seed"] for row in found["played"] if row["kept"]]
    assert [each.seed for each in read_demonstrations(tmp_path / "some")] == kept
    with pytest.raises(UserError, match="None of 2 episodes returned 1e"):
        record_run(run, episodes=2, out=tmp_path / "none", minimum_return=1e9)
    assert not (tmp_path / "none").exists()


def test_the_summary_counts_what_is_there(run, tmp_path):
    found = record_run(run, episodes=3, out=tmp_path / "demos")
    again = summarise(tmp_path / "demos")
    assert again == {key: found[key] for key in again}
    assert (again["episodes"], again["steps"], again["length_range"]) == (3, 90, [30, 30])
    assert (again["terminated"], again["truncated"]) == (0, 3)
    rewards = np.concatenate([e.rewards for e in read_demonstrations(tmp_path / "demos")])
    assert again["reward_per_step"] == pytest.approx(rewards.mean())
    assert again["dataset_id"] == "ctrl/Pendulum/ppo-v0"
    assert "by the mode of the policy" in read_metadata(tmp_path / "demos")["description"]


def test_mistakes_are_refused_before_anything_is_played(run, tmp_path):
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(UserError, match="not empty"):
        record_run(run, out=tmp_path)
    with pytest.raises(UserError, match="at least 1, got 0"):
        record_run(run, episodes=0)
