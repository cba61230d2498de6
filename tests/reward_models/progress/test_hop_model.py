import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import save_file

from reward_models.encoders import Encoder, seeded
from reward_models.errors import UnknownNameError, UserError
from reward_models.progress import (
    CallableHop,
    HopModel,
    HopTraining,
    load_hop_model,
    save_hop_model,
)

SPACES = {
    "vector": (spaces.Box(-2, 2, (3,), np.float32), None),
    "views": (spaces.Box(-np.inf, np.inf, (3, 5), np.float32), 3),
    "image": (spaces.Box(0, 255, (12, 12, 3), np.uint8), None),
    "images": (spaces.Box(0, 255, (2, 40, 40, 3), np.uint8), 2),
}


def _observations(space, count, seed=0):
    generator = np.random.default_rng(seed)
    if np.issubdtype(space.dtype, np.integer):
        return torch.as_tensor(generator.integers(0, 256, (count, *space.shape), dtype=np.uint8))
    return torch.as_tensor(generator.normal(size=(count, *space.shape)).astype(np.float32))


def _model(kind, **options):
    space, views = SPACES[kind]
    return HopModel(observation_space=space, views=views, latent_size=8, **options)


@pytest.mark.parametrize("kind", SPACES)
def test_hops_of_every_kind_of_observation(kind):
    model = _model(kind)
    four = [_observations(SPACES[kind][0], 6, seed) for seed in range(4)]
    hops = model(*four).detach()
    assert tuple(hops.shape) == (6,)
    assert bool((hops.abs() <= 1.0).all())
    assert float(hops.std()) > 0
    for changed in range(4):
        other = list(four)
        other[changed] = other[changed].roll(1, 0)
        assert not torch.equal(model(*other), hops)


@pytest.mark.parametrize("kind", SPACES)
def test_a_saved_model_says_the_same(kind, tmp_path):
    model = _model(kind, seed=3)
    demonstration = _observations(SPACES[kind][0], 5)
    HopTraining(epochs=1).fit(model, [demonstration])
    loaded = load_hop_model(save_hop_model(model, tmp_path / "hop"))
    four = [_observations(SPACES[kind][0], 4, seed) for seed in range(4)]
    assert torch.equal(loaded(*four), model(*four))
    assert torch.equal(loaded.reference_goal, demonstration[-1])
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert sorted(path.suffix for path in (tmp_path / "hop").iterdir()) == [".json", ".safetensors"]


def test_training_on_one_demonstration_learns_its_hops():
    model = _model("vector")
    line = torch.linspace(-1, 1, 12)[:, None].expand(12, 3)
    first = HopTraining(epochs=1).fit(model, [line])
    last = HopTraining(epochs=80, learning_rate=3e-3).fit(model, [line])
    assert last["loss"] < 0.01 < 0.1 * first["loss"]
    assert last["pairs"] == 132 + 7  # all ordered pairs of 12, and 5 % of all without progress
    assert last["frames"] == 12
    start, goal = line[[0, 0]], line[[11, 11]]
    hops = model(start, goal, line[[2, 8]], line[[8, 2]]).tolist()
    assert hops == pytest.approx([6 / 9, -6 / 8], abs=0.12)


def test_pictures_are_learned_from_too():
    model = _model("images")
    frames = torch.zeros(8, 2, 40, 40, 3, dtype=torch.uint8)
    for moment in range(8):
        frames[moment, :, :, 4 * moment : 4 * moment + 8] = 255
    metrics = HopTraining(epochs=40, learning_rate=2e-3).fit(model, [frames])
    assert metrics["loss"] < 0.05


def test_numbers_are_read_in_units_of_their_deviation():
    model = _model("vector")
    frames = torch.tensor([[0.0, 1.0, 5.0], [1000.0, 1.1, 5.0], [2000.0, 1.2, 5.0]])
    HopTraining(epochs=1).fit(model, [frames])
    scaled = model.scaled(frames)
    torch.testing.assert_close(scaled[:, :2].std(0, unbiased=False), torch.ones(2))
    assert not bool(scaled[:, 2].any())
    other = HopTraining(epochs=1).fit(model, [frames * 2.0], standardise=False)
    torch.testing.assert_close(model.scaled(frames), scaled)
    assert other["frames"] == 3


