"""Every committed study can be read, and every training in it has a valid configuration."""

from pathlib import Path

import pytest

from ctrl.study.plan import TRAIN, read_study, training

BARS = Path(__file__).resolve().parents[2] / "experiments" / "bars"


@pytest.mark.parametrize("file", sorted(BARS.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_study_is_named_like_its_file_and_its_cells_are_valid(file):
    study = read_study(file)
    assert study.name == file.stem
    first = [cell for cell in study.cells() if cell.seed == study.seeds[0]]
    assert len(first) == len(study.methods) * len(study.environments)
    if study.run == TRAIN:
        for cell in first:
            training(cell)
