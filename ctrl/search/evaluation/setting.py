"""What is evaluated and what is looked at, as plain data that any process can build from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ctrl.config import EnvConfig, TermConfig


@dataclass(frozen=True)
class Setting:
    """How a genome becomes an episode.

    Attributes:
        env: the environment; ``n_envs`` and ``threads`` change how fast it is, never what comes
            out.
        genome: kind of genome, see `ctrl.search.genomes.make_genome_kind`.
        seed: of the search; with the number of an evaluation it decides the episode's randomness.
        reward: terms of the mix by name, see `ctrl.search.evaluation.rewards`.
        gamma: discount of potentials in the mix.
        samples: moments ``S`` at which an episode is looked at, evenly spaced; the last is its end.
        observe: what is looked at, see `ctrl.search.evaluation.readings.Reading`; None takes the
            place where the simulator reports one, else the observation.
        place: two numbers that say where an episode ended; None takes the first of
            ``readings.PLACES`` that there is.
        images: whether to take pictures at the same moments.
        columns: most episodes at once in a process; None takes 256 for worlds that step all
            columns together and 8 for simulators.
    """

    env: EnvConfig
    genome: dict[str, Any] = field(default_factory=lambda: {"kind": "controller"})
    seed: int = 0
    reward: dict[str, TermConfig] = field(default_factory=dict)
    gamma: float = 1.0
    samples: int = 1
    observe: str | None = None
    place: str | None = None
    images: bool = False
    columns: int | None = None
