"""`sharpend metrics`: print the metrics for Prometheus, or write them for node_exporter."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from sharpend.commands.overrides import settings_of
from sharpend.errors import OutputFailedError, UnavailableError, UsageError
from sharpend.files.atomic import replacing

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

_SUFFIX = ".prom"
"""node_exporter's textfile collector reads files with this suffix alone."""
_READABLE_BY_ALL = 0o644
"""node_exporter runs as another user."""


def main(options: argparse.Namespace) -> int:
    """Print the metrics of the state directory, or replace a file with them.

    Returns:
        0, also where no daemon works: `sharpend_up` is 0 then.

    Raises:
        UsageError: node_exporter would not read a file of this name.
        UnavailableError: prometheus-client is not installed.
        OutputFailedError: the file cannot be written.
        StateFaultError: the state directory is another user's.
    """
    if not importlib.util.find_spec("prometheus_client"):
        raise UnavailableError("metrics need prometheus-client: pip install 'sharpend[web]'")
    from sharpend.web.metrics import exposition  # noqa: PLC0415 - an extra

    target: Path | None = options.textfile
    if target is not None and target.suffix != _SUFFIX:
        raise UsageError(f"--textfile: {target}: node_exporter reads *{_SUFFIX} only: rename it")
    _, text = exposition(settings_of(options).state)
    if target is None:
        print(text.decode(), end="")
    else:
        _write(target, text)
    return 0


def _write(target: Path, text: bytes) -> None:
    try:
        with replacing(target) as file:
            os.fchmod(file.fileno(), _READABLE_BY_ALL)
            file.write(text)
    except OSError as error:
        raise OutputFailedError(f"--textfile: {target}: {error.strerror}") from error
