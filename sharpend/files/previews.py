"""Previews: small images of an input and of its output, for people, in the state directory.

Owns their names, how a worker writes one, the check of what it wrote, and the rename that makes it
visible: a reader finds all of a preview or nothing. Each is one folder, named by its job. They are
not durable: nothing is fsynced, and a preview that a crash left incomplete is ignored.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sharpend.files.atomic import READ_FOLDER, WRITE_NEW_FILE
from sharpend.files.preview_layout import (
    DESCRIPTION,
    IMAGES,
    MOST_BYTES,
    WHOLE_PX,
    Layout,
    read_layout,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FOLDER = "previews"
"""Folder in the state directory."""
_IS_JOB = re.compile("[0-9]{1,19}")
_TEMPORARY = ".tmp-"


@dataclass(frozen=True, slots=True)
class Preview:
    """A preview that is complete; it can be removed at any time."""

    folder: Path
    crop: tuple[int, int, int, int]
    """Left, top, width and height of the crop, in pixels of the upright image."""
    width: int
    """Of the upright image, in pixels."""
    height: int

    @property
    def whole(self) -> tuple[int, int]:
        """Width and height of the whole image as it is kept, in pixels."""
        scale = min(1.0, WHOLE_PX / max(self.width, self.height, 1))
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))

    def path(self, name: str) -> Path:
        """Return the path of one of `IMAGES`.

        Raises:
            KeyError: it is none of them.
        """
        if name not in IMAGES:
            raise KeyError(name)
        return self.folder / name


class UnfitPreviewError(Exception):
    """A preview is not what its worker said."""


_NOT_WHOLE = OSError, ValueError, TypeError, KeyError, UnfitPreviewError


def write_images(folder: bytes, images: Sequence[bytes]) -> tuple[int, ...]:
    """Write the files of a preview into a new folder; called by a worker.

    Args:
        folder: must not exist; it is removed again if this fails.
        images: content of each of `IMAGES`.

    Returns:
        Their sizes in bytes.

    Raises:
        UnfitPreviewError: a file would be larger than MOST_BYTES.
        OSError: the folder or a file cannot be written.
    """
    if max(map(len, images)) > MOST_BYTES:
        raise UnfitPreviewError(f"a file of it would be larger than {MOST_BYTES} bytes")
    os.mkdir(folder)
    try:
        with _opened(folder) as descriptor:
            for name, content in zip(IMAGES, images, strict=True):
                _write_at(descriptor, name, content)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return tuple(map(len, images))


class Previews:
    """Previews of a state directory; readers call `find` from any process."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER

    def find(self, job_id: int) -> Preview | None:
        """Return the preview of a job; None if there is none, or it is not whole."""
        folder = self._folder / str(job_id)
        with suppress(*_NOT_WHOLE), _opened(folder) as descriptor:
            layout = read_layout(descriptor)
            _require_images(descriptor, layout.sizes)
            left, top, width, height = layout.crop
            return Preview(folder, (left, top, width, height), layout.width, layout.height)
        return None

    def ids(self) -> list[int]:
        """Return the jobs that have a preview, in no order; one of them may not be whole."""
        with suppress(OSError), os.scandir(self._folder) as entries:
            return [int(entry.name) for entry in entries if _IS_JOB.fullmatch(entry.name)]
        return []

    def new_folder(self) -> bytes:
        """Return the path of a new folder, which a worker makes; `publish` renames it.

        Raises:
            OSError: the state directory is missing, full or not writable.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return os.fsencode(self._folder / f"{_TEMPORARY}{secrets.token_hex(8)}")

    def publish(self, folder: bytes, job_id: int, layout: Layout) -> int:
        """Make a worker's preview that of a job, in place of an older one.

        Args:
            folder: from `new_folder`.
            job_id: number of the job in the ledger.
            layout: as the worker sent it.

        Returns:
            Its size in bytes.

        Raises:
            UnfitPreviewError: the files do not match this layout.
            OSError: the state directory is full or not writable.
        """
        with _opened(folder) as descriptor:
            if sorted(os.listdir(descriptor)) != sorted(IMAGES):
                raise UnfitPreviewError("its files are not those of a preview")
            _require_images(descriptor, layout.sizes)
            _write_at(descriptor, DESCRIPTION, json.dumps(asdict(layout)).encode())
        self.remove(job_id)
        os.rename(folder, self._folder / str(job_id))
        return sum(layout.sizes)

    def sizes(self) -> dict[int, int]:
        """Return the size in bytes of each preview by its job, the oldest first."""
        found = []
        with suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                if _IS_JOB.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    with suppress(OSError):
                        at_ns = entry.stat(follow_symlinks=False).st_mtime_ns
                        found.append((at_ns, int(entry.name), _bytes_in(entry.path)))
        return {job_id: size for _, job_id, size in sorted(found)}

    def remove(self, job_id: int) -> None:
        """Remove the preview of a job if there is one; its description goes first."""
        folder = self._folder / str(job_id)
        with suppress(OSError):
            os.unlink(folder / DESCRIPTION)
        _remove_tree(folder)

    def discard(self, folder: bytes) -> None:
        """Remove a folder that a worker has made, or not."""
        _remove_tree(folder)

    def remove_leftovers(self) -> None:
        """Remove what ended workers left; called while no worker has an image."""
        with suppress(OSError):
            for name in os.listdir(self._folder):
                if name.startswith(_TEMPORARY):
                    self.discard(os.fsencode(self._folder / name))


def _remove_tree(folder: Path | bytes) -> None:
    """Remove a folder as far as possible; a worker may have nested it without end."""
    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)


def _require_images(descriptor: int, sizes: Sequence[int]) -> None:
    """Require that each image is a regular file of its size; UnfitPreviewError."""
    for name, size in zip(IMAGES, sizes, strict=True):
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            raise UnfitPreviewError(f"{name} is no file of {size} bytes")


def _write_at(descriptor: int, name: str, content: bytes) -> None:
    with os.fdopen(os.open(name, WRITE_NEW_FILE, 0o666, dir_fd=descriptor), "wb") as file:
        file.write(content)


def _bytes_in(folder: str) -> int:
    return sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(folder))


@contextmanager
def _opened(folder: bytes | Path) -> Iterator[int]:
    descriptor = os.open(folder, READ_FOLDER | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
