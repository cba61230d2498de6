"""One reward block, two policies: equal trajectories are paid equally in both branches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctrl.build import build_mix
from ctrl.config import parse_config
from ctrl.llm.decoding import Turn
from ctrl.llm.episodes import Episode
from ctrl.llm.record import turn_record
from ctrl.sb3.recorder import Recorder
from ctrl.sb3.vec_env import make_vec_env

pytest.importorskip("nle")

from envs.text.registry import make_text

LEVEL = "MiniHack-Room-5x5-v0"
REWARD = {
    "rnd": {"weight": 0.5, "scale": "none"},
    "count": {"weight": 0.1, "keys": ["blstats"]},
    "near": {"use": "tests/ctrl/llm/near.py:near_the_stairs", "weight": 0.3},
    "hint": {"use": "potential", "function": "tests/ctrl/llm/near.py:potential", "weight": 1.0},
}


def network_rollouts(requires: frozenset[str], tasks: list[int], actions: list[list[int]]):
    """Play the actions as SB3's branch does, one environment for each task, and return records."""
    found = []
    for task, played in zip(tasks, actions, strict=True):
        recorder = Recorder(make_vec_env(LEVEL, n_envs=1, seed=task), requires=requires)
        recorder.seed(task)
        recorder.reset()
        recorder.begin(len(played))
        for action in played:
            recorder.step(np.array([action]))
        found.append(recorder.rollout())
        recorder.close()
    return found


def text_record(requires: frozenset[str], tasks: list[int], commands: list[list[str]]):
    """Play the same moves in words, and return the record of turns."""
    nothing = torch.zeros(1)
    episodes = []
    for task, played in zip(tasks, commands, strict=True):
        env = make_text(LEVEL)
        episode = Episode(task, 0)
        episode.begin(env.reset(task=task), [5])
        for command in played:
            turn = env.step(command)
            episode.answer(Turn([6], nothing, nothing, None, None, ended=True), command, turn)
        episodes.append(episode)
        env.close()
    return turn_record(episodes, requires)


def test_equal_trajectories_are_paid_equally() -> None:
    env = make_text(LEVEL)
    names = [str(command) for command in env.reset(task=1).admissible or ()]
    if not names:
        names = ["north", "east", "south", "west"]
    env.close()
    random = np.random.default_rng(0)
    tasks = [11, 12, 13]
    commands = [[names[i] for i in random.integers(len(names), size=4)] for _ in tasks]

    config = parse_config({"env": LEVEL, "reward": REWARD})
    spaces = make_vec_env(LEVEL, n_envs=1, seed=0)
    mixes = [build_mix(config, env=spaces, gamma=0.99) for _ in range(2)]
    requires = mixes[0].requires
    words = text_record(requires, tasks, commands)
    actions = [words.action[:, b].long().tolist() for b in range(len(tasks))]
    numbers = network_rollouts(requires, tasks, actions)
    spaces.close()
    for column, record in enumerate(numbers):
        for key in words.observation.keys():  # noqa: SIM118 - a TensorDict
            assert torch.equal(words.observation[key][:, column], record.observation[key][:, 0]), (
                key
            )
            assert torch.equal(
                words.next_observation[key][:, column], record.next_observation[key][:, 0]
            ), key
        assert torch.equal(words.reward[:, column], record.reward[:, 0])
        assert torch.equal(words.terminated[:, column], record.terminated[:, 0])
    # Both mixes learn from the same steps in the same order, and go on paying the same.
    for _ in range(2):
        for column, record in enumerate(numbers):
            ours, _ = mixes[0].collect(words.columns(torch.tensor([column])), steps=0)
            theirs, _ = mixes[1].collect(record, steps=0)
            assert torch.equal(ours.raw, theirs.raw)
            assert torch.equal(ours.total, theirs.total)
    assert float(ours.raw[..., 1:].abs().min(0).values.max()) > 0.0
