"""The hand-computed world of two states and two actions."""

from types import SimpleNamespace

import numpy as np
import pytest

GAMMA = 0.9


@pytest.fixture
def world():
    transition = np.zeros((2, 2, 2))
    transition[0, 0], transition[0, 1] = (0.9, 0.1), (0.2, 0.8)
    transition[1, 0], transition[1, 1] = (0.5, 0.5), (0.0, 1.0)
    reward = np.zeros((2, 2, 2))
    reward[0, 0], reward[0, 1] = (1.0, 0.0), (0.0, 2.0)
    reward[1, 0], reward[1, 1] = (0.0, -1.0), (3.0, 1.0)
    # Mean 0 under the transition probabilities, so that only its place differs.
    moved = np.zeros((2, 2, 2))
    moved[0, 0], moved[0, 1] = (1.0, -9.0), (-4.0, 1.0)
    moved[1, 0], moved[1, 1] = (2.0, -2.0), (50.0, 0.0)
    potential = np.array([2.0, -3.0])
    shaping = np.broadcast_to(GAMMA * potential - potential[:, None, None], (2, 2, 2)).copy()
    return SimpleNamespace(P=transition, R=reward, moved=moved, shaping=shaping, gamma=GAMMA)
