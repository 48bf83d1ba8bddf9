"""Limits that the kernel keeps, each met in a process of its own; and memory as it is read."""

from __future__ import annotations

import mmap
import os
import resource
import signal
import subprocess
import sys
import tracemalloc
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from sharpend import machine
from sharpend.imaging import codec
from sharpend.workers.limits import bytes_at_most
from tests.conftest import photograph

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc of Linux")
BEGIN = """
import resource
from sharpend.machine import cores
from sharpend.workers.limits import ResourceLimits
limits = ResourceLimits({job_s}, {memory})
limits.renew()
"""


def ended(script: str, *, job_s: float = 600, memory_bytes: int | None = None) -> tuple[int, str]:
    """The exit status and output of a process under limits."""
    ran = subprocess.run(
        [sys.executable, "-c", BEGIN.format(job_s=job_s, memory=memory_bytes) + script],
        check=False,
        capture_output=True,
        text=True,
    )
    return ran.returncode, ran.stdout.strip()


@LINUX
@pytest.mark.slow
def test_what_spins_is_killed() -> None:
    """A decoder that never ends is killed by the kernel, whatever its parent does."""
    script = "import os\nos.sched_setaffinity(0, {next(iter(os.sched_getaffinity(0)))})\n"
    script += "limits._job_s = 0.2\nlimits.renew()\nwhile True: pass"
    assert ended(script) == (-signal.SIGXCPU, "")


@LINUX
@pytest.mark.slow
def test_time_is_given_anew() -> None:
    """What earlier images took is not held against the next."""
    script = "import time\nfirst, _ = resource.getrlimit(resource.RLIMIT_CPU)\n"
    script += "while time.process_time() < 1.5: pass\nlimits.renew()\n"
    script += "print(0 < resource.getrlimit(resource.RLIMIT_CPU)[0] - first < 60)"
    assert ended(script) == (0, "True")


@LINUX
def test_memory_beyond_the_limit_is_refused_and_given_within_it() -> None:
    """An allocation fails as MemoryError, and the process goes on."""
    script = "from sharpend.workers import limits as q\n"
    script += "allowed = len(bytearray(150_000_000))\n"
    script += "try:\n    bytearray(300_000_000 + q.RESERVED_PER_THREAD * cores())\n"
    script += "except MemoryError:\n    print('refused', allowed, limits.limits_memory)"
    assert ended(script, memory_bytes=200_000_000) == (0, "refused 150000000 True")


def test_without_a_limit_there_is_none() -> None:
    """On a GPU addresses are not counted."""
    script = "print(resource.getrlimit(resource.RLIMIT_AS)[0], limits.limits_memory)"
    here, _ = resource.getrlimit(resource.RLIMIT_AS)
    assert ended(script) == (0, f"{here} False")


def test_no_core_dumps_and_an_end_of_files() -> None:
    """A dump would hold the image; a leak of descriptors ends in an error, not in the system."""
    script = "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
    script += "print(resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 1024)"
    assert ended(script) == (0, "(0, 0)\nTrue")


@LINUX
def test_a_process_is_measured() -> None:
    """Resident memory grows with what is touched; a process that is gone has none."""
    before = machine.resident_bytes(os.getpid())
    assert before is not None
    touched = mmap.mmap(-1, 50_000_000)  # no memory that was freed before
    for page in range(0, len(touched), mmap.PAGESIZE):
        touched[page] = 1
    after = machine.resident_bytes(os.getpid())
    assert after is not None
    assert after - before > 40_000_000
    assert (machine.address_bytes(os.getpid()) or 0) > after
    assert machine.resident_bytes(2**22 + 1) is None


def test_a_group_limits_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a service with MemoryMax that is what there is, also where a group above sets it."""
    whole = machine.available_bytes()
    assert 0 < whole <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    groups, proc = tmp_path / "cgroup", tmp_path / "proc"
    (groups / "system.slice/sharpend.service").mkdir(parents=True)
    (groups / "system.slice/memory.max").write_text("123456789\n")
    (groups / "system.slice/sharpend.service/memory.max").write_text("max\n")
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text("0::/system.slice/sharpend.service\n")
    monkeypatch.setattr(machine, "_GROUPS", groups)
    monkeypatch.setattr(machine, "_PROC", proc)
    assert machine.available_bytes() == 123_456_789
    (proc / "self/cgroup").unlink()
    assert machine.available_bytes() > 123_456_789


def test_a_machine_may_not_report_its_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no /proc nothing is known, and nothing fails."""
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    assert machine.processor() == ""
    (tmp_path / "cpuinfo").write_text("flags : avx2 amx_bf16")
    assert "amx_bf16" in machine.processor()


def tiff(pixels: NDArray[Any]) -> bytes:
    """An uncompressed TIFF with alpha."""
    file = BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb", extrasamples=["unassalpha"])
    return file.getvalue()


def gif(pixels: NDArray[Any]) -> bytes:
    """A GIF of one frame."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "GIF")
    return file.getvalue()


RGB = photograph(30, 40).repeat(10, axis=0).repeat(10, axis=1)
RGBA = np.dstack([RGB, RGB[::-1, :, :1]])
IMAGES = {
    "gif": partial(gif, RGB),
    "tiff of 16 bits": partial(tiff, RGBA.astype(np.uint16) * 257),
    "tiff of 32 bits": partial(tiff, (RGBA / 255).astype(np.float32)),
    "tiff of 64 bits": partial(tiff, RGBA / 255),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_takes_no_more_memory_than_is_counted_for_it(name: str) -> None:
    """From decoding to encoding, with all its samples changed; heaps of C libraries not counted."""
    file = BytesIO(IMAGES[name]())
    header = codec.probe(file)
    tracemalloc.start()
    try:
        picture = codec.decode(file, max_pixels=10**9, max_bytes=10**9)
        frame = picture.frames[0]
        changed = frame.with_pixels(frame.pixels[::-1].copy())
        codec.encode(picture.with_frames([changed]), BytesIO())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < bytes_at_most(header.height * header.width, header.bits)
