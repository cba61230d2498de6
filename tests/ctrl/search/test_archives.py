from __future__ import annotations

import numpy as np
import pytest

from ctrl.search.archives import Archive
from ctrl.search.individuals import Individuals

GENOMES = np.random.default_rng(0).standard_normal((6, 4))


@pytest.fixture
def six(landscape, last_sample):
    return Individuals.of(landscape()(GENOMES), last_sample, generation=0)


def test_everybody_is_stored_once_and_says_when(six):
    archive = Archive()
    assert archive.individuals is None
    assert archive.descriptors(2).shape == (0, 2)
    assert archive.store(six[np.array([3, 1, 3])], 7) == 2
    assert archive.store(six[np.array([1, 5])], 8) == 1
    kept = archive.individuals
    assert kept.evaluation.tolist() == [3, 1, 5]
    assert kept.stored.tolist() == [7, 7, 8]
    assert (archive.descriptors(2) == six.descriptor[[3, 1, 5]]).all()
    assert (six.stored == -1).all()


def test_what_is_stored_shares_nothing_with_who_lives(six):
    archive = Archive()
    archive.store(six, 0)
    six.genomes[:] = 0
    six.descriptor[:] = 0
    assert (archive.individuals.genomes == GENOMES).all()
    archive.individuals.descriptor[:] = 1
    assert (archive.individuals.descriptor == GENOMES[:, :2]).all()


def test_all_are_described_again(six, scaled):
    archive, descriptor = Archive(), scaled()
    archive.store(six[np.array([0, 1])], 0)
    archive.store(six[np.array([2])], 1)
    descriptor.learn(six.episodes)
    archive.describe_again(descriptor)
    assert (archive.descriptors(2) == 2 * GENOMES[:3, :2]).all()
    assert (archive.individuals.surprise == 2 * np.abs(GENOMES[:3, 2])).all()


def test_a_loaded_archive_knows_whom_it_has(six):
    archive, other = Archive(), Archive()
    archive.store(six[np.array([0, 2])], 0)
    other.load_state_dict(archive.state_dict())
    assert other.store(six, 1) == 4
    assert other.individuals.evaluation.tolist() == [0, 2, 1, 3, 4, 5]
    empty = Archive()
    other.load_state_dict(empty.state_dict())
    assert len(other) == 0
