import socket

import numpy as np
import pytest
import torch
from gymnasium import spaces

from reward_models.coded.limits import Limits
from reward_models.coded.program import Convention, Program
from reward_models.coded.quantities import ProgramInputs
from reward_models.coded.sandbox import Sandbox
from reward_models.rollout import Rollout

pytest.importorskip("pydantic_monty")

SIGNED = (
    "def sparse(prev_obs, action, obs, info, state):\n"
    "    return {sparse}\n"
    "def dense(prev_obs, action, obs, info, state):\n"
    "    {before}\n"
    "    return {dense}\n"
)


def signed_source(dense="0", sparse="0", before="pass"):
    return SIGNED.format(dense=dense, sparse=sparse, before=before)


@pytest.fixture(scope="session")
def inputs():
    observations = {
        "position": spaces.Box(-1.0, 1.0, ()),
        "velocity": spaces.Box(-1.0, 1.0, (3,)),
        "zero": spaces.Box(0.0, 0.0, ()),
    }
    state = {"hit_points": 3, "target": np.zeros(3), "message": "text"}
    return ProgramInputs.from_spaces(
        spaces.Dict(observations),
        spaces.Discrete(3),
        state=state,
        actions=("left", "stay", "right"),
    )


@pytest.fixture(scope="session")
def limits():
    return Limits(seconds=0.25, seconds_per_step=0.001, memory=48 * 2**20, state=20_000)


@pytest.fixture(scope="session")
def sandbox(limits):
    with Sandbox(limits, workers=2) as shared:
        yield shared


@pytest.fixture
def make_program(inputs):
    def make(dense="0", sparse="0", before="pass", **options):
        source = signed_source(dense, sparse, before)
        return Program(source, Convention.SIGNED, options.get("inputs", inputs))

    return make


@pytest.fixture
def make_record():
    """Draw a record with the quantities of ``inputs``, where episodes go on from step to step."""

    def make(steps, columns, *, seed=0, terminated=(), truncated=(), continued=None, mask=None):
        random = np.random.default_rng(seed)
        shape = (steps + 1, columns)
        position = torch.as_tensor(random.normal(size=shape).astype(np.float32))
        velocity = torch.as_tensor(random.normal(size=(*shape, 3)).astype(np.float32))
        zero = torch.zeros(shape)
        flags = {}
        for name, places in (("terminated", terminated), ("truncated", truncated)):
            flags[name] = torch.zeros(steps, columns, dtype=torch.bool)
            for place in places:
                flags[name][place] = True
        return Rollout(
            observation={"position": position[:-1], "velocity": velocity[:-1], "zero": zero[:-1]},
            next_observation={"position": position[1:], "velocity": velocity[1:], "zero": zero[1:]},
            action=torch.as_tensor(random.integers(0, 3, size=(steps, columns))),
            reward=torch.full((steps, columns), torch.nan),
            continued=continued,
            mask=mask,
            state={
                "hit_points": torch.as_tensor(random.integers(0, 9, size=(steps, columns))),
                "target": torch.as_tensor(random.normal(size=(steps, columns, 3))),
                "message": torch.as_tensor(list(b"hit\0"), dtype=torch.uint8).expand(
                    steps, columns, 4
                ),
            },
            **flags,
        )

    return make


@pytest.fixture(scope="session")
def listener():
    """Return a socket that listens and has seen nobody."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        yield server
