"""The reference of the log is what is logged: by the source, by a real daemon, and in the pages."""

from __future__ import annotations

import logging
import re
from io import StringIO
from json import loads
from typing import TYPE_CHECKING

import pytest

from sharpend.logs import logs
from sharpend.logs.event_keys import DESCRIBED
from sharpend.logs.events import Event
from tests.conftest import drop
from tests.daemons import configured, running
from tests.described import JSON_TYPES, markdown, split_page, types_of, undescribed
from tests.emitted import Emitted, emitted
from tests.students import agreeing

if TYPE_CHECKING:
    from pathlib import Path

RENEW = "config/README.md is out of date: python -m tests.renew_documents"
SUFFIXES = {"_s": "second", "_ms": "milliseconds"}
"""Units of keys, and the word for each."""


@pytest.fixture(scope="module")
def found() -> dict[str, Emitted]:
    """What the source logs, by the name of the event's member."""
    return emitted()


def test_every_event_is_described() -> None:
    """The reference has each event once."""
    assert set(DESCRIBED) == set(Event)


@pytest.mark.parametrize("event", Event)
def test_the_source_logs_what_is_described(event: Event, found: dict[str, Emitted]) -> None:
    """Each event is logged, with the levels and all the keys of the reference, and no others."""
    assert event.name in found, "no call logs it"
    assert found[event.name].levels == set(DESCRIBED[event].levels)
    assert found[event.name].keys == set(DESCRIBED[event].keys)


@pytest.mark.parametrize("event", Event)
def test_keys_have_type_unit_and_meaning(event: Event) -> None:
    """A key's text is `type, unit: meaning` with a type that JSON has and the unit of its name."""
    for key, text in DESCRIBED[event].keys.items():
        kind, _, meaning = text.partition(": ")
        assert types_of(text), key
        assert meaning, key
        for suffix, unit in SUFFIXES.items():
            if key.endswith(suffix):
                assert unit in kind, key
        assert not re.search(r"[|\n]", text + DESCRIBED[event].meaning), key


@pytest.mark.slow  # every real daemon of the tests is held to the reference, in the fast ones too
def test_a_daemon_logs_what_is_described(tmp_path: Path) -> None:
    """A real run with an output, a refusal and a report has no other events, levels and keys."""
    log: dict[str, object] = {"level": "debug", "format": "json"}
    measured: dict[str, object] = {"sample": 1, "budget": 1}
    config = configured(tmp_path, agreeing(tmp_path), agreement=measured, log=log)
    drop(tmp_path / "in", "good.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    with running("--config", config) as daemon:
        lines = [daemon.wait_for(event) for event in ("daemon.ready", "file.settled")]
        lines += [daemon.wait_for(event) for event in ("image.finished", "image.quarantined")]
        lines.append(daemon.wait_for("report.published", images_total=1, failures_total=1))
    assert [fault for line in lines for fault in undescribed(line)] == daemon.undescribed == []


def test_libraries_are_logged_as_described() -> None:
    """A library's record, traceback and stack included, has no other keys."""
    stream = StringIO()
    logs.configure(level="info", format="json", stream=stream)
    library = logging.getLogger("library")
    try:
        int("words")
    except ValueError:
        library.exception("failed", stack_info=True)
    library.critical("ended")
    logs.configure(level="info", format="json")
    lines = [loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 2
    assert [fault for line in lines for fault in undescribed(line)] == []


@pytest.mark.parametrize(
    "change",
    [
        {"event": "daemon.sung"},
        {"level": "error"},
        {"colour": "red"},
        {"running": "many"},
    ],
)
def test_what_is_not_described_is_found(change: dict[str, str]) -> None:
    """An unknown event, level or key, or a value of another type, is reported."""
    line = {"event": "daemon.draining", "level": "info", "timestamp": "now", "running": 1}
    assert undescribed(line) == []
    assert len(undescribed(line | change)) == 1


def test_the_page_has_the_reference() -> None:
    """The tables of config/README.md are those of the reference."""
    assert split_page()[1] == markdown(), RENEW


def test_all_types_are_used() -> None:
    """Each type of the list is that of a key."""
    texts = [text for one in DESCRIBED.values() for text in one.keys.values()]
    used = {name for text in texts for name in re.split("[:,]", text, maxsplit=1)[0].split(" or ")}
    assert used == set(JSON_TYPES)
