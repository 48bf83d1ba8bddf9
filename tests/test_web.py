"""The status page over real sockets: what it shows of any state, and what its buttons do."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("starlette", reason="the extra `web` is not installed")

from sharpend.daemon.history import History
from sharpend.daemon.status import write_status
from sharpend.errors import Reason, UnavailableError
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.preview_layout import IMAGES
from sharpend.ledger import pages_sql
from sharpend.ledger.opening import lock, open_ledger
from sharpend.ledger.pages import NEWEST, LedgerPages
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import QuarantineReason, State
from sharpend.ledger.schema import STEPS
from sharpend.logs.events import Event
from sharpend.web import address, chart, event_stream
from sharpend.web.tokens import LOCAL
from tests.daemons import WITHIN_S, surroundings
from tests.older_ledgers import LAST_WIDE, older_ledger
from tests.test_history import BEGIN, report
from tests.visits import fill, preview, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.visits import Visitor

PAGES = (
    "/",
    "/?range=year",
    "/gallery",
    "/gallery?of=all&show=whole",
    "/quarantine",
    "/folders",
)
HOSTILE = {
    b"<script>alert(1)</script>.jpg": "&lt;script&gt;alert(1)&lt;/script&gt;.jpg",
    b'"><img src=x onerror=alert(1)>.jpg': "&#34;&gt;&lt;img src=x onerror=alert(1)&gt;.jpg",
    b"line\nbreak\x1b[31m.jpg": r"line\nbreak\x1b[31m.jpg",
    b"caf\xe9\xff.jpg": r"caf\udce9\udcff.jpg",
    "\u202egpj.exe".encode(): r"\u202egpj.exe",
    b"{{ 7 * 7 }}.jpg": "{{ 7 * 7 }}.jpg",
    b"..%2f..%2fetc.jpg": "..%2f..%2fetc.jpg",
    b"a/b/" + b"x" * 250: "x" * 250,
}
"""Names of files, and how a page has them in its markup."""


def working(state: Path, /, **values: object) -> int:
    """Be a daemon at work for the page: its lock, and its status."""
    held = lock(state)
    usual: dict[str, object] = {"state": "running", "pid": 1, "version": "1", "at": time.time()}
    usual |= {"health": "ok", "queue_depth": 0, "workers": 2, "images_per_s": 3.25, "paused": {}}
    usual |= {"agreement": None, "agreement_by_model": None}
    write_status(
        state, usual | {"megapixels_per_s": 20.0, "model": "lite", "device": "cpu"} | values
    )
    return held


def test_figures_of_a_daemon_that_was_killed_are_not_those_of_the_next(tmp_path: Path) -> None:
    """Before its first report a daemon starts, whatever the last one said."""
    fill(tmp_path, pending=[b"b.jpg"])
    os.close(working(tmp_path, at=time.time() - 600))
    held = lock(tmp_path)
    with served(tmp_path) as visitor:
        text = visitor.get("/").text
        assert 'class="word">Starts' in text
        assert "3.25" not in text
        assert visitor.get("/readyz").status == 503
    os.close(held)


@pytest.fixture(scope="module")
def hundred_thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with 100,000 images and a day of history."""
    state = tmp_path_factory.mktemp("many")
    fill(
        state,
        done=(b"%06d.jpg" % number for number in range(80_000)),
        pending=(b"p%06d.jpg" % number for number in range(10_000)),
        refused=(b"q%06d.jpg" % number for number in range(10_000)),
    )
    past = History(state)
    now_s = time.time()
    for minute in range(1440, -1, -1):
        past.add(report(), now_s - 60 * minute)
    return state


@pytest.mark.parametrize("path", PAGES)
def test_a_state_directory_that_nothing_has_used_has_pages(tmp_path: Path, path: str) -> None:
    """The page may be started first; it makes no ledger."""
    with served(tmp_path) as visitor:
        answer = visitor.get(path)
        assert answer.status == 200
        assert visitor.act("/folders/pause", folder="").status == 409
    assert list(tmp_path.iterdir()) == []


