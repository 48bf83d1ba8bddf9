"""Files of JSON lines that grow to a limit and are then rotated: `name`, and `name.1` before it.

Owns the form that outlives a kill and a full disk: every line begins with a newline, so that a line
that was cut short spoils no later one, and a reader leaves out what is not JSON. Not durable: a
power cut loses what the kernel had not written yet.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sharpend.logs.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def append(path: Path, values: Mapping[str, object], most_bytes: int) -> None:
    """Append a line; a file that has reached `most_bytes` is first renamed to `name.1`.

    Raises:
        OSError: the folder is missing, full or not writable.
    """
    with suppress(FileNotFoundError):
        if os.stat(path).st_size >= most_bytes:
            os.replace(path, earlier(path))
    line = b"\n" + json.dumps(plain(values), allow_nan=False, separators=(",", ":")).encode()
    descriptor = os.open(path, _APPEND, 0o640)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def earlier(path: Path) -> Path:
    """Return the path of the file that was rotated."""
    return path.with_name(f"{path.name}.1")


def newest_first(path: Path, holding: str = "") -> Iterator[dict[str, Any]]:
    """Iterate over the lines of both files from the last one; what cannot be read is left out.

    Args:
        path: of the newer file.
        holding: text that a line must hold to be parsed; all hold nothing.
    """
    for one in (path, earlier(path)):
        with suppress(OSError):
            for line in _lines_from_end(one.read_bytes(), holding.encode()):
                with suppress(ValueError):
                    values = json.loads(line)
                    if isinstance(values, dict):
                        yield values


def _lines_from_end(content: bytes, holding: bytes) -> Iterator[bytes]:
    """Iterate over the lines that hold a text, the last one first, without a look at the others."""
    end = len(content)
    while (at := content.rfind(holding, 0, end)) >= 0:
        begin, stop = content.rfind(b"\n", 0, at) + 1, content.find(b"\n", at)
        yield content[begin : stop if stop >= 0 else len(content)]
        if begin == 0:
            return
        end = begin - 1
