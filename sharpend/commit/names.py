"""Output names: fill in the template, append a number, and shorten names that are too long.

Owns the placeholders, the numbers `-2`, `-3`, …, the rule of shortening, and when a name is made
portable. A name depends only on the input's name and on what the file system takes, so it is the
same each time. Refuses a name that is too long even without its stem.
"""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from dataclasses import dataclass
from itertools import accumulate, count
from typing import TYPE_CHECKING

from sharpend.commit.portable import clean, digest_of, is_portable
from sharpend.errors import name_too_long
from sharpend.files.fingerprint import display

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_LIMITS_BYTES = (255, 143)
"""Maximum length of a name on Linux, and with encrypted names (eCryptfs, some NAS)."""

_FIELDS = re.compile(r"\{(stem|suffix|ext|folder|model)\}")
_LONGEST_EXT_BYTES = 16
"""A longer text after the last dot counts as part of the stem, not as a suffix."""
_NOT_TAKEN = {errno.EINVAL, errno.EILSEQ}


@dataclass(frozen=True, slots=True)
class Naming:
    """Rule that makes an output's name from its input's name."""

    template: str = "{stem}{suffix}{ext}"
    """Contains `{stem}`; `{ext}` is the input's suffix with its dot."""
    suffix: str = ""
    folder: str = ""
    """Name of the folder in the settings."""
    model: str = ""
    """The model's name."""

    def filled(self, stem: bytes, ext: bytes) -> bytes:
        """Fill in the template in one pass, so that braces in a file's name are kept."""
        values = {
            "stem": os.fsdecode(stem),
            "suffix": self.suffix,
            "ext": os.fsdecode(ext),
            "folder": self.folder,
            "model": self.model,
        }
        return os.fsencode(_FIELDS.sub(lambda found: values[found[1]], self.template))


AS_THE_INPUT = Naming()
"""Rule of an output that has its input's name."""


def numbered(
    root: bytes, relative: bytes, naming: Naming = AS_THE_INPUT, *, portable: bool = False
) -> Iterator[bytes]:
    """Yield the names that an output may take, in order of preference: x.jpg, x-2.jpg, ….

    Args:
        root: existing folder that the names are below; its file system limits their length.
        relative: path of the input below its root; its folders are mirrored.
        naming: rule for the name.
        portable: rewrite names that Windows or this file system does not take, those of folders
            too: `a?.jpg` becomes `a_~1a2b3c4d.jpg`.

    Raises:
        ImageRefusedError: NAME_TOO_LONG, when the next name is too long and cannot be shortened.
    """
    parent, name = os.path.split(relative)
    if portable:
        yield from _portable_names(root, parent, name, naming)
        return
    for number in count(1):
        number_text = b"" if number == 1 else b"-%d" % number
        yield os.path.join(parent, _fitting(root, name, naming, number_text))


def shortened(
    name: bytes, limit: int, naming: Naming = AS_THE_INPUT, number_text: bytes = b""
) -> bytes:
    """Make a name of at most `limit` bytes: `<beginning of the stem>~1a2b3c4d<mark>.ext`.

    The stem is cut between two characters, never before a combining mark. The digits are the
    beginning of the SHA-256 of `name`, so that names with the same beginning stay different.

    Args:
        name: of the input.
        limit: in bytes.
        naming: rule for the name.
        number_text: number after the stem, or nothing.

    Raises:
        ImageRefusedError: NAME_TOO_LONG, when the name without its stem is too long already.
    """
    stem, ext = _split(name)
    end = digest_of(name) + number_text
    spare = limit - len(naming.filled(b"", ext))
    room = spare // naming.template.count("{stem}") - len(end)
    if room < 0:
        raise name_too_long(display(naming.filled(stem + number_text, ext)))
    return naming.filled(_cut(stem, room) + end, ext)


def _fitting(root: bytes, name: bytes, naming: Naming, number_text: bytes) -> bytes:
    stem, ext = _split(name)
    made = naming.filled(stem + number_text, ext)
    for limit in NAME_LIMITS_BYTES:
        if _is_short_enough(root, made):
            break
        made = shortened(name, limit, naming, number_text)
    return made


def _portable_names(root: bytes, parent: bytes, name: bytes, naming: Naming) -> Iterator[bytes]:
    above = b""
    for folder in filter(None, parent.split(b"/")):
        inside = os.path.join(root, above)
        above = os.path.join(above, _portable(inside, folder, AS_THE_INPUT, b""))
    for number in count(1):
        number_text = b"" if number == 1 else b"-%d" % number
        yield os.path.join(above, _portable(os.path.join(root, above), name, naming, number_text))


def _portable(folder: bytes, name: bytes, naming: Naming, number_text: bytes) -> bytes:
    """Return the name by the template, rewritten where it is not portable or not taken.

    Where the input's own name is at fault, its digest keeps it different from others.
    """
    made = _fitting(folder, name, naming, number_text)
    if _is_taken(folder, made):
        return made
    for ascii_only in (False, True):
        other = (
            name if is_portable(name) and not ascii_only else _distinct(name, ascii_only=ascii_only)
        )
        made = clean(_fitting(folder, other, naming, number_text), ascii_only=ascii_only)
        if _is_taken(folder, made):
            break
    return made


def _distinct(name: bytes, *, ascii_only: bool) -> bytes:
    stem, ext = (clean(part, ascii_only=ascii_only) for part in _split(name))
    return stem + digest_of(name) + ext


def _is_taken(folder: bytes, name: bytes) -> bool:
    """Return whether Windows and this file system take a name; the latter is asked if in doubt."""
    if not is_portable(name):
        return False
    if not name.isascii():
        try:
            os.lstat(os.path.join(folder, name))
        except OSError as error:
            return error.errno not in _NOT_TAKEN
    return True


def _is_short_enough(root: bytes, name: bytes) -> bool:
    """Return whether the file system accepts the length of a name, by a lookup if in doubt.

    The limit that statvfs returns for network mounts and encrypted folders is often wrong.
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
    """Return the longest beginning of at most `room` bytes that ends between two characters."""
    text = stem.decode("utf-8", "surrogateescape")
    sizes = accumulate(len(one.encode("utf-8", "surrogateescape")) for one in text)
    end = sum(size <= room for size in sizes)
    while 0 < end < len(text) and unicodedata.category(text[end]).startswith("M"):
        end -= 1
    return text[:end].encode("utf-8", "surrogateescape")
