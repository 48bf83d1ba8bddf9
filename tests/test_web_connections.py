"""Places of the status page's server: silent, slow and idle visitors keep nobody out."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, closing, suppress
from http.client import HTTPException
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("starlette", reason="the extra `web` is not installed")

from sharpend.files.preview_layout import IMAGES, MOST_BYTES
from sharpend.web import connections, event_stream, serve
from tests.daemons import until
from tests.visits import fill, preview, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.visits import Visitor

SOON_S = 0.2
HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
FORM = b"POST /folders/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
ASKED = HEAD + b"\r\n"


@pytest.fixture
def visitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visitor]:
    """A page that waits for a visitor for an instant only."""
    monkeypatch.setattr(connections, "ASK_S", SOON_S)
    monkeypatch.setattr(connections, "TAKE_S", SOON_S)
    monkeypatch.setattr(serve, "MOST", 2)
    fill(tmp_path, done=[b"a.jpg"])
    preview(tmp_path, 1, dict.fromkeys(IMAGES, bytes(MOST_BYTES)))
    with served(tmp_path) as one:
        yield one


def connected(visitor: Visitor) -> socket.socket:
    """A connection to the page, with a deadline for each answer."""
    return socket.create_connection(("127.0.0.1", visitor.port), timeout=60)


def is_ended(line: socket.socket) -> bool:
    """Read until the server ends a connection."""
    try:
        while line.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return True


def answered(visitor: Visitor, request: bytes) -> socket.socket | None:
    """A connection on which the answer to a request has begun.

    None where a busy machine held up the request, so that it was given up.
    """
    line = connected(visitor)
    with suppress(ConnectionError):
        line.sendall(request)
        if line.recv(1):
            return line
    line.close()
    return None


def is_served(visitor: Visitor) -> bool:
    """Whether the page answers; False also where it gave up a request that was held up."""
    with suppress(HTTPException, ConnectionError):
        return visitor.get("/healthz").status == 200
    return False


UNFINISHED = {
    "nothing at all": b"",
    "half of a head": HEAD,
    "a head without its body": FORM,
    "half of a body": FORM + b"csrf=",
    "half of a second head": ASKED + HEAD,
    "a second head without its body": ASKED + FORM,
    "an empty line": b"\r\n",
}
"""What a visitor sends before it falls silent."""


@pytest.mark.parametrize("kind", UNFINISHED)
def test_a_request_that_does_not_end_is_given_up(visitor: Visitor, kind: str) -> None:
    """Whatever of it has come."""
    with closing(connected(visitor)) as line:
        with suppress(ConnectionError):  # it may be given up before
            line.sendall(UNFINISHED[kind])
        assert is_ended(line)


def test_a_request_byte_by_byte_is_given_up(visitor: Visitor) -> None:
    """Each byte is something new, and the whole is late all the same."""
    with closing(connected(visitor)) as line:
        line.settimeout(SOON_S / 10)
        began_s = time.monotonic()
        while time.monotonic() < began_s + 60:
            try:
                line.sendall(b"a")
                if not line.recv(1):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert SOON_S / 2 < time.monotonic() - began_s < 60


def test_an_answer_that_nobody_takes_is_given_up(visitor: Visitor) -> None:
    """A visitor who asks for much and does not read keeps the place for a moment only."""
    asked = f"GET /image/1/{IMAGES[0]} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    line = until(lambda: answered(visitor, asked.encode() * 4))
    assert line is not None
    with closing(line):
        until(lambda: is_served(visitor))


def test_the_one_that_waited_longest_makes_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all places are taken by visitors that say nothing (more), a new one gets in."""
    monkeypatch.setattr(serve, "MOST", 8)
    fill(tmp_path)
    with served(tmp_path) as visitor, ExitStack() as stack:
        silent = [stack.enter_context(closing(connected(visitor))) for _ in range(3)]
        idle = []
        for _ in range(12):
            idle.append(stack.enter_context(closing(connected(visitor))))
            idle[-1].sendall(ASKED)
            assert idle[-1].recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert all(is_ended(line) for line in [*silent, *idle[:4]])
        assert visitor.get("/").status == 200


def test_an_open_page_keeps_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream is an answer under way: no newcomer ends it."""
    monkeypatch.setattr(serve, "MOST", 4)
    monkeypatch.setattr(event_stream, "LOOK_EVERY_S", 0.05)
    fill(tmp_path)
    with served(tmp_path) as visitor, ExitStack() as stack:
        page = stack.enter_context(closing(connected(visitor)))
        page.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with page.makefile("rb") as stream:
            assert next(one for one in stream if one.startswith(b"retry"))
            for _ in range(12):
                stack.enter_context(closing(connected(visitor)))
            assert visitor.get("/").status == 200
            (tmp_path / "status.json").write_text("{}")
            assert next(one for one in stream if one.startswith(b"event: changed"))
