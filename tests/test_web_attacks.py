"""Attacks on the status page below and beside its forms: raw HTTP, headers, hostile values."""

from __future__ import annotations

import json
import os
import re
import socket
from contextlib import closing
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("starlette", reason="the extra `web` is not installed")

from prometheus_client.parser import text_string_to_metric_families

from sharpend.daemon import image_history
from sharpend.files.preview_layout import IMAGES
from sharpend.ledger.opening import open_ledger
from sharpend.ledger.reader import LedgerReader
from sharpend.logs import logs
from sharpend.logs.events import Event
from tests.test_web import working
from tests.visits import TOKEN, fill, preview, served

if TYPE_CHECKING:
    from tests.visits import Visitor

ROOT = Path(__file__).parent.parent
PAGES = ("/", "/gallery", "/quarantine", "/folders", "/image/1")
HOST = b"Host: localhost\r\n"
PAUSE = b"csrf=x&folder="
HTML = b"Accept: text/html\r\n"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with one refused image, and a preview of it."""
    fill(tmp_path, refused=[b"bad.jpg"])
    preview(tmp_path, 1)
    return tmp_path


def told(visitor: Visitor, request: bytes) -> bytes:
    """Everything that the server sends until it ends the connection."""
    with closing(socket.create_connection(("127.0.0.1", visitor.port), timeout=60)) as line:
        got = bytearray()
        try:
            line.sendall(request)
            while part := line.recv(1 << 16):
                got += part
        except ConnectionError:
            pass
        return bytes(got)


def statuses(answer: bytes) -> list[int]:
    """The statuses of all answers on a connection."""
    return [int(one) for one in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def form(*headers: bytes) -> bytes:
    """The head of a form that pauses all folders."""
    return b"POST /folders/pause HTTP/1.1\r\n" + HOST + b"".join(headers)


RAW = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9 + b"\r\n\r\n", [400]),
    "HTTP/0.9": (b"GET /\r\n\r\n", [400]),
    "HTTP/2 at once": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400, 421, 405]),
    "HTTP/1.0 without a host": (b"GET / HTTP/1.0\r\n\r\n", [421]),
    "a tunnel": (b"CONNECT localhost:22 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", [405]),
    "a method in small letters": (
        b"get / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
        [405],
    ),
    "a large header": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 200_000, [400]),
    "many headers": (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 20_000, [400]),
    "a long address": (b"GET /?" + b"y" * 200_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", [400]),
    "a folded header": (
        b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\nConnection: close\r\n\r\n",
        [400, 303, 401, 200],
    ),
    "a space before the colon": (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", [400]),
    "a control character in a header": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n", [400]),
    "lengths that contradict (smuggling)": (
        form(b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n"),
        [400],
    ),
    "a length that is none": (form(b"Content-Length: -1\r\n\r\n"), [400]),
    "an encoding of another kind": (form(b"Transfer-Encoding: gzip, chunked\r\n\r\n"), [400, 501]),
    "a chunk that is none": (form(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), [400, 401]),
    "chunks without end": (
        form(b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        + b"2000\r\n"
        + b"x" * 8192
        + b"\r\n2000\r\n"
        + b"x" * 8192
        + b"\r\n0\r\n\r\n",
        [413, 401],
    ),
    "websocket": (
        b"GET /events HTTP/1.1\r\n"
        + HOST
        + b"Connection: Upgrade, close\r\nUpgrade: websocket\r\n"
        + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n",
        [401],
    ),
    "HTTP/2 by upgrade": (
        b"GET / HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n",
        [401],
    ),
}
"""Attack by raw HTTP, what is sent, and the statuses that it may get."""


@pytest.mark.parametrize("attack", RAW)
def test_odd_http_is_refused(state: Path, attack: str) -> None:
    """With a plain answer, and the next visitor is served."""
    request, allowed = RAW[attack]
    with served(state, {"ann": TOKEN}) as visitor:
        got = statuses(told(visitor, request))
        assert got
        assert set(got) <= set(allowed)
        assert visitor.get("/healthz").status == 200


def test_requests_in_a_row_are_each_judged(state: Path) -> None:
    """Pipelined: a form behind a right request, or in its body, is no right one for that."""
    last = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    pause = form(b"Content-Length: %d\r\n\r\n" % len(PAUSE)) + PAUSE
    inside = b"GET / HTTP/1.1\r\n" + HOST + HTML + b"Content-Length: %d\r\n\r\n" % len(pause)
    with served(state) as visitor:
        first = b"GET / HTTP/1.1\r\n" + HOST + HTML + b"\r\n"
        assert statuses(told(visitor, first + pause + last)) == [200, 403, 200]
        assert statuses(told(visitor, inside + pause + last)) == [200, 200]
    with LedgerReader.read_only(state) as ledger:
        assert not ledger.pauses()


OTHERS = {
    "a script or an image of another site": {"Sec_Fetch_Site": "cross-site", "Accept": "*/*"},
    "the same of a neighbour": {"Sec_Fetch_Site": "same-site", "Accept": "image/webp"},
    "a stream of another site": {"Sec_Fetch_Site": "cross-site", "Accept": "text/event-stream"},
}


@pytest.mark.parametrize("attack", OTHERS)
def test_other_sites_load_nothing(state: Path, attack: str) -> None:
    """Not even without an answer that they could read: it would take the place of a visitor."""
    with served(state) as visitor:
        for path in ("/events", "/metrics", f"/image/1/{IMAGES[0]}", "/static/page.js"):
            assert visitor.get(path, **OTHERS[attack]).status == 403


def test_names_in_headers_are_not_passed_on(state: Path) -> None:
    """Nothing of them is in an answer, so that no cache and no link leads elsewhere."""
    forwarded = ("X_Forwarded_Host", "X_Host", "Forwarded", "X_Original_URL", "X_Rewrite_URL")
    sent = dict.fromkeys(forwarded, "attacker.example/quarantine")
    with served(state, {"ann": TOKEN}) as visitor:
        for path in ("/", "/login", "//attacker.example", "/login?next=//attacker.example"):
            answer = visitor.get(path, **sent)
            assert "attacker" not in answer.text + str(answer.headers)
        entered = visitor.act("/login?next=//attacker.example", token=TOKEN, next="//attacker")
        assert (entered.status, entered.headers["location"]) == (303, "/")
        assert visitor.get("/", **sent).text.count("<title>Overview") == 1
        assert "Content-Disposition" not in visitor.get(f"/image/1/{IMAGES[0]}").headers


def test_a_token_in_an_address_is_none(state: Path) -> None:
    """Addresses stay in histories and logs."""
    with served(state, {"ann": TOKEN}) as visitor:
        for path in (f"/?token={TOKEN}", f"/login?token={TOKEN}", f"/metrics?access_token={TOKEN}"):
            assert "bad.jpg" not in visitor.get(path).text
            assert visitor.get("/").status == 303


def test_the_cookie_of_a_guest_is_worth_nothing_elsewhere(state: Path) -> None:
    """Cookie tossing: a session that the attacker knows, set for a victim, lets no form in."""
    with served(state) as visitor:
        visitor.get("/")
        tossed, csrf = visitor.cookie, visitor.csrf
        fields = {"csrf": csrf, "folder": ""}
        cookie = f"{visitor.sessions.cookie}={tossed}"
        from_port = {"Origin": "http://127.0.0.1:1", "Cookie": cookie}
        assert visitor.post("/folders/pause", fields, **from_port).status == 403
        from_port = {"Sec_Fetch_Site": "same-site", "Cookie": cookie}
        assert visitor.post("/folders/pause", fields, **from_port).status == 403


def test_a_preview_that_is_a_page_is_an_image(tmp_path: Path) -> None:
    """A worker that was taken over leaves markup: no browser takes it for a page."""
    fill(tmp_path, done=[b"a.jpg"])
    polyglot = b"RIFF\x00\x00\x00\x00WEBPVP8 <html><script>alert(1)</script>"
    preview(tmp_path, 1, dict.fromkeys(IMAGES, polyglot))
    with served(tmp_path) as visitor:
        answer = visitor.get(f"/image/1/{IMAGES[0]}")
    assert answer.body == polyglot
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_folder_of_a_preview_that_is_a_link_is_not_served(state: Path, tmp_path: Path) -> None:
    """Wherever it leads, to files of the same names and sizes, too."""
    own, other = state / "previews/1", tmp_path / "elsewhere"
    own.rename(other)
    own.symlink_to(other)
    with served(state) as visitor:
        assert visitor.get(f"/image/1/{IMAGES[0]}").status == 404


MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\x1b[31m\n{{7*7}}"


class Markup(HTMLParser):
    """What of a page a browser could run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect scripts that are not ours, and attributes that run."""
        given = dict(attrs)
        if tag == "script" and not str(given.get("src")).startswith("/static/page.js?"):
            self.found.append(tag)
        self.found += [name for name in given if name.startswith("on") or name == "style"]
        self.found += [str(value) for value in given.values() if "javascript:" in str(value)]


def test_every_text_of_others_is_text(tmp_path: Path) -> None:
    """Names, messages, models, devices, folders, events and their keys, on every page."""
    fill(tmp_path, refused=[MARKUP.encode()], message=MARKUP)
    ledger = open_ledger(tmp_path)
    with ledger._store.transaction() as cursor:
        cursor.execute("UPDATE folder SET name = ?, input = ?", (MARKUP, MARKUP.encode()))
        cursor.execute("UPDATE job SET setting = ?, moved = ?", (MARKUP, MARKUP.encode()))
    ledger.close()
    path = MARKUP.encode().decode()
    event = {"event": "image.finished", "at": 1.0, "folder": MARKUP, "path": path}
    event |= {MARKUP: MARKUP, "options": {MARKUP: [MARKUP]}, f"{MARKUP}_s": 1.0}
    image_history.path_of(tmp_path).parent.mkdir(exist_ok=True)
    image_history.path_of(tmp_path).write_text(json.dumps(event) + "\n")
    canary = dict.fromkeys(("model", "verdict", "mean", "n", "used_mean", "difference"), MARKUP)
    canary |= dict.fromkeys(("residual_ratio", "used_residual_ratio", "crop_ms"), MARKUP)
    canary |= dict.fromkeys(("teacher", "used_teacher", "quotient", "quotient_above"), MARKUP)
    canary |= {"used_crop_ms": MARKUP, "residual_above": MARKUP}
    held = working(
        tmp_path,
        model=MARKUP,
        device=MARKUP,
        state_fault=MARKUP,
        canary=canary,
        paused={MARKUP: MARKUP},
        left_alone={MARKUP: {MARKUP: 1}},
    )
    with served(tmp_path) as visitor:
        for page in PAGES:
            answer = visitor.get(page)
            assert (page, answer.status) == (page, 200)
            assert (page, Markup(answer.text).found) == (page, [])
            shown = re.sub(r'<input type="hidden"[^>]*>', "", answer.text)  # sent as they are
            assert not set("\u202e\x1b") & set(shown)
            assert page == "/gallery" or "{{7*7}}" in shown  # no image of it is finished
    os.close(held)


def test_labels_of_metrics_hold_any_text(tmp_path: Path) -> None:
    """A folder or a model whose name has quotes and lines adds no metric."""
    evil = 'a"} 1\nsharpend_up{x="\\'
    fill(tmp_path, done=[b"a.jpg"])
    ledger = open_ledger(tmp_path)
    with ledger._store.transaction() as cursor:
        cursor.execute("UPDATE folder SET name = ?", (evil,))
    ledger.close()
    with served(tmp_path) as visitor:
        text = visitor.get("/metrics", Accept="*/*").text
    families = {one.name: one for one in text_string_to_metric_families(text)}
    assert {one.labels["folder"] for one in families["sharpend_images"].samples} == {evil}
    assert [one.value for one in families["sharpend_up"].samples] == [0.0]


@pytest.mark.parametrize("format", ["json", "console"])
def test_an_address_forges_no_line_of_the_log(format: str) -> None:  # noqa: A002 - the setting's name
    """Line feeds, escapes and marks of direction that an address has stay in its line."""
    stream = StringIO()
    log = logs.configure(level="info", format=format, stream=stream)
    given = '/\n{"event": "action.taken"}\x1b[2K\u202e\u2028'
    log.warning(Event.REQUEST_REFUSED, cause="wrong token", caller="unix", address=given)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert not set("\x1b\u202e") & set(lines[0])


def test_the_table_of_attacks_names_tests_that_exist() -> None:
    """Each row of the threat model names at least one, and none that is gone."""
    page = (ROOT / "sharpend/README.md").read_text(encoding="utf-8")
    table = page.split("### The status page")[1].split("## Glossary")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    files = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_web*.py")]
    there = set(re.findall(r"(?m)^def (test_\w+)", "\n".join(files)))
    assert rows
    for row in rows:
        named = set(re.findall(r"`(test_\w+)`", row))
        assert named, row
        assert named <= there, row
