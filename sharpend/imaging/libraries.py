"""Versions of the image libraries that are installed."""

from __future__ import annotations

from importlib import metadata

from PIL import features

_PACKAGES = ("pillow", "imagecodecs", "tifffile", "pillow-heif")
_INSIDE_PILLOW = ("libjpeg_turbo", "zlib", "webp", "avif", "littlecms2")
"""Libraries inside Pillow; its wheels have all of them, a distribution's build may not."""


def versions() -> dict[str, str | None]:
    """Return the version of each library by its name; None if it is not installed."""
    inside = {name: features.version(name) for name in _INSIDE_PILLOW}
    return {name: _version(name) for name in _PACKAGES} | inside


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
