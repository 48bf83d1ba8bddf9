"""Logs: what a line looks like, and that nothing can break or forge one."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.logs.events import Event
from sharpend.logs.logs import configure
from sharpend.logs.plain import plain, printable

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _libraries_restored() -> Iterator[None]:
    """Undo what configure does to the logging of the process."""
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    root.handlers[:] = before
    logging.captureWarnings(capture=False)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """The JSON lines that were written."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_event_level_and_timestamp_first() -> None:
    """Where the stream is no terminal each event is one JSON object, its contract in front."""
    stream = io.StringIO()
    log = configure(level="info", format="auto", stream=stream)
    log.info(Event.IMAGE_FINISHED, duration_s=3.1, height=40)
    (line,) = lines(stream)
    assert list(line) == ["event", "level", "timestamp", "duration_s", "height"]
    assert (line["event"], line["level"]) == ("image.finished", "info")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line["timestamp"])


def test_events_are_named_noun_dot_past_participle() -> None:
    """Names are a contract: lower case, one dot, no duplicates."""
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+", event) for event in Event)
    assert len(set(Event)) == len(Event.__members__)


def test_the_level_hides_what_is_below_it() -> None:
    """At the level `warning` one sees warnings and errors only."""
    stream = io.StringIO()
    log = configure(level="warning", format="json", stream=stream)
    for report in (log.debug, log.info, log.warning, log.error):
        report(Event.WORKER_DIED)
    assert [line["level"] for line in lines(stream)] == ["warning", "error"]


def test_values_become_what_json_can_hold() -> None:
    """Paths and bytes become text, NaN and infinity null, everything else its own words."""
    stream = io.StringIO()
    log = configure(level="info", format="json", stream=stream)
    log.info(
        Event.REPORT_PUBLISHED,
        source=b"a\xff",
        folder=Path("/in"),
        rolling=float("nan"),
        latency_ms={"decode": {"p50": float("inf"), b"k": (1, {2})}},
        cause=OSError("gone"),
        event_kind=Event.DAEMON_READY,
    )
    assert r'"a\udcff"' in stream.getvalue()
    (line,) = lines(stream)
    assert os.fsencode(line["source"]) == b"a\xff"
    assert line["folder"] == "/in"
    assert line["rolling"] is None
    assert line["latency_ms"] == {"decode": {"p50": None, "k": [1, [2]]}}
    assert (line["cause"], line["event_kind"]) == ("gone", "daemon.ready")


def test_plain_keeps_what_json_knows() -> None:
    """Numbers, text, truth and nothing pass unchanged."""
    assert plain([1, 2.5, "x", True, None]) == [1, 2.5, "x", True, None]


@pytest.mark.parametrize("name", [b"a\nb", b"\x1b[2J", b"\xff\xfe", "\u202egpj".encode(), b"\x7f"])
def test_the_console_passes_on_no_control_characters(name: bytes) -> None:
    """A file name cannot begin a new line, steer the terminal or crash the renderer."""
    stream = io.StringIO()
    log = configure(level="info", format="console", stream=stream)
    log.info(Event.FILE_SETTLED, source=name, nested={"names": [name]}, logger=name)
    text = stream.getvalue()
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert "file.settled" in text


def test_printable_spells_out_what_cannot_be_shown() -> None:
    """Ordinary text of any script passes; the rest is escaped."""
    assert printable("Grüße 写真") == "Grüße 写真"
    assert printable("a\n\x1b\udcff") == r"a\n\x1b\udcff"
    assert printable("\u202egnp\u2066\u200f\u2028.exe") == r"\u202egnp\u2066\u200f\u2028.exe"


def test_a_traceback_is_kept_and_cannot_pass_for_a_line_of_the_log() -> None:
    """A bug's traceback is a value in JSON, and indented on the console."""
    for style in ("json", "console"):
        stream = io.StringIO()
        log = configure(level="info", format=style, stream=stream)
        log.error(Event.WORKER_DIED, exc_info=ValueError("bad\n2026-01-01 forged"))
        text = stream.getvalue()
        assert "ValueError" in text
        first, *rest = text.splitlines()
        assert "worker.died" in first
        assert all(line.startswith("  ") for line in rest)


