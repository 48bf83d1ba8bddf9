"""Folder checks: input, output and archive exist, and are readable or writable.

Judges the access of the daemon's user, and who will be able to read the
outputs. Takes plain values and does no I/O.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharpend.checks.finding import Finding, fault, note, ok
from sharpend.errors import ExitCode
from sharpend.files.access import name_of
from sharpend.files.fingerprint import display
from sharpend.files.remote import is_remote
from sharpend.policies import SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sharpend.checks.runner import Runner
    from sharpend.checks.sight import Content, PathAccess
    from sharpend.daemon.folder import FolderPlan

LITTLE_BYTES = 100_000_000
"""Less than this and a folder pauses with its next images."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Facts about one folder: plan, user, paths and content."""

    plan: FolderPlan
    runner: Runner
    sights: Mapping[str, PathAccess]
    content: Content | None
    """None where the input could not be walked through."""
    umask: int
    """The daemon's."""
    objections: Mapping[bytes, str] = field(default_factory=dict)
    """Reason why a daemon would not work in a root, by root."""


def folder(seen: Seen) -> Iterator[Finding]:
    """Run all checks of one folder of the settings."""
    yield from _disks(seen)
    way = seen.plan.destination
    yield from _buckets(seen)
    if not is_remote(way.input_root):
        yield from _input(seen)
    if not is_remote(way.output_root):
        yield from _output(seen)
    if not is_remote(way.archive_root or b""):
        yield from _archive(seen)
    if not is_remote(way.output_root):
        yield from _readers(seen)
        yield from _room(seen)


def _buckets(seen: Seen) -> Iterator[Finding]:
    """Report the roots in object storage that can be worked in; the others are among the disks."""
    way = seen.plan.destination
    for setting, root in (
        ("input", way.input_root),
        ("output", way.output_root),
        ("archive", way.archive_root or b""),
    ):
        if is_remote(root) and root not in seen.objections:
            keeps = "can be listed"
            if setting != "input" or way.source is not SourcePolicy.KEEP:
                keeps = "can be listed and written, and keeps conditions"
            yield ok(f"{way.folder}: {setting}", f"{display(root)}: {keeps}")


def _disks(seen: Seen) -> Iterator[Finding]:
    """Check that each root is on the disk that it was on before."""
    way = seen.plan.destination
    for root in (way.input_root, way.output_root, way.archive_root):
        if root is not None and root in seen.objections:
            status = ExitCode.OUTPUT_FAILED
            if root == way.input_root:
                status = ExitCode.INPUT_MISSING
            yield fault(f"{way.folder}: disk", seen.objections[root], "", status)


def _input(seen: Seen) -> Iterator[Finding]:
    way, who = seen.plan.destination, seen.runner.name
    subject, root = f"{way.folder}: input", display(way.input_root)
    sight, content = seen.sights[root], seen.content
    if not sight.exists or not sight.is_folder or content is None:
        what = (
            "is not a folder" if sight.exists else f"does not exist, or is not accessible to {who}"
        )
        change = "create it, mount it, or change folder.input"
        yield fault(subject, f"{root} {what}", change, ExitCode.INPUT_MISSING)
    elif not sight.readable:
        change = f"let {who} read and enter it (r and x)"
        yield fault(subject, f"{root} cannot be read by {who}", change, ExitCode.INPUT_MISSING)
    elif content.unreadable:
        what = f"{root}: {who} cannot read {', '.join(content.unreadable)}"
        yield note(subject, what, f"let {who} read them, or they will never be processed")
    else:
        within = "one folder" if content.directories == 1 else f"{content.directories} folders"
        counted = f"{content.pictures} images in {within}"
        yield ok(subject, f"{root}: {counted}, readable by {who}")
    if content is not None and content.fixed and way.source is not SourcePolicy.KEEP:
        what = f"{who} cannot remove files from {', '.join(content.fixed)}"
        change = f'let {who} write there, or set source = "keep"'
        yield fault(f"{way.folder}: source", what, change, ExitCode.CONFIGURATION)


def _output(seen: Seen) -> Iterator[Finding]:
    way = seen.plan.destination
    yield _target(seen, f"{way.folder}: output", "folder.output", display(way.output_root))


