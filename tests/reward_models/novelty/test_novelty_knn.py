from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models import RewardError, RewardMix
from reward_models.base import Scope
from reward_models.check import check_reward
from reward_models.errors import UnknownNameError, UserError
from reward_models.mix import Term
from reward_models.novelty.nearest import novelty
from reward_models.novelty.novelty_knn import NoveltyKNN
from reward_models.novelty.signature import signature
from reward_models.refusals import transition_refusal
from reward_models.registry import build_reward

VECTOR = spaces.Box(-np.inf, np.inf, (3,), np.float64)
PICTURE = spaces.Box(0, 255, (64, 64, 3), np.uint8)
ACTION = spaces.Discrete(3)
PLACE = {"quantity": "state.place", "quantity_shape": [2]}


@pytest.mark.parametrize(
    ("space", "options"),
    [
        (VECTOR, {}),
        (VECTOR, {"samples": 3, "horizon": 10, "capacity": 2}),
        (VECTOR, {"descriptor": "signature"}),
        (VECTOR, {"descriptor": "log_signature", "horizon": 30, "k": 2}),
        (spaces.Discrete(4), {}),
        (spaces.Dict({"a": VECTOR, "b": PICTURE}), {"keys": ["a"]}),
        (PICTURE, {**PLACE, "descriptor": "signature"}),
    ],
)
def test_the_contract_holds(space, options):
    report = check_reward(
        functools.partial(NoveltyKNN, **options),
        observation_space=space,
        action_space=ACTION,
        state={"place": spaces.Box(-1, 1, (2,), np.float64)},
    )
    assert report.ok, report.violations


def _described(episode, options):
    if "descriptor" in options:
        return signature(torch.from_numpy(episode)).numpy()
    return episode[-1][:2] if "quantity" in options else episode[-1]


@pytest.mark.parametrize("options", [{}, {"descriptor": "signature"}, PLACE])
def test_the_novelty_of_whole_episodes_at_their_ends(make_stream, options):
    model = NoveltyKNN(observation_space=VECTOR, k=3, **options)
    stream, finished = make_stream(rollouts=8, steps=6)
    archive: list[np.ndarray] = []
    for rollout, episodes in zip(stream, finished, strict=True):
        reward = model(rollout)
        ends = rollout.done & rollout.mask
        assert not reward[~ends].any()
        described = [_described(episode, options) for episode in episodes]
        if archive and described:
            expected = novelty(np.array(described), np.array(archive), 3, drop_nearest=False)
            # In the order of ends, columns in order.
            np.testing.assert_allclose(reward[ends].numpy(), expected, rtol=1e-5)
            assert (reward[ends] > 0).all()
        else:
            assert not reward.any()
        measured = model.update(rollout)
        archive += described
        assert measured == {"archive": len(archive), "episodes": len(episodes)}
    np.testing.assert_allclose(model.archive.rows.numpy(), np.array(archive), rtol=1e-9)


def test_a_place_seen_often_is_worth_less(make_rollout):
    model = NoveltyKNN(observation_space=VECTOR, k=5)
    rng = np.random.default_rng(0)
    ends = torch.zeros(4, 3, dtype=torch.bool)
    ends[-1] = True
    for seed in range(10):
        rollout = make_rollout(seed, ends)
        model.update(rollout)
    near = torch.as_tensor(rng.normal(size=3))
    tried = make_rollout(99, ends, near)
    values = model(tried)[-1]
    assert values[2] > 5 * values[0]


@pytest.fixture
def make_rollout():
    from reward_models.rollout import Rollout

    def make(seed, ends, near=None):
        rng = np.random.default_rng(seed)
        points = torch.as_tensor(rng.normal(size=(5, 3, 3)))
        if near is not None:
            points[-1, 0] = near
            points[-1, 2] = near + 20.0
        return Rollout(
            observation=points[:-1], next_observation=points[1:], action=torch.zeros(4, 3, 1),
            reward=torch.zeros(4, 3), terminated=ends, truncated=torch.zeros_like(ends),
        )  # fmt: skip

    return make


