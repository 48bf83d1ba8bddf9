"""Plain values for JSON, and plain texts for terminals: control characters are escaped."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from typing import Any

_PLAIN = (str, int, type(None))


def printable(text: str) -> str:
    r"""Escape control characters (`\n`, `\x1b`, `\udcff`): one line, safe for a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain(value: object) -> Any:  # noqa: ANN401 - what JSON can hold has no narrower type
    """Convert a value for JSON: bytes and paths become text, NaN and infinity None."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes | os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return _text(value)


def _text(value: object) -> str:
    """Convert a value by `str`, or return its class name if that fails."""
    with suppress(Exception):
        return str(value)
    return f"<{type(value).__name__}>"
