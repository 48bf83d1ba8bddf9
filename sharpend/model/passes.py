"""Compiled passes over pixels (`_packing.c`), where a C compiler was at installation."""

from __future__ import annotations

from sharpend.imaging.compiled import compiled

COMPILED = compiled("sharpend.model._packing")
