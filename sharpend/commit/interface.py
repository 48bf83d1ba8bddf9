"""Interface of a place of outputs, sources and archives: a file system, or object storage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from sharpend.errors import Reason, TransientError
from sharpend.files.fingerprint import display

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from contextlib import AbstractContextManager, ExitStack

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


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes for one owner, such as a job; held and made durable with those of its group."""

    held: ExitStack
    """Closed when the group ends, such as leases."""
    gained: Callable[[int], None]
    """Notes an open folder with a new name."""
    lost: Callable[[int], None]
    """Notes an open folder that lost a name."""


class Source(Protocol):
    """Input of a job whose output is durable; every method raises OSError."""

    def look(self) -> bool:
        """Return whether it is there, unchanged; called before one of the other methods.

        Raises:
            ImageRefusedError: its path leads through a link, or has no key.
            TransientError: a process has it open for writing.
        """

    def delete(self) -> None:
        """Delete it if it is unchanged."""

    def archive(
        self, root: bytes, names: Iterator[bytes], otherwise: Iterator[bytes] | None, temp: bytes
    ) -> bytes | None:
        """Move it below an archive's root if it is unchanged.

        Args:
            root: of the archive, in the same place.
            names: that it may take below it, in order of preference.
            otherwise: names instead of them on a file system that does not take one of them.
            temp: name of the unfinished copy.

        Returns:
            The name that it has there, also if an earlier call gave it that; None if the source is
            gone or another file by now.

        Raises:
            ImageRefusedError: no name is possible.
        """


class CommitPlace(Protocol):
    """Place of outputs, sources and archives: the verbs of `Place` that commit needs."""

    @property
    def at_once(self) -> int:
        """Number of files of a group that are worked on side by side."""

    def outputs(
        self, root: bytes, parent: bytes, made: Callable[[int], None] | None = None
    ) -> AbstractContextManager[OutputFolder]:
        """Open the folder of outputs at a path below a root for the length of a block.

        Args:
            root: of the outputs.
            parent: path of the folder below it.
            made: called with each folder that had to be made, open; None: none is made.

        Raises:
            FileNotFoundError: the folder is missing, and none is made.
            ImageRefusedError: its path leads through a link, or is not possible.
        """

    def source(self, root: bytes, relative: bytes, meant: Fingerprint, changes: Changes) -> Source:
        """Return the input at a path below a root.

        Args:
            root: of the input folder.
            relative: path below it.
            meant: fingerprint that it must have.
            changes: to be made durable with those of its group.

        Raises:
            ImageRefusedError: nothing can have this path.
        """


CommitPlaceOf: TypeAlias = Callable[[bytes], CommitPlace]
"""Returns the place of a root."""
