"""Extended attributes `user.*` of files: tags, ratings and comments that desktops keep.

Owns the choice of those that may go from an input to its output, and how they are written. Where
there are no such attributes (macOS in Python, some file systems), there is nothing to carry.
Refuses digests of the content, which are wrong for an output, and our own marks.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_BYTES = 65_536
"""Most bytes of names and values together that an output gets; ext4 holds one block of a file."""
_SPACE = "user."
_OURS = "user.sharpend."
_OF_CONTENT = re.compile(
    r"(^|[._-])(shatag|cshatag|checksums?|digest|hash|md5|sha\d*|crc\d*c?|blake\w*|b3sum|xxh\w*)($|[._-])"
)
"""Names of attributes that are about the bytes of a file, as checksum tools write them."""


def attributes_of(descriptor: int) -> tuple[Mapping[str, bytes], int]:
    """Read the attributes of an open input that its output may have.

    Returns:
        Values by name, `MOST_BYTES` at most; and the number of others that could not be read or are
        beyond that.
    """
    found: dict[str, bytes] = {}
    uncopied, room = 0, MOST_BYTES
    for name in _names(descriptor):
        if name.startswith(_OURS) or _OF_CONTENT.search(name.removeprefix(_SPACE).lower()):
            continue
        value = _value(descriptor, name)
        size = 0 if value is None else len(os.fsencode(name)) + len(value)
        if value is None or size > room:
            uncopied += 1
        else:
            found[name] = value
            room -= size
    return found, uncopied


def give_attributes(descriptor: int, attributes: Mapping[str, bytes]) -> int:
    """Write attributes to an open file, as far as its file system takes them.

    Returns:
        The number of attributes that the file system refused: unsupported, no space, or forbidden.
    """
    return sum(not _is_set(descriptor, name, value) for name, value in attributes.items())


def copy_attributes(source: int, copy: int) -> None:
    """Give an exact copy of a file all its attributes, as far as its file system takes them."""
    for name in _names(source):
        value = _value(source, name)
        if value is not None:
            _is_set(copy, name, value)


def _names(descriptor: int) -> Iterable[str]:
    if sys.platform == "linux":
        with suppress(OSError):
            return [name for name in os.listxattr(descriptor) if name.startswith(_SPACE)]
    return []


def _value(descriptor: int, name: str) -> bytes | None:
    if sys.platform == "linux":
        with suppress(OSError):
            return os.getxattr(descriptor, name)
    return None


def _is_set(descriptor: int, name: str, value: bytes) -> bool:
    if sys.platform == "linux":
        with suppress(OSError):
            os.setxattr(descriptor, name, value)
            return True
    return False