def _archive(seen: Seen) -> Iterator[Finding]:
    way = seen.plan.destination
    if way.archive_root is not None:
        root = display(way.archive_root)
        yield _target(seen, f"{way.folder}: archive", "folder.archive", root)


def _target(seen: Seen, subject: str, setting: str, root: str) -> Finding:
    sight, who = seen.sights[root], seen.runner.name
    if not sight.is_folder:
        return fault(
            subject, f"{root} is not a folder", f"change {setting}", ExitCode.OUTPUT_FAILED
        )
    if not sight.writable:
        what = "cannot be written" if sight.exists else "cannot be created"
        change = f"let {who} write there (w and x), or change {setting}"
        return fault(subject, f"{root} {what} by {who}", change, ExitCode.OUTPUT_FAILED)
    if sight.anyone_may_write:
        return note(subject, f"{root}: writable by everyone", f"chmod o-w {root}")
    will = "writable" if sight.exists else "does not exist yet, will be created"
    return ok(subject, f"{root}: {will} by {who}")


def _readers(seen: Seen) -> Iterator[Finding]:
    """Check who will be able to read the outputs."""
    way, runner = seen.plan.destination, seen.runner
    access, subject = way.access, f"{way.folder}: readers"
    if access.group is None:
        yield _by_default(seen)
        return
    group = name_of(access.group)
    if not runner.may_give_to(access.group):
        what = f"{runner.name} is not in the group {group} and cannot give it files"
        change = f"SupplementaryGroups={group} in the unit, or usermod -aG {group} {runner.name}"
        yield fault(subject, what, change, ExitCode.CONFIGURATION)
    elif access.mode is not None and not access.mode & stat.S_IRGRP:
        yield note(subject, f"the group {group} cannot read mode {access.mode:04o}", "folder.mode")
    elif closed := _closed_to(seen.sights[display(way.output_root)], access.group):
        change = f"chgrp {group} and chmod g+x, or chmod o+x"
        yield note(subject, f"the group {group} cannot enter {closed}", change)
    else:
        mode = "the source's mode" if access.mode is None else f"mode {access.mode:04o}"
        yield ok(subject, f"an output has the group {group} and {mode}")


def _by_default(seen: Seen) -> Finding:
    """Check without a group set: outputs belong to the service alone, unless a group is set."""
    access, runner = seen.plan.destination.access, seen.runner
    subject = f"{seen.plan.destination.folder}: readers"
    mode = "the mode of its source" if access.mode is None else f"mode {access.mode:04o}"
    whose = f"the owner {runner.name}, the group {name_of(runner.gid)}"
    if runner.uid == 0:
        whose = "the owner and the group of its source"
    text = f"an output has {whose} and {mode}"
    made = access.of_folders or 0o777 & ~seen.umask
    if runner.is_us or made & stat.S_IXOTH:
        return ok(subject, text)
    what = f"{text}, and no one else can enter the folders that are created ({made:04o})"
    return note(subject, what, "folder.group and folder.mode, for users who need the outputs")


def _closed_to(root: PathAccess, group: int) -> str | None:
    """Find the first folder down to the output root that a group may not enter, by mode bits."""
    way = [*root.ancestors, (root.path, root.mode, root.gid)] if root.exists else root.ancestors
    for path, mode, gid in way:
        if not mode & (stat.S_IXGRP if gid == group else stat.S_IXOTH):
            return path
    return None


def _room(seen: Seen) -> Iterator[Finding]:
    way = seen.plan.destination
    root, subject = display(way.output_root), f"{way.folder}: space"
    free = seen.sights[root].free_bytes
    text = f"{root}: {free / 1e9:.1f} GB free"
    if free < LITTLE_BYTES:
        yield fault(
            subject,
            text,
            "free space: the folder pauses when the disk is full",
            ExitCode.OUTPUT_FAILED,
        )
    elif seen.content is not None and seen.content.bytes > free:
        what = f"{text}, and {seen.content.bytes / 1e9:.1f} GB of images are in the input"
        yield note(subject, what, "free space for the outputs")
    else:
        yield ok(subject, text)
