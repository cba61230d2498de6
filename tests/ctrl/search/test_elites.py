from __future__ import annotations

import json

import numpy as np
import pytest

from ctrl.config import EnvConfig
from ctrl.search.elites import Elite, load_elite, save_elite
from reward_models.errors import UserError

ELITE = Elite(
    genome=np.random.default_rng(0).normal(size=27),
    kind={"kind": "controller", "hidden": [5]},
    env=EnvConfig("PointWalker-v0", n_envs=4, options={"horizon": 40, "areas": [[0.5, 0.5, 0.1]]}),
    numbers={"reward": np.float64(0.25), "area": np.int64(2), "evaluation": 31},
)


def test_what_is_written_is_read_again(tmp_path):
    folder = save_elite(tmp_path / "area_2", ELITE)
    found = load_elite(folder)
    assert np.array_equal(found.genome, ELITE.genome)
    assert found.genome.dtype == np.float64
    assert found.env == ELITE.env
    assert found.kind == ELITE.kind
    assert found.numbers == {"reward": 0.25, "area": 2, "evaluation": 31}
    assert sorted(path.name for path in folder.iterdir()) == ["elite.safetensors", "state.json"]
    assert json.loads((folder / "state.json").read_text())["tree"]["numbers"]["area"] == 2


def test_what_is_no_elite_is_refused(tmp_path):
    save_elite(tmp_path / "area_2", ELITE)
    with pytest.raises(UserError, match=r"Did you mean .*area_2"):
        load_elite(tmp_path / "area2")
    (tmp_path / "other").mkdir()
    with pytest.raises(UserError, match="is no elite"):
        load_elite(tmp_path / "other")
    (tmp_path / "area_2" / "weights.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match="pickle"):
        load_elite(tmp_path / "area_2")
