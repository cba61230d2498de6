"""Episodes of text environments, many at once: what a policy saw, wrote and caused."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch

from ctrl.llm.decoding import Decoder, Turn
from ctrl.llm.formats import PromptFormat
from ctrl.llm.sequences import ENVIRONMENT, POLICY, PROMPT
from envs.text.environment import TextTurn
from envs.text.vector import TextVector
from reward_models.errors import UserError


@dataclass
class Episode:
    """One episode; turn n of the policy lies between ``turns[n]`` and ``turns[n + 1]``.

    Attributes:
        task: number of the task.
        group: id that the episodes of one task share.
        turns: what the environment said: the reset's and one after every turn of the policy.
        replies: turns of the policy.
        commands: what was read in them.
        ids: all tokens in order.
        kinds: what each is, see ``ctrl.llm.sequences``.
        numbers: number of the turn of each of the policy's own, else 0.
        cut_by_context: it was truncated because another turn would not have fitted.
    """

    task: int
    group: int
    turns: list[TextTurn] = field(default_factory=list)
    replies: list[Turn] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    cut_by_context: bool = False

    def begin(self, turn: TextTurn, tokens: list[int]) -> None:
        """Take over the reset's turn and its tokens."""
        self.turns.append(turn)
        self._extend(tokens, PROMPT, 0)

    def answer(self, reply: Turn, command: str, turn: TextTurn) -> None:
        """Take over a turn of the policy and what it led to."""
        self._extend(reply.tokens, POLICY, len(self.replies))
        self.replies.append(reply)
        self.commands.append(command)
        self.turns.append(turn)

    def listen(self, tokens: list[int]) -> None:
        """Take over the tokens of a later text."""
        self._extend(tokens, ENVIRONMENT, 0)

    def _extend(self, tokens: list[int], kind: int, number: int) -> None:
        self.ids += tokens
        self.kinds += [kind] * len(tokens)
        self.numbers += [number] * len(tokens)

    @property
    def terminated(self) -> bool:
        """The task itself ended it."""
        return self.turns[-1].terminated

    @property
    def success(self) -> bool:
        """The task was solved."""
        return bool(self.turns[-1].info["is_success"])

    @property
    def task_return(self) -> float:
        """Sum of the task's rewards."""
        return float(sum(turn.reward for turn in self.turns[1:]))


@final
class EpisodeCollector:
    """Plays episodes in as many columns as there are environments, refilling finished ones.

    Args:
        decoder: samples the policy's turns; its slots are the columns.
        vector: the environments.
        text: turns texts into tokens.
        context: the longest sequence. An episode whose next turn would not fit is truncated.
    """

    def __init__(
        self, decoder: Decoder, vector: TextVector, text: PromptFormat, *, context: int
    ) -> None:
        self.decoder, self.vector, self.text, self.context = decoder, vector, text, context

    def collect(self, tasks: Sequence[int], groups: Sequence[int]) -> list[Episode]:
        """Play one episode of each task.

        Args:
            tasks: numbers of tasks; repeated for the members of a group.
            groups: id of each.

        Returns:
            The finished episodes, in the order of ``tasks``.

        Raises:
            UserError: a first text does not fit into the context.
            TrainingError: the policy has diverged.
        """
        episodes = [Episode(task, group) for task, group in zip(tasks, groups, strict=True)]
        waiting = deque(range(len(episodes)))
        playing: dict[int, int] = {}
        blocks: dict[int, list[int]] = {}
        while waiting or playing:
            idle = [column for column in range(len(self.vector)) if column not in playing]
            starts = {column: waiting.popleft() for column in idle[: len(waiting)]}
            if starts:
                begun = self.vector.reset_many(
                    {column: (None, episodes[number].task) for column, number in starts.items()}
                )
                for column, number in starts.items():
                    tokens = self.text.first(begun[column].text)
                    self._check_first(tokens, episodes[number].task)
                    episodes[number].begin(begun[column], tokens)
                    playing[column], blocks[column] = number, tokens
            # A fixed order of columns, whichever finished first: sampling draws row by row.
            replies = self.decoder.turn({column: blocks[column] for column in sorted(playing)})
            commands = {c: self.text.command(reply.tokens) for c, reply in replies.items()}
            turns = self.vector.step(commands)
            for column, turn in turns.items():
                episode = episodes[playing[column]]
                episode.answer(replies[column], commands[column], turn)
                over = turn.terminated or turn.truncated
                if not turn.terminated:
                    tokens = self.text.later(turn.text)
                    fits = len(episode.ids) + len(tokens) + self.decoder.max_new_tokens
                    if len(episode.ids) + len(tokens) <= self.context:
                        # Also behind the last turn of a truncated one: a critic values it.
                        episode.listen(tokens)
                    if not over and fits > self.context:
                        episode.cut_by_context = over = True
                    blocks[column] = tokens
                if over:
                    self.decoder.free(column)
                    del playing[column]
        return episodes

    def _check_first(self, tokens: list[int], task: int) -> None:
        needed = len(tokens) + self.decoder.max_new_tokens
        if needed > self.context:
            raise UserError(
                f"The first text of task {task} has {len(tokens)} tokens, and with "
                f"algo.max_new_tokens = {self.decoder.max_new_tokens} that is more than the "
                f"context of {self.context}. Take a larger algo.model.context or a shorter text."
            )
        if not tokens:
            raise UserError(f"The first text of task {task} is empty; there is nothing to answer.")


def expert_episodes(
    vector: TextVector, text: PromptFormat, tasks: Sequence[int], *, context: int
) -> list[Episode]:
    """Let the environments' scripted experts play; their turns have no log-probabilities.

    An episode whose next turn does not fit into the context ends there.

    Args:
        vector: the environments.
        text: turns texts into tokens.
        tasks: numbers of tasks.
        context: the longest sequence.

    Raises:
        UserError: these environments have no expert.
    """
    nothing = torch.zeros(0)
    episodes = []
    for begin in range(0, len(tasks), len(vector)):
        part = [Episode(task, task) for task in tasks[begin : begin + len(vector)]]
        started = vector.reset_many({c: (None, episode.task) for c, episode in enumerate(part)})
        for column, episode in enumerate(part):
            episode.begin(started[column], text.first(started[column].text))
        playing = set(range(len(part)))
        while playing:
            advice = vector.expert(sorted(playing))
            if any(command is None for command in advice.values()):
                raise UserError(
                    "This environment has no scripted expert to learn from; leave algo.warm_up out."
                )
            commands = {column: str(command) for column, command in advice.items()}
            answers = {column: text.answer(command) for column, command in commands.items()}
            for column in sorted(playing):
                if len(part[column].ids) + len(answers[column]) > context:
                    playing.discard(column)
            turns = vector.step({column: commands[column] for column in sorted(playing)})
            for column, turn in turns.items():
                episode = part[column]
                reply = Turn(answers[column], nothing, nothing, None, None, ended=True)
                episode.answer(reply, commands[column], turn)
                if turn.terminated or turn.truncated:
                    playing.discard(column)
                else:
                    episode.listen(text.later(turn.text))
        episodes += part
    return episodes
