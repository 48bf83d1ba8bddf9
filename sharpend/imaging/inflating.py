"""zlib streams: count what they inflate to, without memory for it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PIECE_BYTES = 1 << 18


def inflated_bytes(parts: Iterable[bytes], most: int) -> tuple[int, bool]:
    """Count the bytes of a zlib stream, up to `most`, and keep none of them.

    Returns:
        The count, and whether the end of the stream or `most` was reached.

    Raises:
        zlib.error: the stream is damaged.
    """
    stream, inflated = zlib.decompressobj(), 0
    for rest in parts:
        while inflated < most and not stream.eof:
            piece = stream.decompress(rest, min(_PIECE_BYTES, most - inflated))
            if not piece:
                break
            inflated += len(piece)
            rest = stream.unconsumed_tail  # noqa: PLW2901 - the rest of this part
    return inflated, stream.eof or inflated == most
