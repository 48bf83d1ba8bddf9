"""`sharpend formats`: print the supported formats and what each may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.errors import ExitCode
from sharpend.imaging.formats import markdown

if TYPE_CHECKING:
    import argparse


def main(_options: argparse.Namespace) -> int:
    """Print the format table as Markdown."""
    print(markdown())
    return ExitCode.OK
