"""Hostile files through a real daemon: each ends in an output or a reason, and nothing else."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest

from tests.bombs import BOMBS, STRANGERS
from tests.fuzzer import Fuzzed, fuzzed
from tests.mutants import cuts, mutants

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
GROWN_AT_MOST_MB = 50.0
"""All bombs together, as the allocator keeps memory: one alone takes at most 15 MB, a GIF of
100,000 frames."""


def test_three_hundred_mutants(tmp_path: Path) -> None:
    """No exit, no hang, no bug, no worker beyond its memory; some survive their damage."""
    found = fuzzed(tmp_path, mutants(0, 300))
    assert (found.faults, found.deaths) == ([], [])
    assert 0 < found.outputs < 300
    assert found.outputs + found.reasons.total() == 300


def test_cut_files(tmp_path: Path) -> None:
    """A file cut anywhere, of any format, is never an output; CMYK is refused by its header."""
    found = fuzzed(tmp_path, cuts())
    assert (found.faults, found.deaths, found.outputs) == ([], [], 0)
    assert set(found.reasons) <= {"truncated", "not_an_image", "empty", "pages", "color_mode"}


@pytest.fixture(scope="module")
def blown(tmp_path_factory: pytest.TempPathFactory) -> Fuzzed:
    """All bombs and strangers in one daemon; each bomb meets both kinds of policies."""
    bombs = [
        (f"{folder}-{name}", make()) for name, make in BOMBS.items() for folder in ("one", "two")
    ]
    return fuzzed(tmp_path_factory.mktemp("bombs"), chain(bombs, STRANGERS.items()))


def test_bombs_and_strangers(blown: Fuzzed) -> None:
    """The daemon outlives them, and so do its workers."""
    assert (blown.faults, blown.deaths) == ([], [])
    assert blown.reasons["empty"] == 1
    assert blown.reasons["format_not_allowed"] == 6
    assert blown.reasons["not_an_image"] == 2
    assert blown.reasons["too_many_pixels"] >= 10


def test_bombs_take_little_memory(blown: Fuzzed) -> None:
    """What they promise is never allocated."""
    assert blown.peak_mb - blown.idle_mb < GROWN_AT_MOST_MB
