"""Optional format plugins: import the package that a format needs, as the format table names it.

No other module imports those packages; without one its format is refused with the extra's name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sharpend.errors import ImageRefusedError, Reason
from sharpend.imaging.formats import TABLE

if TYPE_CHECKING:
    from types import ModuleType

    from sharpend.imaging.formats import Format


def load(found: Format) -> ModuleType | None:
    """Register the Pillow plugin of a format, and return it; None where Pillow needs none.

    Raises:
        ImageRefusedError: `format_not_allowed` where its extra is not installed.
    """
    row = TABLE[found]
    module, _, register = row.plugin.partition(":")
    try:
        loaded = importlib.import_module(module) if module else None
        if register:
            getattr(loaded, register)()
    except ImportError as error:
        raise ImageRefusedError(
            Reason.FORMAT_NOT_ALLOWED,
            f"{row.title} needs another package: pip install 'sharpend[{row.extra}]'",
        ) from error
    return loaded
