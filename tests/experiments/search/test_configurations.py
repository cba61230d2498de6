"""Every configuration of a search runs: two small generations of each."""

from pathlib import Path

import pytest
import yaml

from ctrl.search.run import search

FILES = sorted(Path(__file__).parents[3].glob("experiments/search/*.yaml"))
SHORT = {"hard_maze": "horizon", "curling": "horizon", "ant_maze": "max_episode_steps"}
NEEDS = {"ant_maze": "gymnasium_robotics", "minihack_room": "minihack"}


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_small_piece_of_it_runs(file, tmp_path):
    if file.stem in NEEDS:
        pytest.importorskip(NEEDS[file.stem])
    data = yaml.safe_load(file.read_text())
    data["method"].update(population_size=3, archive_additions=2)
    data["env"] = {"id": data["env"]} if isinstance(data["env"], str) else data["env"]
    if file.stem in SHORT:
        data["env"][SHORT[file.stem]] = 40
    result = search({**data, "budget": 9}, out=tmp_path / "run")
    assert result.finished
    assert result.evaluations == 9
    assert result.kept["novelty"] == 2
    assert sorted(path.name for path in (tmp_path / "run" / "elites").iterdir())
