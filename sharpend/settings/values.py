"""Types of the settings' values, each with its check.

Owns the rules for a single value and their error texts. Refuses to read another setting, or the
machine, except to look up a group.
"""

# No `from __future__ import annotations` here: pydantic reads the annotations at run time.
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from sharpend.files.access import number_of
from sharpend.files.objects.address import Address
from sharpend.files.patterns import require_pattern
from sharpend.files.remote import is_url
from sharpend.policies import Hours


def is_windows_path(text: str) -> bool:
    r"""Detect a Windows path by its drive or server, even if TOML read `\n` in it as an escape."""
    return re.match(r"[A-Za-z]:[\\/\b\t\n\f\r]|\\", text) is not None


def _directory(path: Path) -> Path:
    if is_windows_path(str(path)):
        raise ValueError("must be a path of this system, such as /mnt/photos")
    if not path.is_absolute() or "\0" in str(path):
        raise ValueError("must name a folder")
    return path


def _folder(value: object, check: ValidatorFunctionWrapHandler) -> object:
    """Check a folder of this machine, or an address in object storage."""
    if isinstance(value, str) and is_url(value):
        return Address.parse(value)
    return value if isinstance(value, Address) else check(value)


def _profile(path: Path) -> Path:
    """Check a profile by its header: ICC.1:2022, section 7.2, colour space and signature."""
    if not path.is_absolute():
        raise ValueError("must be 'none' or the path of a file, with a '/' in it")
    try:
        with path.open("rb") as file:
            head = file.read(40)
    except OSError as error:
        raise ValueError(f"must name a readable file ({error.strerror})") from error
    if head[36:] != b"acsp" or head[16:20] != b"CMYK":
        raise ValueError("must name an ICC profile of CMYK")
    return path


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic reports ValueError
    return value


def _flag(value: object) -> object:
    if str(value).lower() not in {"true", "false"}:  # texts: the environment has no others
        raise ValueError("must be true or false")
    return value


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", name):
        raise ValueError("must be auto, cpu, cuda, cuda:N or mps")
    return name


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise ValueError("must be letters, digits, '.', '_' and '-', and not begin with '.'")
    return name


def _template(template: str) -> str:
    literal = re.sub(r"\{(stem|suffix|ext|folder|model)\}", "_", template)
    if "{" in literal or "}" in literal:
        raise ValueError("must have no placeholder but {stem}, {suffix}, {ext}, {folder}, {model}")
    if "{stem}" not in template:
        raise ValueError("must contain {stem}")
    if ".{ext}" in template:
        raise ValueError("must not have a '.' before {ext}, which brings its own")
    if not _is_plain(literal):
        raise ValueError("must be a plain file name, without '/' and '..'")
    return template


def _suffix(suffix: str) -> str:
    if not _is_plain(suffix) or "{" in suffix or "}" in suffix:
        raise ValueError("must be a plain part of a file name, without '/', '..', '{' and '}'")
    return suffix


def _group(group: str) -> str:
    number_of(group)
    return group


def _mode(mode: str) -> str:
    if not re.fullmatch(r"0?[46][0246][0246]", mode):
        raise ValueError(
            'must be octal digits such as "0640", readable for the owner, executable for nobody'
        )
    return mode


def _pattern_list(patterns: object) -> object:
    if not isinstance(patterns, list | tuple):
        raise ValueError('must be a list of patterns, such as ["Originals/"]')  # noqa: TRY004 - as above
    return patterns


def _hours(text: str) -> str:
    Hours.parse(text)
    return text


def _hours_list(hours: object) -> object:
    return [hours] if isinstance(hours, str) else hours


def _is_plain(literal: str) -> bool:
    return "/" not in literal and ".." not in literal and literal.isprintable()


def name_of_input(given: Mapping[str, Any]) -> str:
    """Return the input's base name with forbidden characters replaced by `_`."""
    base = given["input"].name if "input" in given else ""
    return re.sub(r"[^A-Za-z0-9._-]", "_", base).lstrip(".") or "folder"


Auto = Literal["auto"]
T = TypeVar("T")


def unless_auto(value: T | Auto) -> T | None:
    """Return a value, or None for "auto"."""
    return None if value == "auto" else value


Flag = Annotated[bool, BeforeValidator(_flag)]
Directory = Annotated[Path, AfterValidator(_directory)]
if TYPE_CHECKING:
    AnyFolder = Path | Address
else:
    AnyFolder = Annotated[Directory, WrapValidator(_folder)]
Profile = Annotated[Path, AfterValidator(_profile)]
Whole = Annotated[int, BeforeValidator(_number)]
Number = Annotated[float, BeforeValidator(_number)]
Positive = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Strength = Annotated[Number, Field(ge=0, le=2)]
Cue = Annotated[Number, Field(ge=-10, le=10)]
Days = Literal["never"] | Positive
Megabytes = Literal["unlimited"] | Positive
Levels = Annotated[Whole, Field(ge=0, le=255)]
Device = Annotated[str, AfterValidator(_device)]
FolderName = Annotated[str, AfterValidator(_folder_name)]
Template = Annotated[str, AfterValidator(_template)]
Suffix = Annotated[str, AfterValidator(_suffix)]
Group = Annotated[str, AfterValidator(_group)]
Mode = Annotated[str, AfterValidator(_mode)]
HoursList = Annotated[
    tuple[Annotated[str, AfterValidator(_hours)], ...], BeforeValidator(_hours_list)
]
PatternList = Annotated[
    tuple[Annotated[str, AfterValidator(require_pattern)], ...], BeforeValidator(_pattern_list)
]
