import json
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import envs
from envs.worlds.pick_and_place import expert
from reward_models.demonstrations import (
    Demonstration,
    read_demonstrations,
    read_metadata,
    read_spaces,
    record_demonstration,
    write_demonstrations,
)
from reward_models.errors import UserError

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


def test_the_folder_around_the_data_is_a_name_for_it(tmp_path):
    _write(tmp_path / "ctrl" / "test-v0" / "data", [_demonstration()])
    around = tmp_path / "ctrl" / "test-v0"
    _same(read_demonstrations(around)[0], _demonstration())
    assert read_metadata(around)["dataset_id"] == "ctrl/test-v0"
    assert read_spaces(around) == (OBSERVATIONS, ACTIONS)


def test_minari_finds_it_by_its_name_and_goes_on_with_it(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    _write(tmp_path / "ctrl" / "test-v0" / "data", [_demonstration(5, 0), _demonstration(3, 1)])
    loaded = minari.load_dataset("ctrl/test-v0")
    assert loaded.total_episodes == 2
    # Minari changes files in place, which our layout and compression must allow.
    loaded.storage.update_episode_metadata([{"kind": 1}, {"kind": 2}])
    assert [e["kind"] for e in loaded.storage.get_episode_metadata([0, 1])] == [1, 2]
    _same(read_demonstrations(tmp_path / "ctrl" / "test-v0")[1], _demonstration(3, 1))


def test_compression_pays(tmp_path):
    whole = _demonstration(2000)
    still = {"state": whole.observations["state"], "views": np.zeros((2001, 3, 4, 4, 3), np.uint8)}
    folder = _write(tmp_path, [replace(whole, observations=still)])
    stored = (folder / "main_data.hdf5").stat().st_size
    assert stored < still["views"].nbytes / 2


@pytest.mark.parametrize("entry", ["observations", "actions", "infos", "rewards"])
def test_a_data_set_that_reaches_for_other_files_is_refused(tmp_path, entry):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "secret.hdf5", "w") as file:
        file["key"] = np.arange(6.0)
    folder = _write(tmp_path / "data", [_demonstration()])
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        del file[f"episode_0/{entry}"]
        file[f"episode_0/{entry}"] = h5py.ExternalLink(str(tmp_path / "secret.hdf5"), "/key")
    with pytest.raises(UserError, match=rf"/episode_0/{entry} is a link to .*secret"):
        read_demonstrations(folder)


def test_a_whole_episode_from_elsewhere_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    other = _write(tmp_path / "other", [_demonstration()])
    folder = _write(tmp_path / "data", [_demonstration()])
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        del file["episode_0"]
        file["episode_0"] = h5py.ExternalLink(str(other / "main_data.hdf5"), "/episode_0")
    with pytest.raises(UserError, match="/episode_0 is a link to"):
        read_demonstrations(folder)


def test_damaged_data_sets_are_named(tmp_path):
    h5py = pytest.importorskip("h5py")
    folder = _write(tmp_path, [_demonstration(), _demonstration()])
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        group = file["episode_1"]
        rewards = group["rewards"][:3]
        del group["rewards"]
        group["rewards"] = rewards
    with pytest.raises(UserError, match="Demonstration 1 has 3 rewards and so needs 4"):
        read_demonstrations(folder)
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        del file["episode_1"]
    with pytest.raises(UserError, match="has no 'episode_1'"):
        read_demonstrations(folder)
    path = folder / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "total_episodes": "many"}))
    with pytest.raises(UserError, match="how many episodes"):
        read_demonstrations(folder)
