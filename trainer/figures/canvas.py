"""Matplotlib figures in the colours of the project, and their PNG files.

Owns colours and resolution. Does not use pyplot, which has global state and may open windows.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from sharpend.errors import UnavailableError
from sharpend.files.atomic import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

PAPER = "#fafaf8"
INK = "#1c1c1e"
QUIET_INK = "#606064"
RULE = "#d8d8d4"
BLUE, ORANGE = "#2b6cb0", "#b7561b"
LINES = (BLUE, ORANGE, "#2f7d5b", "#7a4f9a", "#a3373b", "#6b6b70")
"""Line colours, distinguishable with most colour deficiencies (after Okabe and Ito, 2008)."""
DOTS_PER_INCH = 150


def blank(width: float, height: float) -> Figure:
    """An empty figure.

    Args:
        width: in inches.
        height: in inches.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure as New  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UnavailableError("figures need matplotlib: pip install 'sharpend[train]'") from error
    return New(figsize=(width, height), facecolor=PAPER)


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, atomically."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DOTS_PER_INCH)
    write_atomically(path, drawn.getvalue())