def test_the_overview_of_a_daemon_at_work(tmp_path: Path) -> None:
    """Throughput, queue, health, model, folders; a pause of the last report with its cause."""
    fill(tmp_path, done=[b"a.jpg"], pending=[b"b.jpg", b"c.jpg"], refused=[b"d.jpg"])
    held = working(tmp_path, health="degraded", paused={"in": "the disk is full"})
    with served(tmp_path) as visitor:
        text = visitor.get("/").text
    for told in ("3.25", "20.00", "lite", "degraded", "the disk is full", "0 of 2 busy"):
        assert told in text, told
    assert re.search(r"<dt>Waiting</dt><dd>2</dd>", text)
    assert re.search(r"<dt>In quarantine</dt><dd><a [^>]*>1</a></dd>", text)
    os.close(held)


def test_a_canary_is_beside_the_model_in_use(tmp_path: Path) -> None:
    """Its figures and those of the model in use, on the same crops, each by its own teacher."""
    canary = {"model": "new", "n": 12, "verdict": "good", "residual_above": 0.388}
    canary |= {"difference": 1.25, "mean": 0.985, "used_mean": 0.99, "residual_ratio": 0.21}
    canary |= {"used_residual_ratio": 0.155, "crop_ms": 31.5, "used_crop_ms": 12.5}
    canary |= {"teacher": "teacher-new", "used_teacher": "teacher-old"}
    held = working(tmp_path, canary=canary)
    with served(tmp_path) as visitor:
        rows = re.findall(r"<tr><th scope=.row.>.*?</tr>", visitor.get("/").text)
    cells = [re.findall(r'<td class="n">([^<]*)', row) for row in rows]
    assert cells[0] == ["teacher-new", "teacher-old"]
    assert cells[1:] == [["0.985", "0.99"], ["0.21", "0.155"], ["31.5", "12.5"]]
    os.close(held)


def test_actions_that_fail_are_logged_with_who(tmp_path: Path) -> None:
    """An image that left quarantine meanwhile, and a folder that is none."""
    fill(tmp_path, done=[b"a.jpg"])
    with served(tmp_path) as visitor:
        visitor.get("/")
        assert visitor.act("/image/1/retry").status == 409
        assert visitor.act("/folders/pause", folder="none").status == 404
        assert visitor.post("/folders/resume", {"folder": "in"}).status == 403
    failed = visitor.log.of(Event.ACTION_FAILED)
    acted = [(one["action"], one["who"], one["caller"]) for one in failed]
    assert acted == [(action, LOCAL, "127.0.0.1") for action in ("retry", "pause", "resume")]


def test_a_fault_in_an_action_is_reported_and_logged_with_who(tmp_path: Path) -> None:
    """A row that no version wrote, with a path that no system call takes."""
    fill(tmp_path, refused=[b"a.jpg"])
    ledger = open_ledger(tmp_path)
    with ledger._store.transaction() as cursor:
        cursor.execute("UPDATE job SET note = ?", (b"a\0b",))
    ledger.close()
    with served(tmp_path) as visitor:
        answer = visitor.act("/image/1/retry")
    assert (answer.status, "ValueError" in answer.text) == (500, True)
    (failed,) = visitor.log.of(Event.ACTION_FAILED)
    assert (failed["who"], failed["message"].count("ValueError")) == (LOCAL, 1)


def test_a_fault_of_a_page_is_reported_and_logged(tmp_path: Path) -> None:
    """A status file with a figure of another type: an answer and one line, no traceback."""
    fill(tmp_path)
    held = working(tmp_path, paused=[1])
    with served(tmp_path) as visitor:
        answer = visitor.get("/")
    os.close(held)
    assert (answer.status, "request.failed" in answer.text) == (500, True)
    (failed,) = visitor.log.of(Event.REQUEST_FAILED)
    assert (failed["caller"], failed["address"]) == ("127.0.0.1", "/")


def test_a_daemon_that_is_down_has_no_figures(tmp_path: Path) -> None:
    """Its last report is of the past: the queue is the ledger's, the throughput is not shown."""
    fill(tmp_path, pending=[b"b.jpg"])
    os.close(working(tmp_path))
    with served(tmp_path) as visitor:
        text = visitor.get("/").text
        ready, alive = visitor.get("/readyz"), visitor.get("/healthz")
    assert "Not running" in text
    assert "3.25" not in text
    assert re.search(r"<dt>Waiting</dt><dd>1</dd>", text)
    assert (ready.status, alive.status) == (503, 200)


