from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ctrl.config import EnvConfig
from ctrl.search.episodes import NO_AREA, Episodes
from ctrl.search.evaluation import CountedEvaluate, Evaluator, Setting
from ctrl.search.evaluation import evaluator as evaluator_module
from reward_models.errors import UnknownNameError, UserError


def _genomes(evaluator, count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, evaluator.genome.size))


def _setting(name, options=None, **more):
    return Setting(env=EnvConfig(name, threads=1, options=options or {}), **more)


def test_the_walker_ends_where_its_equation_says(walker):
    with Evaluator(walker) as evaluator:
        genomes = _genomes(evaluator, 40)
        found = evaluator.evaluate(genomes, 3)
        position = np.zeros((40, 2))
        for _ in range(50):
            # The observation is float32, and so is the action.
            seen = position.astype(np.float32).astype(np.float64)
            hidden = np.tanh(
                np.einsum("ni,nio->no", seen, genomes[:, :10].reshape(40, 2, 5)) + genomes[:, 10:15]
            )
            out = np.einsum("no,noa->na", hidden, genomes[:, 15:25].reshape(40, 5, 2))
            action = np.tanh(out + genomes[:, 25:]).astype(np.float32).astype(np.float64)
            position = np.clip(position + 0.05 * action, -1.0, 1.0)
    np.testing.assert_allclose(found.place, position, atol=1e-5)
    assert np.array_equal(found.samples[:, -1], found.place)
    assert found.length.tolist() == [50] * 40
    assert found.evaluation.tolist() == list(range(3, 43))
    assert np.array_equal(found.genomes, genomes)
    assert found.images is None


def test_reward_and_area_are_those_of_the_end():
    areas = [[0.0, 0.0, 0.9], [0.9, 0.9, 0.3]]
    setting = _setting("PointWalker-v0", {"areas": areas})
    with Evaluator(setting) as evaluator:
        found = evaluator.evaluate(_genomes(evaluator, 200), 0)
    distance = np.linalg.norm(found.place[:, None] - np.array(areas)[:, :2], axis=2)
    depth = 1.0 - distance / np.array([0.9, 0.3])
    expected = np.where(depth.max(axis=1) >= 0, depth.argmax(axis=1), NO_AREA)
    assert set(expected) == {NO_AREA, 0, 1}
    assert np.array_equal(found.area, expected)
    np.testing.assert_allclose(found.task_reward, np.maximum(depth.max(axis=1), 0), atol=1e-6)
    assert np.array_equal(found.reward, found.task_reward)


@pytest.mark.parametrize(
    "name", ["PointWalker-v0", "Curling-v0", "RedundantArm-v0", "Pendulum-v1", "CartPole-v1"]
)
def test_no_bit_depends_on_how_evaluations_are_cut_into_batches(name, same):
    options = {"horizon": 60} if name == "Curling-v0" else {}
    with (
        Evaluator(_setting(name, options, samples=3)) as one,
        Evaluator(_setting(name, options, samples=3, columns=3)) as other,
    ):
        genomes = _genomes(one, 21)
        whole = one.evaluate(genomes, 10)
        cuts = [(0, 1), (1, 6), (6, 21)]
        parts = [one.evaluate(genomes[a:b], 10 + a) for a, b in cuts]
        assert same(Episodes.joined(parts), whole)
        assert same(other.evaluate(genomes, 10), whole)


