"""Uploads as staged files: each with a record on disk that outlives the process.

Owns the spool: `<state>/spool/<temporary name>/` holds the files of one attempt and the record of
its upload. The record is on disk before the upload is begun, so that no upload is forgotten: what a
crash leaves is found again, and dropped or completed. Refuses to replace an object that it was not
told to replace.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mimetypes
import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.files.atomic import write_atomically
from sharpend.files.objects.bucket import ATTEMPT, DIGEST, Bucket, Object, Part, of_attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sharpend.files.fingerprint import Fingerprint

SPOOL = "spool"
"""Folder in the state directory."""
OUTPUT = "output"
"""Name of the finished image in the folder of its attempt."""
_RECORD = "upload.json"
_PART_BYTES = 16 << 20
_MOST_PARTS = 10_000
_SKEW_S = 1000.0
"""Difference of our clock and the store's: it refuses requests with more than 15 minutes; and the
time of one request."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A staged file in object storage, from its record."""

    root: str
    """Of the output folder."""
    relative: str
    """Path of the object below it."""
    size: int
    digest: str
    """SHA-256 of the bytes, lower-case hexadecimal."""
    id: str = ""
    """Empty before the store has given one."""
    parts: tuple[Part, ...] = ()
    """All parts; empty before all were sent."""
    begun_s: float = 0.0
    """Wall clock before the store was asked to begin it."""
    is_dropped: bool = False
    """It is not wanted any more; True until the store has confirmed that."""

    @property
    def bucket(self) -> Bucket:
        """The bucket that it is in."""
        return Bucket(os.fsencode(self.root))

    @property
    def key(self) -> str:
        """Its key."""
        return self.bucket.address.key(os.fsencode(self.relative))


