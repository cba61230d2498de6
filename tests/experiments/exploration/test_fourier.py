"""Random Fourier features, and the models that look through them."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.curiosity import RND
from reward_models.encoders import make_encoder
from reward_models.errors import UserError
from reward_models.rollout import Rollout

BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)
MOVES = spaces.Discrete(4)


@pytest.fixture(scope="module")
def fourier(load):
    return load("fourier")


def drawn(seed=0, steps=6, columns=4):
    random = np.random.default_rng(seed)
    size = (steps, columns)
    places = torch.as_tensor(random.uniform(-1, 1, (steps + 1, columns, 2)), dtype=torch.float32)
    return Rollout(
        observation=places[:-1], next_observation=places[1:],
        action=torch.as_tensor(random.integers(4, size=size)), reward=torch.zeros(size),
        terminated=torch.zeros(size, dtype=torch.bool),
        truncated=torch.zeros(size, dtype=torch.bool),
    )  # fmt: skip


def test_features_are_sines_and_cosines_of_projections(fourier):
    encoder = fourier.FourierEncoder(space=BOX, projections=5, hidden=7, size=3, seed=2)
    inputs = drawn().observation
    waves = inputs.numpy() @ encoder.frequencies.numpy().T
    features = np.concatenate([np.sin(waves), np.cos(waves)], axis=-1)
    first, _, second = encoder.network
    hidden = np.maximum(features @ first.weight.detach().numpy().T, 0)
    expected = hidden @ second.weight.detach().numpy().T
    np.testing.assert_allclose(encoder(inputs).detach().numpy(), expected, atol=1e-5)


def test_frequencies_have_the_deviation_and_stay_when_weights_are_drawn_anew(fourier):
    encoder = fourier.FourierEncoder(space=BOX, projections=4000, seed=0)
    before = encoder.frequencies.clone()
    assert float(before.std()) == pytest.approx(3.0, rel=0.05)
    encoder.redraw()
    assert torch.equal(encoder.frequencies, before)
    assert not encoder.frequencies.requires_grad


def test_it_is_the_model_itself_with_that_encoder(fourier):
    wrapped = fourier.Fourier(
        observation_space=BOX, action_space=MOVES, gamma=0.99, model="rnd", seed=4
    )
    assert isinstance(wrapped.inner, RND)
    plain = RND(
        observation_space=BOX, encoder=fourier.FourierEncoder(space=BOX, seed=4),
        normalize_observations=False,
    )  # fmt: skip
    plain.load_state_dict(wrapped.inner.state_dict())
    for seed in range(3):
        rollout = drawn(seed)
        assert torch.equal(wrapped(rollout), plain(rollout))
        assert wrapped.update(rollout) == plain.update(rollout)
    assert wrapped.preferred_scale == "return_std"
    assert wrapped.concurrent_update


def test_settings_reach_the_model_and_a_model_without_an_encoder_is_refused(fourier):
    common = {"observation_space": BOX, "action_space": MOVES, "gamma": 0.99}
    wrapped = fourier.Fourier(
        **common, model="icm", settings={"batch_size": 7, "normalize_observations": True}
    )
    assert wrapped.inner.trainer.batch_size == 7
    assert wrapped.inner.normalizer.statistics is not None
    with pytest.raises(UserError, match="constant takes no encoder"):
        fourier.Fourier(**common, model="constant")


def test_neighbouring_cells_are_told_apart(fourier):
    """The reason for them: a step in a maze turns them more than the features of plain layers."""
    step = torch.tensor([[0.0, 0.0], [0.1, 0.0]])
    grid = torch.cartesian_prod(*2 * [torch.linspace(-1, 1, 21)])

    def turned(encoder):
        first, second = encoder(step).detach() - encoder(grid).detach().mean(0)
        return float(1 - torch.cosine_similarity(first, second, dim=0))

    found = {"fourier": [], "plain": []}
    for seed in range(5):
        for name, encoder in (
            ("fourier", fourier.FourierEncoder(space=BOX, seed=seed)),
            ("plain", make_encoder(BOX, size=32, seed=seed)),
        ):
            found[name].append(turned(encoder))
    assert min(found["fourier"]) > max(found["plain"])