def test_references_come_from_other_demonstrations_of_the_task():
    """With equal tasks a model may see other references, with own tasks it never does."""
    first, second = (torch.linspace(a, a + 1, 6)[:, None].expand(6, 3) for a in (0.0, 9.0))
    losses = {}
    for name, tasks in (("one", [0, 0]), ("two", [0, 1])):
        model = _model("vector", seed=1)
        losses[name] = HopTraining(epochs=3, seed=4).fit(model, [first, second], tasks=tasks)
    alone = _model("vector", seed=1)
    unswapped = HopTraining(epochs=3, seed=4, swap_probability=0.0)
    never = unswapped.fit(alone, [first, second])
    assert losses["one"]["loss"] != losses["two"]["loss"]
    assert never["loss"] != losses["one"]["loss"]


def test_the_same_seed_trains_the_same_and_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    frames = _observations(SPACES["vector"][0], 9)
    models = [_model("vector", seed=2), _model("vector", seed=2)]
    for model in models:
        HopTraining(epochs=3, jitter=0.1, pairs=20).fit(model, [frames])
    first, second = (model.state_dict() for model in models)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: HopModel(observation_space=spaces.Discrete(3)), "reads a Box"),
        (lambda: HopModel(observation_space=SPACES["views"][0], views=2), "views=2"),
        (lambda: HopModel(observation_space=SPACES["vector"][0], views=3), "views=3"),
        (lambda: _model("vector", hidden=0), "hidden"),
        (lambda: _model("vector")(*[torch.zeros(2, 4)] * 4), "was built for"),
        (lambda: HopTraining().fit(_model("vector"), []), "at least one"),
        (lambda: HopTraining().fit(_model("vector"), [torch.zeros(5, 2)]), "Demonstration 0"),
        (lambda: HopTraining(jitter=-1.0), "jitter"),
        (
            lambda: HopTraining(jitter=1.0).fit(
                _model("image"), [_observations(SPACES["image"][0], 4)]
            ),
            "jitter is for vectors",
        ),
        (
            lambda: HopTraining().fit(_model("vector"), [torch.zeros(5, 3)], tasks=[0, 1]),
            "for each of 1",
        ),
    ],
)
def test_what_cannot_work_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        change()


class _Own(Encoder):
    def __init__(self):
        super().__init__(input_space=SPACES["vector"][0], output_size=3)
        with seeded(0):
            self.layer = torch.nn.Linear(3, 3)

    def forward(self, inputs):
        return self.layer(inputs)


def test_an_encoder_of_yours_is_used_and_its_size_checked(tmp_path):
    model = HopModel(observation_space=SPACES["vector"][0], encoder=_Own())
    assert model.width == 3
    with pytest.raises(UserError, match="cannot be saved"):
        save_hop_model(model, tmp_path)
    with pytest.raises(UserError, match="The encoder reads"):
        HopModel(observation_space=SPACES["views"][0], views=3, encoder=_Own())


def test_a_function_is_a_hop_model():
    four = [_observations(SPACES["vector"][0], 3, seed) for seed in range(4)]
    hop = CallableHop(lambda start, goal, before, after: torch.tanh((after - before).sum(-1)))
    torch.testing.assert_close(hop(*four), torch.tanh((four[3] - four[2]).sum(-1)))


class TestFiles:
    def test_a_folder_without_a_model(self, tmp_path):
        with pytest.raises(UserError, match="no hop model in"):
            load_hop_model(tmp_path)

    def test_a_pickle_in_place_of_weights(self, tmp_path):
        save_hop_model(_model("vector"), tmp_path)
        torch.save({"weights": torch.zeros(3)}, tmp_path / "hop_model.safetensors")
        with pytest.raises(UserError, match="no hop model in"):
            load_hop_model(tmp_path)

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"format": "other"}, UserError, "does not describe"),
            ({"encoder": {"kind": "os:system"}}, UnknownNameError, "encoder of a hop model"),
        ],
    )
    def test_another_description(self, tmp_path, change, error, message):
        save_hop_model(_model("vector"), tmp_path)
        path = tmp_path / "hop_model.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(error, match=message):
            load_hop_model(tmp_path)

    def test_weights_of_other_sizes(self, tmp_path):
        save_hop_model(_model("vector"), tmp_path)
        save_file({"center": torch.zeros(3)}, tmp_path / "hop_model.safetensors")
        with pytest.raises(UserError, match="other sizes"):
            load_hop_model(tmp_path)
