from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from tensordict import TensorDict
from torch import nn

from reward_models.encoders import (
    CodeEncoder,
    DictEncoder,
    DiscreteEncoder,
    Encoder,
    HiddenEncoder,
    ImageEncoder,
    OneHot,
    VectorEncoder,
    make_encoder,
    seeded,
)
from reward_models.errors import UnknownNameError, UserError
from reward_models.rollout import Rollout

T, B = 4, 2
DICT = spaces.Dict(
    {
        "glyphs": spaces.Box(0, 5976, (21, 79), np.int16),
        "blstats": spaces.Box(-(2**31), 2**31 - 1, (27,), np.int64),
        "message": spaces.Box(0, 255, (256,), np.uint8),
    }
)


def _rollout(observation, next_observation=None, **entries) -> Rollout:
    flags = torch.zeros(T, B, dtype=torch.bool)
    given = {
        "observation": observation,
        "next_observation": observation if next_observation is None else next_observation,
        "action": torch.zeros(T, B, 1),
        "reward": torch.zeros(T, B),
        "terminated": flags,
        "truncated": flags.clone(),
    }
    return Rollout(**{**given, **entries})


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (spaces.Box(-1, 1, (3,)), VectorEncoder),
        (spaces.Box(-1, 1, (3, 4)), VectorEncoder),
        (spaces.Box(-1, 1, ()), VectorEncoder),
        (spaces.Box(-(2**31), 2**31 - 1, (5, 5), np.int64), VectorEncoder),
        (spaces.MultiBinary(3), VectorEncoder),
        (spaces.Discrete(5, start=-2), DiscreteEncoder),
        (spaces.MultiDiscrete([[3, 4], [2, 2]]), DiscreteEncoder),
        (spaces.Box(0, 255, (84, 84, 4), np.uint8), ImageEncoder),
        (spaces.Box(0, 255, (3, 36, 36), np.uint8), ImageEncoder),
        (spaces.Box(0, 255, (7, 7, 3), np.uint8), ImageEncoder),
        (spaces.Box(0, 255, (24, 80), np.uint8), CodeEncoder),
        (spaces.Box(0, 255, (1,), np.uint8), CodeEncoder),
        (DICT, DictEncoder),
        (spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(2)})}), DictEncoder),
    ],
    ids=str,
)
@pytest.mark.parametrize("lead", [(), (5,), (2, 3)], ids=str)
def test_every_space_has_an_encoder_for_any_leading_sizes(space, kind, lead):
    encoder = make_encoder(space, size=8)
    assert isinstance(encoder, kind)

    def sample(part):
        if isinstance(part, spaces.Dict):
            inner = {key: sample(sub) for key, sub in part.items()}
            return TensorDict(inner, batch_size=lead)
        part.seed(0)
        value = torch.as_tensor(np.asarray(part.sample()))
        return value.expand((*lead, *value.shape))

    features = encoder(sample(space))
    assert tuple(features.shape) == (*lead, 8)
    assert features.dtype == torch.float32
    assert bool(features.isfinite().all())


def test_double_precision_observations_are_cast():
    encoder = make_encoder(spaces.Box(-1, 1, (3,), np.float64), size=4)
    inputs = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(encoder(inputs), encoder(inputs.float()))


def test_layers_are_orthogonal_with_gain_sqrt_two_and_zero_bias():
    encoder = make_encoder(spaces.Box(-1, 1, (3,)), size=4)
    first, last = encoder.network[0], encoder.network[2]
    assert (first.out_features, last.out_features) == (256, 4)
    torch.testing.assert_close(first.weight.T @ first.weight, 2 * torch.eye(3))
    torch.testing.assert_close(last.weight @ last.weight.T, 2 * torch.eye(4))
    assert not bool(first.bias.any())


def test_construction_depends_on_the_seed_alone_and_leaves_the_global_generator():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = make_encoder(DICT, size=8, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second, other = make_encoder(DICT, size=8, seed=3), make_encoder(DICT, size=8, seed=4)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    assert any(
        not torch.equal(value, other.state_dict()[name])
        for name, value in first.state_dict().items()
    )


def test_seeded_restores_the_generator_after_an_error():
    def draw_and_fail():
        with seeded(0):
            torch.rand(3)
            raise ZeroDivisionError

    state = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError):
        draw_and_fail()
    assert torch.equal(torch.get_rng_state(), state)


def test_image_axes_are_found_and_bytes_divided_by_255():
    last = make_encoder(spaces.Box(0, 255, (40, 36, 3), np.uint8), size=8)
    first = make_encoder(spaces.Box(0, 255, (3, 40, 36), np.uint8), size=8)
    image = torch.randint(0, 256, (2, 40, 36, 3), generator=torch.Generator().manual_seed(0))
    image = image.to(torch.uint8)
    torch.testing.assert_close(last(image), first(image.permute(0, 3, 1, 2)))
    torch.testing.assert_close(last(image), last.network(image.permute(0, 3, 1, 2) / 255.0))


def test_one_hot_starts_where_the_space_does():
    assert OneHot(spaces.Discrete(3, start=-1))(torch.tensor([-1, 1])).tolist() == [
        [1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0],
    ]
    multi = OneHot(spaces.MultiDiscrete([2, 3], start=[0, 5]))
    assert multi(torch.tensor([[1, 5]])).tolist() == [[0.0, 1.0, 1.0, 0.0, 0.0]]
    with pytest.raises(UserError, match=r"must lie in \[-1, 1\].*got 2"):
        OneHot(spaces.Discrete(3, start=-1))(torch.tensor([0, 2]))


