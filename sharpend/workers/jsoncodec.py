"""Typed JSON codec: every value has a declared type, range and size.

Owns the checks. What is read may come from a process that was taken over: it is refused where a
key is unknown, missing or given twice, a type is another, a number is not finite or out of its
range, or a text, list or table is too long. Reading makes values of the declared classes only and
runs nothing that the text names.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from enum import StrEnum

T = TypeVar("T")
Choice = TypeVar("Choice", bound="StrEnum")
_SHA256 = re.compile("[0-9a-f]{64}")


class MessageError(Exception):
    """A message is not valid; the text gives the reason, without content of the message."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """Encoder and decoder for values of one type."""

    write: Callable[[T], object]
    read: Callable[[object], T]
    """Raises MessageError."""


def dumps(value: object) -> bytes:
    """Encode JSON as ASCII bytes.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def loads(body: bytes) -> object:
    """Parse JSON in ASCII bytes.

    Raises:
        MessageError: it is not JSON, is nested too deep, or names a key twice.
    """
    try:
        return json.loads(
            body.decode("ascii"), object_pairs_hook=_table, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise MessageError("it is not JSON") from error


def _table(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise MessageError("a key is given twice")
    return table


def _refuse_constant(_: str) -> NoReturn:
    raise MessageError("a number is not finite")


def _same(value: T) -> T:
    return value


def flag() -> Kind[bool]:
    """True or false."""
    return Kind(_same, lambda value: _of_type(value, bool))


def whole(low: int, high: int) -> Kind[int]:
    """An integer within bounds."""

    def read(value: object) -> int:
        number = _of_type(value, int)
        if not low <= number <= high:
            raise MessageError(f"a number is not within {low} and {high}")
        return number

    return Kind(_same, read)


def real(low: float, high: float) -> Kind[float]:
    """A finite number within bounds."""

    def read(value: object) -> float:
        if type(value) is not float and type(value) is not int:
            raise MessageError("a value is not a number")
        if not low <= value <= high:  # true for NaN, too
            raise MessageError(f"a number is not within {low:g} and {high:g}")
        return float(value)

    return Kind(_same, read)


def text(longest: int) -> Kind[str]:
    """Unicode text without lone surrogates; a longer one is truncated on writing."""

    def write(value: str) -> str:
        # A lone surrogate stands for a byte of a file's name; no database and no UTF-8 takes it.
        return value[:longest].encode("utf-8", "backslashreplace").decode()[:longest]

    def read(value: object) -> str:
        parsed = _of_type(value, str)
        if len(parsed) > longest:
            raise MessageError(f"a text is longer than {longest}")
        if any("\ud800" <= character <= "\udfff" for character in parsed):
            raise MessageError("a text is not Unicode")
        return parsed

    return Kind(write, read)


def octets(longest: int) -> Kind[bytes]:
    """Bytes, written as text with one character for each byte."""

    def read(value: object) -> bytes:
        parsed = _of_type(value, str)
        if len(parsed) > longest or any(character > "\xff" for character in parsed):
            raise MessageError(f"a value is not made of at most {longest} bytes")
        return parsed.encode("latin-1")

    return Kind(lambda value: value.decode("latin-1"), read)


def digest() -> Kind[str]:
    """A SHA-256 in lower-case hexadecimal."""

    def read(value: object) -> str:
        parsed = _of_type(value, str)
        if not _SHA256.fullmatch(parsed):
            raise MessageError("a value is not a SHA-256")
        return parsed

    return Kind(_same, read)


def choice(enumeration: type[Choice]) -> Kind[Choice]:
    """One value of an enumeration."""

    def read(value: object) -> Choice:
        try:
            return enumeration(_of_type(value, str))
        except ValueError as error:
            raise MessageError(f"a value is not of type {enumeration.__name__}") from error

    return Kind(lambda value: value.value, read)


def one_of(words: Collection[str]) -> Kind[str]:
    """One of the named words."""

    def read(value: object) -> str:
        word = _of_type(value, str)
        if word not in words:
            raise MessageError("a word is not known")
        return word

    return Kind(_same, read)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """Null or a value."""
    return Kind(
        lambda value: None if value is None else kind.write(value),
        lambda value: None if value is None else kind.read(value),
    )


def items(kind: Kind[T], most: int) -> Kind[tuple[T, ...]]:
    """A list with a maximum length; a longer one is truncated on writing."""

    def read(value: object) -> tuple[T, ...]:
        listed = _of_type(value, list)
        if len(listed) > most:
            raise MessageError(f"a list is longer than {most}")
        return tuple(kind.read(one) for one in listed)

    return Kind(lambda value: [kind.write(one) for one in value[:most]], read)


def exactly(count: int, kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """A list of one length."""

    def read(value: object) -> tuple[T, ...]:
        listed = _of_type(value, list)
        if len(listed) != count:
            raise MessageError(f"a list does not have {count} values")
        return tuple(kind.read(one) for one in listed)

    return Kind(lambda value: [kind.write(one) for one in value], read)


def table(keys: Collection[str], kind: Kind[T]) -> Kind[Mapping[str, T]]:
    """A table with any of the named keys."""

    def read(value: object) -> Mapping[str, T]:
        parsed = _of_type(value, dict)
        if not set(parsed) <= set(keys):
            raise MessageError("a key is not known")
        return {key: kind.read(one) for key, one in parsed.items()}

    return Kind(lambda value: {key: kind.write(one) for key, one in value.items()}, read)


def record(made: type[T], **kinds: Kind[Any]) -> Kind[T]:
    """A dataclass with all its fields.

    Raises:
        TypeError: a field of the class has no kind here, or a kind has no field.
    """
    names = {field.name for field in fields(made)}  # type: ignore[arg-type]
    if names != set(kinds):
        missing = ", ".join(sorted(names ^ set(kinds)))
        raise TypeError(f"{made.__name__}: its fields and their kinds differ: {missing}")

    def write(value: T) -> object:
        return {name: kind.write(getattr(value, name)) for name, kind in kinds.items()}

    def read(value: object) -> T:
        parsed = _of_type(value, dict)
        if set(parsed) != names:
            raise MessageError(f"{made.__name__}: a key is not known, or is missing")
        return made(**{name: _read(name, kind, parsed[name]) for name, kind in kinds.items()})

    return Kind(write, read)


def tagged(known: Mapping[str, tuple[type, Kind[Any]]]) -> Kind[Any]:
    """A value of one of several classes: a table with one key, its tag.

    Raises:
        TypeError: a value that is written is of no class that is known.
    """

    def write(value: object) -> object:
        for tag, (kind_of, kind) in known.items():
            if isinstance(value, kind_of):
                return {tag: kind.write(value)}
        raise TypeError(f"{type(value).__name__} is not a message")

    def read(value: object) -> object:
        if not isinstance(value, dict) or len(value) != 1 or not set(value) <= set(known):
            raise MessageError("it is not a known message")
        ((tag, content),) = value.items()
        return known[tag][1].read(content)

    return Kind(write, read)


def _read(name: str, kind: Kind[T], value: object) -> T:
    try:
        return kind.read(value)
    except MessageError as error:
        raise MessageError(f"{name}: {error}") from error


def _of_type(value: object, wanted: type[T]) -> T:
    """Check that a value has exactly this type: True is no number."""
    if type(value) is not wanted:
        raise MessageError(f"a value is not of type {wanted.__name__}")
    return value
