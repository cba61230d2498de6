"""Levels of one's own: text, paths, and errors that say where."""

import pytest

import envs

NAME = "MiniHack-Navigation-Custom-v0"


def test_that_a_level_is_text_a_path_or_a_file_of_minihack(street, make, tmp_path):
    from_text = street()
    level = from_text.unwrapped.spec.kwargs["des_file"]
    path = tmp_path / "street.des"
    path.write_text(level)
    from_path = make(NAME, des_file=str(path))
    maps = [env.reset(seed=0)[0]["glyphs"].tobytes() for env in (from_text, from_path)]
    assert maps[0] == maps[1]
    shipped = make(NAME, des_file="corridor2.des").reset(seed=0)[0]
    own = make("MiniHack-Corridor-R2-v0").reset(seed=0)[0]
    assert shipped["glyphs"].tobytes() == own["glyphs"].tobytes()


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("MAZE:\"mylevel\",' '\nBOGUS", 'line 2, pos 0: syntax error at "BOGUS"'),
        ("MAZE:\"other\",' '\nGEOMETRY:center,center\nMAP\n...\nENDMAP\n", 'named "mylevel"'),
        ("coridor2.des", "Did you mean 'corridor2.des'"),
        ("/nowhere/at/all.des", "there is no file"),
        (None, "got None"),
        (7, "got 7"),
    ],
)
def test_that_an_error_in_a_level_is_named(level, message):
    with pytest.raises(ValueError, match=r"des_file|level description") as caught:
        envs.make(NAME, des_file=level)
    assert message in str(caught.value)


def test_that_a_level_without_its_description_is_named():
    with pytest.raises(ValueError, match="got None"):
        envs.make(NAME)
