import pytest
import yaml

from ctrl.config import apply_overrides, parse_config, read_config
from reward_models import UnknownNameError, UserError

FULL = {
    "env": {"id": "Hopper-v5", "n_envs": 4, "terminate_when_unhealthy": False},
    "algo": {"name": "sac", "learning_rate": 1e-3, "policy_kwargs": {"net_arch": [64, 64]}},
    "reward": {
        "task": 1.0,
        "rnd": 0.1,
        "mine": {"use": "my.py:f", "weight": {"linear": [1, 0, "1e5"]}, "scale": "return_std"},
    },
    "steps": "2e5",
    "seed": 3,
    "normalize_observations": True,
    "evaluation": {"every": 1000},
    "checkpoints": {"keep": 3, "replay_buffer": False},
}


def test_that_short_forms_and_long_forms_mean_the_same():
    short = parse_config({"env": "Hopper-v5", "algo": "sac", "reward": {"rnd": 0.1}})
    long = parse_config(
        {
            "env": {"id": "Hopper-v5"},
            "algo": {"name": "sac"},
            "reward": {"rnd": {"use": "rnd", "weight": 0.1}},
        }
    )
    assert short == long


def test_that_a_configuration_survives_yaml():
    config = parse_config(FULL)
    again = parse_config(yaml.safe_load(config.to_yaml()))
    assert again == config
    assert config.steps == 200_000
    assert config.env.options == {"terminate_when_unhealthy": False}
    assert config.algo.options["policy_kwargs"] == {"net_arch": [64, 64]}
    assert config.reward["rnd"].weight == 0.1


def test_that_options_with_the_name_of_a_key_survive_yaml():
    config = parse_config({"env": {"id": "Hopper-v5", "options": {"threads": 7}, "threads": 1}})
    assert config.env.options == {"threads": 7}
    assert parse_config(yaml.safe_load(config.to_yaml())) == config


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("reward.rnd.weight=0.05", lambda c: c.reward["rnd"].weight == 0.05),
        ("reward.rnd=0.2", lambda c: c.reward["rnd"].weight == 0.2),
        (
            "reward.extra={use: constant, value: 2}",
            lambda c: c.reward["extra"].options["value"] == 2,
        ),
        ("reward.rnd.latent_size=32", lambda c: c.reward["rnd"].options == {"latent_size": 32}),
        ("algo.learning_rate=1e-4", lambda c: c.algo.options["learning_rate"] == 1e-4),
        ("env.n_envs=2", lambda c: c.env.n_envs == 2),
        ("steps=1e4", lambda c: c.steps == 10_000),
        ("checkpoints.every=null", lambda c: c.checkpoints.every is None),
        ("normalize_observations=true", lambda c: c.normalize_observations is True),
    ],
)
def test_that_overrides_reach_their_place(override, read):
    data = {"env": "Hopper-v5", "algo": "ppo", "reward": {"rnd": 0.1}}
    assert read(parse_config(apply_overrides(data, [override])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stepz": 4}, "Unknown configuration key 'stepz'. Did you mean 'steps'"),
        ({"checkpoints": {"evry": 4}}, "Unknown key in checkpoints 'evry'. Did you mean 'every'"),
        ({"steps": "many"}, "steps must be int, got 'many'"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": True}, "steps must be int, got True"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"env": {"n_envs": 2}}, "env needs 'id'"),
        ({"env": 5}, "env must be a mapping, got 5"),
        ({"reward": [1]}, "reward must be a mapping"),
        ({"normalize_observations": 1}, "normalize_observations must be bool"),
    ],
)
def test_that_mistakes_are_named_with_the_cure(change, message):
    with pytest.raises(UserError) as caught:
        parse_config({"env": "Hopper-v5", **change})
    assert message in str(caught.value)


def test_that_an_environment_is_needed():
    with pytest.raises(UserError, match="needs an environment"):
        parse_config({})


def test_that_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "room.yaml").write_text("env: Hopper-v5\n")
    with pytest.raises(UserError, match=r"room\.yaml"):
        read_config(tmp_path / "rom.yaml")


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [", "just text"])
def test_that_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(UserError):
        read_config(path)


def test_that_yaml_cannot_build_python_objects(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text("env: !!python/object/apply:os.system ['touch hacked']\n")
    with pytest.raises(UserError, match="not valid YAML"):
        read_config(path)


@pytest.mark.parametrize("text", ["steps", "=4", "steps.x=4"])
def test_that_a_malformed_override_is_refused(text):
    with pytest.raises(UserError):
        apply_overrides({"steps": 3}, [text])


def test_that_unknown_names_carry_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        parse_config({"env": "Hopper-v5", "sed": 3})
    assert caught.value.nearest == "seed"


def test_that_behaviour_cloning_and_diagnostics_survive_yaml():
    short = parse_config({"env": "Hopper-v5", "behaviour_cloning": "demos", "steps": 0})
    assert short.behaviour_cloning.demonstrations == "demos"
    assert short.behaviour_cloning.epochs == 200
    assert short.diagnostics.lipschitz == 0
    long = apply_overrides(
        yaml.safe_load(short.to_yaml()),
        ["behaviour_cloning.epochs=5", "behaviour_cloning.learning_rate=1e-2",
         "diagnostics.lipschitz=1e3"],
    )  # fmt: skip
    config = parse_config(long)
    assert (config.behaviour_cloning.epochs, config.behaviour_cloning.learning_rate) == (5, 0.01)
    assert config.diagnostics.lipschitz == 1000
    assert parse_config(yaml.safe_load(config.to_yaml())) == config
    without = parse_config({"env": "Hopper-v5"})
    assert without.behaviour_cloning is None
    again = apply_overrides(yaml.safe_load(without.to_yaml()), ["behaviour_cloning=demos"])
    assert parse_config(again).behaviour_cloning.demonstrations == "demos"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"behaviour_cloning": {}}, "behaviour_cloning needs 'demonstrations'"),
        ({"behaviour_cloning": {"demonstrations": 3}}, "demonstrations must be str"),
        ({"behaviour_cloning": {"demonstrations": "d", "epochs": 0}}, "epochs must be at least 1"),
        ({"behaviour_cloning": {"demonstrations": "d", "episodes": 0}}, "episodes must be at"),
        ({"behaviour_cloning": {"demonstrations": "d", "validation": 1}}, r"in \[0, 1\), got 1"),
        ({"behaviour_cloning": {"demonstrations": "d", "learning_rate": 0}}, "above 0, got 0"),
        ({"behaviour_cloning": {"demonstrations": "d", "weight_decay": -1}}, "0 or more, got -1"),
        ({"diagnostics": {"lipschitz": -1}}, "diagnostics.lipschitz must be at least 0"),
        ({"diagnostics": {"lipshitz": 1}}, "lipschitz"),
    ],
)
def test_that_unusable_cloning_and_diagnostics_are_named(data, message):
    with pytest.raises(UserError, match=message):
        parse_config({"env": "Hopper-v5", **data})
