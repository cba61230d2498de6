from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import envs
from ctrl.config import EnvConfig
from ctrl.search.episodes import Episodes
from ctrl.search.evaluation import Evaluator, Setting
from ctrl.search.evaluation.pictures import small
from reward_models.errors import UserError


def _paint(places):
    """Picture walkers at some places ``[n, 2]``."""
    world = envs.make_vec("PointWalker-v0", len(places)).simulation
    world._position = np.array(places)
    return world.paint(np.arange(len(places)), 64)


def test_the_world_pictures_the_end_of_an_episode(walker):
    with Evaluator(replace(walker, images=True)) as evaluator:
        found = evaluator.evaluate(np.random.default_rng(0).normal(size=(5, 27)), 0)
    assert found.images.shape == (5, 1, 64, 64, 3)
    assert np.array_equal(found.images[:, 0], _paint(found.place))
    assert len(np.unique(found.images, axis=0)) == 5


def test_pictures_of_several_moments_show_what_the_samples_say(walker, same):
    setting = replace(walker, images=True, samples=4)
    genomes = np.random.default_rng(0).normal(size=(5, 27))
    with Evaluator(setting) as evaluator:
        found = evaluator.evaluate(genomes, 0)
        parts = [evaluator.evaluate(genomes[a:b], a) for a, b in ((0, 2), (2, 5))]
        assert same(Episodes.joined(parts), found)
    assert found.images.shape == (5, 4, 64, 64, 3)
    for moment in range(4):
        assert np.array_equal(found.images[:, moment], _paint(found.samples[:, moment]))


def test_other_environments_are_rendered_at_the_moments_of_the_samples():
    pytest.importorskip("minihack")
    setting = Setting(
        env=EnvConfig("MiniHack-Room-5x5-v0", options={"max_episode_steps": 6}, threads=1),
        images=True, samples=2, columns=2,
    )  # fmt: skip
    with Evaluator(setting) as evaluator:
        genomes = np.random.default_rng(2).normal(size=(3, evaluator.genome.size))
        found = evaluator.evaluate(genomes, 0)
    assert found.images.shape == (3, 2, 64, 64, 3)
    # Text is bright on a dark ground.
    assert found.images.min() < 40
    assert found.images.max() > 60
    moved = (found.samples[:, 0] != found.samples[:, 1]).any(axis=1)
    changed = (found.images[:, 0] != found.images[:, 1]).any(axis=(1, 2, 3))
    assert changed[moved].all()


def test_pictures_are_averaged_down():
    picture = np.zeros((128, 192, 3), dtype=np.uint8)
    picture[:2, :3] = (10, 100, 200)
    picture[2:4, :3, 0] = np.arange(0, 60, 10).reshape(2, 3)
    found = small(picture)
    assert found.shape == (64, 64, 3)
    assert found[0, 0].tolist() == [10, 100, 200]
    assert found[1, 0].tolist() == [25, 0, 0]
    assert found[2:].max() == 0
    same_size = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    assert small(same_size) is same_size
    with pytest.raises(UserError, match=r"\[H, W, 3\]"):
        small(np.zeros((64, 64), dtype=np.uint8))