def test_a_state_that_fails_is_shown(tmp_path: Path) -> None:
    """A state outage of the daemon is reported as its health; a damaged ledger as an error."""
    fill(tmp_path, pending=[b"b.jpg"])
    held = working(tmp_path, state="paused", state_fault="no space left", health="fail")
    with served(tmp_path) as visitor:
        text = visitor.get("/").text
        assert "no space left" in text
        assert 'class="word">Does not work' in text
        (tmp_path / "ledger.db").write_bytes(b"damaged" * 1000)
        for suffix in ("-wal", "-shm"):
            (tmp_path / f"ledger.db{suffix}").unlink(missing_ok=True)
        answer = visitor.get("/")
        assert (answer.status, visitor.get("/healthz").status) == (503, 503)
        assert "damaged" in answer.text
    os.close(held)


def test_metrics_and_probes(tmp_path: Path) -> None:
    """For other programs, in plain text; ready while a healthy daemon works."""
    fill(tmp_path, done=[b"a.jpg"], refused=[b"b.jpg"])
    held = working(tmp_path)
    with served(tmp_path) as visitor:
        answer = visitor.get("/metrics", Accept="*/*")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain")
        assert "sharpend_up 1.0" in answer.text
        assert [visitor.get(path).status for path in ("/healthz", "/readyz")] == [200, 200]
    os.close(held)


def test_charts_show_student_input_and_alarm(tmp_path: Path) -> None:
    """Lines over time, drawn by the server, with the input itself and the alarm's threshold."""
    past = History(tmp_path)
    now_s = time.time()
    for minute in range(200, -1, -1):
        past.add(report(), now_s - 60 * minute)
    with served(tmp_path) as visitor:
        text = visitor.get("/").text
    assert text.count("<svg") == 3
    for kind in ("student", "noop", "alarm", "bars"):
        assert f'<path class="{kind}"' in text, kind


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(tmp_path: Path, name: bytes) -> None:
    """On every page a name is escaped text: no markup, no control character, no template."""
    fill(tmp_path, done=[name], refused=[b"r" + name], message=name.decode(errors="replace"))
    with served(tmp_path) as visitor:
        for path in ("/gallery", "/quarantine", "/image/1", "/image/2"):
            answer = visitor.get(path)
            assert answer.status == 200
            assert HOSTILE[name].split("/")[-1] in answer.text, path
            assert "<script>alert" not in answer.text
            assert "<img src=x" not in answer.text
            assert "\x1b" not in answer.text
            assert "\u202e" not in answer.text


def test_previews_are_served_by_id(tmp_path: Path) -> None:
    """A slider for each preview; all results follow by a link, and say where none is kept."""
    fill(tmp_path, done=[b"a.jpg", b"b.jpg"])
    preview(tmp_path, 1)
    with served(tmp_path) as visitor:
        assert "b.jpg" not in visitor.get("/gallery").text
        text = visitor.get("/gallery?of=all").text
        assert text.index("b.jpg") < text.index("a.jpg")
        assert text.count('type="range"') == 1
        assert "no preview is kept" in text
        assert "/image/1/crop-after.webp" in text
        assert "/image/1/crop-after.webp" in visitor.get("/gallery").text
        assert "/image/1/whole-after.webp" in visitor.get("/gallery?show=whole").text
        assert visitor.get("/image/1").text.count('type="range"') == 2
        for name in IMAGES:
            answer = visitor.get(f"/image/1/{name}")
            assert (answer.status, answer.body) == (200, name.encode())
            assert answer.headers["content-type"] == "image/webp"
        assert visitor.get(f"/image/2/{IMAGES[0]}").status == 404


@pytest.mark.slow
def test_every_page_of_many_images_is_reached_once(hundred_thousand: Path) -> None:
    """Paging shows each image once, in the order of their ends, to the last one."""
    with LedgerPages.read_only(hundred_thousand) as ledger:
        seen, place = [], NEWEST
        while page := ledger.refused(place, 500):
            seen += [one.job.id for one in page]
            place = page[-1].place
    assert len(seen) == len(set(seen)) == 10_000
    assert seen == sorted(seen, reverse=True)


