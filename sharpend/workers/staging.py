"""Staged files: write the finished image durably under a temporary name beside its final one.

Owns how it is written, and its owner, mode, times and attributes. Refuses a temporary name
that exists, and to leave a partial file. Final names are given by `commit` alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.files.atomic import UPDATE_NEW_FILE
from sharpend.files.attributes import attributes_of, give_attributes
from sharpend.files.beneath import directory
from sharpend.files.disk_errors import decision
from sharpend.files.fingerprint import Fingerprint, display
from sharpend.imaging import codec
from sharpend.policies import Metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sharpend.imaging.picture import Picture
    from sharpend.policies import Policies
    from sharpend.task import Task


@dataclass(frozen=True, slots=True)
class Original:
    """Properties of an input that its output takes over."""

    status: os.stat_result
    """Owner, mode and times."""
    attributes: Mapping[str, bytes]
    """Extended attributes, by name."""
    uncopied: int
    """Number of attributes that are too large, or could not be read."""

    @classmethod
    def of(cls, descriptor: int, policies: Policies) -> Original:
        """Look at an open input; attributes are metadata, which a policy can strip."""
        keeps = policies.metadata is Metadata.KEEP
        attributes, uncopied = attributes_of(descriptor) if keeps else ({}, 0)
        return cls(os.fstat(descriptor), attributes, uncopied)


@dataclass(frozen=True, slots=True)
class Written:
    """A staged file."""

    fingerprint: Fingerprint
    notes: tuple[str, ...]
    """Properties of the input that it lacks, in words."""


def write(task: Task, picture: Picture, original: Original) -> Written:
    """Write the staged file durably with its final permissions, or not at all.

    Args:
        task: says where to, and who may read it.
        picture: sharpened and finished.
        original: the input's properties, which are copied.

    Returns:
        The staged file.

    Raises:
        FolderFaultError: the output folder as a whole cannot be written.
        TransientError: this file may do better later.
    """
    try:
        with directory(task.output_root, task.output_parent) as parent:
            return _write_in(parent, task, picture, original)
    except OSError as error:
        of_root = (
            f"folder.output: {display(task.output_root)}: {error.strerror}; "
            "free space or let the user that runs sharpend write there"
        )
        of_file = f"writing failed: {error.strerror}"
        raise decision(error, task.output_root, of_root=of_root, of_file=of_file) from error


def _write_in(parent: int, task: Task, picture: Picture, original: Original) -> Written:
    descriptor = os.open(task.temp_name, UPDATE_NEW_FILE, 0o600, dir_fd=parent)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            codec.encode(picture, file)
        task.access.give_file(descriptor)
        uncopied = original.uncopied + give_attributes(descriptor, original.attributes)
        task.access.take_after(descriptor, original.status)
        os.fsync(descriptor)
        return Written(Fingerprint.of(os.fstat(descriptor)), _note(uncopied))
    except BaseException:
        with suppress(OSError):
            os.unlink(task.temp_name, dir_fd=parent)
        raise
    finally:
        os.close(descriptor)


def _note(uncopied: int) -> tuple[str, ...]:
    """Say how many attributes the output lacks."""
    what = "attribute was" if uncopied == 1 else "attributes were"
    return (f"{uncopied} extended {what} not copied",) if uncopied else ()
