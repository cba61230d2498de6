import pytest

from reward_models.errors import (
    MissingDependencyError,
    RewardError,
    UnknownNameError,
    UserError,
    nearest_name,
)


def test_unknown_name_says_kind_name_nearest_and_all_valid():
    error = UnknownNameError("reward", "rdn", ["rnd", "icm"])
    assert str(error) == "Unknown reward 'rdn'. Did you mean 'rnd'? Valid: icm, rnd."
    assert (error.name, error.nearest) == ("rdn", "rnd")


def test_unknown_name_without_a_near_one():
    assert str(UnknownNameError("env", "zzz", [])) == "Unknown env 'zzz'. Valid: (none)."


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("halfcheetah-v5", "HalfCheetah-v5"), ("HalfCheeta-v5", "HalfCheetah-v5"), ("qqqq", None)],
)
def test_nearest_name(name, nearest):
    assert nearest_name(name, ["HalfCheetah-v5", "Hopper-v5"]) == nearest


def test_reward_error_names_the_term():
    error = RewardError("speed", "returned nan.")
    assert str(error) == "Reward term 'speed': returned nan."
    assert error.term == "speed"


def test_mistakes_of_the_user_have_one_base():
    assert issubclass(UnknownNameError, UserError)
    assert issubclass(MissingDependencyError, UserError)
    assert not issubclass(RewardError, UserError)
