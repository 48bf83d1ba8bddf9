"""How many values a channel has: 256 or 65536, and nothing else goes through a network."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

Sample = np.uint8 | np.uint16
"""The dtypes of samples: full range, 0 to 255 or 0 to 65535."""
Depth = TypeVar("Depth", bound=Sample)
"""uint8 or uint16: what comes back has the depth of what went in."""


def white(dtype: np.dtype[Any]) -> int:
    """The largest value of a channel: 255 at 8 bit, 65535 at 16.

    Raises:
        TypeError: neither uint8 nor uint16.
    """
    if dtype not in (np.uint8, np.uint16):
        raise TypeError(f"pixels are uint8 or uint16, not {dtype}")
    return int(np.iinfo(dtype).max)
