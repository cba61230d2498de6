from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from reward_models.errors import UserError
from reward_models.novelty.autoencoder import Autoencoder, ImageAutoencoder, VectorAutoencoder
from reward_models.novelty.fitting import check_fit, fit


@pytest.fixture
def pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (5, 64, 64, 3), generator=generator, dtype=torch.uint8)


@pytest.fixture
def plane() -> torch.Tensor:
    """Vectors [200, 6] on a plane: two numbers decide the others."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(200, 2, generator=generator) @ torch.randn(2, 6, generator=generator)


def test_the_published_layers():
    model = ImageAutoencoder()
    convolutions = [m for m in model.encoder if isinstance(m, nn.Conv2d)]
    back = [m for m in model.decoder if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in convolutions] == [32, 64, 32, 16]
    assert [m.out_channels for m in back] == [32, 64, 32, 3]
    for layer in (*convolutions, *back):
        assert (layer.kernel_size, layer.stride, layer.padding) == ((4, 4), (2, 2), (1, 1))
    linear = [
        m for part in (model.encoder, model.decoder) for m in part if isinstance(m, nn.Linear)
    ]
    assert [(m.in_features, m.out_features) for m in linear] == [(256, 10), (10, 256)]
    activations = [type(m) for part in (model.encoder, model.decoder) for m in part
                   if isinstance(m, nn.SELU | nn.ReLU)]  # fmt: skip
    assert activations == 9 * [nn.SELU] + [nn.ReLU]


def test_codes_and_errors_of_pictures(pictures):
    model = ImageAutoencoder(code_size=7)
    codes, errors = model.codes(pictures), model.errors(pictures)
    assert codes.shape == (5, 7)
    rebuilt = model(model.prepared(pictures)).permute(0, 2, 3, 1)
    expected = (rebuilt - pictures / 255.0).square().mean((1, 2, 3))
    torch.testing.assert_close(errors, expected.detach())
    assert not codes.requires_grad
    assert model.codes(pictures[:0]).shape == (0, 7)
    assert model.errors(pictures[:0]).shape == (0,)


def test_bytes_are_numbers_from_zero_to_one(pictures):
    model = ImageAutoencoder()
    torch.testing.assert_close(model.codes(pictures), model.codes(pictures.double() / 255.0))


def test_a_picture_does_not_depend_on_those_beside_it(pictures):
    model = ImageAutoencoder()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    many = pictures.repeat(8, 1, 1, 1)[order]
    for function, copies in ((model.codes, (8, 1)), (model.errors, (8,))):
        assert torch.equal(function(many), function(pictures).repeat(copies)[order])
        assert torch.equal(function(pictures[2:3]), function(pictures)[2:3])


def test_seeds_decide_the_weights_and_nothing_else_is_drawn():
    before = torch.get_rng_state()
    first, same, other = (ImageAutoencoder(seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    weights = [torch.cat([p.flatten() for p in m.parameters()]) for m in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (torch.zeros(2, 64, 64, 1), r"pictures \[N, 64, 64, 3\].*got shape \[2, 64, 64, 1\]"),
        (torch.zeros(2, 3, 64, 64), r"got shape \[2, 3, 64, 64\]"),
        (torch.full((2, 64, 64, 3), 1.1), r"numbers in \[0, 1\], got numbers from"),
        (torch.full((2, 64, 64, 3), -0.1), r"numbers in \[0, 1\]"),
        (torch.full((2, 64, 64, 3), torch.nan), r"numbers in \[0, 1\]"),
        (torch.zeros(2, 64, 64, 3, dtype=torch.int64), r"uint8 or numbers in \[0, 1\], got torch"),
    ],
)
def test_other_pictures_are_refused(broken, message):
    with pytest.raises(UserError, match=message):
        ImageAutoencoder().codes(broken)


def test_other_vectors_and_no_numbers_are_refused():
    with pytest.raises(UserError, match=r"vectors \[N, 3\], got shape \[2, 4\]"):
        VectorAutoencoder(size=3).errors(torch.zeros(2, 4))
    with pytest.raises(UserError, match="at least one number"):
        VectorAutoencoder(size=0)
    with pytest.raises(UserError, match="code_size must be at least 1"):
        ImageAutoencoder(code_size=0)


def test_a_code_of_two_numbers_holds_a_plane(plane):
    model = VectorAutoencoder(size=6, code_size=2, seed=0)
    before = float(model.errors(plane).mean())
    measured = fit(model, plane, generator=torch.Generator().manual_seed(0), batch_size=16)
    beside = plane + torch.randn(200, 6, generator=torch.Generator().manual_seed(5))
    assert float(model.errors(plane).mean()) < 0.1 * before
    # What does not lie on the plane is rebuilt badly.
    assert float(model.errors(beside).mean()) > 5 * float(model.errors(plane).mean())
    assert measured["validation_error"] < 0.1 * before


def test_the_best_weights_are_kept_and_training_stops(plane):
    # Of noise, nothing can be learned about what is kept apart: the error rises soon.
    noise = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    model = VectorAutoencoder(size=6, code_size=2)
    measured = fit(
        model, noise, generator=torch.Generator().manual_seed(0), learning_rate=0.02, epochs=400
    )
    assert measured["epochs"] < 400
    apart = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:8]
    error = float(model.errors(noise[apart]).mean())
    assert error == pytest.approx(measured["validation_error"], rel=1e-5)


class _Scripted(Autoencoder):
    """An autoencoder whose validation errors are given."""

    def __init__(self, errors):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.script, self.code_size = list(errors), 1

    def prepared(self, inputs):
        return inputs

    def losses(self, prepared):
        return self.weight.expand(len(prepared))

    def errors(self, inputs):
        return torch.full((len(inputs),), self.script.pop(0))


@pytest.mark.parametrize(
    ("errors", "epochs"),
    [
        ([5, 6, 7, 8, 9, 0], 5),  # four rises in a row
        ([5, 6, 5.5, 6, 5.5, 6, 5.5, 6, 0], 8),  # with falls between them that are no new best
        ([5, 6, 7, 8, 4, 6, 7, 8, 9, 0], 9),  # a new best begins anew
        ([5, 5, 5, 5, 5, 5, 5, 5, 5, 5], 10),  # the same is no rise
    ],
)
def test_four_rises_without_a_new_best_stop_it(errors, epochs):
    model = _Scripted([float(error) for error in errors])
    measured = fit(model, torch.zeros(5, 1), generator=torch.Generator(), epochs=10)
    assert measured["epochs"] == epochs
    assert measured["validation_error"] == min(errors[:epochs])


def test_a_fifth_is_kept_apart_and_never_trained_on():
    class Spy(_Scripted):
        def __init__(self):
            super().__init__([3.0, 3.0])
            self.trained, self.apart = set(), set()

        def losses(self, prepared):
            self.trained.update(prepared.flatten().tolist())
            return super().losses(prepared)

        def errors(self, inputs):
            self.apart.update(inputs.flatten().tolist())
            return super().errors(inputs)

    for count, expected in ((50, 10), (2, 1), (3, 1)):
        spy = Spy()
        inputs = torch.arange(float(count)).unsqueeze(1)
        fit(spy, inputs, generator=torch.Generator().manual_seed(0), epochs=2, batch_size=8)
        assert len(spy.apart) == expected
        assert spy.trained | spy.apart == set(range(count))
        assert not spy.trained & spy.apart


def test_same_generator_same_weights(plane):
    models = [VectorAutoencoder(size=6, code_size=2) for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        fit(model, plane, generator=torch.Generator().manual_seed(seed), epochs=2)
    errors = [model.errors(plane) for model in models]
    assert torch.equal(errors[0], errors[1])
    assert not torch.equal(errors[0], errors[2])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"learning_rate": np.nan}, "learning_rate must be positive"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"validation": 1.0}, r"validation must lie in \(0, 1\)"),
    ],
)
def test_settings_out_of_range_are_refused(option, message):
    valid = {
        "learning_rate": 1e-3, "batch_size": 8, "epochs": 1, "validation": 0.2, "patience": 4,
    }  # fmt: skip
    check_fit(**valid)
    with pytest.raises(UserError, match=message):
        check_fit(**{**valid, **option})


def test_nothing_to_stop_by_is_refused():
    with pytest.raises(UserError, match="at least 2 inputs, one of them to stop by; got 1"):
        fit(VectorAutoencoder(size=2), torch.zeros(1, 2), generator=torch.Generator())
