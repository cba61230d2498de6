import json

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import envs
from envs.worlds.pick_and_place import expert
from reward_models.errors import UserError
from reward_models.demonstrations import (
    Demonstration,
    read_demonstrations,
    record_demonstration,
    write_demonstrations,
)

pytest.importorskip("h5py")

OBSERVATIONS = spaces.Dict(
    {
        "state": spaces.Box(-np.inf, np.inf, (2,), np.float64),
        "views": spaces.Box(0, 255, (3, 4, 4, 3), np.uint8),
    }
)
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)


def _demonstration(steps=5, seed=0):
    rng = np.random.default_rng(seed)
    flags = np.zeros(steps, dtype=bool)
    ends = flags.copy()
    ends[-1] = True
    return Demonstration(
        observations={
            "state": rng.normal(size=(steps + 1, 2)),
            "views": rng.integers(0, 256, (steps + 1, 3, 4, 4, 3), dtype=np.uint8),
        },
        actions=rng.uniform(-1, 1, (steps, 2)).astype(np.float32),
        rewards=rng.normal(size=steps),
        terminations=ends,
        truncations=flags,
        infos={"progress": np.linspace(0, 1, steps + 1)},
        keyframes=(0, 2, steps),
        seed=seed,
    )


def _write(folder, demonstrations, **options):
    arguments = {
        "dataset_id": "ctrl/test-v0",
        "observation_space": OBSERVATIONS,
        "action_space": ACTIONS,
        **options,
    }
    return write_demonstrations(folder, demonstrations, **arguments)


def _same(first, second):
    np.testing.assert_equal(first.observations, second.observations)
    np.testing.assert_equal(first.infos, second.infos)
    for name in ("actions", "rewards", "terminations", "truncations"):
        one, other = getattr(first, name), getattr(second, name)
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert (first.keyframes, first.seed) == (second.keyframes, second.seed)


def test_what_is_written_is_read(tmp_path):
    demonstrations = [_demonstration(5, 0), _demonstration(3, 1)]
    folder = _write(tmp_path / "data", demonstrations, description="two episodes")
    for written, read in zip(demonstrations, read_demonstrations(folder), strict=True):
        _same(written, read)
    record = json.loads((folder / "metadata.json").read_text())
    assert record["total_steps"] == 8
    assert record["description"] == "two episodes"


def test_more_than_ten_episodes_keep_their_order(tmp_path):
    demonstrations = [_demonstration(2, seed) for seed in range(12)]
    found = read_demonstrations(_write(tmp_path, demonstrations))
    assert [each.seed for each in found] == list(range(12))


def test_minari_reads_it(tmp_path):
    minari = pytest.importorskip("minari")
    written = [_demonstration(5, 0), _demonstration(3, 1)]
    spec = gymnasium.spec("Pendulum-v1")
    dataset = minari.MinariDataset(_write(tmp_path, written, env_spec=spec))
    assert (dataset.total_episodes, dataset.total_steps) == (2, 8)
    assert dataset.id == "ctrl/test-v0"
    assert dataset.observation_space == OBSERVATIONS
    assert dataset.action_space == ACTIONS
    assert dataset.env_spec.id == "Pendulum-v1"
    for mine, theirs in zip(written, dataset.iterate_episodes(), strict=True):
        np.testing.assert_equal(dict(theirs.observations), mine.observations)
        np.testing.assert_array_equal(theirs.actions, mine.actions)
        np.testing.assert_array_equal(theirs.rewards, mine.rewards)
        np.testing.assert_array_equal(theirs.terminations, mine.terminations)
        np.testing.assert_array_equal(theirs.infos["progress"], mine.infos["progress"])


def test_what_minari_writes_is_read(tmp_path):
    pytest.importorskip("minari")
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    whole = [_demonstration(5, 0), _demonstration(3, 1)]
    storage = MinariStorage.new(tmp_path, OBSERVATIONS, ACTIONS)
    names = ("seed", "observations", "actions", "infos")
    lists = ("rewards", "terminations", "truncations")
    for each in whole:
        entries = {name: getattr(each, name) for name in names}
        entries |= {name: list(getattr(each, name)) for name in lists}
        storage.update_episodes([EpisodeBuffer(id=None, **entries)])
    for mine, written in zip(read_demonstrations(tmp_path), whole, strict=True):
        _same(mine, Demonstration(**{**vars(written), "keyframes": ()}))


def test_an_expert_is_recorded_with_its_views():
    env = envs.make("PickAndPlace2D-v0")
    shown = record_demonstration(
        env, lambda observation, info: expert(observation), seed=3, infos=("views", "progress")
    )
    env.close()
    assert shown.terminations[-1]
    assert shown.infos["views"].shape == (len(shown) + 1, 3, 5)
    assert shown.infos["progress"][-1] == 1.0
    assert shown.rewards.sum() == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"demonstrations": []}, "at least one"),
        ({"dataset_id": "no version"}, "must look like"),
        ({"action_space": spaces.Text(3)}, "cannot describe"),
        ({"observation_space": spaces.Box(0, 255, (64, 64, 3), np.uint8)}, "axis of views"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, change, message):
    demonstrations = change.pop("demonstrations", [_demonstration()])
    with pytest.raises(UserError, match=message):
        _write(tmp_path, demonstrations, **change)
    assert not list(tmp_path.iterdir())


def test_lengths_that_do_not_fit_are_named(tmp_path):
    whole = _demonstration(5)
    broken = Demonstration(**{**vars(whole), "actions": whole.actions[:4]})
    with pytest.raises(UserError, match=r"5 rewards and so needs 5 actions, got \[4\]"):
        _write(tmp_path, [broken])


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="no data set in"):
        read_demonstrations(tmp_path)
    _write(tmp_path, [_demonstration()])
    with pytest.raises(UserError, match="holds a data set already"):
        _write(tmp_path, [_demonstration()])
    path = tmp_path / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "data_format": "arrow"}))
    with pytest.raises(UserError, match="'arrow'"):
        read_demonstrations(tmp_path)