@pytest.mark.parametrize(
    "options", [{"samples": 3, "horizon": 9}, {"descriptor": "log_signature", "horizon": 40}]
)
def test_a_checkpoint_inside_open_episodes(make_stream, options):
    stream, _ = make_stream(rollouts=10, steps=5, ends=0.1)
    model = NoveltyKNN(observation_space=VECTOR, k=2, capacity=4, seed=1, **options)
    for rollout in stream[:5]:
        model.update(rollout)
    assert bool(stream[5].continued.any())
    again = NoveltyKNN(observation_space=VECTOR, k=2, capacity=4, seed=7, **options)
    again.load_state_dict(model.state_dict())
    for rollout in stream[5:]:
        assert torch.equal(again(rollout), model(rollout))
        again.update(rollout)
        model.update(rollout)
    assert torch.equal(again.archive.rows, model.archive.rows)
    assert int(model.archive.seen) > 4


def test_a_mix_names_where_a_descriptor_is_not_finite(make_stream):
    stream, _ = make_stream()
    model = NoveltyKNN(observation_space=VECTOR)
    model.update(stream[0])
    ended = (stream[1].done & stream[1].mask).nonzero()[0].tolist()
    stream[1].next_observation[ended[0], ended[1], 0] = torch.nan
    mix = RewardMix({"novelty": Term(model, scale="none")}, gamma=0.99)
    with pytest.raises(RewardError, match=f"time step {ended[0]}, column {ended[1]}"):
        mix.rewards(stream[1].replace(reward=torch.zeros(12, 3)))
    with pytest.raises(UserError, match="the descriptor of an episode must be finite"):
        model.update(stream[1])


def test_replay_is_refused_with_the_reason():
    model = NoveltyKNN(observation_space=VECTOR)
    assert model.scope == Scope.EPISODE
    assert "depends on a whole episode" in (transition_refusal(model) or "")


def test_listed_and_built_by_name():
    model = build_reward(
        "novelty_knn", observation_space=PICTURE, action_space=ACTION, gamma=0.99, options=PLACE
    )
    assert isinstance(model, NoveltyKNN)
    assert model.requires == {"state.place"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"descriptor": "signatur"}, UnknownNameError, "signature"),
        ({"k": 0}, UserError, "k must be at least 1"),
        ({"capacity": 0}, UserError, "capacity must be at least 1"),
        ({"samples": 2}, UserError, "need horizon"),
        ({"descriptor": "signature", "samples": 2}, UserError, "takes every step"),
        ({"observation_space": PICTURE}, UserError, "pixels of pictures are no descriptor"),
        ({"quantity": "position"}, UserError, "recorded quantity such as 'state.position'"),
        ({**PLACE, "keys": ["a"]}, UserError, "keys choose from a Dict"),
        ({"keys": ["a"]}, UserError, "keys choose from a Dict"),
        ({"quantity": "state.place", "quantity_shape": [0]}, UserError, "at least 1"),
        (
            {"observation_space": spaces.Dict({"place": VECTOR}), "keys": ["plac"]},
            UnknownNameError,
            "place",
        ),
        ({"observation_space": spaces.Dict({"a": VECTOR}), "keys": []}, UserError, "at least one"),
        ({"observation_space": spaces.Text(4)}, UserError, "cannot be read as numbers"),
    ],
)
def test_what_cannot_be_described_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        NoveltyKNN(**{"observation_space": VECTOR, **options})


def test_a_quantity_of_another_shape_is_refused(make_stream):
    stream, _ = make_stream()
    model = NoveltyKNN(observation_space=VECTOR, quantity="state.place", quantity_shape=[3])
    with pytest.raises(UserError, match=r"said to have shape \[3\], the record has \[2\]"):
        model(stream[0])
