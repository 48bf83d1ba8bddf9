"""Object storage as a place of outputs and sources.

Owns the order of the requests that publish and move an object. A staged file is an upload, which is
completed under the condition that its key is free. The store copies a source into the archive by
an upload of the same kind, and only then is the source deleted, under the condition that it is
unchanged. All of it can be repeated after a crash at any point. Refuses to overwrite anything that
it was not told to replace.
"""

from __future__ import annotations

import errno
import math
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpend.files.objects.bucket import COPIED_BYTES, Bucket, Object, of_attempt
from sharpend.files.objects.uploads import Upload, Uploads
from sharpend.files.remote import STORE_FAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from sharpend.files.fingerprint import Fingerprint


SHUT_S = 15.0
"""Least seconds for which a store that failed is not asked again: each try makes others wait."""
_SHARE = 2.0
"""Multiple of the failed try's duration, likewise: tries take at most a third of the time."""


class Outage:
    """Memory of a store that gave no answer; for the one thread that commits.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until_s = -math.inf
        self._cause = ""

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Ask the store in this block; at once OSError if it gave no answer a short while ago."""
        began_s = self._clock()
        if began_s < self._until_s:
            raise OSError(STORE_FAULT, self._cause)
        try:
            yield
        except OSError as error:
            if error.errno == STORE_FAULT:
                now_s = self._clock()
                self._until_s = now_s + max(SHUT_S, _SHARE * (now_s - began_s))
                self._cause = error.strerror or ""
            raise


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder in object storage: the beginning of keys. Nothing in it is ever partial."""

    bucket: Bucket
    parent: bytes
    """Path below the root of the outputs."""
    uploads: Uploads
    outage: Outage
    _found_outputs: dict[bytes, Object] = field(default_factory=dict)
    """The objects that were looked at last, by name: only these may be replaced."""

    @property
    def identity(self) -> Hashable:
        """Bucket and path."""
        return self.bucket.address, self.parent

    def fingerprint(self, name: bytes) -> Fingerprint | None:
        """Ask the store."""
        self._found_outputs.pop(name, None)
        with self.outage.noticed():
            found = self.bucket.head(self.bucket.address.key(self._path(name)))
        self._found_outputs[name] = found
        return found.as_output

    def staged(self, temp: bytes) -> Fingerprint | None:
        """Look into the record of the upload."""
        upload = self.uploads.staged(temp)
        return None if upload is None else of_attempt(upload.size, temp)

    def is_equal(self, temp: bytes, name: bytes) -> bool:
        """Compare the digests, which each of our objects has among its metadata."""
        upload, found = self.uploads.staged(temp), self._found_outputs.get(name)
        return upload is not None and found is not None and found.digest == upload.digest

    def publish(self, temp: bytes, name: bytes, *, replaces: bool) -> None:
        """Complete the upload."""
        replaced = self._found_outputs.get(name) if replaces else None
        with self.outage.noticed():
            self.uploads.publish(temp, self._path(name), replaced)

    def discard(self, temp: bytes) -> None:
        """Abort the upload; in an outage its record alone is left."""
        self.uploads.unstage(temp)
        with self.outage.noticed():
            self.uploads.discard(temp)

    def sync(self) -> None:
        """Do nothing: an object that is there is durable."""

    def _path(self, name: bytes) -> bytes:
        return os.path.join(self.parent, name)


SOURCE = "sharpend-source"
"""Metadata of an archived object: ETag and time of the one that it is a copy of."""
_TRIES = 5
"""Copies of a source to one name, while others are at it."""


class RemoteSource:
    """Input of a job in object storage: see `Source`.

    Args:
        root: of the input folder.
        relative: path below it.
        meant: fingerprint that it must have.
        uploads: of the state directory.
        outage: of the store.
    """

    def __init__(
        self,
        root: bytes,
        relative: bytes,
        meant: Fingerprint,
        uploads: Uploads,
        outage: Outage,
    ) -> None:
        self._bucket = Bucket(root)
        self._key = self._bucket.address.key(relative)
        self._meant = meant
        self._uploads = uploads
        self._outage = outage
        self._found_outputs: Object | None = None

    def look(self) -> bool:
        """Ask the store: see `Source`."""
        with self._outage.noticed():
            self._found_outputs = self._found()
        return self._found_outputs is not None

    def delete(self) -> None:
        """Delete it if it is unchanged."""
        if self._found_outputs is not None:
            with self._outage.noticed():
                self._remove(self._found_outputs)

    def archive(self, root: bytes, names: Iterator[bytes], temp: bytes) -> bytes | None:
        """Let the store copy it, then delete it: see `Source`."""
        if (found := self._found_outputs) is None:
            return None
        with self._outage.noticed():
            try:
                name = self._copied(root, names, temp, found)
            except FileNotFoundError:
                if self._found() is None:  # it went while it was copied
                    return None
                raise
            self._remove(found)
            return name

    def _found(self) -> Object | None:
        try:
            found = self._bucket.head(self._key)
        except FileNotFoundError:
            self._bucket.page(None)  # a bucket that is missing gives the same answer
            return None
        return found if found.as_input == self._meant else None

    def _remove(self, found: Object) -> None:
        with suppress(FileNotFoundError, FileExistsError):  # gone, or another object: a new input
            self._bucket.delete(found)

    def _copied(self, root: bytes, names: Iterator[bytes], temp: bytes, found: Object) -> bytes:
        """Copy it to the first name that is free, or find the copy of an earlier call."""
        source_state = f"{found.etag} {found.modified_s}"
        for name in names:
            for _ in range(_TRIES):
                there = _object_at(Bucket(root), name)
                if there is not None or self._copy(temp, (root, name), found, source_state):
                    break
            else:  # the key is taken for each copy, and free for each look
                raise OSError(errno.EAGAIN, "others write and delete the object in the archive")
            if there is None or there.metadata.get(SOURCE) == source_state:
                return name
        raise AssertionError  # names are endless

    def _copy(self, temp: bytes, to: tuple[bytes, bytes], found: Object, source_state: str) -> bool:
        """Copy it to a name; return False if another object has that."""
        new = Upload(os.fsdecode(to[0]), os.fsdecode(to[1]), found.size, "")
        kept = {name: text for name, text in found.metadata.items() if text.isascii()}
        metadata = {**kept, SOURCE: source_state}
        upload = self._uploads.begin(temp, new, metadata, found.kind)
        try:
            parts = [
                self._bucket.copy_to(upload.bucket, upload.key, upload.id, found, first)
                for first in range(0, found.size, COPIED_BYTES)
            ]
            upload.bucket.complete(upload.key, upload.id, parts)
        except OSError as error:
            with suppress(OSError):  # what cannot be dropped is on record
                self._uploads.discard(temp)
            if isinstance(error, FileExistsError):
                return False
            raise
        self._uploads.forget(temp)
        return True


def _object_at(bucket: Bucket, relative: bytes) -> Object | None:
    try:
        return bucket.head(bucket.address.key(relative))
    except FileNotFoundError:
        return None


class RemoteStore:
    """Object storage, with the uploads of one state directory: see `Store`.

    Args:
        uploads: staged files, and copies that are not complete.
    """

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._outage = Outage()

    def outputs(self, root: bytes, parent: bytes) -> RemoteFolder:
        """Open the folder of outputs at a path below a root."""
        return RemoteFolder(Bucket(root), parent, self._uploads, self._outage)

    def source(self, root: bytes, relative: bytes, meant: Fingerprint) -> RemoteSource:
        """Return the input at a path below a root that has a fingerprint."""
        return RemoteSource(root, relative, meant, self._uploads, self._outage)