class Uploads:
    """The uploads of one state directory; for all threads, one attempt in one thread at a time.

    `at` is called with the name of each step after it, so that tests can simulate a crash there:
    recorded, created, sent, staged, completed, forgotten.

    Args:
        spool: the folder; created when it is needed.
        at: see above.
    """

    def __init__(self, spool: bytes, at: Callable[[str], None] = lambda _: None) -> None:
        self._spool = Path(os.fsdecode(spool))
        self._at = at

    def folder(self, temp: bytes) -> Path:
        """Return the folder of an attempt, created if it is missing; nobody else can enter it."""
        folder = self._spool / os.fsdecode(temp)
        self._spool.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def upload(self, temp: bytes, root: bytes, relative: bytes) -> Fingerprint:
        """Upload the finished image of an attempt, up to its completion.

        Returns:
            The fingerprint that the object will have.

        Raises:
            ImageRefusedError: its path has no key.
            OSError: the store, or the spool.
        """
        path = self.folder(temp) / OUTPUT
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        upload = Upload(os.fsdecode(root), os.fsdecode(relative), path.stat().st_size, digest)
        kind = mimetypes.guess_type(upload.relative)[0] or "application/octet-stream"
        upload = self.begin(temp, upload, {ATTEMPT: os.fsdecode(temp), DIGEST: digest}, kind)
        parts = []
        for number, body in enumerate(_pieces(path, upload.size), start=1):
            parts.append(upload.bucket.send(upload.key, upload.id, number, body))
            self._at("sent")
        self._write(temp, replace(upload, parts=tuple(parts)))
        self._at("staged")
        return of_attempt(upload.size, temp)

    def begin(self, temp: bytes, upload: Upload, metadata: Mapping[str, str], kind: str) -> Upload:
        """Begin an upload, on record before and after; return it with its id."""
        bucket, key = upload.bucket, upload.key
        upload = replace(upload, begun_s=time.time())
        self._write(temp, upload)
        self._at("recorded")
        begun = replace(upload, id=bucket.create(key, metadata, kind))
        self._at("created")
        self._write(temp, begun)
        return begun

    def staged(self, temp: bytes) -> Upload | None:
        """Return the upload of an attempt if all of it was sent."""
        upload = self._read(temp)
        return upload if upload is not None and upload.parts else None

    def publish(self, temp: bytes, relative: bytes, replaces: Object | None) -> None:
        """Complete the upload of an attempt as the object at a path; can be repeated.

        Args:
            temp: of the attempt.
            relative: path below the root.
            replaces: the object that may be replaced; None: the path must be free.

        Raises:
            FileExistsError: another object has the path.
            FileNotFoundError: nothing was staged for this path, or the store has dropped it, for
                example after a conflict.
            OSError: the store; it is not known whether the object is there.
        """
        upload = self._read(temp)
        if upload is None or os.fsencode(upload.relative) != relative:
            raise FileNotFoundError(temp)
        self._complete(temp, upload, replaces)
        self._at("completed")
        self.forget(temp)
        self._at("forgotten")

    def _complete(self, temp: bytes, upload: Upload, replaces: Object | None) -> None:
        etag = None if replaces is None else replaces.etag
        try:
            upload.bucket.complete(upload.key, upload.id, upload.parts, replaces=etag)
        except (FileExistsError, FileNotFoundError):
            if not self._stands(temp, upload):  # else it was an earlier answer that was lost
                raise

    def _stands(self, temp: bytes, upload: Upload) -> bool:
        with suppress(FileNotFoundError):
            there = upload.bucket.head(upload.key)
            return there.metadata.get(ATTEMPT) == os.fsdecode(temp)
        return False

    def set_aside(self, temp: bytes) -> None:
        """Drop the upload of an attempt, and keep its finished image for the next one.

        An upload that cannot be dropped now is one of the `leftovers`, with the image.
        """
        upload = self._read(temp)
        if upload is not None:
            self._write(temp, replace(upload, parts=(), is_dropped=True))
            with suppress(OSError):
                self._drop(upload)
                (self._spool / os.fsdecode(temp) / _RECORD).unlink()

    def take_over(self, temp: bytes, earlier: bytes) -> bool:
        """Move the finished image that an earlier attempt has set aside; False if it is gone."""
        try:
            os.rename(self._spool / os.fsdecode(earlier) / OUTPUT, self.folder(temp) / OUTPUT)
        except FileNotFoundError:
            return False
        if self._read(earlier) is None:
            self.forget(earlier)
        return True

    def discard(self, temp: bytes) -> None:
        """Drop the upload and the files of an attempt; what is not there is no error.

        Raises:
            OSError: the store; the record of the attempt alone is left.
        """
        upload = self._read(temp)
        if upload is not None:
            self.unstage(temp)
            self._drop(upload)
        self.forget(temp)

    def unstage(self, temp: bytes) -> None:
        """Delete the files of an attempt except its record, else an outage fills the disk."""
        with suppress(FileNotFoundError):
            for path in (self._spool / os.fsdecode(temp)).iterdir():
                if path.name != _RECORD:
                    path.unlink()
        upload = self._read(temp)
        if upload is not None and not upload.is_dropped:
            self._write(temp, replace(upload, parts=(), is_dropped=True))

    def forget(self, temp: bytes) -> None:
        """Delete the files of an attempt, whose upload is complete or was never begun."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._spool / os.fsdecode(temp))

    def attempts(self) -> list[bytes]:
        """List the temporary names of all attempts that left something."""
        try:
            return [os.fsencode(name) for name in os.listdir(self._spool)]
        except FileNotFoundError:
            return []

    def leftovers(self) -> list[bytes]:
        """List the temporary names of the attempts whose upload could not be dropped yet."""
        records = ((temp, self._read(temp)) for temp in self.attempts())
        return [temp for temp, one in records if one is not None and one.is_dropped]

    def _drop(self, upload: Upload) -> None:
        """Abort an upload; one whose id was lost with the process is found by its key."""
        ids = [upload.id] if upload.id else self._pending_results(upload)
        for one in ids:
            with suppress(FileNotFoundError):
                upload.bucket.abort(upload.key, one)

    def _pending_results(self, upload: Upload) -> list[str]:
        """Find the upload of a record without an id; those begun at other times are of others.

        Raises:
            OSError: EAGAIN, an upload to the same key is being begun: one of both has no id yet.
        """
        listed = upload.bucket.uploads(upload.key)  # the records of all of them are older
        records = [one for temp in self.attempts() if (one := self._read(temp)) is not None]
        if any(not (one.id or one.is_dropped) and one.key == upload.key for one in records):
            raise OSError(errno.EAGAIN, "another upload to the key is being begun")
        known = {one.id for one in records}
        return [
            one
            for one, begun_s in listed.items()
            if one not in known and abs(begun_s - upload.begun_s) <= _SKEW_S
        ]

    def _read(self, temp: bytes) -> Upload | None:
        try:
            values = json.loads((self._spool / os.fsdecode(temp) / _RECORD).read_bytes())
            return Upload(**{**values, "parts": tuple(values["parts"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def _write(self, temp: bytes, upload: Upload) -> None:
        write_atomically(self.folder(temp) / _RECORD, json.dumps(asdict(upload)).encode())


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    """Yield the parts of a file: the last may be shorter, and an empty file has an empty one."""
    most = max(_PART_BYTES, -(-size // _MOST_PARTS))
    with path.open("rb") as file:
        yield file.read(most)
        while piece := file.read(most):
            yield piece