@pytest.mark.slow
def test_pages_of_a_hundred_thousand_images_are_small_and_quick(hundred_thousand: Path) -> None:
    """Below 300 kB; the overview within 50 ms of this process's own time, which load changes not.

    Static files included, previews not.
    """
    with served(hundred_thousand) as visitor:
        files = re.findall(r'(?:href|src)="(/static/[^"]+)"', visitor.get("/").text)
        weight = sum(len(visitor.get(path).body) for path in files)
        for path in PAGES:
            assert len(visitor.get(path).body) + weight < 300_000, path
        spent_s = []
        for _ in range(9):
            before_s = time.process_time()
            assert visitor.get("/").status == 200
            spent_s.append(time.process_time() - before_s)
    assert statistics.median(spent_s) < 0.05


def test_a_ledger_of_an_older_daemon_is_counted(tmp_path: Path) -> None:
    """The page may be newer than the daemon: numbers that are not kept yet are counted."""
    version = next(number for number, step in enumerate(STEPS) if "TABLE tally" in step)
    older = older_ledger(tmp_path, version)
    older.execute(
        "INSERT INTO job (folder, relative, mark, state, added_at) VALUES (1, 'a', '1:1:1', ?, 1)",
        (State.PENDING,),
    )
    older.commit()
    older.close()
    with served(tmp_path) as visitor:
        assert re.search(r"<dt>Waiting</dt><dd>1</dd>", visitor.get("/").text)


@pytest.mark.parametrize("path", ["/gallery", "/quarantine", "/image/1"])
def test_images_of_an_older_ledger_are_not_guessed(tmp_path: Path, path: str) -> None:
    """Its rows are others: the page says so, and what to do; the overview counts all the same."""
    older_ledger(tmp_path, LAST_WIDE).close()
    with served(tmp_path) as visitor:
        answer = visitor.get(path)
        assert answer.status == 503
        assert "restart the daemon" in answer.text
        assert visitor.get("/").status == 200


def test_the_ledger_is_found_by_an_index(tmp_path: Path) -> None:
    """No page sorts or reads all rows: the gallery and the quarantine follow one index."""
    fill(tmp_path, done=[b"a.jpg"], refused=[b"b.jpg"])
    with LedgerPages.read_only(tmp_path) as ledger:
        for query in (pages_sql.RESULTS, pages_sql.REFUSED):
            steps = ledger._store.rows(f"EXPLAIN QUERY PLAN {query}", 1e300, 5, 10)
            reads = [step["detail"] for step in steps if "job" in step["detail"]]
            assert reads
            assert all("INDEX job_by_end (state=?" in one for one in reads), reads
        steps = ledger._store.rows(f"EXPLAIN QUERY PLAN {pages_sql.CHOSEN}", 1e300, 5, 10, "[1]")
        assert any("job" in step["detail"] and "rowid=?" in step["detail"] for step in steps)


def test_the_gallery_pages_through_previews(tmp_path: Path) -> None:
    """Of many images a few have a preview: each is shown once, and then no others."""
    fill(tmp_path, done=[b"%d.jpg" % number for number in range(200)])
    kept = range(5, 200, 10)
    for number in kept:
        preview(tmp_path, number)
    shown, path = list[int](), "/gallery"
    with served(tmp_path) as visitor:
        while path:
            text = visitor.get(path).text
            shown += map(int, re.findall(r"/image/([0-9]+)/crop-after", text))
            older = re.search(r'<a href="([^"]+)" rel="next">', text)
            path = "" if older is None else older[1].replace("&amp;", "&")
    assert shown == sorted(kept, reverse=True)


def refusal(base: Path) -> Path:
    """A state directory with a refused input that is in its folder; the folder's root."""
    root = base / "in"
    root.mkdir()
    (root / "bad.jpg").write_bytes(b"no image")
    state = base / "state"
    ledger = open_ledger(state)

    ledger.folder("in", os.fsencode(root), os.fsencode(base / "out"))
    found = Fingerprint.of((root / "bad.jpg").stat())
    ledger.add("in", [(b"bad.jpg", found)], time.time())
    job = ledger.claim(time.time(), ["in"])
    assert job is not None
    ledger.quarantine(job, QuarantineReason(Reason.NOT_AN_IMAGE, "it is none"), time.time())
    ledger.close()
    return state


