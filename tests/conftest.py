"""What tests share: small models, images made from numbers, folders.

The process that only distributes tests imports this as well, so heavy imports are in functions.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.outside_tools import advice

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from sharpend.workers.pipeline import Pipeline
    from tests.raycluster import RayCluster
    from tests.store_server import StoreServer


MEMORY_DISK = "/dev/shm"  # noqa: S108 - below it pytest makes a folder of its own
if os.access(MEMORY_DISK, os.W_OK) and shutil.disk_usage(MEMORY_DISK).free > 4e9:
    # A third of the suite's time is waiting for fsync, which no test can tell from none: a process
    # that is killed leaves its pages in memory, and nobody cuts the power.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", MEMORY_DISK)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
"""Processes that tests start find our modules compiled, as those of an installed program do, and
pytest keeps the tests that it has rewritten: to do it again takes six seconds."""
gc.set_threshold(10_000, 20, 20)
"""Torch's objects and syntax trees of all modules are many: to look through them after every 700
new ones takes a quarter of the time of tests that read source."""


LONGEST = (
    *("test_bench", "test_campaign", "test_model_runtime", "test_cluster", "test_slow_writers"),
    *("test_corpus", "test_systemd_booted", "test_cases_policies"),
)
"""Files whose slow tests take more than a minute, the longest first."""
settings.register_profile("all", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("all"), max_examples=25)
"""Without limits on time, which say something of the machine's other load and nothing of us."""


def pytest_configure(config: pytest.Config) -> None:
    """Draw fewer examples where slow tests are left out; `make test` draws all."""
    if not config.getoption("hypothesis_profile"):
        is_fast = config.getoption("markexpr") == "not slow"
        settings.load_profile("fast" if is_fast else "all")
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        import torch

        torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


def pytest_collection_finish() -> None:
    """Leave what all tests share out of later searches for garbage: it is large, and stays."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests run last, so that a fault that a fast one finds is seen at once.

    The longest files are the first of them, so that no process is left alone with one at the end.
    """
    ranks = {name: rank for rank, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> tuple[bool, int]:
        is_slow = item.get_closest_marker("slow") is not None
        return is_slow, ranks.get(item.path.stem, len(ranks)) if is_slow else 0

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests were skipped and why, and the command that installs what they need."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"{len(skipped)} skipped")
    by_reason: dict[str, set[str]] = {}
    for report in skipped:
        by_reason.setdefault(_reason(report), set()).add(report.nodeid.split("::")[0])
    for reason, files in sorted(by_reason.items()):
        terminalreporter.line(f"{reason}: {', '.join(sorted(files))}")
    if command := advice():
        terminalreporter.line("")
        terminalreporter.line(f"Tests need tools that are not installed here: {command}")


def _reason(report: pytest.TestReport) -> str:
    """Why a test was skipped."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@dataclass(frozen=True, slots=True)
class Networks:
    """Weights files of a small student and the teacher that its card names."""

    student: Path
    teacher: Path


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Networks:
    """An untrained student and teacher of 8 channels, almost the identity both."""
    import torch

    from sharpend.model.networks import StudentNet, TeacherNet
    from sharpend.model.weights import Card, digest, save_network

    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    teacher, student = TeacherNet(8, 1), StudentNet(8, 1)
    made = Networks(folder / "student.safetensors", folder / "teacher.safetensors")
    save_network(made.teacher, teacher, Card("teacher", "teacher", 8, 1, teacher.halo_px))
    card = Card(
        "student",
        "student",
        8,
        1,
        student.halo_px,
        teacher=str(made.teacher),
        teacher_digest=digest(teacher.state_dict()),
        alarm_below=0.5,
    )
    save_network(made.student, student, card)
    return made


@pytest.fixture(scope="module")
def ray() -> Iterator[RayCluster]:
    """A Ray cluster on the loopback: a head and two nodes of one processor each."""
    from tests.raycluster import cluster

    with cluster(1, 1) as made:
        yield made


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new home on a machine without settings of sharpend; returns where the machine's would be.

    Whoever tests on a machine where sharpend is installed gets the same answers.
    """
    for name in list(os.environ):
        if name.startswith(("SHARPEND_", "XDG_", "STATE_DIRECTORY")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    system = tmp_path / "etc.toml"
    monkeypatch.setattr("sharpend.settings.sources.SYSTEM_CONFIG", system)
    return system


def photograph(height: int, width: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """An image with smooth parts, edges and texture: H x W x 3 uint8, the caller's own."""
    return _photograph(height, width, seed).copy()


@lru_cache(maxsize=16)
def _photograph(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Make it once: tests of a file ask for the same one again and again."""
    import numpy as np

    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    phases = random.uniform(0, 6, 3)
    waves = [np.sin(rows / 9 + phase) + np.cos(columns / 7 - phase) for phase in phases]
    edges = ((rows // 16 + columns // 16) % 2)[..., None] * 60
    noise = random.normal(0, 4, (height, width, 3))
    values = 110 + 25 * np.stack(waves, axis=-1) + edges + noise
    pixels: NDArray[np.uint8] = np.clip(values, 0, 255).astype(np.uint8)
    return pixels


def psnr(one: NDArray[Any], other: NDArray[Any], *, data_range: int) -> float:
    """PSNR in dB of two arrays of samples; 138 or more, by range, where they are equal."""
    import numpy as np

    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float(10 * np.log10(data_range**2 / max(error, 1e-9)))


def drop(folder: Path, name: str, *, height: int = 48, width: int = 64, seed: int = 0) -> Path:
    """A small PNG under its final name in one step, as a careful program leaves it."""
    from sharpend.imaging.files import save_png

    folder.mkdir(parents=True, exist_ok=True)
    hidden = folder / f".{seed}.tmp"
    save_png(photograph(height, width, seed=seed), hidden)
    return hidden.rename(folder / name)


@pytest.fixture
def attributes() -> Iterator[Path]:
    """A folder on a file system with extended attributes."""
    for parent in ("/dev/shm", None, "/var/tmp"):  # noqa: S108 - a folder of its own is made below
        with tempfile.TemporaryDirectory(dir=parent) as name:
            try:
                os.setxattr(name, "user.sharpend.test", b"")
            except OSError:
                continue
            yield Path(name)
            return
    pytest.skip("no file system with extended attributes for users")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreServer]:
    """A good object store."""
    from tests.store_server import running_store

    with running_store(monkeypatch) as server:
        yield server


@pytest.fixture(scope="module")
def worker() -> Pipeline:
    """A worker's pipeline; its models stay loaded."""
    from sharpend.model.device import Placement
    from sharpend.workers.pipeline import Pipeline

    return Pipeline(Placement(device="cpu", precision="float32"), crop_px=64)
