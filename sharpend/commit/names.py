"""The names that results may take: the template, numbers after it, and what is cut off to fit.

Owns the placeholders, `-2` and its followers, and the way a long name is shortened. A name depends
on the input's own and on the file system's limit alone, so the same input always gets the same.
Refuses a name that is too long even without its stem.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from itertools import accumulate, count
from typing import TYPE_CHECKING

from sharpend.errors import name_too_long
from sharpend.files.fingerprint import display

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_LIMITS_BYTES = (255, 143)
"""The longest name on Linux, and where file names are encrypted (eCryptfs, many a NAS)."""

_FIELDS = re.compile(r"\{(stem|suffix|ext|folder|model)\}")
_LONGEST_EXT_BYTES = 16
"""What follows a dot and is longer is no suffix but a part of the stem."""
_DIGEST_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Naming:
    """How an output's name is made from its input's."""

    template: str = "{stem}{suffix}{ext}"
    """Holds `{stem}`; `{ext}` is the input's suffix with its dot."""
    suffix: str = ""
    folder: str = ""
    """The folder's name in the settings."""
    model: str = ""
    """The network's name."""

    def filled(self, stem: bytes, ext: bytes) -> bytes:
        """Fill in one pass: braces in a file's own name stay what they are."""
        values = {
            "stem": os.fsdecode(stem),
            "suffix": self.suffix,
            "ext": os.fsdecode(ext),
            "folder": self.folder,
            "model": self.model,
        }
        return os.fsencode(_FIELDS.sub(lambda found: values[found[1]], self.template))


AS_THE_INPUT = Naming()
"""Without a suffix, the input's own name."""


def numbered(root: bytes, relative: bytes, naming: Naming = AS_THE_INPUT) -> Iterator[bytes]:
    """The names that a result of `relative` may take, best first: x.jpg, x-2.jpg, and on.

    Args:
        root: the existing folder that the names are below; asked for the longest it takes.
        relative: the input, below its own root; its folders are mirrored.
        naming: makes the name.

    Raises:
        ImageRefusedError: NAME_TOO_LONG, when the next name would be and cannot be shortened.
    """
    parent, name = os.path.split(relative)
    for number in count(1):
        mark = b"" if number == 1 else b"-%d" % number
        yield os.path.join(parent, _fitting(root, name, naming, mark))


def shortened(name: bytes, limit: int, naming: Naming = AS_THE_INPUT, mark: bytes = b"") -> bytes:
    """The name made from `name`, of `limit` bytes at most: `<stem cut short>~1a2b3c4d<mark>.ext`.

    The stem is cut between two characters, never before a combining mark. The digits are of the
    SHA-256 of `name`, so that names with one beginning stay different.

    Raises:
        ImageRefusedError: NAME_TOO_LONG, when what is not the stem is too long already.
    """
    stem, ext = _split(name)
    digits = hashlib.sha256(name).hexdigest()[:_DIGEST_DIGITS].encode()
    end = b"~" + digits + mark
    spare = limit - len(naming.filled(b"", ext))
    room = spare // naming.template.count("{stem}") - len(end)
    if room < 0:
        raise name_too_long(display(naming.filled(stem + mark, ext)))
    return naming.filled(_cut(stem, room) + end, ext)


def _fitting(root: bytes, name: bytes, naming: Naming, mark: bytes) -> bytes:
    stem, ext = _split(name)
    made = naming.filled(stem + mark, ext)
    for limit in NAME_LIMITS_BYTES:
        if _takes(root, made):
            break
        made = shortened(name, limit, naming, mark)
    return made


def _takes(root: bytes, name: bytes) -> bool:
    """Whether a name is short enough, asked of the file system itself where it may be in doubt.

    What a network mount or an encrypted folder says of its limit is often not the truth.
    """
    longest, certain = NAME_LIMITS_BYTES
    if certain < len(name) <= longest:
        try:
            os.lstat(os.path.join(root, name))
        except OSError as error:
            return error.errno != errno.ENAMETOOLONG
    return len(name) <= longest


def _split(name: bytes) -> tuple[bytes, bytes]:
    stem, ext = os.path.splitext(name)
    return (stem, ext) if len(ext) <= _LONGEST_EXT_BYTES else (name, b"")


def _cut(stem: bytes, room: int) -> bytes:
    """The longest beginning of `room` bytes at most that ends between two characters."""
    text = stem.decode("utf-8", "surrogateescape")
    sizes = accumulate(len(one.encode("utf-8", "surrogateescape")) for one in text)
    end = sum(size <= room for size in sizes)
    while 0 < end < len(text) and unicodedata.category(text[end]).startswith("M"):
        end -= 1
    return text[:end].encode("utf-8", "surrogateescape")
