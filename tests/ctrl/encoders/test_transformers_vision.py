import json

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.errors import UserError
from reward_models.progress import HopModel, HopTraining, load_hop_model, save_hop_model

transformers = pytest.importorskip("transformers")

from ctrl.encoders.transformers_vision import TransformersVisionEncoder  # noqa: E402

VIEW = spaces.Box(0, 255, (16, 20, 3), np.uint8)
VIEWS = spaces.Box(0, 255, (2, 16, 20, 3), np.uint8)
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 16,
    "patch_size": 8,
}
CONFIGS = {
    "vit": {"model_type": "vit", **SIZES},
    "siglip": {"model_type": "siglip_vision_model", **SIZES},
}


def _pictures(*lead, seed=0):
    generator = np.random.default_rng(seed)
    return torch.as_tensor(generator.integers(0, 256, (*lead, *VIEW.shape), dtype=np.uint8))


def _encoder(kind="vit", **options):
    return TransformersVisionEncoder(space=VIEW, model=CONFIGS[kind], size=6, **options)


@pytest.fixture
def folder(tmp_path):
    config = transformers.ViTConfig(**SIZES)
    model = transformers.ViTModel(config)
    model.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("pool", ["mean", "first", "pooler"])
def test_pictures_become_features(kind, pool):
    encoder = _encoder(kind, pool=pool)
    features = encoder(_pictures(3, 2))
    assert tuple(features.shape) == (3, 2, 6)
    assert float(features.detach().std()) > 0
    torch.testing.assert_close(features[1], encoder(_pictures(3, 2)[1]))


def test_the_same_seed_builds_the_same_and_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    first, second, other = (_encoder(seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first(_pictures(2)), second(_pictures(2)))
    assert not torch.equal(first(_pictures(2)), other(_pictures(2)))


def test_a_frozen_backbone_does_not_learn_and_a_trained_one_does():
    for trains in (False, True):
        encoder = _encoder(train_backbone=trains)
        encoder(_pictures(2)).sum().backward()
        assert encoder.linear.weight.grad is not None
        found = [parameter.grad is not None for parameter in encoder.backbone.parameters()]
        assert any(found) == trains


def test_a_saved_model_is_read_with_its_statistics(folder):
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]})
    )
    encoder = TransformersVisionEncoder(space=VIEW, model=folder, size=6)
    torch.testing.assert_close(encoder.mean.flatten(), torch.tensor([0.1, 0.2, 0.3]))
    reference = transformers.AutoModel.from_pretrained(folder).eval()
    pixels = _pictures(2).permute(0, 3, 1, 2) / 255.0
    pixels = torch.nn.functional.interpolate(pixels, size=(16, 16), mode="bilinear", antialias=True)
    pixels = (pixels - encoder.mean) / encoder.deviation
    with torch.no_grad():
        hidden = reference(pixel_values=pixels).last_hidden_state.mean(1)
        torch.testing.assert_close(encoder.eval()(_pictures(2)), encoder.linear(hidden))


def test_the_vision_half_of_a_language_model_is_taken(tmp_path):
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"intermediate_size": 16, "vocab_size": 32, "bos_token_id": None, "eos_token_id": None}
    config = transformers.SiglipConfig(text_config=text, vision_config=SIZES)
    transformers.SiglipModel(config).save_pretrained(tmp_path / "both")
    encoder = TransformersVisionEncoder(space=VIEW, model=tmp_path / "both", size=6)
    assert tuple(encoder(_pictures(2)).shape) == (2, 6)


@pytest.mark.parametrize("source", ["folder", "config"])
def test_a_hop_model_with_it_learns_is_saved_and_read(folder, tmp_path, source):
    model = folder if source == "folder" else CONFIGS["siglip"]
    encoder = TransformersVisionEncoder(space=VIEW, model=model, size=8)
    hop = HopModel(observation_space=VIEWS, views=2, encoder=encoder)
    frames = _pictures(5, 2)
    first = HopTraining(epochs=1).fit(hop, [frames])
    last = HopTraining(epochs=30, learning_rate=3e-3).fit(hop, [frames])
    assert last["loss"] < first["loss"]
    stored = save_hop_model(hop, tmp_path / "hop")
    size = (stored / "hop_model.safetensors").stat().st_size
    loaded = load_hop_model(stored)
    four = [_pictures(3, 2, seed=seed) for seed in range(4)]
    torch.testing.assert_close(loaded.eval()(*four), hop.eval()(*four))
    loaded.set_trainable(True)
    assert not any(parameter.requires_grad for parameter in loaded.encoder.backbone.parameters())
    weights = sum(value.numel() * 4 for value in encoder.backbone.state_dict().values())
    rest = sum(value.numel() * 4 for value in hop.head.state_dict().values())
    assert (size > weights + rest) == (source == "config")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": spaces.Box(0, 1, (16, 16, 3), np.float32)}, "reads pictures"),
        ({"pool": "max"}, "pool must be one of"),
        ({"model": "nowhere"}, "no transformers model in nowhere"),
        ({"model": {"model_type": "vti"}}, "cannot make a model of type 'vti'"),
        ({"model": {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1,
                    "num_attention_heads": 2, "intermediate_size": 16}}, "no vision model"),
    ],
)  # fmt: skip
def test_what_cannot_see_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        TransformersVisionEncoder(**{"space": VIEW, "model": CONFIGS["vit"], **options})
