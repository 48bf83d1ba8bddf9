"""A file system that fails, hangs and reports nothing: FUSE over an ordinary folder.

    python -m tests.campaign.stubborn UNDER MOUNT MOOD

Reading looks at the file MOOD each time: where it says `hang` it waits until that is gone, where it
holds a number, that share of the reads fails with EIO, ESTALE or EBUSY. Files are put into the
folder beneath, so that the kernel reports nobody of them, as on a network file system.
"""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.campaign.rig import NotRunError, needs, unmount
from tests.daemons import until

if TYPE_CHECKING:
    from types import TracebackType

FAULTS = (errno.EIO, errno.ESTALE, errno.EBUSY)
HANG = "hang"
_STATUS = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid")
_TIMES = ("st_atime", "st_mtime", "st_ctime")


class Stubborn:
    """Such a file system for the length of a block.

    Raises:
        NotRunError: FUSE is not to be had here.
    """

    def __init__(self, base: Path) -> None:
        self.under, self.mount = base / "under", base / "remote"
        self._mood = base / "mood"

    def __enter__(self) -> Self:
        needs("umount")
        if not os.path.exists("/dev/fuse"):
            raise NotRunError("needs /dev/fuse")
        for folder in (self.under, self.mount):
            folder.mkdir()
        self.feel("")
        command = [sys.executable, "-m", "tests.campaign.stubborn"]
        command += [str(self.under), str(self.mount), str(self._mood)]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            self._wait_for_mount()
        except BaseException:  # no block is entered, so __exit__ is not called
            self._end()
            raise
        return self

    def _wait_for_mount(self) -> None:
        until(lambda: os.path.ismount(self.mount) or self._process.poll() is not None)
        if self._process.poll() is not None:
            raise NotRunError("needs libfuse and mfusepy, and permission to mount")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.feel("")
        unmount(self.mount)
        self._end()

    def _end(self) -> None:
        """End the process and close its pipe."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:  # a process that hangs in its own mount takes SIGKILL
            self._process.kill()
            self._process.communicate()

    def feel(self, mood: str) -> None:
        """From now on: fail, hang, or work again."""
        hidden = self._mood.with_suffix(".new")
        hidden.write_text(mood)
        hidden.rename(self._mood)

    def put(self, name: str, content: bytes) -> None:
        """A file, whole, under its final name in one step, without an event."""
        hidden = self.under / ".new.tmp"
        hidden.write_bytes(content)
        hidden.rename(self.under / name)


def serve(under: str, mount: str, mood: Path) -> None:
    """Be the file system until it is unmounted."""
    import mfusepy  # noqa: PLC0415 - only where it is served

    class Over(mfusepy.Operations):  # type: ignore[misc]
        """What is in the folder beneath, to be read."""

        use_ns = True

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:  # noqa: ARG002
            status = os.lstat(under + path)
            told = {name: getattr(status, name) for name in _STATUS}
            return told | {name: getattr(status, f"{name}_ns") for name in _TIMES}

        def readdir(self, path: str, fh: int) -> list[str]:  # noqa: ARG002
            return [".", "..", *os.listdir(under + path)]

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:  # noqa: ARG002
            while (now := mood.read_text()) == HANG:
                time.sleep(0.05)
            if now and random.random() < float(now):
                raise OSError(random.choice(FAULTS), "injected")
            with open(under + path, "rb") as file:
                file.seek(offset)
                return file.read(size)

    options = {"noforget": True, "direct_io": True, "attr_timeout": 0, "entry_timeout": 0}
    mfusepy.FUSE(Over(), mount, foreground=True, **options)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
