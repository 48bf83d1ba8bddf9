"""Files that people really drop into such a tool, and what is right for each.

They lie in `data/cases`. Three tables there, one for each family of formats, say what each is, and
its `outcome`: `taken` with its exact `notes` and `losses`, or the reason and the setting of its
refusal. `policies.json` says what becomes of each under each policy of a folder.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpend.imaging import codec
from sharpend.policies import Cmyk, Frames, Policies

if TYPE_CHECKING:
    from sharpend.imaging.picture import Picture

FOLDER = Path(__file__).parent / "data/cases"
TABLES = {
    "rest": Policies(frames=Frames.ALL, cmyk=Cmyk.CONVERT),
    "iso": Policies(),
    "tiff": Policies(),
}
"""Policies that the outcomes of each table hold for."""
DEFAULT = Policies()


def table(name: str) -> dict[str, Any]:
    """A table by its name: the name of each input, and what is right for it."""
    read: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return read


def taken(name: str) -> list[str]:
    """Names of the inputs of a table that are sharpened."""
    return [each for each, right in table(name).items() if right["outcome"] == "taken"]


def bytes_of(name: str) -> bytes:
    """An input."""
    return (FOLDER / name).read_bytes()


def decoded(data: bytes, policies: Policies = DEFAULT, **limits: int) -> Picture:
    """The image of a file."""
    allowed = {"max_pixels": 10_000_000, "max_bytes": 1_000_000} | limits
    return codec.decode(BytesIO(data), **allowed, policies=policies)


def written(picture: Picture) -> bytes:
    """The file of an image."""
    file = BytesIO()
    codec.encode(picture, file)
    return file.getvalue()
