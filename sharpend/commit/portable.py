"""Portable names: rewrite the names of files and folders that Windows and its disks do not take.

Owns the rules of Windows (characters, device names, ends, length) and the rewriting, which depends
on the name alone, so that it is the same each time. Refuses to rewrite what is portable already.
"""

from __future__ import annotations

import hashlib
import re

DIGEST_DIGITS = 8
_LONGEST_UNITS = 255
"""Of UTF-16: NTFS, exFAT and the long names of FAT."""
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f"*:<>?|\\/]')
_DEVICE = re.compile(
    r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9\xb9\xb2\xb3]) *(\.|$)", re.IGNORECASE
)
"""Names of devices, with any suffix."""
_BEYOND_ASCII = re.compile(r"[^\x20-\x7e]")


def is_portable(name: bytes) -> bool:
    """Return whether Windows, and a disk formatted for it, takes a name."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return False
    is_short = len(text.encode("utf-16-le")) <= 2 * _LONGEST_UNITS
    return is_short and _cleaned(text) == text


def clean(name: bytes, *, ascii_only: bool = False) -> bytes:
    """Replace what makes a name not portable by `_`; different names may become equal.

    Args:
        name: one component of a path.
        ascii_only: replace every character beyond ASCII, for a disk with another character set.
    """
    text = _cleaned(name.decode("utf-8", "replace").replace("\ufffd", "_"))
    return (_BEYOND_ASCII.sub("_", text) if ascii_only else text).encode()


def digest_of(name: bytes) -> bytes:
    """Return the digits that make a changed name unique: eight of its SHA-256."""
    return b"~" + hashlib.sha256(name).hexdigest()[:DIGEST_DIGITS].encode()


def _cleaned(text: str) -> str:
    text = _FORBIDDEN.sub("_", text)
    stripped = text.rstrip(". ")
    text = stripped + "_" * (len(text) - len(stripped))
    return f"_{text}" if _DEVICE.match(text) else text
