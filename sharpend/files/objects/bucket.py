"""Bucket with a folder in it: the requests that sharpend makes, one method for each.

Owns the names of our metadata, and the fingerprints of objects. A staged file is an upload that is
not complete: nobody sees it, and only its completion, under the condition that the key is free,
makes the object. Refuses to write an object in any other way. Every method raises OSError.
"""

from __future__ import annotations

import errno
import hashlib
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from sharpend.files.fingerprint import Fingerprint
from sharpend.files.objects.address import Address
from sharpend.files.objects.client import (
    ConflictError,
    DeniedError,
    NoUploadError,
    RefusedError,
    client,
    translated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

ATTEMPT, DIGEST = "sharpend-attempt", "sharpend-sha256"
"""Metadata of our objects: the attempt that made one, and the SHA-256 of its bytes."""
_CHECKSUM = "CRC32"
"""Compared by the store with each part that it receives."""
_ETAG = "ETag"
_CONFLICTS = 5
"""Tries of a request while others are at its key."""
_SECOND_NS = 10**9
_BITS = 62


Part: TypeAlias = "Mapping[str, str]"
"""ETag of a part that was sent, and its checksum where the store returns one."""


@dataclass(frozen=True, slots=True)
class Object:
    """An object as the store describes it."""

    key: str
    size: int
    modified_s: int
    """Wall clock of the store in whole seconds, as all its answers have it."""
    etag: str
    """Compared and never computed: that of an upload in parts is no digest of its bytes."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Empty in listings: only `head` and `open` read it."""
    kind: str = "application/octet-stream"
    """Media type; only `head` and `open` read it."""

    @property
    def as_input(self) -> Fingerprint:
        """Fingerprint of an input; the fraction of its second is derived from the ETag."""
        fraction = _number(self.etag.strip('"')) % _SECOND_NS
        return Fingerprint(self.size, self.modified_s * _SECOND_NS + fraction, 0)

    @property
    def digest(self) -> str | None:
        """SHA-256 of its bytes, if sharpend made it."""
        return self.metadata.get(DIGEST)

    @property
    def as_output(self) -> Fingerprint:
        """Fingerprint of an output: of the attempt that made it, if sharpend made it."""
        attempt = self.metadata.get(ATTEMPT)
        return of_attempt(self.size, attempt.encode()) if attempt else self.as_input


def of_attempt(size: int, attempt: bytes) -> Fingerprint:
    """Return the fingerprint of an output that an attempt makes, known before it is complete.

    A store gives time and ETag with the completion, whose answer may be lost.
    """
    return Fingerprint(size, _number(attempt.decode()), 0)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> (64 - _BITS)


class Bucket:
    """Requests below one folder; for all threads.

    Args:
        root: of the folder.
    """

    def __init__(self, root: bytes) -> None:
        self.address = Address.of(root)

    def page(self, token: str | None, *, recursive: bool = True) -> tuple[list[Object], str | None]:
        """List up to 1,000 objects below the folder, and what continues the list; None at its end.

        Args:
            token: what continued the list before; None begins it.
            recursive: False leaves out objects in folders below.
        """
        more = {} if token is None else {"ContinuationToken": token}
        if not recursive:
            more["Delimiter"] = "/"
        with translated():
            answer = client().list_objects_v2(
                Bucket=self.address.bucket, Prefix=self.address.beginning, **more
            )
        listed = [_object(one["Key"], one, one["Size"]) for one in answer.get("Contents", ())]
        return listed, answer.get("NextContinuationToken")

    def head(self, key: str) -> Object:
        """Describe one object; errors as those of `opened`."""
        with self._of_one(DeniedError):
            answer = client().head_object(Bucket=self.address.bucket, Key=key)
        return _object(key, answer, answer["ContentLength"], answer["Metadata"])

    @contextmanager
    def opened(self, key: str) -> Iterator[tuple[Object, Iterator[bytes]]]:
        """Read one object in a block: what it is, and its bytes.

        Raises:
            FileNotFoundError: it does not exist.
            PermissionError: the store gives other objects, but not this one.
            OSError: EIO, the store refuses this object alone; STORE_FAULT, all of it fails.
        """
        with self._of_one(DeniedError):
            answer = client().get_object(Bucket=self.address.bucket, Key=key)
        found = _object(key, answer, answer["ContentLength"], answer["Metadata"])
        with closing(answer["Body"]) as body:
            yield found, _chunks(body)

    def create(self, key: str, metadata: Mapping[str, str], kind: str) -> str:
        """Begin an upload; return its id."""
        with self._of_one():
            answer = client().create_multipart_upload(
                Bucket=self.address.bucket,
                Key=key,
                Metadata=dict(metadata),
                ContentType=kind,
                ChecksumAlgorithm=_CHECKSUM,
            )
        return str(answer["UploadId"])

    def send(self, key: str, upload: str, number: int, body: bytes) -> Part:
        """Send one part, counted from 1."""
        with self._of_one():
            answer = client().upload_part(
                Bucket=self.address.bucket,
                Key=key,
                UploadId=upload,
                PartNumber=number,
                Body=body,
                ChecksumAlgorithm=_CHECKSUM,
            )
        return _part(answer)

    def copy_to(self, target: Bucket, key: str, upload: str, source: Object, first: int) -> Part:
        """Let the store copy a part of an object of this bucket, if unchanged.

        Args:
            target: bucket of the upload.
            key: of the upload.
            upload: its id.
            source: the object.
            first: first byte of at most `COPIED_BYTES`; the part's number follows from it.
        """
        last = min(first + COPIED_BYTES, source.size) - 1
        with self._of_one():
            answer = client().upload_part_copy(
                Bucket=target.address.bucket,
                Key=key,
                UploadId=upload,
                PartNumber=first // COPIED_BYTES + 1,
                CopySource={"Bucket": self.address.bucket, "Key": source.key},
                CopySourceIfMatch=source.etag,
                CopySourceRange=f"bytes={first}-{last}",
            )
        return _part(answer["CopyPartResult"])

    def complete(
        self, key: str, upload: str, parts: Sequence[Part], *, replaces: str | None = None
    ) -> None:
        """Make the object of an upload, if the key is free or has the object to replace.

        Can be repeated. FileExistsError: the key is taken, or the object to replace is gone.
        FileNotFoundError: there is no such upload (any more).

        Args:
            key: of the upload.
            upload: its id.
            parts: in order.
            replaces: ETag of the object that has the key now; None: the key must be free.
        """
        condition = {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces}
        numbered = [{"PartNumber": at, **part} for at, part in enumerate(parts, start=1)]
        for remaining in reversed(range(_CONFLICTS)):
            try:
                with self._of_one():
                    client().complete_multipart_upload(
                        Bucket=self.address.bucket,
                        Key=key,
                        UploadId=upload,
                        MultipartUpload={"Parts": numbered},
                        **condition,
                    )
            except ConflictError:
                if not remaining:
                    raise
            except FileNotFoundError as error:
                if replaces is None or isinstance(error, NoUploadError):
                    raise
                raise FileExistsError(errno.EEXIST, error.strerror) from error
            else:
                return

    def abort(self, key: str, upload: str) -> None:
        """Drop an upload with its parts; FileNotFoundError if there is none any more."""
        with self._of_one():
            client().abort_multipart_upload(Bucket=self.address.bucket, Key=key, UploadId=upload)

    def uploads(self, key: str) -> dict[str, float]:
        """List all uploads to one key that are not complete, by id: when each was begun.

        That is the wall clock of the store in seconds.
        """
        with translated():
            pages = client().get_paginator("list_multipart_uploads")
            answers = list(pages.paginate(Bucket=self.address.bucket, Prefix=key))
        listed = [one for answer in answers for one in answer.get("Uploads", ())]
        return {
            str(one["UploadId"]): one["Initiated"].timestamp()
            for one in listed
            if one["Key"] == key
        }

    def delete(self, found: Object) -> None:
        """Delete an object, if it is unchanged: else FileExistsError or FileNotFoundError."""
        with self._of_one():
            client().delete_object(Bucket=self.address.bucket, Key=found.key, IfMatch=found.etag)

    def put(self, key: str, body: bytes, *, replaces: str | None = None) -> Object:
        """Write a small object that is no image: condition and errors as those of `complete`."""
        condition = {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces}
        with translated():
            answer = client().put_object(
                Bucket=self.address.bucket, Key=key, Body=body, **condition
            )
        return Object(key, len(body), 0, answer["ETag"])

    @contextmanager
    def _of_one(self, *kinds: type[OSError]) -> Iterator[None]:
        """Request one object in a block: errors of these kinds are its own if the store lists.

        A refusal always is; a denied access is not where we write, for that is the folder's.
        """
        of_one: tuple[type[OSError], ...] = (RefusedError, *kinds)
        try:
            with translated():
                yield
        except of_one as error:
            self.page(None)  # it raises where the store as a whole fails
            number = errno.EACCES if isinstance(error, DeniedError) else errno.EIO
            raise OSError(number, error.strerror) from error


def _part(answer: Mapping[str, Any]) -> Part:
    known = (_ETAG, f"Checksum{_CHECKSUM}")
    return {name: str(answer[name]) for name in known if name in answer}


COPIED_BYTES = 1 << 30
"""Bytes of a part that the store copies; it allows 5 GiB."""
_CHUNK_BYTES = 1 << 20


def _chunks(body: Any) -> Iterator[bytes]:  # noqa: ANN401 - a class of botocore
    """Yield the bytes of an answer; a broken connection is an error of the store."""
    with translated():
        yield from body.iter_chunks(_CHUNK_BYTES)


def _object(
    key: str, answer: Mapping[str, Any], size: int, metadata: Mapping[str, str] | None = None
) -> Object:
    modified: datetime = answer["LastModified"]
    kind = answer.get("ContentType", "application/octet-stream")
    return Object(key, size, int(modified.timestamp()), answer["ETag"], metadata or {}, kind)
