"""Which libraries read and write images here, in which versions."""

from __future__ import annotations

from importlib import metadata

from PIL import features

_PACKAGES = ("pillow", "imagecodecs", "tifffile", "pillow-heif", "pillow-jxl-plugin")
_INSIDE_PILLOW = ("libjpeg_turbo", "zlib", "webp", "avif", "littlecms2")
"""What Pillow was built with; the wheels have all of it, a distribution's own build may not."""


def versions() -> dict[str, str | None]:
    """The version of each library by its name; None where it is not there."""
    inside = {name: features.version(name) for name in _INSIDE_PILLOW}
    return {name: _version(name) for name in _PACKAGES} | inside


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
