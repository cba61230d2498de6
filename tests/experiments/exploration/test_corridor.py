"""The corridor and the ring of the hindsight bars do what their files say."""

import numpy as np
import pytest
import torch

import envs
from ctrl.study.plan import read_study


@pytest.fixture(scope="module")
def corridor(load):
    return load("corridor")


@pytest.fixture(scope="module")
def bars():
    from pathlib import Path

    folder = Path(__file__).resolve().parents[3] / "experiments" / "bars"
    return {name: read_study(folder / f"hindsight-{name}.yaml") for name in ("corridor", "ring")}


def test_values_are_those_of_q_learning(corridor):
    learner = corridor.QLearner(4, 0.5, 0.9, 0.0, np.random.default_rng(0))
    learner.values[2] = [1.0, 4.0, 2.0]
    step = np.array
    # Two columns in the same state: the second learns from what the first has changed.
    learner.learn(step([1, 1]), step([0, 0]), step([1.0, 1.0]), step([2, 2]))
    target = 1.0 + 0.9 * 4.0
    assert learner.values[1, 0] == pytest.approx(0.5 * target + 0.5 * 0.5 * target)


def test_greedy_actions_break_ties_at_random_and_some_are_uniform(corridor):
    learner = corridor.QLearner(2, 0.1, 0.9, 0.0, np.random.default_rng(1))
    learner.values[1] = [0.0, 1.0, 1.0]
    place = np.ones(3000, dtype=int)
    greedy = np.bincount(learner.act(place), minlength=3)
    assert greedy[0] == 0
    assert abs(greedy[1] - 1500) < 150
    learner.epsilon = 0.3
    assert abs((learner.act(place) == 0).sum() - 300) < 100


def test_the_world_model_sees_the_position_and_its_target_the_screen(corridor):
    env = envs.make_vec("CorridorTV-v0", 2)
    space, length = env.single_observation_space, corridor.positions(env)
    assert length == 40
    asked, _ = env.reset(seed=0), None
    blank = torch.as_tensor(asked[0])
    shown = torch.as_tensor(env.step(np.array([2, 2]))[0])
    place = corridor.Place(space=space, length=length)
    assert torch.equal(place(blank), place(shown))
    assert place(blank).sum(-1).tolist() == [1.0, 1.0]
    target = corridor.FrozenLinear(space=space, seed=0)
    assert torch.allclose(target(shown), shown @ target.weight.T)
    assert not torch.allclose(target(blank), target(shown))
    assert not list(target.parameters())
    env.close()


def test_transitions_are_kept_for_a_window_and_drawn_from_it(corridor):
    memory = corridor.Transitions(3)
    for step in range(5):
        at = np.full((2, 56), float(step), dtype=np.float32)
        memory.add(at, np.array([0, 1]), at + 1, np.array([step, step]))
    drawn = memory.sample(500, np.random.default_rng(0))
    assert (drawn.T, drawn.B) == (1, 500)
    assert set(drawn["state.position"][0].tolist()) == {2, 3, 4}
    assert torch.equal(drawn.next_observation, drawn.observation + 1)
    assert memory.newest()["state.position"].tolist() == [[4, 4]]
    assert not drawn.continued.any()
    assert drawn.done.all()


def test_every_method_explores_a_few_steps(corridor, bars):
    study = bars["corridor"]
    for cell in study.cells()[: len(study.methods) * len(study.environments)]:
        found = corridor.explore({**cell.settings, "steps": 12, "envs": 4}, cell.seed)
        assert 0 <= found["tv_share"] <= 1
        assert 1 <= found["states"] <= 13
        assert found["curves"]["states"][1][0] >= 1


def test_the_same_seed_gives_the_same_numbers(corridor, bars):
    settings = {**bars["corridor"].cells()[-1].settings, "steps": 10}
    assert corridor.explore(settings, 3) == corridor.explore(settings, 3)


def test_hindsight_explains_the_ring_better_already_after_few_updates(corridor, bars):
    study = bars["ring"]
    found = {
        cell.method: corridor.supervise({**cell.settings, "updates": 100, "steps": 40}, cell.seed)
        for cell in study.cells()[: len(study.methods)]
    }
    assert found["byol_explore"]["leak"] == 0
    assert found["byol_explore"]["tv_error"] > 1
    assert found["byol_hindsight"]["tv_error"] < found["byol_explore"]["tv_error"]
    assert found["without_invariance"]["leak"] > found["byol_hindsight"]["leak"]
