"""The formats that need a package of their own: Pillow's plugins for HEIC and JPEG XL.

The only door to those packages; without them their formats are refused with the extra's name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.formats import TABLE, Format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _heic() -> None:
    importlib.import_module("pillow_heif").register_heif_opener()


def _jxl() -> None:
    importlib.import_module("pillow_jxl")


_PLUGINS: Mapping[Format, Callable[[], None]] = {Format.HEIC: _heic, Format.JXL: _jxl}


def load(found: Format) -> None:
    """Make Pillow able to read and write a format.

    Raises:
        ImageRefusedError: `format_not_allowed` where its extra is not installed.
    """
    if found not in _PLUGINS:
        return
    try:
        _PLUGINS[found]()
    except ImportError as error:
        row = TABLE[found]
        raise ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED,
            f"{row.title} needs another package: pip install 'sharpend[{row.extra}]'",
        ) from error
