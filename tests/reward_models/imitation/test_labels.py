from __future__ import annotations

import pytest
import torch

from reward_models.errors import UserError
from reward_models.imitation.labels import LabelSmoothing

LABELS = torch.tensor([0.0, 1.0]).repeat(5000)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_none_and_soft_labels():
    assert torch.equal(LabelSmoothing("none")(LABELS, _generator()), LABELS)
    soft = LabelSmoothing("soft-labels_0.2")(LABELS, _generator())
    torch.testing.assert_close(soft[:2], torch.tensor([0.1, 0.9]))


def test_random_labels_fill_their_interval_beyond_one():
    drawn = LabelSmoothing("random-uniform_0.7_1.2")(LABELS, _generator())
    assert 0.7 <= float(drawn.min()) < 0.701
    assert 1.199 < float(drawn.max()) <= 1.2
    # The mean of 10,000 numbers of a uniform distribution, five deviations wide.
    assert abs(float(drawn.mean()) - 0.95) < 5 * 0.5 / 12**0.5 / 100


def test_disturbed_labels_flip_with_their_probability():
    flipped = (LabelSmoothing("disturb-label_0.1")(LABELS, _generator()) != LABELS).float()
    assert abs(float(flipped.mean()) - 0.1) < 5 * 0.3 / 100
    assert torch.equal(LabelSmoothing("disturb-label_1")(LABELS, _generator()), 1 - LABELS)


@pytest.mark.parametrize(
    "text",
    ["", "soft", "none_1", "soft-labels", "soft-labels_x", "soft-labels_nan", "soft-labels_1.5",
     "random-uniform_1", "random-uniform_1.2_0.7", "disturb-label_-0.1", "disturb-label_0.1_0.2"],
)  # fmt: skip
def test_other_texts_are_refused(text):
    with pytest.raises(UserError):
        LabelSmoothing(text)