def test_libraries_log_and_warn_through_the_same_renderer() -> None:
    """Every line on stderr is an event; what a library says is its message."""
    stream = io.StringIO()
    configure(level="info", format="json", stream=stream)
    logging.getLogger("watchdog").warning("queue of %d is full", 16)
    logging.getLogger("watchdog").info("not shown")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("soon gone", UserWarning, stacklevel=1)
    told, warned = lines(stream)
    assert told["event"] == warned["event"] == "library.logged"
    assert (told["logger"], told["message"]) == ("watchdog", "queue of 16 is full")
    assert (warned["logger"], warned["level"]) == ("py.warnings", "warning")
    assert "soon gone" in warned["message"]


def test_configuring_again_moves_the_libraries_to_the_new_stream() -> None:
    """A reload does not double the lines of libraries."""
    first, second = io.StringIO(), io.StringIO()
    configure(level="info", format="json", stream=first)
    configure(level="info", format="json", stream=second)
    logging.getLogger("PIL").error("once")
    assert (len(lines(first)), len(lines(second))) == (0, 1)


def test_a_log_that_cannot_be_written_is_silent(tmp_path: Path) -> None:
    """A closed stream and a full disk lose lines, never work."""
    closed = (tmp_path / "log").open("w")
    closed.close()
    configure(level="info", format="auto", stream=closed).error(Event.DAEMON_READY)
    # The suppressed error is that of closing, which tries once more to write.
    with suppress(OSError), Path("/dev/full").open("w") as full:
        configure(level="info", format="json", stream=full).error(Event.DAEMON_READY)
        logging.getLogger("x").error("lost")
        written = True
    assert written


def test_a_process_without_stderr_logs_nothing_and_lives() -> None:
    """`2>&-` leaves Python without sys.stderr."""
    code = (
        "import sys; sys.stderr = None\n"
        "from sharpend.logs.events import Event\n"
        "from sharpend.logs.logs import configure\n"
        "configure(level='info', format='auto').info(Event.DAEMON_READY)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class _Rude:
    def __str__(self) -> str:
        raise RuntimeError


def test_a_value_that_cannot_be_shown_costs_only_itself() -> None:
    """An object whose text fails is named by its class; the event is still told."""
    stream = io.StringIO()
    configure(level="info", format="json", stream=stream).info(Event.DAEMON_READY, what=_Rude())
    assert lines(stream)[0]["what"] == "<_Rude>"


def test_a_librarys_faulty_record_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message whose arguments do not fit must not print a traceback of logging's own."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own handler raises
    stream = io.StringIO()
    configure(level="info", format="json", stream=stream)
    logging.getLogger("x").error("%d and %d", 1)  # noqa: PLE1206 - the fault under test
    assert stream.getvalue() == ""


def test_a_stream_of_a_small_alphabet_gets_escapes(tmp_path: Path) -> None:
    """The console line survives a locale without the letters it needs."""
    path = tmp_path / "log"
    with path.open("w", encoding="ascii") as stream:
        configure(level="info", format="console", stream=stream).info(
            Event.FILE_SETTLED, source="Grüße"
        )
    assert rb"Gr\xfc\xdfe" in path.read_bytes()


def test_the_journal_gets_priorities_and_no_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where stderr is the journal, each line begins with its priority and has no time."""
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        log = configure(level="debug", format="auto", stream=stream)
        for report in (log.debug, log.info, log.warning, log.error):
            report(Event.WORKER_DIED, cause="a\n<0>forged")
        logging.getLogger("x").critical("a library's own\n<0>words")
        stream.seek(0)
        written = stream.read().splitlines()
    assert [line[:3] for line in written] == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    events = [json.loads(line[3:]) for line in written]
    assert list(events[0]) == ["event", "level", "cause"]
    assert not any("timestamp" in event for event in events)


@pytest.mark.parametrize("journal", ["", "1:2", "nonsense"])
def test_another_stream_than_the_journal_gets_plain_json(
    journal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$JOURNAL_STREAM is inherited by everything; only the very same stream is the journal."""
    monkeypatch.setenv("JOURNAL_STREAM", journal)
    with (tmp_path / "log").open("w+") as stream:
        configure(level="info", format="auto", stream=stream).info(Event.DAEMON_READY)
        stream.seek(0)
        assert "timestamp" in json.loads(stream.read())


def test_the_journals_format_can_be_asked_for() -> None:
    """For a journal behind a pipe, such as `systemd-cat`."""
    stream = io.StringIO()
    configure(level="info", format="journald", stream=stream).warning(Event.AGREEMENT_LOW)
    assert stream.getvalue() == '<4>{"event": "agreement.low", "level": "warning"}\n'
