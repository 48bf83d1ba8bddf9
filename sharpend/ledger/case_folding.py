"""Case-insensitive file names: keys that are equal for paths that collide.

Owns the key by which such twins are found. Independent of any file system's own table: what Unicode
calls a caseless canonical match is at least as wide as theirs for letters and accents.
"""

from __future__ import annotations

import hashlib
import unicodedata

_KEY_BYTES = 16


def twin_key(path: bytes) -> bytes:
    """Fold case and Unicode normal form, so that colliding paths have equal keys.

    The canonical caseless match of the Unicode Standard, section 3.13 (D145), composed at the end.
    Bytes that are not UTF-8 are kept. The names of parent folders are folded as well.
    """
    text = unicodedata.normalize("NFD", path.decode("utf-8", "surrogateescape"))
    return unicodedata.normalize("NFC", text.casefold()).encode("utf-8", "surrogateescape")


def name_key(path: bytes) -> bytes:
    """Return 16 bytes that are equal for paths that collide, and else differ.

    Two of 10 million other paths have equal keys with a probability of 1e-25.
    """
    return hashlib.blake2b(twin_key(path), digest_size=_KEY_BYTES).digest()
