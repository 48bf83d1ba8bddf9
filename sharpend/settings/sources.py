"""Sources of settings: the TOML file, the environment, the command line.

Owns the search for the TOML file, the readers, and the base of relative paths: the folder of the
TOML file, or the working directory for the environment and the command line. Refuses a file that is
missing, unreadable or broken, and SHARPEND_ variables that name no setting. Values are checked by
`sharpend.settings.schema`.
"""

from __future__ import annotations

import copy
import difflib
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from pydantic import BaseModel
from pydantic_settings import BaseSettings, EnvSettingsSource

from sharpend.errors import ConfigError
from sharpend.files.remote import is_url
from sharpend.settings.layers import COMMAND_LINE, ENVIRONMENT, PREFIX, Layer
from sharpend.settings.values import is_windows_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONFIG_VARIABLE = "SHARPEND_CONFIG"
SYSTEM_CONFIG = Path("/etc/sharpend/sharpend.toml")

_FOLDER_PATHS = ("input", "output", "archive")
_BACKSLASH = "; a backslash in double quotes begins an escape: use single quotes, or / in a path"


def find_config(config: Path | None, environment: Mapping[str, str]) -> Path | None:
    """Find the TOML file to read; None if there is none.

    Order: `config`, $SHARPEND_CONFIG, the XDG configuration directory, /etc/sharpend.

    Raises:
        ConfigError: the file that is named or found first is missing or not a regular file.
    """
    if config is not None:
        return _existing(config, f"{COMMAND_LINE}: config")
    if CONFIG_VARIABLE in environment:
        named = expanded(environment[CONFIG_VARIABLE], environment)
        return _existing(named, f"{ENVIRONMENT}: {CONFIG_VARIABLE}")
    user = xdg_directory("XDG_CONFIG_HOME", ".config", environment) / "sharpend.toml"
    found = (path for path in (user, SYSTEM_CONFIG) if os.path.lexists(path))
    return next((_existing(path, f"{path}: file") for path in found), None)


def default_state(environment: Mapping[str, str]) -> Path:
    """Return $STATE_DIRECTORY, which systemd sets, or `sharpend` in the XDG state directory.

    Raises:
        ConfigError: there is no home directory to look for it.
    """
    given = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    state = xdg_directory("XDG_STATE_HOME", ".local/state", environment)
    if not state.is_absolute():
        raise ConfigError(
            "state: HOME is not set and this user has no home directory, so there is no default "
            "state directory; give --state DIR, or set HOME"
        )
    return state


def xdg_directory(variable: str, fallback: str, environment: Mapping[str, str]) -> Path:
    """Return the directory `sharpend` in one of the XDG base directories."""
    given = environment.get(variable, "")
    # The XDG specification: a relative path is invalid and has to be ignored.
    base = Path(given) if os.path.isabs(given) else expanded(f"~/{fallback}", environment)
    return base / "sharpend"


def expanded(text: str, environment: Mapping[str, str]) -> Path:
    """Convert `text` to a path; a leading `~` becomes the home directory."""
    home = environment.get("HOME")
    if home and (text == "~" or text.startswith("~/")):
        return Path(home + text[1:])
    return Path(os.path.expanduser(text))


def read_toml(path: Path, environment: Mapping[str, str]) -> Layer:
    """Read one TOML file.

    Raises:
        ConfigError: the file cannot be read or is not TOML; the text names the line.
    """
    text = ""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # without a byte order mark
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {_toml_fault(str(error), text)}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start}: save the file as UTF-8 text") from error
    except (ValueError, RecursionError) as error:  # a number too long, or tables nested too deep
        raise ConfigError(f"{path}: file: cannot be read: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: file: cannot be read: {error.strerror}") from error
    return Layer(str(path), _anchored(values, path.parent, environment))


def read_environment(settings: type[BaseSettings], environment: Mapping[str, str]) -> Layer:
    """Read the SHARPEND_ variables of `settings`; report unknown ones as problems."""
    known = _variables(settings)
    given = {name for name in environment if name.startswith(PREFIX)} - {CONFIG_VARIABLE}
    source = EnvSettingsSource(settings)
    # The names are lower case here because the source compares them so; ours are exact.
    source.env_vars = {name.lower(): environment[name] for name in given & known}
    problems = (f"{ENVIRONMENT}: {_unknown(name, known)}" for name in sorted(given - known))
    return Layer(ENVIRONMENT, _anchored(source(), Path(), environment), tuple(problems))


