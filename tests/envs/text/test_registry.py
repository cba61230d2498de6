"""Text environments by name."""

import subprocess
import sys

import pytest

import envs
from envs.text import ExternalDataError, make_text, text_names
from envs.text.tasks import FAMILIES


def test_that_names_are_sorted_and_unlike_those_of_other_environments():
    names = text_names()
    assert names == sorted(set(names))
    assert not set(names) & set(envs.names())
    assert len(names) == sum(len(family.tasks) for family in FAMILIES)


def test_that_options_of_a_row_can_be_overwritten():
    from envs.text.tasks import owner

    family, row = owner("MiniHack-Room-5x5-v0")
    assert family.extra == "nethack"
    assert row.entry_point.endswith("NetHackTextEnvironment")
    assert owner("CartPole-v1") == (None, None)


@pytest.mark.parametrize(
    ("written", "nearest"), [("Countdwn-v0", "Countdown-v0"), ("addition", "Addition-v0")]
)
def test_that_an_unknown_name_is_answered_with_the_nearest(written, nearest):
    with pytest.raises(envs.EnvironmentNameError, match=f"Did you mean '{nearest}'") as caught:
        make_text(written)
    assert caught.value.nearest == nearest
    assert "gymnasium" not in str(caught.value)


def test_that_an_unknown_option_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"no option 'operand'\. Did you mean 'operands'"):
        make_text("Countdown-v0", operand=3)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("TextWorld-v0", "textworld", "text"),
        ("ReasoningGym-v0", "reasoning_gym", "text"),
        ("BabyAI-GoToLocal-v0", "minigrid", "text"),
        ("BabyAI-KeyInBox-v0", "minigrid", "text"),
        ("ScienceWorld-v0", "scienceworld", "scienceworld"),
        ("MiniHack-Room-5x5-v0", "nle", "nethack"),
    ],
)
def test_that_a_missing_package_is_answered_with_the_command(monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(envs.MissingSimulatorError, match=rf'pip install "ctrl\[{extra}\]"'):
        make_text(name)


@pytest.mark.parametrize("name", ["ALFWorld-v0", "WebShop-v0", "SWE-Gym-v0", "GSM8K-v0", "AIME-v0"])
def test_that_data_which_cannot_be_had_is_refused_with_a_substitute(name):
    with pytest.raises(ExternalDataError, match=r"External data required: .* Use instead: "):
        make_text(name)


def test_that_a_text_environment_is_no_gymnasium_environment_and_says_how_it_is_made():
    with pytest.raises(envs.EnvironmentNameError, match=r"make it with envs\.text\.make_text"):
        envs.make("Countdown-v0")


def test_that_importing_imports_no_simulator_and_no_learner():
    code = (
        "import sys; from envs.text import make_text, text_names; text_names();"
        "make_text('Countdown-v0').reset();"
        "print([m for m in ('textworld', 'minigrid', 'nle', 'scienceworld', 'reasoning_gym', "
        "'torch', 'transformers', 'reward_models') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
