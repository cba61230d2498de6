"""Pseudo-counts from a density model: visit counts for states that never repeat exactly."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, final

import torch
from gymnasium import spaces
from jaxtyping import Float, Int
from torch import Tensor, nn

from reward_models.base import RewardModel
from reward_models.curiosity.counting.flat import FlatEncoder, chosen_space
from reward_models.curiosity.counting.symbols import SymbolReader, VectorReader, symbol_readers
from reward_models.curiosity.networks import flat_steps, in_chunks, require_finite
from reward_models.encoders import Encoder
from reward_models.errors import UserError
from reward_models.rollout import Rollout

_PRIOR = 0.5
_SMALLEST_COUNT = 0.01
_ROWS_AT_ONCE = 1024
_MOST_LEVELS = 1024


def log_pseudo_count(
    log_density: Float[Tensor, "*batch"], log_gain: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """Return ``log N^`` of Bellemare et al. (2016), eq. 2.

    ``N^ = rho (1 - rho') / (rho' - rho)``, in logarithms, since the density of an image is far too
    small for a float: ``N^ = (1 - rho') / (rho' / rho - 1)``.

    Args:
        log_density: ``log rho``, the density before the state is learned once more.
        log_gain: ``log rho' - log rho`` with ``rho'`` the density after that; where it is not
            positive the model learned nothing, and ``N^`` is infinite.
    """
    positive = log_gain > 0
    gain = torch.where(positive, log_gain, 1.0)
    after = (log_density + log_gain).clamp_max(0.0)
    # log(exp(gain) - 1), also for large gains
    count = torch.log(-torch.expm1(after)) - gain - torch.log(-torch.expm1(-gain))
    return torch.where(positive, count, torch.inf)


def density_bonus(log_count: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return ``(N^ + 0.01)^(-1/2)`` of ``log N^``; 0 for an infinite count, at most 10."""
    return (log_count.exp() + _SMALLEST_COUNT).rsqrt()


class CountingDensity(nn.Module):
    """Krichevsky-Trofimov estimators, one for each place and context, multiplied over places.

    ``rho(x) = prod_l (n_l(x_l | c_l) + 1/2) / (n_l(c_l) + K_l / 2)`` with ``n`` how often the
    symbol was seen at this place in this context, and ``K_l`` the number of different symbols.

    Args:
        sizes: ``K_l`` of each of the ``L`` places.
        contexts: number of contexts of a place.
    """

    seen: Tensor
    alphabet: Tensor

    def __init__(self, *, sizes: Sequence[int], contexts: int) -> None:
        super().__init__()
        self.contexts, self.width = contexts, max(sizes)
        rows = len(sizes) * contexts
        # One more column holds the sum over symbols.
        self.register_buffer("seen", torch.zeros(rows, self.width + 1, dtype=torch.int32))
        self.register_buffer("alphabet", torch.tensor(sizes), persistent=False)

    def forward(
        self, symbols: Int[Tensor, "N L"], context: Int[Tensor, "N L"]
    ) -> Float[Tensor, "N 2"]:
        """Return ``log rho`` and ``log rho' - log rho`` of each row, ``rho'`` after learning it."""
        seen, total = self._places(symbols, context)
        flat = self.seen.flatten()
        count = flat[seen].to(torch.float64) + _PRIOR
        weight = flat[total].to(torch.float64) + self.alphabet * _PRIOR
        before = torch.log(count / weight).sum(-1)
        gain = torch.log1p((weight - count) / (count * (weight + 1.0))).sum(-1)
        return torch.stack([before, gain], -1)

    @torch.no_grad()
    def learn(self, symbols: Int[Tensor, "N L"], context: Int[Tensor, "N L"]) -> None:
        """Count rows."""
        flat = self.seen.view(-1)
        for places in self._places(symbols, context):
            picked = places.flatten()
            flat.index_add_(0, picked, torch.ones_like(picked, dtype=torch.int32))

    def _places(
        self, symbols: Int[Tensor, "N L"], context: Int[Tensor, "N L"]
    ) -> tuple[Int[Tensor, "N L"], Int[Tensor, "N L"]]:
        """Return where the counts of the symbols and those of their contexts stand."""
        place = torch.arange(len(self.alphabet), device=symbols.device)
        start = (place * self.contexts + context) * (self.width + 1)
        return start + symbols, start + self.width


