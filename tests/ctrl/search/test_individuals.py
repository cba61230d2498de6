from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ctrl.checkpoint import load_tree, save_tree
from ctrl.search.individuals import NOBODY, Individuals
from reward_models.errors import UserError

GENOMES = np.random.default_rng(0).standard_normal((5, 4))


@pytest.fixture
def five(landscape, last_sample):
    return Individuals.of(landscape()(GENOMES), last_sample, generation=3)


def test_the_drawn_are_their_own_ancestors_and_children_have_their_parents(
    five, landscape, last_sample
):
    assert (five.parent == NOBODY).all()
    assert five.ancestor.tolist() == five.evaluation.tolist() == [0, 1, 2, 3, 4]
    assert (five.born == 3).all()
    evaluate = landscape()
    evaluate(GENOMES)
    rows = np.array([4, 4, 1])
    born = Individuals.of(evaluate(GENOMES[rows]), last_sample, generation=4, parents=five[rows])
    assert born.evaluation.tolist() == [5, 6, 7]
    assert born.parent.tolist() == born.ancestor.tolist() == [4, 4, 1]
    again = np.array([0])
    grandchild = Individuals.of(
        evaluate(GENOMES[again]), last_sample, generation=5, parents=born[again]
    )
    assert (grandchild.parent.item(), grandchild.ancestor.item()) == (5, 4)


def test_rows_are_copies_with_their_flags(five):
    flagged = five.flagged(np.array([1]))
    chosen = flagged[np.array([1, 0])]
    assert chosen.spawned.tolist() == [True, False]
    assert Individuals.joined([five, chosen]).spawned.tolist() == [False] * 5 + [True, False]
    chosen.episodes.genomes[:] = 9
    chosen.descriptor[:] = 9
    chosen.spawned[:] = False
    assert (flagged.genomes == GENOMES).all()
    assert flagged.spawned.tolist() == [False, True, False, False, False]
    assert not np.shares_memory(flagged.descriptor, chosen.descriptor)


def test_a_saved_group_is_the_same(five, tmp_path):
    save_tree({"group": five.flagged(np.array([2])).state_dict()}, tmp_path / "saved")
    loaded = Individuals.from_state(load_tree(tmp_path / "saved")["group"])
    assert loaded.spawned.tolist() == [False, False, True, False, False]
    assert loaded.episodes.images is None
    for name in ("genomes", "descriptor", "reward", "evaluation", "ancestor"):
        assert (getattr(loaded, name) == getattr(five, name)).all()


def test_what_cannot_be_compared_is_refused(five, landscape, last_sample, scaled):
    longer = replace(five, descriptor=np.zeros((5, 3)))
    with pytest.raises(UserError, match=r"Descriptors of \[2, 3\] numbers"):
        Individuals.joined([five, longer])
    episodes = landscape()(GENOMES)
    lost = replace(episodes, reward=np.array([0, 0, np.nan, 0, 0]))
    with pytest.raises(UserError, match="must be finite, got nan for evaluation 2"):
        Individuals.of(lost, last_sample, generation=0)
    descriptor = scaled()
    descriptor.scale = float("nan")
    with pytest.raises(UserError, match="Scaled returned descriptors with NaN"):
        Individuals.of(episodes, descriptor, generation=0)
    descriptor.scale, descriptor.size = 1.0, 3
    with pytest.raises(UserError, match=r"descriptors of shape \[5, 3\], got \[5, 2\]"):
        Individuals.of(episodes, descriptor, generation=0)
