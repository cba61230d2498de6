"""Training that starts from the policy of an earlier run."""

import numpy as np
import pytest
import yaml

import ctrl
from ctrl.checkpoint import load_tree
from ctrl.cli import main
from ctrl.evaluation import load_policy
from ctrl.run_folder import RunFolder
from reward_models.errors import UserError

SMALL = {
    "ppo": {"name": "ppo", "n_steps": 16, "batch_size": 16, "n_epochs": 1,
            "policy_kwargs": {"net_arch": [7]}},
    "sac": {"name": "sac", "learning_starts": 8, "batch_size": 8, "buffer_size": 100,
            "policy_kwargs": {"net_arch": [7]}},
    "dqn": {"name": "dqn", "learning_starts": 8, "batch_size": 8, "buffer_size": 100,
            "policy_kwargs": {"net_arch": [7]}},
}  # fmt: skip
ENV = {"ppo": "Pendulum-v1", "sac": "Pendulum-v1", "dqn": "CartPole-v1"}
SEEN = {
    "Pendulum-v1": np.random.default_rng(0).uniform(-1, 1, (8, 3)).astype(np.float32),
    "CartPole-v1": np.random.default_rng(0).uniform(-1, 1, (8, 4)).astype(np.float32),
}


@pytest.fixture
def earlier(tmp_path):
    def train(learner="ppo", **more):
        path = tmp_path / f"earlier-{learner}"
        ctrl.train(env=ENV[learner], algo=SMALL[learner], steps=32, out=path, **more)
        return path

    return train


def weights(path, folder="final"):
    return load_tree(path / folder)["policy"]


@pytest.mark.parametrize("learner", ["ppo", "sac", "dqn"])
def test_it_begins_with_the_policy_of_the_run_and_trains_on(earlier, tmp_path, learner):
    before = earlier(learner)
    # A learner that never updates keeps what it was given.
    frozen = {"learning_rate": 0.0} if learner == "ppo" else {"learning_starts": 1000}
    ctrl.train(
        start_from=str(before), algo=frozen, steps=32, seed=5, out=tmp_path / "still", progress=None
    )
    run = RunFolder.open(tmp_path / "still")
    assert (run.config().env.id, run.config().algo.name) == (ENV[learner], learner)
    seen = SEEN[ENV[learner]]
    acts = [load_policy(RunFolder.open(path))[0].predict(seen, deterministic=True)[0]
            for path in (before, tmp_path / "still")]  # fmt: skip
    np.testing.assert_array_equal(*acts)
    ctrl.train(
        start_from=str(before), algo=SMALL[learner], steps=64, seed=5, out=tmp_path / "on",
        reward={"rnd": 0.1} if learner == "ppo" else {},
    )  # fmt: skip
    changed = [
        name for name, value in weights(tmp_path / "on").items()
        if not np.array_equal(value, weights(before)[name])
    ]  # fmt: skip
    assert changed


def test_statistics_of_observations_come_along_and_a_run_goes_on_without_its_start(
    earlier, tmp_path
):
    before = earlier(normalize_observations=True)
    result = ctrl.train(
        env={"n_envs": 3}, start_from=str(before), steps=48,
        algo={**SMALL["ppo"], "learning_rate": 0.0},
        out=tmp_path / "run", checkpoints={"every": 16},
    )  # fmt: skip
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["normalize_observations"] is True
    assert config["start_from"] == str(before.resolve())
    old, new = (
        load_tree(path / "final")["normaliser"]["observations"][""]["count"]
        for path in (before, tmp_path / "run")
    )
    # One reset of three columns, and every step of theirs.
    assert new == pytest.approx(old + result.steps + 3)
    before.rename(tmp_path / "gone")
    assert ctrl.resume(tmp_path / "run", steps=96).steps == 96


def test_what_does_not_fit_is_refused_with_the_cure(earlier, tmp_path, capsys):
    before = earlier()
    for change, said in (
        ({"algo": "a2c"}, "is a policy of ppo; a2c cannot"),
        ({"normalize_observations": True}, "acts on raw observations; set normalize_obs"),
        ({"algo": {"policy_kwargs": {"net_arch": [3]}}}, "has policy_kwargs"),
        ({"env": "CartPole-v1"}, "equal observations and actions"),
        ({"env": "CartPole-v1", "start_from": str(before) + "x"}, "Did you mean"),
    ):
        with pytest.raises(UserError, match=said):
            ctrl.train(**{"start_from": str(before), "steps": 32, **change}, out=tmp_path / "no")
        assert not (tmp_path / "no").exists()
    assert (
        main(["train", "--from", str(before), "--algo", "a2c", "--out", str(tmp_path / "n")]) == 2
    )
    assert "Traceback" not in capsys.readouterr().err


def test_an_environment_of_own_code_is_not_taken_over_silently(earlier, tmp_path):
    before = earlier()
    config = yaml.safe_load((before / "config.yaml").read_text())
    config["env"]["id"] = "somewhere:Thing-v0"
    (before / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="trained with code of its own"):
        ctrl.train(start_from=str(before), steps=32, out=tmp_path / "no")