@final
class DensityPseudoCounts(RewardModel):
    """Unifying count-based exploration and intrinsic motivation (Bellemare et al. 2016).

    A density model ``rho`` of observations learns; how much one more look at a state would raise
    its density tells as how often it counts (eq. 2), and the reward is

    ``r_t = (N^ + 0.01)^(-1/2)``, ``N^ = rho (1 - rho') / (rho' - rho)``

    of the state arrived at: in [0, 10], and 0 where ``rho' <= rho``. States need not repeat
    exactly; what shares parts with known states is less new.

    The density model is simpler than the paper's context-tree switching: there is no weighting
    over contexts of several lengths. Images and grids have one estimator for each place and each
    context of its left, upper and upper-left neighbour; the numbers of a vector count in bins,
    independently of each other (``symbols.py``). Parts of a Dict multiply.

    Every step of a rollout is measured with the counts of its beginning, also a state that the
    rollout visits twice; ``update`` then counts all its steps. A value belongs to its transition
    alone, so replayed transitions can be rewarded.

    Args:
        observation_space: space of one observation.
        encoder: counts the features of this encoder, copied with its present weights and frozen,
            in place of the observation; for example ``HiddenEncoder``.
        keys: keys of a Dict observation to read; all when None.
        levels: steps of brightness, residues of codes, or bins of a number; from 2 to 1024, and
            to 16 with images or codes. An image of 42 x 42 takes 4 bytes times
            1764 * levels^3 * (levels + 1): 33 MB at 8.

    Raises:
        UserError: a number out of its range, or a space that cannot be used.
    """

    preferred_scale = "reward_std"
    goal_relabelling = True
    concurrent_update = True

    def __init__(
        self,
        *,
        observation_space: spaces.Space,
        encoder: Encoder | None = None,
        keys: Sequence[str] | None = None,
        levels: int = 8,
    ) -> None:
        super().__init__()
        if not 2 <= levels <= _MOST_LEVELS:
            raise UserError(f"levels must lie between 2 and {_MOST_LEVELS}, got {levels}.")
        if encoder is not None and keys is not None:
            raise UserError("Pass either keys or an encoder; with an encoder, choose keys in it.")
        self.encoder: Encoder
        if encoder is None:
            space = chosen_space(observation_space, keys)
            self.encoder, self.features = FlatEncoder(space=space), False
            parts = symbol_readers(space, levels)
        else:
            self.encoder, self.features = copy.deepcopy(encoder).requires_grad_(False), True
            parts = [((), VectorReader(shape=(encoder.output_size,), levels=levels))]
        self.paths = tuple(path for path, _ in parts)
        self.readers = nn.ModuleList(reader for _, reader in parts)
        self.densities = nn.ModuleList(
            CountingDensity(sizes=reader.sizes, contexts=reader.contexts) for _, reader in parts
        )
        self.requires, self.replayable = self.encoder.requires, self.encoder.replayable

    def forward(
        self, rollout: Rollout
    ) -> Float[Tensor, "T B"] | tuple[Float[Tensor, "T B"], dict[str, Tensor]]:
        """Return the bonus of every step; with ``defined`` where the successor may lack."""
        inputs, defined = self.encoder.next_inputs(rollout)
        logs = in_chunks(self._logs, flat_steps(inputs))
        bonus = density_bonus(log_pseudo_count(logs[:, 0], logs[:, 1]))
        reward = torch.where(defined, bonus.to(torch.float32).reshape(rollout.T, rollout.B), 0.0)
        return reward if self.replayable else (reward, {"defined": defined})

    @torch.no_grad()
    def update(self, rollout: Rollout) -> dict[str, float]:
        """Count the states of the real steps; ``{}`` when there are none.

        Returns:
            ``log_density``, the mean of ``log rho`` before they were counted.

        Raises:
            UserError: an observation is NaN or infinite.
        """
        inputs, defined = self.encoder.next_inputs(rollout)
        if not bool(defined.any()):
            return {}
        inputs = inputs[defined]
        require_finite("next_observation", inputs)
        for values, reader, _ in self._parts(inputs):
            reader.learn(values)
        logs = in_chunks(self._logs, inputs)
        for rows in inputs.split(_ROWS_AT_ONCE):
            for values, reader, density in self._parts(rows):
                density.learn(*reader(values))
        return {"log_density": float(logs[:, 0].mean())}

    def _logs(self, inputs: Any) -> Float[Tensor, "N 2"]:
        parts = [density(*reader(values)) for values, reader, density in self._parts(inputs)]
        return torch.stack(parts).sum(0)

    def _parts(self, inputs: Any) -> Iterator[tuple[Tensor, SymbolReader, CountingDensity]]:
        """Yield the values of each part of the inputs with what reads and what counts them."""
        for path, reader, density in zip(self.paths, self.readers, self.densities, strict=True):
            values = self.encoder(inputs) if self.features else inputs
            for key in path:
                values = values[key]
            yield values, reader, density  # type: ignore[misc]