def test_retry_makes_the_image_pending_and_is_logged(tmp_path: Path) -> None:
    """The button does what `sharpend retry` does; a second click gets an error: too late."""
    state = refusal(tmp_path)
    with served(state) as visitor:
        assert "it is none" in visitor.get("/quarantine").text
        assert f'name="csrf" value="{visitor.csrf}"' in visitor.get("/quarantine").text
        answer = visitor.act("/image/1/retry")
        assert (answer.status, answer.headers["location"]) == (303, "/image/1?done=retry")
        assert "will be tried again" in visitor.get("/image/1?done=retry").text
        assert visitor.act("/image/1/retry").status == 409
        (taken,) = visitor.log.of(Event.ACTION_TAKEN)
    with LedgerReader.read_only(state) as ledger:
        assert ledger.counts()[State.PENDING] == 1
    assert taken == {
        "action": "retry",
        "folder": "in",
        "path": b"bad.jpg",
        "who": "local",
        "caller": "127.0.0.1",
    }


@pytest.mark.parametrize("folder", ["in", ""])
def test_pause_and_resume(tmp_path: Path, folder: str) -> None:
    """A folder, or all, as `sharpend pause` does; of a pause of all no folder alone is resumed."""
    fill(tmp_path, pending=[b"a.jpg"])
    with served(tmp_path) as visitor:
        assert visitor.act("/folders/pause", folder=folder).status == 303
        with LedgerReader.read_only(tmp_path) as ledger:
            assert set(ledger.pauses()) == {folder}
        assert "paused" in visitor.get("/folders").text
        other = visitor.act("/folders/resume", folder="in").status
        assert other == (303 if folder else 409)
        assert visitor.act("/folders/resume", folder=folder).status == 303
        with LedgerReader.read_only(tmp_path) as ledger:
            assert ledger.pauses() == {}
        assert visitor.act("/folders/pause", folder="no such").status == 404


def stream_of(visitor: Visitor) -> Iterator[bytes]:
    """The lines of a stream of changes."""
    with socket.create_connection(("127.0.0.1", visitor.port), timeout=WITHIN_S) as line:
        line.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with line.makefile("rb") as lines:
            yield from lines


def test_changes_are_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever listens learns of a change of the ledger; the stream ends with the server."""
    monkeypatch.setattr(event_stream, "LOOK_EVERY_S", 0.05)
    fill(tmp_path, pending=[b"a.jpg"])
    with served(tmp_path) as visitor:
        lines = stream_of(visitor)
        next(line for line in lines if line.startswith(b"retry:"))
        visitor.act("/folders/pause", folder="in")
        next(line for line in lines if line == b"event: changed\n")
    assert b"event: more\n" not in list(lines)


def test_the_command_serves_and_ends(tmp_path: Path) -> None:
    """`sharpend web` prints its address, and ends with status 0 at SIGTERM, with a stream open."""
    fill(tmp_path, pending=[b"a.jpg"])
    command = [sys.executable, "-m", "sharpend", "web", "--state", str(tmp_path)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, env=surroundings({})
    ) as process:
        assert process.stderr is not None
        ready = json.loads(process.stderr.readline())
        assert (ready["event"], ready["asks_for_token"]) == ("web.ready", False)
        port = int(ready["address"].rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S) as line:
            line.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert line.recv(100).startswith(b"HTTP/1.1 200")
            process.send_signal(signal.SIGTERM)
            assert process.wait(WITHIN_S) == 0
        assert process.stderr.read() == b""


def test_a_unix_socket_is_for_user_and_group(tmp_path: Path) -> None:
    """It has mode 0660, takes the place of one that nobody listens on, and of nothing else."""
    path = tmp_path / "page.sock"
    where = address.parse(f"unix:{path}")
    with address.bind(where):
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(UnavailableError, match="in use"):
            address.bind(where)
    address.bind(where).close()
    path.unlink()
    path.write_text("a file")
    with pytest.raises(UnavailableError, match="not a socket"):
        address.bind(where)
    assert path.read_text() == "a file"


def test_points_of_a_chart_keep_to_their_time() -> None:
    """A gap of time is a gap of the line, and one point alone is a dot."""
    span = chart.Span(BEGIN, BEGIN + 86_400, "%H:%M")
    points = [{"at": float(BEGIN + 360 * n), "x": 0.5} for n in (0, 1, 2, 100, 200, 201)]
    line = chart.Line("student", chart.series(points, "x", span))
    path = re.search(r'class="student" d="([^"]+)"', chart.lines("t<", [line], span, 0, 1))
    assert path is not None
    assert (path[1].count("M"), path[1].count("L")) == (3, 3)
