"""Object storage as a place of inputs, outputs and archives.

Owns the order of the requests that publish and move an object. A staged file is an upload, which is
completed under the condition that its key is free. The store copies a source into the archive by
an upload of the same kind, and only then is the source deleted, under the condition that it is
unchanged. All of it can be repeated after a crash at any point. Refuses to overwrite anything that
it was not told to replace.
"""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from sharpend.commit.interface import StagedElsewhereError
from sharpend.errors import ImageRefusedError
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.objects.bucket import COPIED_BYTES, Bucket, Object, of_attempt
from sharpend.files.objects.download import download
from sharpend.files.objects.uploads import OUTPUT, Upload, Uploads
from sharpend.intake import remote
from sharpend.intake.threaded import ThreadedIntake

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Hashable, Iterator
    from contextlib import AbstractContextManager

    from sharpend.attempt import Staged
    from sharpend.commit.interface import Changes
    from sharpend.intake.interface import FolderOptions, Fresh, Intake
    from sharpend.intake.patience import Patience
    from sharpend.intake.tally import Found, Tally
    from sharpend.task import Task


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder in object storage: the beginning of keys. Nothing in it is ever partial."""

    bucket: Bucket
    parent: bytes
    """Path below the root of the outputs."""
    uploads: Uploads
    _found_outputs: dict[bytes, Object] = field(default_factory=dict)
    """The objects that were looked at last, by name: only these may be replaced."""
    _ahead: dict[bytes, Object | None] = field(default_factory=dict)
    """Answers of `look_ahead`; None: nothing has the name."""

    @property
    def identity(self) -> Hashable:
        """Bucket and path."""
        return self.bucket.address, self.parent

    def look_ahead(self, name: bytes) -> None:
        """Ask the store, in any thread; the answer serves once."""
        with suppress(OSError, ImageRefusedError):  # asked again, and then raised
            self._ahead[name] = self._asked(name)

    def fingerprint(self, name: bytes) -> Fingerprint | None:
        """Return what the store answers, or has answered just now."""
        self._found_outputs.pop(name, None)
        found = self._ahead.pop(name) if name in self._ahead else self._asked(name)
        if found is None:
            raise FileNotFoundError(name)
        self._found_outputs[name] = found
        return found.as_output

    def _asked(self, name: bytes) -> Object | None:
        key = self.bucket.address.key(self._path(name))
        with suppress(FileNotFoundError):
            return self.bucket.head(key)
        return None

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
        try:
            self.uploads.publish(temp, self._path(name), replaced)
        except FileNotFoundError as error:
            self.uploads.set_aside(temp)
            raise StagedElsewhereError(name) from error

    def discard(self, temp: bytes) -> None:
        """Abort the upload; in an outage its record alone is left."""
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
    """

    def __init__(
        self,
        root: bytes,
        relative: bytes,
        meant: Fingerprint,
        uploads: Uploads,
    ) -> None:
        self._bucket = Bucket(root)
        self._key = self._bucket.address.key(relative)
        self._meant = meant
        self._uploads = uploads
        self._seen: Object | None = None

    def look(self) -> bool:
        """Ask the store: see `Source`."""
        self._seen = self._found()
        return self._seen is not None

    def delete(self) -> None:
        """Delete it if it is unchanged."""
        if self._seen is not None:
            self._remove(self._seen)

    def archive(
        self, root: bytes, names: Iterator[bytes], otherwise: Iterator[bytes] | None, temp: bytes
    ) -> bytes | None:
        """Let the store copy it, then delete it: see `Source`."""
        del otherwise  # a store takes all names alike
        if (found := self._seen) is None:
            return None
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


def _output_path(task: Task) -> bytes:
    return os.path.join(task.output_parent, task.output_name)


class RemotePlace:
    """Object storage, with the uploads of one state directory: see `Place`.

    Args:
        uploads: staged files, and copies that are not complete.
    """

    at_once = 16
    """Below the connections that the client keeps."""
    is_local = False

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads

    def inputs(self, options: FolderOptions, tally: Tally) -> Iterator[list[Found]]:
        """List the objects once."""
        return remote.inputs(options, tally)

    def intake(
        self,
        options: FolderOptions,
        fresh: Fresh,
        patience: Patience,
        *,
        wake: Callable[[], None],
        chance: random.Random,
        objection: Callable[[], str | None] = lambda: None,
    ) -> Intake:
        """List the objects at intervals, always in a thread of its own."""
        del patience, objection  # an object appears whole, in a bucket that is mounted nowhere
        inner = partial(remote.RemoteIntake, options, chance=chance)
        return ThreadedIntake(inner, fresh, wake)

    def read(self, task: Task, local: Task) -> Task:
        """Download the object into the folder of the attempt."""
        folder = self._uploads.folder(task.temp_name)
        meant, most = task.fingerprint, task.options.max_bytes
        path = download(Bucket(task.input_root), task.relative, meant, folder, most)
        name, made = os.fsencode(path.name), Fingerprint.of(path.stat())
        return replace(local, input_root=os.fsencode(folder), relative=name, fingerprint=made)

    def prepare(self, task: Task, local: Task) -> Task:
        """Let the worker write into the folder of the attempt."""
        Bucket(task.output_root).address.key(_output_path(task))  # refuses before the work
        root, name = os.fsencode(self._uploads.folder(task.temp_name)), os.fsencode(OUTPUT)
        return replace(local, output_root=root, output_parent=b"", temp_name=name)

    def stage(self, task: Task, staged: Staged) -> Staged:
        """Upload the file up to the completion of the upload."""
        made = self._uploads.upload(task.temp_name, task.output_root, _output_path(task))
        return replace(staged, temp_name=task.temp_name, fingerprint=made)

    def outputs(
        self, root: bytes, parent: bytes, made: Callable[[int], None] | None = None
    ) -> AbstractContextManager[RemoteFolder]:
        """Return the beginning of keys; asks the store nothing, and makes no folder."""
        del made
        return nullcontext(RemoteFolder(Bucket(root), parent, self._uploads))

    def source(
        self, root: bytes, relative: bytes, meant: Fingerprint, changes: Changes
    ) -> RemoteSource:
        """Return it; what the store does is durable at once."""
        del changes
        return RemoteSource(root, relative, meant, self._uploads)
