"""Standard streams: distinguish errors of standard output from others, open missing streams.

Owns the rule that results which cannot be printed end a command: with 73 where a disk is full, with
128 + SIGPIPE where the reader of a pipe has closed it. Finished images are in the ledger.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING

from sharpend.errors import OutputFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


class _Stdout(io.TextIOBase):
    """Standard output that raises OutputFailedError where it cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._translated():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._translated():
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate errors, after which nothing more is written."""
        try:
            yield
        except OSError as error:
            with suppress(OSError), open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), self._stream.fileno())
            if isinstance(error, BrokenPipeError):
                raise
            raise OutputFailedError(
                f"standard output: {error.strerror}; redirect it elsewhere"
            ) from error


def open_closed() -> None:
    """Open standard streams that are closed: else the next opened file would get their number."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _open_null(descriptor, name)


@contextmanager
def guarded_stdout() -> Iterator[None]:
    """Open streams that are closed, and flush standard output at the end of the block.

    Raises:
        OutputFailedError: standard output cannot be written.
        BrokenPipeError: its reader has closed it.
    """
    open_closed()
    guarded = _Stdout(sys.stdout)
    with redirect_stdout(guarded):
        yield
        guarded.flush()


def _open_null(descriptor: int, name: str) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)
    stream = open(descriptor, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    setattr(sys, name, stream)
