"""Interfaces of the places of outputs and sources: a folder of a file system, or object storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sharpend.errors import Reason, TransientError
from sharpend.files.fingerprint import display

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from sharpend.files.fingerprint import Fingerprint


class StagedElsewhereError(TransientError):
    """A staged file can take a name only after it is staged anew: it was uploaded for another one.

    Or the store has dropped the upload. The finished image is set aside for the next attempt.
    """

    def __init__(self, name: bytes) -> None:
        super().__init__(Reason.IO_ERROR, f"it was not staged as {display(name)}")


class OutputFolder(Protocol):
    """An open folder of outputs; every method raises OSError."""

    @property
    def identity(self) -> Hashable:
        """Identity of the folder, whatever path leads to it."""

    def look_ahead(self, name: bytes) -> None:
        """Ask for a name of which `fingerprint` will be asked next; errors come with that."""

    def fingerprint(self, name: bytes) -> Fingerprint | None:
        """Return the fingerprint of a file; None for a link, a folder and the like.

        Raises:
            FileNotFoundError: nothing has this name.
            ImageRefusedError: the folder takes other names, but not this one.
        """

    def staged(self, temp: bytes) -> Fingerprint | None:
        """Return the fingerprint of a staged file, or None."""

    def is_equal(self, temp: bytes, name: bytes) -> bool:
        """Return whether the file looked at last has the bytes of a staged file, durably."""

    def publish(self, temp: bytes, name: bytes, *, replaces: bool) -> None:
        """Give a staged file its final name.

        Raises:
            FileExistsError: the name is taken, and `replaces` is false.
            StagedElsewhereError: the next attempt can take it.
            ImageRefusedError: the folder does not take the name.
        """

    def discard(self, temp: bytes) -> None:
        """Delete a staged file; one that is missing is no error."""

    def sync(self) -> None:
        """Make names durable."""


class Source(Protocol):
    """Input of a job in object storage; every method raises OSError."""

    def look(self) -> bool:
        """Return whether it is there, unchanged; called before one of the other methods."""

    def delete(self) -> None:
        """Delete it if it is unchanged."""

    def archive(self, root: bytes, names: Iterator[bytes], temp: bytes) -> bytes | None:
        """Move it below an archive's root if it is unchanged.

        Args:
            root: of the archive.
            names: that it may take below it, in order of preference.
            temp: name of the unfinished copy.

        Returns:
            The name that it has there, also if an earlier call gave it that; None if the source is
            gone or another object by now.

        Raises:
            ImageRefusedError: no name is possible.
        """


class Store(Protocol):
    """Object storage, for the folders that have a root there."""

    def outputs(self, root: bytes, parent: bytes) -> OutputFolder:
        """Open the folder of outputs at a path below a root; asks the store nothing."""

    def source(self, root: bytes, relative: bytes, meant: Fingerprint) -> Source:
        """Return the input at a path below a root that has a fingerprint."""
