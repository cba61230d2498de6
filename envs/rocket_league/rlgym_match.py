"""One RLGym match whose cars are columns: fixed order, seeds, honest ends of an episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array

from envs.errors import VectorizationError
from envs.rocket_league.rlgym_components import SLOTS, ComponentError, draws_globally
from envs.rocket_league.rlgym_random import GlobalStream
from envs.rocket_league.rlgym_terms import RewardTerms


@final
class Match:
    """One ``rlgym.api.RLGym`` with a fixed list of cars.

    RLGym resets all cars together, so the episode of every car ends when that of any car does.
    What the last reset or step brought is kept per car, in the order of `agents`.

    Args:
        game: the RLGym object; it must belong to this match alone.

    Attributes:
        game: the RLGym object.
        agents: RLGym's names of the cars, in the order of columns; known after `prepare`.
        learners: how many cars, from the first, are columns; all unless changed.
        draws_in_steps: whether a component of somebody else is in use, which may draw from the
            global random generators while it steps (RLGym's own do so in a reset only).
        observations: one per car; they may be the buffers of the observation builder.
        rewards: one number per car.
        terminated: what the termination condition says of each car.
        truncated: what the truncation condition says of each car; true as well for a car that is
            not done itself while the match ends because another one is.
    """

    def __init__(self, game: Any) -> None:
        self.game = game
        self.agents: list[Any] = []
        self.learners = 0
        self._stream: GlobalStream | None = None
        held = [getattr(game, slot) for slot in SLOTS if slot != "state_mutator"]
        self.draws_in_steps = draws_globally(held)
        self._idle = _Idle(game.action_parser)
        game.action_parser = self._idle
        self.observations: list[Any] = []
        self.rewards: list[float] = []
        self.terminated: list[bool] = []
        self.truncated: list[bool] = []

    def report(self, terms: RewardTerms) -> None:
        """Let a reward function with terms take the place of the match's own, which it holds."""
        self.game.reward_fn = terms
        self.draws_in_steps |= draws_globally(list(terms.functions.values()))

    def term_rows(self) -> dict[str, list[float]]:
        """Return what reported terms paid in the last step, one number per car; empty without."""
        function = self.game.reward_fn
        return function.rows(self.agents) if isinstance(function, RewardTerms) else {}

    @property
    def is_seeded(self) -> bool:
        """Whether the match has random numbers of its own yet."""
        return self._stream is not None

    @property
    def teams(self) -> list[int]:
        """The team of every car, in the order of `agents`; 0 is blue."""
        return [int(self.game.state.cars[agent].team_num) for agent in self.agents]

    @property
    def team_of_first(self) -> int:
        """How many cars, from the first on, are of the first car's team.

        Raises:
            VectorizationError: a car of that team follows one of the other team.
        """
        teams = self.teams
        count = teams.count(teams[0])
        if teams[0] in teams[count:]:
            raise VectorizationError(
                "With an opponent, the state mutator must add one team after the other, got "
                f"teams {teams}."
            )
        return count

    def seed(self, seed: int) -> None:
        """Start the numbers for the resets anew."""
        self._stream = GlobalStream(seed)

    def prepare(self) -> None:
        """Reset once to learn which cars there are, without drawing from anybody's numbers."""
        with GlobalStream(0).standing_in():
            self._reset()
        self.learners = len(self.agents)

    def reset(self) -> None:
        """Begin an episode, with the numbers of seed 0 where `seed` was never called."""
        if self._stream is None:
            self._stream = GlobalStream(0)
        with self._stream.standing_in():
            self._reset()

    def step(self, actions: Sequence[Any]) -> None:
        """Step once.

        Args:
            actions: of the first cars; those for whom there is none hold all controls at 0.
        """
        given = dict(zip(self.agents, map(np.atleast_1d, actions), strict=False))
        self._idle.absent = self.agents[len(given) :]
        observed, rewards, terminated, truncated = self.game.step(given)
        self.observations = [observed[agent] for agent in self.agents]
        self.rewards = [float(rewards[agent]) for agent in self.agents]
        self.terminated = [bool(terminated[agent]) for agent in self.agents]
        self.truncated = [bool(truncated[agent]) for agent in self.agents]
        if any(self.terminated) or any(self.truncated):
            self.truncated = [
                cut or not end for cut, end in zip(self.truncated, self.terminated, strict=True)
            ]

    def _reset(self) -> None:
        observed = self.game.reset()
        agents = list(self.game.agents)
        if self.agents and agents != self.agents:
            raise VectorizationError(
                f"Every episode must have the same cars, because each is a column: a reset gave "
                f"{agents} after {self.agents}. Use one environment per team size."
            )
        if not agents:
            raise ComponentError("The state mutator puts no car into the match.")
        self.agents = agents
        self.observations = [observed[agent] for agent in agents]


@final
class _Idle:
    """The action parser of a match in which some cars get no action: they hold all controls at 0.

    Args:
        parser: the parser for the others.

    Attributes:
        absent: the cars without an action in the next step.
    """

    def __init__(self, parser: Any) -> None:
        self.parser = parser
        self.absent: list[Any] = []

    def get_action_space(self, agent: Any) -> Any:
        """Return what the parser does."""
        return self.parser.get_action_space(agent)

    def reset(self, agents: list[Any], initial_state: Any, shared_info: dict[str, Any]) -> None:
        """Reset the parser."""
        self.parser.reset(agents, initial_state, shared_info)

    def parse_actions(
        self, actions: dict[Any, Any], state: Any, shared_info: dict[str, Any]
    ) -> dict[Any, np.ndarray]:
        """Return the parser's controls ``[ticks, 8]``, and zeros for the cars without an action."""
        parsed = self.parser.parse_actions(actions, state, shared_info)
        if self.absent:
            idle = np.zeros_like(next(iter(parsed.values())))
            parsed = {**parsed, **dict.fromkeys(self.absent, idle)}
        return parsed


def read_observation_space(match: Match) -> spaces.Space:
    """Return the gymnasium space of one observation; ``("real", n)`` is a Box of n numbers.

    Args:
        match: after its first reset.

    Raises:
        ComponentError: the builder describes its observations in an unknown way, or they are of
            different shapes for different cars.
    """
    found = space_of(match.game.observation_space(match.agents[0]), "observation")
    shapes = sorted({np.shape(one) for one in match.observations if not isinstance(one, dict)})
    if len(shapes) > 1:
        raise ComponentError(
            f"The cars' observations have different shapes ({shapes}). One policy sees all "
            "columns, so pad them to one size (DefaultObs does with zero_padding)."
        )
    # ("real", -1) is how a builder says that the size depends on the match.
    return spaces.Box(-np.inf, np.inf, shapes[0], np.float32) if found is None else found


def read_action_space(match: Match) -> spaces.Space:
    """Return the gymnasium space of one action; ``("discrete", n)`` is a ``Discrete``.

    Raises:
        ComponentError: the parser describes its actions in an unknown way.
    """
    found = space_of(match.game.action_space(match.agents[0]), "action")
    if found is None:
        raise ComponentError("The action parser does not say how many numbers an action has.")
    return found


def space_of(described: Any, what: str) -> spaces.Space | None:
    """Return the gymnasium space of RLGym's description of one.

    Args:
        described: ``("real", n)``, ``("discrete", n)``, ``("multi_discrete", (n, ...))`` or a
            gymnasium space.
        what: ``"observation"`` or ``"action"``; real actions are in [-1, 1].

    Returns:
        The space; None for ``("real", -1)``, whose size depends on the match.

    Raises:
        ComponentError: any other description.
    """
    if isinstance(described, spaces.Space):
        return described
    if isinstance(described, tuple) and len(described) == 2:
        kind, size = described
        if kind in ("real", "continuous"):
            if np.ndim(size) == 0 and size < 0:
                return None
            bound = 1.0 if what == "action" else np.inf
            shape = tuple(int(n) for n in np.atleast_1d(size))
            return spaces.Box(-bound, bound, shape, np.float32)
        if kind == "discrete":
            return spaces.Discrete(int(size))
        if kind in ("multi_discrete", "multi-discrete"):
            return spaces.MultiDiscrete([int(n) for n in size])
    raise ComponentError(
        f"The {what} space {described!r} is unknown. Known are RLGym's ('real', n), "
        "('discrete', n) and ('multi_discrete', (n, ...)), and every gymnasium space; or give "
        f"{what}_space=... to the environment."
    )


def stacked(space: spaces.Space, seen: Sequence[Any]) -> Any:
    """Return observations as new arrays ``[N, ...]``.

    Args:
        space: of one observation.
        seen: N observations, which may be buffers that are written again later.

    Raises:
        ComponentError: they do not have the shape that the observation builder promised.
    """
    if isinstance(space, spaces.Box):
        try:
            batch = np.array(seen, dtype=space.dtype)
        except ValueError as error:
            raise ComponentError(f"The observations do not fit together: {error}.") from error
        if batch.shape[1:] != space.shape:
            raise ComponentError(
                f"The observation builder promised shape {space.shape} and gave {batch.shape[1:]}."
            )
        return batch
    return concatenate(space, seen, create_empty_array(space, len(seen)))