def read_command_line(overrides: Mapping[str, object], environment: Mapping[str, str]) -> Layer:
    """Convert the nested values of the command line to a layer."""
    return Layer(COMMAND_LINE, _anchored(overrides, Path(), environment))


def merged(layers: Iterable[Layer]) -> dict[str, Any]:
    """Merge layers section by section; an earlier layer takes precedence, lists are not merged."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.values.items():
            if isinstance(value, dict) and isinstance(result.get(key), dict):
                result[key] = value | result[key]
            else:
                result.setdefault(key, value)
    return result


def _existing(path: Path, source: str) -> Path:
    try:
        fault = None if stat.S_ISREG(os.stat(path).st_mode) else "not a file"
    except PermissionError as error:
        fault = error.strerror
    except OSError:
        fault = "no such file"
    if fault is not None:
        raise ConfigError(f"{source}: {fault}: {path}")
    return path


def _toml_fault(message: str, text: str) -> str:
    """Convert the parser's `fault (at line 3, column 5)` to `line 3, column 5: fault`, with advice.

    Args:
        message: of the parser.
        text: the file, as it was decoded.
    """
    found = re.fullmatch(r"(?s)(.*) \(at (line (\d+), .*|.*)\)", message)
    if found is None:
        return f"file: {message}"
    line = text.split("\n")[int(found[3]) - 1] if found[3] else ""
    advice = _BACKSLASH if re.search(r'"[^"]*\\', line) else ""
    return f"{found[2]}: {found[1]}{advice}"


def _variables(settings: type[BaseSettings]) -> set[str]:
    """List the names of all variables; keys in lists of tables have none."""
    names = {PREFIX + "STATE"}
    for section, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys = field.annotation.model_fields
            names |= {f"{PREFIX}{section}__{key}".upper() for key in keys}
    return names


def _unknown(name: str, known: set[str]) -> str:
    if name.startswith(PREFIX + "FOLDER"):
        return f"{name}: folders are set in the TOML file, or by --input and --output"
    # Compared without the prefix, which would make all names similar.
    keys = sorted(variable.removeprefix(PREFIX) for variable in known)
    close = difflib.get_close_matches(name.removeprefix(PREFIX), keys, n=1)
    advice = f"did you mean {PREFIX}{close[0]}?" if close else "unset it"
    return f"{name}: unknown variable; {advice}"


def _anchored(
    values: Mapping[str, object], base: Path, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Copy the values with absolute paths; values that are no paths are left to validation."""
    result: dict[str, Any] = copy.deepcopy(dict(values))
    _anchor(result, ("state",), base, environment)
    _anchor_named(result.get("pictures"), "cmyk_profile", base, environment)
    _anchor_named(result.get("model"), "name", base, environment)
    _anchor_named(result.get("canary"), "model", base, environment)
    folders = result.get("folder")
    for folder in folders if isinstance(folders, list) else ():
        _anchor(folder, _FOLDER_PATHS, base, environment)
        _anchor_named(folder, "model", base, environment)
        _anchor_named(folder, "cmyk_profile", base, environment)
    return result


def _anchor(table: object, keys: Iterable[str], base: Path, environment: Mapping[str, str]) -> None:
    if not isinstance(table, dict):
        return
    for key in keys:
        value = table.get(key)
        text = str(value)
        if isinstance(value, str | Path) and text and not (is_windows_path(text) or is_url(text)):
            table[key] = located(base / expanded(text, environment))


def location(text: str) -> Path | str:
    """Convert an argument to a path; the text of an address in object storage is kept."""
    return text.removesuffix("/") if is_url(text) else Path(text)


@overload
def located(path: Path) -> Path: ...
@overload
def located(path: Path | str) -> Path | str: ...
def located(path: Path | str) -> Path | str:
    """Return the absolute path, the same for each spelling: the ledger identifies folders by it.

    Links are kept; they are resolved only where `..` follows, which depends on their target. The
    text of an address in object storage has one spelling.
    """
    if isinstance(path, str):
        return path
    return Path(os.path.realpath(path)) if ".." in path.parts else path.absolute()


def _anchor_named(table: object, key: str, base: Path, environment: Mapping[str, str]) -> None:
    """Make the path of a model or a profile absolute; a value without a slash is a name."""
    if isinstance(table, dict) and "/" in str(table.get(key, "")):
        _anchor(table, (key,), base, environment)
        table[key] = str(table[key])
