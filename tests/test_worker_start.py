"""The start of a worker imports torch without parts that it does not need here."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from sharpend.workers import worker

if TYPE_CHECKING:
    from pathlib import Path

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


_WITH_BINDINGS = f"""
import sys
from pathlib import Path
from sharpend import machine
from sharpend.workers import worker
bindings = Path(sys.argv[1]) / {worker.FOR_GPUS!r} / "bindings"
bindings.mkdir(parents=True)
(bindings / "__init__.py").write_text("")
sys.path.insert(0, sys.argv[1])
machine.may_have_gpu = lambda: GPU
worker.load()
print({worker.FOR_GPUS!r} in sys.modules)
import cuda.bindings
print(bool(cuda.bindings.__file__))
"""


@pytest.mark.slow
@pytest.mark.parametrize("gpu", [True, False])
def test_bindings_of_gpus_are_left_out_where_there_is_none(tmp_path: Path, *, gpu: bool) -> None:
    """Torch imports them on a machine with a GPU only; who needs them later gets them."""
    program = _WITH_BINDINGS.replace("GPU", repr(gpu))
    command = [sys.executable, "-c", program, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said == [repr(gpu), "True"]
