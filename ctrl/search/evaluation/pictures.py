"""Pictures of episodes, for descriptors that are learned from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, final

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

import envs
from ctrl.config import EnvConfig
from ctrl.opponents import with_opponent
from ctrl.search.genomes import GenomeKind
from ctrl.video import picture_of, rendering
from reward_models.errors import UserError

SIZE = 64
"""Pixels of a side."""

FINAL = "final_image"
"""Name of the option and of the quantity by which worlds picture the end of an episode."""


def pictures_its_end(config: EnvConfig) -> bool:
    """Return whether the environment gives the picture of an episode's end by itself."""
    return envs.has_vector(config.id) and FINAL in envs.options(config.id)


def with_final_image(config: EnvConfig) -> EnvConfig:
    """Return the environment with that picture switched on."""
    return replace(config, options={**config.options, FINAL: True})


@final
class Pictures:
    """Takes pictures of episodes by running them a second time.

    Only after an episode is it known which of its steps are the wanted moments. Because an episode
    is decided by its seed and its genome, the second run is the first one again.

    Worlds that step all columns together paint them together; every other environment is run one
    episode after the other and renders (text is drawn as a terminal). Rendered pictures are
    averaged down to 64 x 64, whatever their shape.

    Args:
        config: the environment.
    """

    def __init__(self, config: EnvConfig) -> None:
        self._config = config
        self._painted = pictures_its_end(config)

    def take(
        self,
        genome: GenomeKind,
        genomes: NDArray[np.float64],
        *,
        seed: int,
        moments: NDArray[np.int64],
    ) -> NDArray[np.uint8]:
        """Return pictures, uint8 ``[n, S, 64, 64, 3]``.

        Args:
            genome: what a genome is.
            genomes: ``[n, D]``.
            seed: of the first episode; the others' follow it.
            moments: steps after which to take them, counted from 1, ``[n, S]``; the last of a row
                ends the episode.

        Raises:
            UserError: the environment has no pictures.
            MissingDependencyError: no way to render here.
        """
        if self._painted:
            return self._paint(genome, genomes, seed, moments)
        found = np.zeros((*moments.shape, SIZE, SIZE, 3), dtype=np.uint8)
        with rendering(self._config) as env:
            for row, steps in enumerate(moments):
                act = genome.actor(genomes[row : row + 1])
                observation, _ = env.reset(seed=seed + row)
                for step in range(1, int(steps[-1]) + 1):
                    action = act(_batch(env.observation_space, observation))[0]
                    observation, *_ = env.step(action)
                    if step in steps:
                        picture = picture_of(env.render(), self._config.id)
                        found[row, steps == step] = small(picture)
        return found

    def _paint(
        self,
        genome: GenomeKind,
        genomes: NDArray[np.float64],
        seed: int,
        moments: NDArray[np.int64],
    ) -> NDArray[np.uint8]:
        config = with_final_image(self._config)
        env: Any = envs.make_vec(config.id, len(genomes), **with_opponent(config))
        found = np.zeros((*moments.shape, SIZE, SIZE, 3), dtype=np.uint8)
        act = genome.actor(genomes)
        observation, _ = env.reset(seed=seed)
        for step in range(1, int(moments.max()) + 1):
            observation, _, _, _, infos = env.step(act(observation))
            rows, places = np.nonzero(moments == step)
            if len(rows):
                last = moments[rows, -1] == step
                found[rows[last], places[last]] = infos[FINAL][rows[last]]
                running = rows[~last]
                if len(running):
                    unique, back = np.unique(running, return_inverse=True)
                    painted = env.simulation.paint(unique, SIZE)
                    found[running, places[~last]] = painted[back]
        env.close()
        return found


def small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture ``[H, W, 3]`` averaged down (or repeated up) to ``[64, 64, 3]``.

    Raises:
        UserError: it has no three colours.
    """
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise UserError(f"Expected a picture [H, W, 3], got shape {list(picture.shape)}.")
    if picture.shape[:2] == (SIZE, SIZE):
        return picture
    channels = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)
    pooled = torch.nn.functional.adaptive_avg_pool2d(channels, SIZE)
    return pooled.round().to(torch.uint8).permute(1, 2, 0).numpy()


def _batch(space: spaces.Space, observation: Any) -> Any:
    """Return one observation as a batch of one, in the dtypes of its space."""
    if isinstance(space, spaces.Dict):
        return {name: _batch(part, observation[name]) for name, part in space.spaces.items()}
    return np.asarray(observation, dtype=space.dtype)[None]
