"""Frames on the pipe between the daemon and a worker: the length in four bytes, then the body."""

from __future__ import annotations

from typing import IO

from sharpend.workers.jsoncodec import MessageError

_HEADER_BYTES = 4


def send(pipe: IO[bytes], body: bytes) -> None:
    """Write one frame: its length in four bytes, then the body."""
    pipe.write(len(body).to_bytes(_HEADER_BYTES, "big") + body)
    pipe.flush()


def receive(pipe: IO[bytes], longest: int) -> bytes | None:
    """Read one frame; None at the end of the pipe.

    Args:
        pipe: buffered, so that a read waits for all it asks for.
        longest: bytes of the longest body; more is refused before it is read.

    Raises:
        MessageError: the frame is too long, or the pipe ended within it.
    """
    header = pipe.read(_HEADER_BYTES)
    if not header:
        return None
    size = int.from_bytes(header, "big")
    if len(header) == _HEADER_BYTES and size > longest:
        raise MessageError(f"it is longer than {longest} bytes")
    body = pipe.read(size) if len(header) == _HEADER_BYTES else b""
    if not body or len(body) < size:
        raise MessageError("the pipe ended within it")
    return body
