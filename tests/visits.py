"""A status page that is served for a test, its visitors, and ledgers that it shows."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from sharpend.files.preview_layout import IMAGES, Layout
from sharpend.files.previews import Previews
from sharpend.ledger.opening import open_ledger
from sharpend.web import access_control, address, app, sessions, tokens
from sharpend.web.serve import Server
from tests.fakes import ListLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from sharpend.web.sessions import Sessions

TOKEN = "a-token-of-the-test-0123456789-abcdef"  # noqa: S105 - of a test
HTML = {"Accept": "text/html"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a visitor got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass(slots=True)
class Visitor:
    """A browser without eyes: it keeps the cookie, and follows nothing."""

    port: int
    log: ListLog
    sessions: Sessions
    cookie: str = ""
    host: str = ""
    given: list[str] = field(default_factory=list)
    """Every Set-Cookie header."""

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a page; `_` in the name of a header stands for `-`."""
        return self.send("GET", path, b"", {**HTML, **_named(headers)})

    def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Answer:
        """Send a form."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.send("POST", path, urlencode(fields).encode(), {**kind, **_named(headers)})

    def act(self, path: str, **fields: str) -> Answer:
        """Send a form with the token of the session, which begins with the first page."""
        if not self.cookie:
            self.get("/folders")
        return self.post(path, {"csrf": self.csrf, **fields})

    def other(self) -> Visitor:
        """Another browser, without a cookie."""
        return Visitor(self.port, self.log, self.sessions)

    @property
    def csrf(self) -> str:
        """The token of the session's forms."""
        session = self.sessions.of(self.cookie)
        assert session is not None
        return session.csrf

    def send(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a request as it is given."""
        sent = {"Host": self.host or f"127.0.0.1:{self.port}", **headers}
        if self.cookie:
            sent.setdefault("Cookie", f"{self.sessions.cookie}={self.cookie}")
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as line:
            line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {**sent, "Content-Length": str(len(body))}.items():
                line.putheader(name, value)
            line.endheaders(body)
            got = line.getresponse()
            answer = Answer(got.status, dict(got.getheaders()), got.read())
        for name, value in got.getheaders():
            if name.lower() == "set-cookie":
                self.given.append(value)
                self.cookie = value.partition("=")[2].partition(";")[0]
        return answer


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class _Prompt(Server):
    """A server that sees the end of its test at once: uvicorn looks ten times a second."""

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:  # noqa: ASYNC110 - the thread of the test sets it
            await asyncio.sleep(0.005)


@contextmanager
def served(
    state: Path, known: Mapping[str, str] | None = None, *, behind_proxy: bool = False
) -> Iterator[Visitor]:
    """Serve the page of a state directory in a thread, on a port of its own.

    Args:
        state: to show.
        known: tokens by name; none asks for none.
        behind_proxy: believe a server in front.
    """
    log = ListLog()
    where = address.parse("127.0.0.1:0")
    access = access_control.Access(
        where.names,
        tokens.Tokens(known or {}),
        sessions.Sessions(),
        tokens.Throttle(),
        log,
        behind_proxy,
    )
    with address.bind(where) as listener:
        where = address.bound(where, listener)
        make = partial(app.make, app.Site(state, 60.0, access))
        server = _Prompt(make, lambda _: None, where)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Visitor(where.port, log, access.sessions)
        finally:
            server.should_exit = True
            thread.join()


ROW = """
INSERT INTO job (folder, relative, mark, state, attempts, added_at, finished_at, output,
    pixels, reason, message, setting)
VALUES (?, ?, ?, ?, 1, ?, ?, ?, 12000000, ?, ?, ?)
"""


def fill(
    state: Path,
    *,
    done: Iterable[bytes] = (),
    pending: Iterable[bytes] = (),
    refused: Iterable[bytes] = (),
    message: str = "it is cut short",
) -> None:
    """Make a ledger of one folder, `in`, with these images; the first one ended first."""
    ledger = open_ledger(state)
    try:
        ledger.folder("in", b"/pictures/in", b"/pictures/out")
        now_s = time.time() - 1000
        kinds = {"disposed": done, "pending": pending, "quarantined": refused}
        rows = [
            (
                1,
                name,
                f"{number}:{number}:{number}",
                kind,
                now_s + number / 1000,
                None if kind == "pending" else now_s + number / 1000,
                name if kind == "disposed" else None,
                "truncated" if kind == "quarantined" else None,
                message if kind == "quarantined" else None,
                "limits.max_megapixels" if kind == "quarantined" else None,
            )
            for kind, names in kinds.items()
            for number, name in enumerate(names)
        ]
        with ledger._store.transaction() as cursor:
            cursor.executemany(ROW, rows)
    finally:
        ledger.close()


def preview(state: Path, job_id: int, contents: Mapping[str, bytes] | None = None) -> None:
    """Keep a preview of a job, as a worker leaves it; its images are no images by default."""
    previews = Previews(state)
    folder = previews.new_folder()
    (state / "previews" / folder.decode().rpartition("/")[2]).mkdir()
    given = {name: name.encode() for name in IMAGES} | dict(contents or {})
    for name, content in given.items():
        with open(f"{folder.decode()}/{name}", "xb") as file:
            file.write(content)
    sizes = tuple(len(given[name]) for name in IMAGES)
    previews.publish(folder, job_id, Layout((0, 0, 256, 256), 1200, 900, sizes))
