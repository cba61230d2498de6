"""A features extractor of Stable-Baselines3 for the observations of NetHack.

It sees the map around the hero, the status line, the message and what the hero carries, each in
numbers of a size that a network can learn from. The map is a crop centred on the hero, as in the
agents of the NetHack Learning Environment (Küttler et al. 2020): what is next to the hero is then
always at the same place in the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, final

import torch
from gymnasium import spaces
from jaxtyping import Float, Int
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from reward_models.errors import UserError

ROWS, COLUMNS = 21, 79
GLYPHS = 5977
"""Glyphs of NetHack: 0 to 5975, and 5976 where there is none."""
_NO_GLYPH = GLYPHS - 1
_MESSAGE_BYTES = 96
_STATUS_SIZE = 27

# Scale of the entries of `blstats`, in NetHack's order. Attributes and levels are divided by a
# typical large value; what grows without a bound (score, gold, points, turns) goes through
# log(1 + x) first. Condition is a bit mask and has inputs of its own.
_LINEAR = {
    0: COLUMNS, 1: ROWS, 2: 25, 3: 125, 4: 25, 5: 25, 6: 25, 7: 25, 8: 25, 10: 100, 11: 100,
    12: 50, 14: 100, 15: 100, 16: 10, 17: 30, 18: 30, 21: 6, 22: 5, 23: 10, 24: 50, 26: 1,
}  # fmt: skip
_LOGARITHMIC = {9: 10.0, 13: 10.0, 19: 10.0, 20: 10.0}
_HIT_POINTS, _MAX_HIT_POINTS, _ENERGY, _MAX_ENERGY, _CONDITION = 10, 11, 14, 15, 25
_CONDITIONS = 13
STATUS_FEATURES = _STATUS_SIZE - 1 + 2 + _CONDITIONS


@final
class NetHackFeatures(BaseFeaturesExtractor):
    """Features of a Dict observation with ``glyphs`` and ``blstats``, and more where it is there.

    =================  ==========================================================================
    key                how it is read
    =================  ==========================================================================
    ``glyphs``         ``[21, 79]``: embedding of the ``crop x crop`` squares around the hero, two
                       3x3 convolutions (16 and 32 channels, the second with stride 2), linear
    ``blstats``        ``[27]``: `status_features`, two linear layers of 64
    ``message``        ``[256]``: embedding of the first 96 characters, two layers over patches of
                       8 characters and of 4 such patches
    ``inv_glyphs``     ``[55]``: embedding of the items, summed; the same embedding as the map's
    =================  ==========================================================================

    Their outputs side by side pass a linear layer of ``features_dim`` and a ReLU. Weights are
    drawn from torch's global generator, which SB3 seeds.

    Args:
        observation_space: a Dict; every key other than these four is refused.
        features_dim: number of features.
        crop: side of the square around the hero, odd; beyond the map's edge there is no glyph.
        embedding: size of a glyph's and a character's embedding.
        ignored_keys: further keys that the policy does not see, because a reward reads them.

    Raises:
        UserError: a key that is missing or not known here, or an even crop.
    """

    KEYS: ClassVar[tuple[str, ...]] = ("glyphs", "blstats", "message", "inv_glyphs")

    def __init__(
        self,
        observation_space: spaces.Space,
        features_dim: int = 256,
        crop: int = 9,
        embedding: int = 16,
        ignored_keys: Sequence[str] = (),
    ) -> None:
        super().__init__(observation_space, features_dim)
        keys = (
            set(observation_space.spaces) if isinstance(observation_space, spaces.Dict) else set()
        )
        left = {key: observation_space[key] for key in keys - set(ignored_keys)}  # type: ignore[index]
        if not self.reads(spaces.Dict(left)):
            raise UserError(
                "NetHackFeatures reads the observation keys glyphs and blstats, and message and "
                f"inv_glyphs where they are there; got {sorted(keys)}. Set the environment's "
                "observation_keys to these, or name the others in ignored_keys."
            )
        if crop < 1 or crop % 2 == 0:
            raise UserError(f"crop must be odd, so that the hero is in the middle; got {crop}.")
        self.crop = crop
        self.reads_message, self.reads_items = "message" in keys, "inv_glyphs" in keys
        self.glyphs = nn.Embedding(GLYPHS, embedding)
        half = (crop + 1) // 2
        self.map = nn.Sequential(
            nn.Conv2d(embedding, 16, 3, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * half * half, 128), nn.ReLU(),
        )  # fmt: skip
        self.status = nn.Sequential(
            nn.Linear(STATUS_FEATURES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()
        )
        width = 128 + 64
        if self.reads_message:
            self.characters = nn.Embedding(256, embedding)
            # Patches that do not overlap are rows of a matrix: much faster than Conv1d.
            self.message = nn.Sequential(
                nn.Flatten(), nn.Unflatten(1, (-1, 8 * embedding)),
                nn.Linear(8 * embedding, 32), nn.ReLU(),
                nn.Flatten(), nn.Unflatten(1, (-1, 4 * 32)),
                nn.Linear(4 * 32, 32), nn.ReLU(), nn.Flatten(),
            )  # fmt: skip
            width += 32 * (_MESSAGE_BYTES // 32)
        if self.reads_items:
            width += embedding
        self.together = nn.Sequential(nn.Linear(width, features_dim), nn.ReLU())

    @classmethod
    def reads(cls, space: spaces.Space) -> bool:
        """Return whether these are observations of NetHack with no key that is not read."""
        return (
            isinstance(space, spaces.Dict)
            and {"glyphs", "blstats"} <= set(space.spaces) <= set(cls.KEYS)
            and space["glyphs"].shape == (ROWS, COLUMNS)
            and space["blstats"].shape == (_STATUS_SIZE,)
        )

    def forward(self, observations: dict[str, Tensor]) -> Float[Tensor, "B D"]:
        """Return the features of a batch of observations, ``[B, ...]`` each."""
        status = observations["blstats"].to(torch.float32)
        around = crop_around(
            observations["glyphs"].to(torch.int64), status[:, 0].long(), status[:, 1].long(),
            self.crop,
        )  # fmt: skip
        parts = [
            self.map(self.glyphs(around).movedim(-1, 1)),
            self.status(status_features(status)),
        ]
        if self.reads_message:
            line = observations["message"][:, :_MESSAGE_BYTES].to(torch.int64)
            parts.append(self.message(self.characters(line)))
        if self.reads_items:
            items = observations["inv_glyphs"].to(torch.int64)
            carried = (items != _NO_GLYPH).unsqueeze(-1)
            parts.append((self.glyphs(items) * carried).sum(dim=1))
        return self.together(torch.cat(parts, dim=1))


def crop_around(
    glyphs: Int[Tensor, "B R C"], x: Int[Tensor, " B"], y: Int[Tensor, " B"], size: int
) -> Int[Tensor, "B S S"]:
    """Return the ``size x size`` glyphs around column ``x`` and row ``y`` of each map.

    Beyond the edge is glyph 5976, "none".
    """
    half = size // 2
    padded = nn.functional.pad(glyphs, (half, half, half, half), value=_NO_GLYPH)
    offsets = torch.arange(size, device=glyphs.device)
    rows = (y.unsqueeze(1) + offsets).unsqueeze(2)
    columns = (x.unsqueeze(1) + offsets).unsqueeze(1)
    batch = torch.arange(len(glyphs), device=glyphs.device).reshape(-1, 1, 1)
    return padded[batch, rows, columns]


def status_features(blstats: Float[Tensor, "B 27"]) -> Float[Tensor, "B 41"]:
    """Return the status line as numbers of about unit size.

    Fixed scales (no running statistics), the fractions of hit points and of energy left, and one
    number for each of the 13 conditions.
    """
    columns = [blstats[:, entry] / scale for entry, scale in _LINEAR.items()]
    columns += [
        torch.log1p(blstats[:, entry].clamp(min=0)) / scale for entry, scale in _LOGARITHMIC.items()
    ]
    for now, most in ((_HIT_POINTS, _MAX_HIT_POINTS), (_ENERGY, _MAX_ENERGY)):
        columns.append(blstats[:, now] / blstats[:, most].clamp(min=1))
    condition = blstats[:, _CONDITION].to(torch.int64)
    columns += [((condition >> bit) & 1).to(blstats.dtype) for bit in range(_CONDITIONS)]
    return torch.stack(columns, dim=1)
