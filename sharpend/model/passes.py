"""Compiled passes over pixels (`_packing.c`), where a C compiler was at installation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType


def _compiled() -> ModuleType | None:
    """Import the compiled passes, None where they were not built."""
    try:
        return importlib.import_module("sharpend.model._packing")
    except ModuleNotFoundError:
        return None


COMPILED = _compiled()
