import numpy as np
import pytest

from ctrl.build import build_env, build_model
from ctrl.config import EnvConfig, parse_config
from ctrl.evaluation import evaluate, evaluate_horizon

ENV = EnvConfig("InvertedPendulum-v5", options={"max_episode_steps": 26})


@pytest.fixture(scope="module")
def model():
    return build_model(
        parse_config(
            {
                "env": {"id": ENV.id, **ENV.options},
                "algo": {"name": "ppo", "n_steps": 16, "batch_size": 16},
            }
        )
    )


def _env(columns):
    return build_env(ENV, n_envs=columns, seed=0)


def test_every_stretch_has_exactly_the_horizon(model):
    env = _env(4)
    found = evaluate_horizon(model, env, horizon=50, stretches=6, seed=3)
    env.close()
    # This task pays 1 for every step but the one that fails.
    assert len(found.returns) == len(found.ends) == 6
    assert found.horizon == 50
    for paid, ends in zip(found.returns, found.ends, strict=True):
        assert ends >= 1
        assert 50 - ends <= paid <= 50
    short = evaluate_horizon(model, _env(1), horizon=3, stretches=2, seed=3)
    assert short.ends == (0, 0)
    assert short.returns == (3.0, 3.0)


def test_a_stretch_of_one_episode_is_its_return(model):
    env = _env(3)
    plain = evaluate(model, env, episodes=3, seed=8)
    length = min(plain.lengths)
    column = plain.lengths.index(length)
    found = evaluate_horizon(model, env, horizon=length, stretches=3, seed=8)
    env.close()
    assert found.returns[column] == plain.returns[column]
    assert found.ends[column] == 1


def test_the_summary_has_means_and_an_interval(model):
    env = _env(2)
    found = evaluate_horizon(model, env, horizon=20, stretches=8, seed=0)
    env.close()
    summary = found.summary()
    assert summary["horizon_return_mean"] == pytest.approx(np.mean(found.returns))
    low, high = summary["horizon_return_interval"]
    assert low <= summary["horizon_return_mean"] <= high
    assert (summary["horizon"], summary["stretches"]) == (20, 8)
    assert summary["horizon_ends_mean"] == pytest.approx(np.mean(found.ends))


def test_the_columns_share_the_episodes(model):
    env = _env(3)
    found = evaluate(model, env, episodes=7, seed=8)
    env.close()
    assert len(found.returns) == len(found.lengths) == 7
    assert set(found.lengths) <= set(range(1, 27))
