"""Structured log on stderr: JSON lines for machines, readable lines on a terminal.

Owns how values become text, and the redirection of what libraries log
or warn about. Refuses to raise: a full disk or a closed stderr must not stop an image. Refuses to
pass on control characters of file names, which could forge lines or steer a terminal.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from sharpend.logs.events import Event
from sharpend.logs.plain import plain, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from structlog.typing import EventDict, Processor


class Log(ABC):
    """Log with one method per level; `values` have their units in their names, paths may be bytes.

    A kind of log implements `write` alone.
    """

    def debug(self, event: Event, **values: object) -> None:
        """Log details for developers."""
        self.write("debug", event, values)

    def info(self, event: Event, **values: object) -> None:
        """Log normal operation."""
        self.write("info", event, values)

    def warning(self, event: Event, **values: object) -> None:
        """Log a problem that the daemon handled."""
        self.write("warning", event, values)

    def error(self, event: Event, **values: object) -> None:
        """Log a problem that needs a person."""
        self.write("error", event, values)

    @abstractmethod
    def write(self, level: str, event: Event, values: Mapping[str, object]) -> None:
        """Write an event at a level that is named as its method."""


def configure(*, level: str, format: str, stream: TextIO | None = None) -> Log:  # noqa: A002 - the setting's name
    """Send events, and the warnings of libraries, to one stream.

    May be called again, for a reload: the libraries then follow the latest call.

    Args:
        level: the least level that is shown: debug, info, warning or error.
        format: json, console, journald, or auto: console where the stream is a terminal, journald
            where it is the journal.
        stream: None is stderr, as it is at this moment; where there is none, nothing is written.
    """
    sink = _Sink(sys.stderr if stream is None else stream)
    render = _renderer(sink, _format_for(sink) if format == "auto" else format)
    _redirect_libraries(sink, render)
    logger = structlog.wrap_logger(
        sink,
        processors=[structlog.processors.add_log_level, *_FINISHING, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    return _QuietLog(logger.bind())


def _format_for(sink: _Sink) -> str:
    """Choose the format for a stream: terminal, journal or pipe."""
    if sink.is_terminal():
        return "console"
    return "journald" if sink.is_journal() else "json"


def _renderer(sink: _Sink, format: str) -> Processor:  # noqa: A002 - the setting's name
    if format == "console":
        return _console(colors=sink.is_terminal())
    return _journald if format == "journald" else _json


class _Sink:
    """Writer of whole lines from any thread, which ignores every write error."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def is_terminal(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def is_journal(self) -> bool:
        """True if stderr is connected to systemd's journal: systemd.exec(5), $JOURNAL_STREAM."""
        with suppress(OSError, ValueError):
            if self._stream is not None:
                status = os.fstat(self._stream.fileno())
                return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
        return False

    def msg(self, line: str) -> None:
        if self._stream is None:
            return
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        text = line.encode(encoding, "backslashreplace").decode(encoding)
        # A failure of the log itself can be reported nowhere: ENOSPC, EPIPE, a closed stream.
        with suppress(OSError, ValueError), self._lock:
            self._stream.write(text + "\n")
            self._stream.flush()

    debug = info = warning = error = msg


class _QuietLog(Log):
    """Log that never raises, whatever the values are."""

    def __init__(self, logger: Any) -> None:  # noqa: ANN401 - structlog makes the class at run time
        self._logger = logger

    def write(self, level: str, event: Event, values: Mapping[str, object]) -> None:
        # Values are arbitrary objects, and no image may fail because of a log line.
        with suppress(Exception):
            getattr(self._logger, level)(event, **values)


def _plain_values(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Convert values for JSON, after the keys that every line has."""
    front = {key: event.pop(key) for key in ("event", "level", "timestamp")}
    return {key: plain(value) for key, value in (front | dict(event)).items()}


def _json(_logger: object, _method: str, event: EventDict) -> str:
    return json.dumps(event, allow_nan=False)


_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
"""Levels as sd-daemon(3) has them."""


def _journald(logger: object, method: str, event: EventDict) -> str:
    """Format as JSON after a syslog priority, which the journal strips; it adds the time itself."""
    event.pop("timestamp")
    priority = _PRIORITIES.get(event["level"], _PRIORITIES["warning"])
    return f"<{priority}>{_json(logger, method, event)}"


def _console(*, colors: bool) -> Processor:
    renderer = structlog.dev.ConsoleRenderer(colors=colors)

    def render(logger: object, method: str, event: EventDict) -> str:
        safe = {key: _printable_value(value) for key, value in event.items()}
        if "exception" in event:
            lines = str(event["exception"]).splitlines()
            # Indented, so that no line of it can pass for a line of the log.
            safe["exception"] = "\n".join(f"  {printable(line)}" for line in lines)
        return str(renderer(logger, method, safe))

    return render


def _printable_value(value: object) -> object:
    """Escape text for a terminal; lists and tables become JSON, which escapes by itself."""
    if isinstance(value, str):
        return printable(value)
    return json.dumps(value) if isinstance(value, list | dict) else value


def _name_the_library(_logger: object, _method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    message = {"logger": record.name, "message": event["event"]}
    return {**event, **message, "event": Event.LOGGED_BY_LIBRARY}


_FINISHING: Sequence[Processor] = (
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _plain_values,
)


class _LibraryHandler(logging.Handler):
    """Handler that forwards records of the standard library's logging to our sink."""

    def __init__(self, sink: _Sink) -> None:
        # Below warnings, libraries talk to their own developers: watchdog logs each event.
        super().__init__(logging.WARNING)
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        # A record's arguments may not fit its message; that is the library's fault, not ours.
        with suppress(Exception):
            self._sink.msg(self.format(record))


def _redirect_libraries(sink: _Sink, render: Processor) -> None:
    handler = _LibraryHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level],
            processors=[
                _name_the_library,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_FINISHING,
                render,
            ],
        )
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _LibraryHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.captureWarnings(capture=True)
