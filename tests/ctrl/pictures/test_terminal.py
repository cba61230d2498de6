"""Text screens as pictures."""

import numpy as np
import pytest

from ctrl.pictures.terminal import draw_terminal

BLACK, RED, BRIGHT_RED, GREY = (16, 16, 20), (205, 49, 49), (241, 76, 76), (204, 204, 204)


def colours(picture):
    return {tuple(map(int, colour)) for colour in picture.reshape(-1, 3)}


def test_that_size_follows_lines_and_columns():
    one, other = draw_terminal("ab\ncd"), draw_terminal("\x1b[1;31mxy\x1b[0m\n--")
    assert one.shape == other.shape
    assert one.dtype == np.uint8
    assert draw_terminal("ab\ncd\nef").shape[0] > one.shape[0]
    assert draw_terminal("abc\nd").shape[1] > one.shape[1]
    for text in ("a", "abc", "a\nb\nc"):
        assert draw_terminal(text).shape[0] % 2 == draw_terminal(text).shape[1] % 2 == 0


@pytest.mark.parametrize(
    ("code", "colour"),
    [("", GREY), ("\x1b[31m", RED), ("\x1b[1;31m", BRIGHT_RED), ("\x1b[91m", BRIGHT_RED),
     ("\x1b[31m\x1b[0m", GREY), ("\x1b[1m\x1b[31m\x1b[22m", RED), ("\x1b[31m\x1b[39m", GREY)],
)  # fmt: skip
def test_that_codes_colour_characters(code, colour):
    found = colours(draw_terminal(f"{code}#####"))
    assert colour in found
    assert BLACK in found
    others = {RED, BRIGHT_RED, GREY} - {colour}
    assert not others & found


def test_that_background_and_underline_are_drawn_and_other_codes_are_not():
    assert RED in colours(draw_terminal("\x1b[41m \x1b[49m"))
    assert (255, 255, 255) in colours(draw_terminal("\x1b[4m \x1b[0m"))
    plain, moved = draw_terminal("ab"), draw_terminal("\x1b[2J\x1b[5;3Hab\x07")
    np.testing.assert_array_equal(plain, moved)


def test_that_black_characters_can_be_seen():
    assert colours(draw_terminal("\x1b[30m####")) != colours(draw_terminal("    "))
