"""Digest of a file's content, and records of inputs in outputs.

Owns SHA-256 as the digest by which contents are compared. Reads plain bytes and decodes nothing, so
the daemon may use it on files of strangers.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

from sharpend.files.beneath import open_file
from sharpend.files.fingerprint import Fingerprint

if TYPE_CHECKING:
    from io import BufferedReader

_CHUNK_BYTES = 1 << 20
_RECORD = re.compile(rb'sharpend:InputDigest="([0-9a-f]{64})"')
_RECORD_BYTES = 128
"""More than a record takes, so that one across two chunks is found."""


def digest_of(file: BufferedReader) -> str:
    """Compute the SHA-256 of an open file from its position on, in lower-case hexadecimal."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def digest_within(file: BufferedReader, most_bytes: int) -> str | None:
    """Compute the digest of a whole file, and rewind it; None of one with more bytes."""
    if os.fstat(file.fileno()).st_size > most_bytes:
        return None
    digest = digest_of(file)
    file.seek(0)
    return digest


def digest_at(root: bytes, relative: bytes, meant: Fingerprint) -> str | None:
    """Compute the SHA-256 of the file at a path below a root; None if it is not the file meant.

    Raises:
        ImageRefusedError: it is no regular file, or a folder on the way is a link.
        OSError: it is missing or cannot be read.
    """
    with os.fdopen(open_file(root, relative), "rb") as file:
        digest = digest_of(file)
        is_meant = meant.is_same_file(Fingerprint.of(os.fstat(file.fileno())))
    return digest if is_meant else None


def input_digests(root: bytes, relative: bytes) -> set[bytes]:
    """Find the digests of inputs that an output's provenance record names.

    The record is in the file's XMP, which is stored so that programs find it without knowing the
    format (XMP specification, part 1, section 7.3.2: the packet wrapper).

    Raises:
        ImageRefusedError: it is no regular file, or a folder on the way is a link.
        OSError: it is missing or cannot be read.
    """
    found: set[bytes] = set()
    with os.fdopen(open_file(root, relative), "rb") as file:
        rest = b""
        while chunk := file.read(_CHUNK_BYTES):
            found.update(_RECORD.findall(rest + chunk))
            rest = chunk[-_RECORD_BYTES:]
    return found
