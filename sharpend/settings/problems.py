"""Error texts of the settings: `where: key: what to change`.

Translates errors of pydantic; refuses to show a traceback, a type name of pydantic or a link to its
help page.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.settings.layers import dotted, suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from sharpend.settings.layers import Layer, Location

_WORDS = {
    "missing": "is required",
    "model_type": "must be a table",
    "tuple_type": "must be a list of tables: write [[{table}]], not [{table}]",
    "path_type": "must be a path",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be a text",
    "string_unicode": "must be UTF-8 text",
    "string_too_short": "must not be empty",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "multiple_of": "must be divisible by {multiple_of:g}",
}
_LISTS = ("folder", "hook")
"""Lists of tables."""
_LONGEST_VALUE = 300
"""Most characters of a wrong value that are repeated."""


def problems(
    error: ValidationError, layers: Sequence[Layer], known: Mapping[str, Sequence[str]]
) -> list[str]:
    """Describe each wrong key in one line.

    Args:
        error: of the validation.
        layers: the sources in order of precedence.
        known: the keys of each section; the top level is "".
    """
    details: dict[Location, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":
            continue  # a consequence of another problem in the same table
        details.setdefault(_key(detail["loc"]), []).append(detail)
    return [
        problem(location, _advice(location, found, known), layers)
        for location, found in details.items()
    ]


def problem(location: Location, advice: str, layers: Sequence[Layer]) -> str:
    """Format `where: key: advice`; where is the source that sets the key or the table around it."""
    for end in range(len(location), 0, -1):
        for layer in layers:
            if layer.holds(location[:end]):
                return f"{layer.where}: {layer.key(location)}: {advice}"
    return f"default: {dotted(location)}: {advice}"


def _key(location: Location) -> Location:
    """Return the location without the union member that pydantic appends."""
    if location[0] == "state":
        return location[:1]
    return location[:3] if location[0] in _LISTS else location[:2]


def _advice(
    location: Location, found: Sequence[ErrorDetails], known: Mapping[str, Sequence[str]]
) -> str:
    if found[0]["type"] == "extra_forbidden":
        section = str(location[0]) if len(location) > 1 else ""
        return _unknown(str(location[-1]), section, known)
    words = list(dict.fromkeys(_words(detail) for detail in found))
    advice = " or ".join([words[0], *(word.removeprefix("must be ") for word in words[1:])])
    return advice + (_instead_of(found[0]["input"]) if advice.startswith("must") else "")


def _unknown(key: str, section: str, known: Mapping[str, Sequence[str]]) -> str:
    """Advice on a key that its table does not have: the table that has it, or a similar key."""
    if section and key in known:  # a table's own name, as in `[model] model = ...`
        return f"unknown key, and the name of a table; {suggestion(key, known[section])}"
    if key in known[""]:
        return "is no key of a table; move it to the top of the file, above the first [ or [["
    owners = [
        f"[[{name}]]" if name in _LISTS else f"[{name}]"
        for name, keys in known.items()
        if key in keys
    ]
    if owners:
        places = " or ".join(owners)
        return f"is in the wrong place; move it below {places}"
    return f"unknown key; {suggestion(key, known[section])}"


def _words(detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["type"] in _WORDS:
        return _WORDS[detail["type"]].format(**detail.get("ctx", {}), table=detail["loc"][0])
    return re.sub(r"^\w+ should ", "must ", detail["msg"])


def _instead_of(value: object) -> str:
    """Format the wrong value as written; empty if it is long or a table."""
    if not isinstance(value, str | int | float | Path):
        return ""
    with suppress(ValueError):  # Python refuses to write integers of thousands of digits
        shown = str(value).lower() if isinstance(value, bool) else repr(_text_of(value))
        return f", not {shown}" if len(shown) <= _LONGEST_VALUE else ""
    return ""


def _text_of(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
