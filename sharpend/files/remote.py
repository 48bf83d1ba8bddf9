"""Roots in object storage: they begin with `s3://`."""

from __future__ import annotations

import errno

SCHEME = "s3://"
STORE_FAULT = errno.EHOSTUNREACH
"""Number of an error that concerns all of an object store: unreachable, no permission, no bucket.
Its text is a sentence for people."""


def is_remote(root: bytes) -> bool:
    """Return whether a folder's root is in object storage."""
    return root.startswith(SCHEME.encode())


def is_url(text: str) -> bool:
    """Return whether a setting's text is meant as an address in object storage."""
    return text[: len(SCHEME)].lower() == SCHEME
