"""The start of a worker imports torch without the part that only compilers need."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from sharpend.workers import worker

_LOADED = f"""
import importlib, sys
from sharpend.workers import worker
worker.TRIED_WITHOUT = TRIED
worker.load({os.getpid()})
print({worker.FOR_COMPILERS!r} in sys.modules)
part = importlib.import_module({worker.FOR_COMPILERS!r})
import torch
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


def test_the_version_that_the_tests_run_with_is_one_that_was_tried() -> None:
    """A new version of torch is to be added, when all tests have passed with it."""
    if not version("torch").startswith(worker.TRIED_WITHOUT):
        pytest.skip(f"torch {version('torch')} is imported whole; add it to worker.TRIED_WITHOUT")
