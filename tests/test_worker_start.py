"""The start of a worker imports torch without the part that only compilers need."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from sharpend.workers import worker

_LOADED = f"""
import sys
from sharpend.workers import worker
worker.TRIED_WITHOUT = TRIED
worker.load()
print({worker.FOR_COMPILERS!r} in sys.modules)
import torch
from torch import _meta_registrations as part
print(bool(part.__file__), torch.zeros(3, 4, device="meta").cumsum(1).shape == (3, 4))
"""


def _loaded(tried: tuple[str, ...]) -> list[str]:
    command = [sys.executable, "-c", _LOADED.replace("= TRIED", f"= {tried!r}")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.slow
def test_the_part_is_left_out_and_can_be_had_later() -> None:
    """A worker imports torch without the part; what imports that later gets it whole."""
    assert _loaded((version("torch"),)) == ["False", "True", "True"]


@pytest.mark.slow
def test_an_unknown_version_is_imported_whole() -> None:
    """A version of torch that was not tried is imported with all its parts."""
    assert _loaded(("0.",)) == ["True", "True", "True"]
