"""Provenance record of an output: model, options and input that produced it.

Owns the names of the record's properties. Where the record lies in a file is `xmp`'s.
"""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMES = ("Model", "ModelDigest", "OptionsDigest", "InputDigest", "Version")
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Provenance:
    """The record of one output. Digests are SHA-256 in lower-case hexadecimal."""

    model: str
    """The model's name."""
    model_digest: str
    """Of its weights."""
    options_digest: str
    """Of its options."""
    input_digest: str
    """Of the input file's bytes."""
    version: str
    """Of sharpend."""

    def fields(self) -> dict[str, str]:
        """Convert the record to properties: names without prefix, and values."""
        return dict(zip(_NAMES, astuple(self), strict=True))

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Provenance | None:
        """Parse a record from properties; None if one is missing or a digest is invalid."""
        values = [fields.get(name, "") for name in _NAMES]
        if not all(values) or not all(map(_DIGEST.fullmatch, values[1:4])):
            return None
        return cls(*values)
