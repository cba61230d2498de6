from __future__ import annotations

import pytest
import torch

from reward_models.curiosity.hindsight.latent_world import OneStepWorld, RecurrentWorld

T, B, D, A, N = 6, 2, 3, 2, 5


def _drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _recurrent(**options) -> RecurrentWorld:
    sizes = {"embedding_size": D, "action_size": A, "target_size": N, "hidden": (8,)}
    more = {"horizon": 3, "belief_size": 4, "action_embedding_size": 3, "seed": 0}
    return RecurrentWorld(**{**sizes, **more, **options})


def _fresh(world: RecurrentWorld, columns: int = B) -> dict[str, torch.Tensor]:
    return {name: value.expand(columns, -1) for name, value in world.fresh.items()}


def test_one_step_believes_what_it_sees():
    world = OneStepWorld(embedding_size=D, action_size=A, target_size=N, hidden=(8,), seed=0)
    embedding, action, episode = _drawn(T, B, D), _drawn(T, B, A), torch.zeros(T, B).long()
    episode[2, 1] = -1
    beliefs = world.beliefs(embedding, action, episode, {})
    assert torch.equal(beliefs, embedding)
    (pair,) = world.pairs(beliefs, action, episode)
    assert torch.equal(pair.context, torch.cat([embedding, action], -1))
    assert pair.prediction.shape == (T, B, N)
    assert torch.equal(pair.valid, episode >= 0)
    assert world.remembered(beliefs, action, -1) == {}


def test_beliefs_follow_the_recurrence():
    world = _recurrent()
    embedding, action, episode = _drawn(T, B, D), _drawn(T, B, A), torch.zeros(T, B).long()
    found = world.beliefs(embedding, action, episode, _fresh(world))
    belief, before = torch.zeros(B, 4), torch.zeros(B, A)
    for t in range(T):
        belief = world.closed(torch.cat([embedding[t], world.action_embedding(before)], -1), belief)
        torch.testing.assert_close(found[t], belief)
        before = action[t]


def test_open_loop_sees_actions_alone():
    world = _recurrent()
    embedding, action, episode = _drawn(T, B, D), _drawn(T, B, A), torch.zeros(T, B).long()
    beliefs = world.beliefs(embedding, action, episode, _fresh(world))
    pairs = world.pairs(beliefs, action, episode)
    assert [len(pair.context) for pair in pairs] == [6, 5, 4]
    one = world.open(world.action_embedding(action[2]), beliefs[2])
    two = world.open(world.action_embedding(action[3]), one)
    torch.testing.assert_close(pairs[0].prediction[2], world.predictor(one))
    torch.testing.assert_close(pairs[1].prediction[2], world.predictor(two))
    expected = torch.cat([one, world.action_embedding(action[3])], -1)
    torch.testing.assert_close(pairs[1].context[2], expected)
    assert pairs[0].context.shape[-1] == world.context_size


def test_nothing_is_predicted_across_an_end():
    world = _recurrent()
    episode = torch.tensor([[0, 0], [0, 0], [0, 1], [0, 1], [1, -1], [1, -1]])
    pairs = world.pairs(_drawn(T, B, 4), _drawn(T, B, A), episode)
    assert pairs[0].valid.tolist() == [[True, True]] * 4 + [[True, False]] * 2
    assert pairs[1].valid[:, 0].tolist() == [True, True, True, False, True]
    assert pairs[1].valid[:, 1].tolist() == [True, False, True, False, False]
    assert pairs[2].valid[:, 0].tolist() == [True, True, False, False]


def test_beliefs_begin_anew_with_every_episode():
    world = _recurrent()
    embedding, action = _drawn(T, B, D), _drawn(T, B, A)
    episode = torch.tensor([[0, 0], [0, 0], [0, 1], [1, 1], [1, 1], [1, 1]])
    whole = world.beliefs(embedding, action, episode, _fresh(world))
    alone = world.beliefs(embedding[3:], action[3:], episode[3:], _fresh(world))
    torch.testing.assert_close(whole[3:, 0], alone[:, 0])
    alone = world.beliefs(embedding[2:], action[2:], episode[2:], _fresh(world))
    torch.testing.assert_close(whole[2:, 1], alone[:, 1])


def test_two_halves_with_memory_are_the_whole():
    world = _recurrent()
    embedding, action, episode = _drawn(T, B, D), _drawn(T, B, A), torch.zeros(T, B).long()
    whole = world.beliefs(embedding, action, episode, _fresh(world))
    memory = world.remembered(whole[:3], action[:3], -1)
    rest = world.beliefs(embedding[3:], action[3:], episode[3:], memory)
    torch.testing.assert_close(whole[3:], rest)


def test_short_rollouts_are_predicted_as_far_as_they_go():
    world = _recurrent(horizon=8)
    pairs = world.pairs(_drawn(2, B, 4), _drawn(2, B, A), torch.zeros(2, B).long())
    assert [len(pair.context) for pair in pairs] == [2, 1]


@pytest.mark.parametrize("target_size", [None, N])
def test_predictions_only_where_wanted(target_size):
    world = _recurrent(target_size=target_size)
    pairs = world.pairs(_drawn(T, B, 4), _drawn(T, B, A), torch.zeros(T, B).long())
    assert all((pair.prediction is None) == (target_size is None) for pair in pairs)
