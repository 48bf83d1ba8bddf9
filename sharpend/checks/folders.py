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

    from sharpend.checks.path_access import Content, PathAccess
    from sharpend.checks.runner import Runner
    from sharpend.daemon.folder_plan import FolderPlan

LITTLE_BYTES = 100_000_000
"""Less than this and a folder pauses with its next images."""


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """Facts about one folder: plan, user, paths and content."""

    plan: FolderPlan
    runner: Runner
    path_facts: Mapping[str, PathAccess]
    content: Content | None
    """None where the input could not be walked through."""
    umask: int
    """The daemon's."""
    objections: Mapping[bytes, str] = field(default_factory=dict)
    """Reason why a daemon would not work in a root, by root."""


def folder(facts: FolderFacts) -> Iterator[Finding]:
    """Run all checks of one folder of the settings."""
    yield from _disks(facts)
    destination = facts.plan.destination
    yield from _buckets(facts)
    if not is_remote(destination.input_root):
        yield from _input(facts)
    if not is_remote(destination.output_root):
        yield from _output(facts)
    if not is_remote(destination.archive_root or b""):
        yield from _archive(facts)
    if not is_remote(destination.output_root):
        yield from _readers(facts)
        yield from _room(facts)


def _buckets(facts: FolderFacts) -> Iterator[Finding]:
    """Report the roots in object storage that can be worked in; the others are among the disks."""
    destination = facts.plan.destination
    for setting, root in (
        ("input", destination.input_root),
        ("output", destination.output_root),
        ("archive", destination.archive_root or b""),
    ):
        if is_remote(root) and root not in facts.objections:
            keeps = "can be listed"
            if setting != "input" or destination.source is not SourcePolicy.KEEP:
                keeps = "can be listed and written, and keeps conditions"
            yield ok(f"{destination.folder}: {setting}", f"{display(root)}: {keeps}")


def _disks(facts: FolderFacts) -> Iterator[Finding]:
    """Check that each root is on the disk that it was on before."""
    destination = facts.plan.destination
    for root in (destination.input_root, destination.output_root, destination.archive_root):
        if root is not None and root in facts.objections:
            status = ExitCode.OUTPUT_FAILED
            if root == destination.input_root:
                status = ExitCode.INPUT_MISSING
            yield fault(f"{destination.folder}: disk", facts.objections[root], "", status)


def _input(facts: FolderFacts) -> Iterator[Finding]:
    destination, who = facts.plan.destination, facts.runner.name
    subject, root = f"{destination.folder}: input", display(destination.input_root)
    sight, content = facts.path_facts[root], facts.content
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
        counted = f"{content.images} images in {within}"
        yield ok(subject, f"{root}: {counted}, readable by {who}")
    if content is not None and content.fixed and destination.source is not SourcePolicy.KEEP:
        what = f"{who} cannot remove files from {', '.join(content.fixed)}"
        change = f'let {who} write there, or set source = "keep"'
        yield fault(f"{destination.folder}: source", what, change, ExitCode.CONFIGURATION)


def _output(facts: FolderFacts) -> Iterator[Finding]:
    destination = facts.plan.destination
    yield _target(
        facts, f"{destination.folder}: output", "folder.output", display(destination.output_root)
    )


def _archive(facts: FolderFacts) -> Iterator[Finding]:
    destination = facts.plan.destination
    if destination.archive_root is not None:
        root = display(destination.archive_root)
        yield _target(facts, f"{destination.folder}: archive", "folder.archive", root)


def _target(facts: FolderFacts, subject: str, setting: str, root: str) -> Finding:
    sight, who = facts.path_facts[root], facts.runner.name
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


def _readers(facts: FolderFacts) -> Iterator[Finding]:
    """Check who will be able to read the outputs."""
    destination, runner = facts.plan.destination, facts.runner
    access, subject = destination.access, f"{destination.folder}: readers"
    if access.group is None:
        yield _by_default(facts)
        return
    group = name_of(access.group)
    if not runner.may_give_to(access.group):
        what = f"{runner.name} is not in the group {group} and cannot give it files"
        change = f"SupplementaryGroups={group} in the unit, or usermod -aG {group} {runner.name}"
        yield fault(subject, what, change, ExitCode.CONFIGURATION)
    elif access.mode is not None and not access.mode & stat.S_IRGRP:
        yield note(subject, f"the group {group} cannot read mode {access.mode:04o}", "folder.mode")
    elif closed := _closed_to(facts.path_facts[display(destination.output_root)], access.group):
        change = f"chgrp {group} and chmod g+x, or chmod o+x"
        yield note(subject, f"the group {group} cannot enter {closed}", change)
    else:
        mode = "the source's mode" if access.mode is None else f"mode {access.mode:04o}"
        yield ok(subject, f"an output has the group {group} and {mode}")


def _by_default(facts: FolderFacts) -> Finding:
    """Check without a group set: outputs belong to the service alone, unless a group is set."""
    access, runner = facts.plan.destination.access, facts.runner
    subject = f"{facts.plan.destination.folder}: readers"
    mode = "the mode of its source" if access.mode is None else f"mode {access.mode:04o}"
    whose = f"the owner {runner.name}, the group {name_of(runner.gid)}"
    if runner.uid == 0:
        whose = "the owner and the group of its source"
    text = f"an output has {whose} and {mode}"
    made = access.of_folders or 0o777 & ~facts.umask
    if runner.is_us or made & stat.S_IXOTH:
        return ok(subject, text)
    what = f"{text}, and no one else can enter the folders that are created ({made:04o})"
    return note(subject, what, "folder.group and folder.mode, for users who need the outputs")


def _closed_to(root: PathAccess, group: int) -> str | None:
    """Find the first folder down to the output root that a group may not enter, by mode bits."""
    chain = [*root.ancestors, (root.path, root.mode, root.gid)] if root.exists else root.ancestors
    for path, mode, gid in chain:
        if not mode & (stat.S_IXGRP if gid == group else stat.S_IXOTH):
            return path
    return None


def _room(facts: FolderFacts) -> Iterator[Finding]:
    destination = facts.plan.destination
    root, subject = display(destination.output_root), f"{destination.folder}: space"
    free = facts.path_facts[root].free_bytes
    text = f"{root}: {free / 1e9:.1f} GB free"
    if free < LITTLE_BYTES:
        yield fault(
            subject,
            text,
            "free space: the folder pauses when the disk is full",
            ExitCode.OUTPUT_FAILED,
        )
    elif facts.content is not None and facts.content.bytes > free:
        what = f"{text}, and {facts.content.bytes / 1e9:.1f} GB of images are in the input"
        yield note(subject, what, "free space for the outputs")
    else:
        yield ok(subject, text)
