"""File systems of their own for tests, where they are permitted."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def mount(*arguments: str | Path) -> bool:
    """Whether the mount succeeded."""
    program = shutil.which("mount")
    command = [program or "mount", *map(str, arguments)]
    return (
        program is not None
        and not subprocess.run(command, check=False, capture_output=True).returncode
    )


@contextmanager
def small_disk(path: Path, megabytes: int = 2) -> Iterator[None]:
    """A file system of so many megabytes; skips the test where mounts are not permitted."""
    path.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", path):
        pytest.skip("not permitted to mount a file system")
    try:
        yield
    finally:
        subprocess.run([shutil.which("umount") or "umount", "-l", str(path)], check=True)
