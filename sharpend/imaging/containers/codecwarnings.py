"""Warnings of the decoders in imagecodecs, which it logs instead of raising."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger("imagecodecs")


@contextmanager
def listening(heard: list[str]) -> Iterator[None]:
    """Collect what imagecodecs logs, and keep it out of our own log.

    Args:
        heard: gets the texts.
    """
    listener = logging.Handler()
    listener.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    before = _LOG.propagate
    _LOG.addHandler(listener)
    _LOG.propagate = False
    try:
        yield
    finally:
        _LOG.removeHandler(listener)
        _LOG.propagate = before
