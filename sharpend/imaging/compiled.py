"""Import of compiled parts, where a C compiler was at installation (`hatch_build.py`)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def compiled(name: str) -> ModuleType | None:
    """Import a compiled module; None where it was not built."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None
