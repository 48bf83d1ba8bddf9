"""A folder of each source policy; its state on the same disk, another, or as the unit sees it."""

from __future__ import annotations

import os
import shlex
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from sharpend.files.mounts import mount_of
from sharpend.policies import SourcePolicy
from tests.campaign.rig import NotRunError, broken, files, mounted, needs
from tests.daemons import running, temps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.campaign.rig import Finding, Rig
    from tests.daemons import Daemon

TMPFS = ("-t", "tmpfs", "-o", "size=256m", "tmpfs")


class Place(StrEnum):
    """Disks of state and archive, compared with that of the inputs."""

    ONE_DISK = "one disk"
    TWO_DISKS = "state and archive on another disk"
    UNIT = "in the unit's namespace"
    """As with ProtectSystem=strict and ReadWritePaths=: each folder is a mount of its own, so that
    no file can be renamed from one to another, and everything else is read-only."""


@dataclass
class Folders:
    """A folder of each policy, such as `keep` with outputs in `keep-out`, and their daemon."""

    rig: Rig
    prefix: tuple[str, ...] = ()
    contents: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """Final content of each file, by policy and name."""

    @property
    def archive(self) -> Path:
        """Folder of archived sources."""
        return self.rig.base / "archived"

    def configure(self, *, settle_s: object = 0.1, quiet_s: float = 300.0) -> None:
        """Write the configuration of all three folders."""
        places = {SourcePolicy.ARCHIVE: {"archive": self.archive}}
        folders = [
            self.rig.folder(
                policy,
                output=self.outputs(policy),
                source=policy,
                settle_s=settle_s,
                **places.get(policy, {}),
            )
            for policy in SourcePolicy
        ]
        self.rig.configure(*folders, intake={"quiet_s": quiet_s})

    def outputs(self, policy: str) -> Path:
        """Output folder of one policy."""
        return self.rig.base / f"{policy}-out"

    @contextmanager
    def daemon(self) -> Iterator[Daemon]:
        """Run a daemon over them; it is ready at the begin of the block."""
        with running("--config", self.rig.config, prefix=self.prefix) as daemon:
            daemon.wait_for("daemon.ready")
            yield daemon

    def path(self, policy: str, name: str, content: bytes) -> Path:
        """Path for a file; its final content is recorded."""
        self.contents[policy, name] = content
        return self.rig.base / policy / name

    def check(self, finding: Finding) -> None:
        """Check that each file has one whole output, and that not a byte of it is lost."""
        for policy in SourcePolicy:
            written = {n: content for (of, n), content in self.contents.items() if of == policy}
            made = {path.name for path in files(self.outputs(policy))}
            finding.expect(made == set(written), f"{policy}: {sorted(made ^ set(written))[:3]}")
            faults = {broken(path) for path in files(self.outputs(policy))} - {""}
            finding.expect(not faults, f"{policy}: {faults}")
            left = contents_of(self.rig.base / policy)
            wanted = written if policy is SourcePolicy.KEEP else {}
            finding.expect(left == wanted, f"{policy}: {sorted(left)[:3]} lie in the input")
            if policy is SourcePolicy.ARCHIVE:
                finding.expect(contents_of(self.archive) == written, "the archive differs")
        held = [path.name for path in files(self.rig.state / "quarantine")]
        finding.expect(not held, f"still in quarantine: {held[:3]}")
        finding.expect(not temps(self.rig.base), f"left behind: {temps(self.rig.base)[:3]}")


def contents_of(folder: Path) -> dict[str, bytes]:
    """Contents of the files of a folder, by name."""
    return {path.name: path.read_bytes() for path in files(folder)}


@contextmanager
def placed(rig: Rig, place: Place) -> Iterator[Folders]:
    """Make the folders of all policies, with state and archive in such a place.

    Raises:
        NotRunError: mounts are not permitted.
    """
    folders = Folders(rig)
    outputs = [folders.outputs(policy) for policy in SourcePolicy]
    inputs = [rig.base / policy for policy in SourcePolicy]
    written = [rig.state, folders.archive, *outputs, *inputs]
    for folder in written:
        folder.mkdir()
    with ExitStack() as stack:
        if place is Place.TWO_DISKS:
            for folder in (rig.state, folders.archive):
                stack.enter_context(mounted(folder, *TMPFS))
        if place is Place.UNIT:
            folders.prefix = as_the_unit(rig.base, written)
        yield folders


def as_the_unit(base: Path, written: list[Path]) -> tuple[str, ...]:
    """Make the command that runs another one where only these folders can be written.

    Raises:
        NotRunError: it is not permitted.
    """
    needs("unshare", "mount")
    ours = [shlex.quote(str(folder)) for folder in written]
    disks = {"/", os.fsdecode(mount_of(os.fsencode(base)).point)}
    steps = [f"mount --bind {folder} {folder}" for folder in ours]
    steps += [f"mount -o remount,bind,ro {shlex.quote(disk)}" for disk in disks]
    script = " && ".join([*steps, 'exec "$@"'])
    command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    if subprocess.run([*command, "true"], check=False, capture_output=True).returncode:
        raise NotRunError("needs root to mount")
    return command