def test_codes_outside_of_the_space_are_refused():
    encoder = make_encoder(spaces.Box(0, 9, (3, 3), np.int16), size=4)
    with pytest.raises(UserError, match=r"\[0, 9\].*got \[0, 10\]"):
        encoder(torch.tensor([[0, 0, 0], [0, 10, 0], [0, 0, 0]]))


@pytest.mark.parametrize("length", [1, 31, 32, 33, 256])
def test_every_byte_of_a_line_counts(length):
    encoder = make_encoder(spaces.Box(0, 255, (length,), np.uint8), size=32)
    line = torch.zeros(1, length, dtype=torch.uint8)
    changed = line.repeat(length, 1)
    changed[torch.arange(length), torch.arange(length)] = 65
    features = encoder(changed)
    assert bool((features != encoder(line)).any(-1).all())
    assert len(features.unique(dim=0)) == length


def test_keys_choose_what_is_read():
    encoder = make_encoder(DICT, size=8, keys=["blstats"])
    rollout = _rollout(
        {
            "blstats": torch.ones(T, B, 27, dtype=torch.int64),
            "glyphs": torch.zeros(T, B, 21, 79, dtype=torch.int16),
        }
    )
    assert set(encoder.inputs(rollout).keys()) == {"blstats"}
    assert tuple(encoder.features(rollout).shape) == (T, B, 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"observation_space": DICT, "keys": ["blstat"]}, "Did you mean 'blstats'"),
        ({"observation_space": DICT, "keys": []}, "keys is empty"),
        ({"observation_space": spaces.Discrete(2), "keys": ["a"]}, "leave keys out"),
        ({"observation_space": spaces.Text(4)}, "no encoder for the observation space"),
        (
            {"observation_space": spaces.Dict({"text": spaces.Text(4)})},
            r"under key 'text' \(leave it out with keys",
        ),
        ({"observation_space": spaces.Discrete(2), "size": 0}, "at least one feature"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_encoded_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        make_encoder(**arguments)


def test_recorded_observations_must_fit_the_space():
    vector, nested = make_encoder(spaces.Box(-1, 1, (3,)), size=4), make_encoder(DICT, size=4)
    with pytest.raises(UserError, match=r"\[4, 2, 3\].*got \[4, 2, 5\]"):
        vector.features(_rollout(torch.zeros(T, B, 5)))
    with pytest.raises(UserError, match="got a dict with keys"):
        vector.features(_rollout({"a": torch.zeros(T, B, 3)}))
    with pytest.raises(UserError, match="got one tensor"):
        nested.features(_rollout(torch.zeros(T, B, 3)))
    with pytest.raises(UnknownNameError, match=r"observation key 'blstats'.*glyph"):
        nested.features(_rollout({"glyph": torch.zeros(T, B, 3)}))


def test_numbers_may_be_recorded_as_vectors_of_one():
    encoder = make_encoder(spaces.Discrete(5), size=4)
    numbers = torch.arange(T * B).reshape(T, B) % 5
    assert torch.equal(
        encoder.features(_rollout(numbers)), encoder.features(_rollout(numbers.unsqueeze(-1)))
    )


def test_successor_is_the_recorded_one_at_every_real_step():
    encoder = make_encoder(spaces.Box(-1, 1, (3,)), size=4)
    after = torch.randn(T, B, 3, generator=torch.Generator().manual_seed(0))
    done = torch.zeros(T, B, dtype=torch.bool)
    done[1, 0] = True
    mask = torch.ones(T, B, dtype=torch.bool)
    mask[3, 1] = False
    rollout = _rollout(torch.zeros(T, B, 3), after, truncated=done, mask=mask)
    features, defined = encoder.next_features(rollout)
    assert torch.equal(features, encoder(after))
    assert torch.equal(defined, mask)


def test_hidden_successor_is_the_next_step_of_the_same_episode():
    encoder = HiddenEncoder(hidden_size=3, size=4)
    assert encoder.requires == {"hidden"}
    assert not encoder.replayable
    hidden = torch.randn(T, B, 3, generator=torch.Generator().manual_seed(0))
    terminated, truncated = torch.zeros(2, T, B, dtype=torch.bool)
    terminated[0, 0] = True
    truncated[1, 0] = True
    mask = torch.ones(T, B, dtype=torch.bool)
    mask[3, 1] = False
    rollout = _rollout(
        torch.zeros(T, B, 3), hidden=hidden, terminated=terminated, truncated=truncated, mask=mask
    )
    features, defined = encoder.next_features(rollout)
    assert defined.T.tolist() == [[False, False, True, False], [True, True, False, False]]
    assert torch.equal(features[defined], encoder(torch.roll(hidden, -1, 0))[defined])
    assert torch.equal(encoder.features(rollout), encoder(hidden))
    single = rollout.flatten()
    assert not bool(encoder.next_features(single)[1].any())


def test_hidden_is_named_when_missing():
    with pytest.raises(UnknownNameError, match="'hidden'"):
        HiddenEncoder(hidden_size=3).features(_rollout(torch.zeros(T, B, 3)))


class _Scaled(Encoder):
    def __init__(self) -> None:
        super().__init__(input_space=spaces.Box(-1, 1, (3,)), output_size=3)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, inputs):
        return inputs * self.scale


def test_parameters_that_nobody_can_draw_are_named():
    with pytest.raises(UserError, match=r"_Scaled holds parameters.*override redraw"):
        _Scaled().redraw()


def test_frozen_parameters_stay_when_weights_are_drawn():
    encoder = make_encoder(spaces.Box(-1, 1, (3,)), size=4)
    encoder.network[0].requires_grad_(False)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with seeded(9):
        encoder.redraw()
    after = encoder.state_dict()
    assert torch.equal(before["network.0.weight"], after["network.0.weight"])
    assert not torch.equal(before["network.2.weight"], after["network.2.weight"])
