"""Programs and libraries that tests use where they are installed, and what installs them.

The packages are those of `.ci/run`, so that there is one list of them.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from pathlib import Path

import pytest

CI = Path(__file__).parent.parent / ".ci/run"
PROVIDES = {
    "acl": "setfacl",
    "apngasm": "apngasm",
    "bindfs": "bindfs",
    "chromium": "chromium",
    "gifsicle": "gifsicle",
    "imagemagick": "convert",
    "libavif-bin": "avifdec",
    "libfuse2": "libfuse.so.2",
    "libgs9-common": "/usr/share/color/icc/ghostscript/srgb.icc",
    "libheif-examples": "heif-enc",
    "libimage-exiftool-perl": "exiftool",
    "libjpeg-turbo-progs": "cjpeg",
    "libjxl-tools": "djxl",
    "libtiff-tools": "tiffcp",
    "libvips-tools": "vips",
    "netpbm": "pnmtopng",
    "ntfs-3g": "ntfs-3g",
    "prometheus": "promtool",
    "rsync": "rsync",
    "samba": "smbd",
    "smbclient": "smbclient",
    "systemd": "systemd-analyze",
    "util-linux": "unshare",
    "webp": "webpinfo",
}
"""A Debian package, and a program, shared library or file that it brings."""


def packages() -> list[str]:
    """The Debian packages that `.ci/run` installs."""
    found = re.search(r"--no-install-recommends((?:\s+\\?\s*[a-z0-9-]+)+)", CI.read_text())
    assert found is not None, "no apt-get line in .ci/run"
    return found[1].replace("\\", " ").split()


def need(program: str) -> str:
    """The path of a program; a test without it is skipped."""
    found = _program(program)
    if found is None:
        pytest.skip(f"there is no {program}")
    return found


def missing() -> list[str]:
    """Those of the packages that are not installed here."""
    return [package for package in packages() if not _is_there(PROVIDES[package])]


def _is_there(thing: str) -> bool:
    if thing.startswith("/"):
        return os.path.exists(thing)
    if ".so." in thing:
        try:
            ctypes.CDLL(thing)
        except OSError:
            return False
        return True
    return _program(thing) is not None


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def advice() -> str:
    """The one command that installs what is missing, or nothing."""
    names = " ".join(missing())
    return f"sudo apt-get install --no-install-recommends {names}" if names else ""
