"""Case-insensitive file names: a key that is equal for paths that collide.

Owns the key by which such twins are found. Independent of any file system's own table: what
Unicode calls a caseless canonical match is at least as wide as theirs for letters and accents.
"""

from __future__ import annotations

import unicodedata


def twin_key(path: bytes) -> bytes:
    """Fold case and Unicode normal form, so that colliding paths have equal keys.

    The canonical caseless match of the Unicode Standard, section 3.13 (D145), composed at the end.
    Bytes that are not UTF-8 stand for themselves. Folders along the way are folded as well.
    """
    text = unicodedata.normalize("NFD", path.decode("utf-8", "surrogateescape"))
    return unicodedata.normalize("NFC", text.casefold()).encode("utf-8", "surrogateescape")
