"""The reference of the log as tests use it: what a line holds beyond it, and its tables.

The tables are in config/README.md between two markers, where `python -m tests.renew_documents`
writes them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpend.logs.event_keys import DESCRIBED
from sharpend.logs.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PAGE = Path(__file__).parent.parent / "config" / "README.md"
MONITORING = PAGE.parent / "monitoring" / "README.md"
EVERY_LINE = {"event", "level", "timestamp"}
JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list of text": (list,),
    "table": (dict,),
    "table of text": (dict,),
    "table of integers": (dict,),
    "table of tables": (dict,),
    "null": (type(None),),
}
"""The types that a key may have, as JSON is read."""


def types_of(text: str) -> tuple[type, ...]:
    """The types that the text of a key allows: before the unit and the meaning."""
    names = re.split("[:,]", text, maxsplit=1)[0].split(" or ")
    return tuple(one for name in names for one in JSON_TYPES[name])


def undescribed(line: Mapping[str, Any]) -> list[str]:
    """What is not as the reference says of a line of the log, in words."""
    name = line["event"]
    if name not in set(Event):
        return [f"{name} is no event"]
    described = DESCRIBED[Event(name)]
    wrong = [f"{name} at level {line['level']}"] if line["level"] not in described.levels else []
    for key in line.keys() - EVERY_LINE:
        if key not in described.keys:
            wrong.append(f"{name} with key {key}")
        elif not isinstance(line[key], types_of(described.keys[key])):
            wrong.append(f"{name} with {key} = {line[key]!r}")
    return wrong


def markdown() -> str:
    """Both tables: the events, and their keys."""
    events = (
        (f"`{event.value}`", ", ".join(one.levels), one.meaning, _code(one.keys))
        for event, one in DESCRIBED.items()
    )
    keys = ((_owned(key, owners), *text.split(": ", 1)) for key, text, owners in _meanings())
    return "\n".join(
        [
            *_table(("event", "level", "when", "keys"), events),
            "",
            *_table(("key", "type, unit", "meaning"), keys),
            "",
        ]
    )


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _owned(key: str, owners: list[str]) -> str:
    return f"`{key}` of {_code(owners)}" if owners else f"`{key}`"


def _meanings() -> Iterator[tuple[str, str, list[str]]]:
    """Key, text and, where the key means something else in most events, those of this text."""
    found: dict[str, dict[str, list[str]]] = {}
    for event, described in DESCRIBED.items():
        for key, text in described.keys.items():
            found.setdefault(key, {}).setdefault(text, []).append(event.value)
    for key, texts in found.items():
        usual = max(texts, key=lambda text: len(texts[text]))
        for text, owners in texts.items():
            yield key, text, owners if text != usual else []


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def split_page(page: Path = PAGE, tables: str = "events") -> tuple[str, str, str]:
    """A page up to its tables, the tables between the two markers, and what follows."""
    begin, end = f"<!-- {tables}: begin -->\n", f"<!-- {tables}: end -->\n"
    text = page.read_text(encoding="utf-8")
    assert begin in text, f"{page} lacks a marker"
    assert end in text, f"{page} lacks a marker"
    before, _, rest = text.partition(begin)
    between, _, after = rest.partition(end)
    return before + begin, between.strip("\n") + "\n", end + after
