"""Text as rows of bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.text.rows import decode_row, encode_row


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=("Cs",))))
def test_that_text_that_fits_comes_back(text):
    assert decode_row(encode_row(text, 4 * len(text) + 1)) == text


@given(st.text(), st.integers(1, 20))
def test_that_any_text_fits_and_is_a_beginning(text, width):
    row = encode_row(text, width)
    assert row.shape == (width,)
    assert row.dtype == np.uint8
    kept = text.replace("\0", "").encode("utf-8", errors="replace").decode()
    assert kept.startswith(decode_row(row))


@pytest.mark.parametrize(("width", "kept"), [(1, ""), (2, "é"), (3, "é"), (4, "éé"), (5, "ééx")])
def test_that_no_character_is_cut_in_two(width, kept):
    assert decode_row(encode_row("ééx", width)) == kept
