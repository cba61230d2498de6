import numpy as np
import pytest
import torch
from gymnasium import spaces

from ctrl.build import policy_settings
from ctrl.sb3.chosen_keys import ChosenKeys
from reward_models.errors import UnknownNameError, UserError

SEEN = spaces.Dict(
    {
        "state": spaces.Box(-1, 1, (3,), np.float32),
        "arm": spaces.Box(-1, 1, (2, 2), np.float32),
        "views": spaces.Box(0, 255, (3, 8, 8, 3), np.uint8),
        "turn": spaces.Discrete(4),
    }
)


def test_only_the_chosen_entries_pass_in_their_order():
    features = ChosenKeys(SEEN, keys=["arm", "state"])
    seen = {"state": torch.rand(5, 3), "arm": torch.rand(5, 2, 2), "views": torch.zeros(5, 3, 8, 8)}
    expected = torch.cat([seen["arm"].flatten(1), seen["state"]], 1)
    assert features.features_dim == 7
    torch.testing.assert_close(features(seen), expected)


@pytest.mark.parametrize(
    ("space", "keys", "error", "said"),
    [
        (SEEN["state"], ["state"], UserError, "needs Dict observations"),
        (SEEN, [], UserError, "needs one of"),
        (SEEN, ["stat"], UnknownNameError, "Did you mean 'state'"),
        (SEEN, ["turn"], UserError, "reads Boxes"),
    ],
)
def test_what_cannot_be_chosen(space, keys, error, said):
    with pytest.raises(error, match=said):
        ChosenKeys(space, keys=keys)


def test_a_configuration_names_it():
    chosen = policy_settings(
        {"features_extractor": "chosen_keys", "features_extractor_kwargs": {"keys": ["state"]}}
    )
    assert chosen["features_extractor_class"] is ChosenKeys