def test_only_the_first_episode_of_a_column_counts(alone):
    # Columns of CartPole end after 8 to 500 steps, and go on with another episode.
    with Evaluator(_setting("CartPole-v1", samples=4)) as evaluator:
        genomes = _genomes(evaluator, 8)
        found = evaluator.evaluate(genomes, 100)
        assert len(set(found.length.tolist())) > 3
        for row, genome in enumerate(genomes):
            rewards, _, seen = alone(evaluator, genome, 100 + row)
            length = len(rewards)
            assert found.length[row] == length
            assert found.task_reward[row] == sum(rewards)
            moments = [-(-s * length // 4) - 1 for s in (1, 2, 3, 4)]
            assert np.array_equal(found.samples[row], np.array([seen[t] for t in moments]))
            assert np.array_equal(found.place[row], seen[-1][:2])


def test_the_number_of_an_evaluation_and_the_seed_decide_the_episode(same):
    setting = _setting("Pendulum-v1")
    with Evaluator(setting) as one, Evaluator(replace(setting, seed=1)) as other:
        genomes = np.repeat(_genomes(one, 1), 4, axis=0)
        found = one.evaluate(genomes, 0)
        assert len(set(found.task_reward.tolist())) == 4
        assert same(one.evaluate(genomes, 0), found)
        shifted = one.evaluate(genomes, 2)
        assert np.array_equal(shifted.samples[:2], found.samples[2:])
        assert not np.array_equal(other.evaluate(genomes, 0).samples, found.samples)


def test_a_maze_of_mujoco(alone):
    pytest.importorskip("gymnasium_robotics")
    setting = _setting("AntMazeGoal_UMaze-v0", {"max_episode_steps": 20})
    with Evaluator(setting) as evaluator:
        assert evaluator.observed.text == evaluator.place.text == "x_position,y_position"
        genomes = _genomes(evaluator, 3)
        found = evaluator.evaluate(genomes, 0)
        for row, genome in enumerate(genomes):
            rewards, infos, _ = alone(evaluator, genome, row)
            last = infos[-1]
            assert found.length[row] == len(rewards) == 20
            assert found.place[row].tolist() == [last["x_position"], last["y_position"]]
            assert found.area[row] == (0 if last["is_success"] else NO_AREA)


def test_tasks_whose_physics_runs_as_a_batch(alone):
    setting = _setting(
        "HalfCheetah-v5", {"max_episode_steps": 30}, place="x_position,observation[0]", samples=2,
        genome={"kind": "policy", "policy_kwargs": {"net_arch": [8]}},
    )  # fmt: skip
    with Evaluator(setting) as evaluator:
        genomes = _genomes(evaluator, 5)
        found = evaluator.evaluate(genomes, 0)
        assert np.array_equal(evaluator.evaluate(genomes[:1], 0).samples, found.samples[:1])
        for row, genome in enumerate(genomes):
            rewards, infos, seen = alone(evaluator, genome, row)
            assert found.place[row].tolist() == [infos[-1]["x_position"], seen[-1][0]]
            assert np.array_equal(found.samples[row], np.array([seen[14], seen[29]]))
            total = 0.0
            for reward in rewards:
                total += reward
            assert found.task_reward[row] == total


def test_a_level_of_minihack_ends_where_the_hero_stands(alone):
    pytest.importorskip("minihack")
    setting = _setting("MiniHack-Room-5x5-v0", {"max_episode_steps": 25}, columns=4)
    with Evaluator(setting) as evaluator:
        assert evaluator.place.text == "x,y"
        genomes = _genomes(evaluator, 4)
        found = evaluator.evaluate(genomes, 5)
        for row, genome in enumerate(genomes):
            rewards, infos, seen = alone(evaluator, genome, 5 + row)
            assert found.length[row] == len(rewards)
            assert found.place[row].tolist() == seen[-1]["blstats"][:2].tolist()
            assert found.area[row] == (0 if infos[-1]["is_success"] else NO_AREA)
        assert len(np.unique(found.place, axis=0)) > 1


def test_a_policy_of_sb3_is_run_by_its_parameters(alone):
    setting = _setting(
        "Pendulum-v1", genome={"kind": "policy", "algo": "sac", "policy_kwargs": {"net_arch": [8]}}
    )
    with Evaluator(setting) as evaluator:
        genomes = _genomes(evaluator, 3)
        found = evaluator.evaluate(genomes, 0)
        for row, genome in enumerate(genomes):
            rewards, _, seen = alone(evaluator, genome, row)
            total = 0.0
            for reward in rewards:
                total += reward
            assert found.task_reward[row] == total
            assert np.array_equal(found.samples[row, -1], seen[-1])


def test_what_is_observed_and_the_place_can_be_named(alone):
    setting = _setting("Pendulum-v1", observe="observation[2]", place="observation[1,0]")
    with Evaluator(setting) as evaluator:
        genomes = _genomes(evaluator, 2)
        found = evaluator.evaluate(genomes, 0)
        last = alone(evaluator, genomes[1], 1)[2][-1]
        assert found.samples.shape == (2, 1, 1)
        assert found.samples[1, 0, 0] == last[2]
        assert found.place[1].tolist() == last[[1, 0]].tolist()


def test_mistakes_in_the_setting_are_refused_before_anything_runs():
    with pytest.raises(UnknownNameError, match="Did you mean 'position'"):
        Evaluator(_setting("PointWalker-v0", place="positon[0,1]"))
    with pytest.raises(UserError, match="A place is two numbers"):
        Evaluator(_setting("Pendulum-v1", place="observation"))
    with pytest.raises(UserError, match="backend 'dummy'"):
        Evaluator(Setting(env=EnvConfig("Pendulum-v1", backend="dummy")))
    with pytest.raises(UserError, match="samples must be at least 1"):
        Evaluator(_setting("PointWalker-v0", samples=0))
    with pytest.raises(UserError, match="seed must be at least 0"):
        Evaluator(_setting("PointWalker-v0", seed=-1))
    with pytest.raises(UserError, match="PointWalker"):
        Evaluator(_setting("PointWalkr-v0"))


def test_an_episode_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(evaluator_module, "_LONGEST", 20)
    with (
        Evaluator(_setting("Pendulum-v1")) as evaluator,
        pytest.raises(UserError, match=r"not ended after 20 steps.*max_episode_steps"),
    ):
        evaluator.evaluate(_genomes(evaluator, 1), 0)


def test_every_evaluation_is_counted_once(walker):
    with Evaluator(walker) as evaluator:
        evaluate = CountedEvaluate(evaluator, used=7)
        genomes = _genomes(evaluator, 5)
        assert evaluate(genomes).evaluation.tolist() == [7, 8, 9, 10, 11]
        with pytest.raises(UserError):
            evaluate(np.full_like(genomes, np.nan))
        assert evaluate.used == 12
        assert evaluate(genomes[:1]).evaluation.tolist() == [12]
