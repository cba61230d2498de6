"""Text as rows of bytes of one width, for records that hold arrays only."""

from __future__ import annotations

import numpy as np


def encode_row(text: str, width: int) -> np.ndarray:
    """Return text as UTF-8, zero-padded, uint8 ``[width]``.

    What does not fit is cut off between two characters, never inside of one. A NUL character,
    which would end the row, is left out.

    Args:
        text: any text.
        width: bytes, at least 1.
    """
    data = text.replace("\0", "").encode("utf-8", errors="replace")
    if len(data) > width:
        data = data[:width].decode("utf-8", errors="ignore").encode("utf-8")
    row = np.zeros(width, np.uint8)
    row[: len(data)] = np.frombuffer(data, np.uint8)
    return row


def decode_row(row: np.ndarray) -> str:
    """Return the text of a zero-padded row, uint8 ``[width]``; broken UTF-8 becomes U+FFFD."""
    data = np.asarray(row, np.uint8).tobytes()
    return data.split(b"\0", 1)[0].decode("utf-8", errors="replace")
