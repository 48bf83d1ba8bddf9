"""Check of a store: whether it can be reached, and whether it keeps the conditions of requests.

Owns the test object, which is deleted again. Some stores accept a condition and ignore it: two
writers would then overwrite each other, so such a store is refused.
"""

from __future__ import annotations

import secrets
from contextlib import suppress

from sharpend.files.objects.bucket import Bucket, Object
from sharpend.files.remote import STORE_FAULT

_ADVICE = "choose a store that keeps conditions, such as Amazon S3"
_BODY = b"a test by sharpend; it can be deleted\n"


def check_listing(root: bytes) -> None:
    """List the first objects of a folder; OSError with a sentence for people."""
    Bucket(root).page(None, recursive=False)


def check_conditions(root: bytes) -> None:
    """Write, complete and delete an object against its conditions: each has to be refused.

    Raises:
        OSError: with a sentence for people; the store cannot be worked with.
    """
    bucket = Bucket(root)
    key = bucket.address.key(b".sharpend-test-" + secrets.token_hex(8).encode())
    written = bucket.put(key, _BODY)
    try:
        _require_refusal_to_write(bucket, key)
        _require_refusal_to_complete(bucket, key)
        _require_refusal_to_delete(bucket, written)
    finally:
        with suppress(FileNotFoundError, FileExistsError):
            bucket.delete(bucket.head(key))


def _require_refusal_to_write(bucket: Bucket, key: str) -> None:
    with suppress(FileExistsError):
        bucket.put(key, _BODY)
        raise OSError(STORE_FAULT, f"the store ignores If-None-Match of a write; {_ADVICE}")


def _require_refusal_to_complete(bucket: Bucket, key: str) -> None:
    upload = bucket.create(key, {}, "text/plain")
    try:
        with suppress(FileExistsError):
            bucket.complete(key, upload, [bucket.send(key, upload, 1, _BODY)])
            text = f"the store ignores If-None-Match of a completed upload; {_ADVICE}"
            raise OSError(STORE_FAULT, text)
    finally:
        with suppress(FileNotFoundError):
            bucket.abort(key, upload)


def _require_refusal_to_delete(bucket: Bucket, written: Object) -> None:
    with suppress(FileExistsError):
        bucket.delete(Object(written.key, written.size, 0, '"another"'))
        raise OSError(STORE_FAULT, f"the store ignores If-Match of a deletion; {_ADVICE}")
