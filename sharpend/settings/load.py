"""The settings: one `load` that reads, merges and checks every source before anything starts.

Owns the precedence (command line over environment over TOML file) and the checks of folders
against each other. Refuses everything that is wrong at once, in one ConfigError with one line per
problem. Only the command line and the daemon read settings; lower rooms take plain values.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from sharpend.errors import ConfigError, InputMissingError
from sharpend.logs.logs import printable
from sharpend.settings.overlaps import Place, overlaps
from sharpend.settings.problems import problem, problems
from sharpend.settings.schema import FolderSettings, Settings
from sharpend.settings.sources import (
    default_state,
    find_config,
    merged,
    read_command_line,
    read_environment,
    read_toml,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sharpend.settings.sources import Layer

__all__ = [
    "AUTO_MODEL",
    "AUTO_MODEL_ON_GPU",
    "NOT_RELOADABLE",
    "FolderSettings",
    "Settings",
    "changed_keys",
    "check_folders",
    "config_of",
    "load",
    "missing_inputs",
    "resolve_model",
]

NOT_RELOADABLE = ("state",)
"""Keys that a reload cannot change: the daemon has to be started again."""

AUTO_MODEL, AUTO_MODEL_ON_GPU = "lite-x4", "base-x4"
"""The networks that `auto` stands for; the larger one where a GPU is asked for by name."""

_ABSENT = object()


def load(
    config: Path | None,
    overrides: Mapping[str, object] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read, merge and check all sources: command line over environment over TOML file.

    Args:
        config: the TOML file; None searches $SHARPEND_CONFIG, the XDG configuration directory
            and /etc/sharpend, and takes the defaults where there is none.
        overrides: what the command line gives, nested like the TOML file; paths may be `Path`.
        environment: in place of the process's own.

    Raises:
        ConfigError: with one line per problem, `where: key: what to change`.
    """
    environment = os.environ if environment is None else environment
    layers = [
        read_command_line(overrides or {}, environment),
        read_environment(environment),
    ]
    path = find_config(config, environment)
    if path is not None:
        layers.append(read_toml(path, environment))
    values = {"state": default_state(environment)} | merged(layers)
    found = [line for layer in layers for line in layer.problems]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_lines(found + problems(error, layers, _known()))) from error
    found += _folder_problems(settings, layers)
    if found:
        raise ConfigError(_lines(found))
    return settings


def config_of(config: Path | None) -> Path | None:
    """The absolute path of the TOML file that `load` reads, or None where there is none.

    Raises:
        ConfigError: the file that is named is missing or not a regular file.
    """
    found = find_config(config, os.environ)
    return None if found is None else found.absolute()


def missing_inputs(settings: Settings) -> list[str]:
    """One line for each input folder that does not exist or is not a folder."""
    return [
        f"folder {folder.name}: input: {_absence(folder.input)}: {folder.input}"
        for folder in settings.folder
        if not os.path.isdir(folder.input)
    ]


def check_folders(settings: Settings) -> None:
    """Make sure that every input folder is there.

    Raises:
        InputMissingError: with one line per missing folder.
    """
    missing = missing_inputs(settings)
    if missing:
        raise InputMissingError(_lines(missing))


def resolve_model(name: str, *, device: str) -> str:
    """The name or path of the network that a `model` setting means.

    Args:
        name: as set.
        device: as set; what `auto` finds is known to the workers only, too late for a name.
    """
    if name != "auto":
        return name
    return AUTO_MODEL_ON_GPU if device.startswith(("cuda", "mps")) else AUTO_MODEL


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """The dotted keys that differ, sorted; a folder's go by its name: `folder.inbox.source`."""
    before, after = dict(_flat(old)), dict(_flat(new))
    return sorted(
        key for key in before | after if before.get(key, _ABSENT) != after.get(key, _ABSENT)
    )


def _lines(problems_found: list[str]) -> str:
    """One line each, even where a key or a path has a newline in it."""
    return "\n".join(printable(line) for line in problems_found)


def _flat(settings: Settings) -> Iterator[tuple[str, object]]:
    tables = {name: getattr(settings, name) for name in Settings.model_fields}
    tables |= {f"folder.{folder.name}": folder for folder in tables.pop("folder")}
    for name, table in tables.items():
        if isinstance(table, BaseModel):
            yield from ((f"{name}.{key}", value) for key, value in table)
        else:
            yield name, table


def _absence(path: Path) -> str:
    return "not a folder" if os.path.exists(path) else "no such folder"


def _known() -> dict[str, list[str]]:
    """The keys of each section; those of the top level under ""."""
    schemas = {
        name: type(field.default)
        for name, field in Settings.model_fields.items()
        if isinstance(field.default, BaseModel)
    }
    sections = {name: list(schema.model_fields) for name, schema in schemas.items()}
    top = {"": list(Settings.model_fields), "folder": list(FolderSettings.model_fields)}
    return sections | top


def _folder_problems(settings: Settings, layers: list[Layer]) -> list[str]:
    """Names given twice, and directories in each other's way."""
    found = []
    names = [folder.name for folder in settings.folder]
    for index, name in enumerate(names):
        if name in names[:index]:
            advice = f"set a name of its own: another folder is called {name}"
            found.append(problem(("folder", index, "name"), advice, layers))
    found += [problem(key, advice, layers) for key, advice in overlaps(_places(settings))]
    return found


def _places(settings: Settings) -> Iterator[Place]:
    yield Place(("state",), settings.state)
    for index, folder in enumerate(settings.folder):
        for kind in ("input", "output", "archive"):
            path = getattr(folder, kind)
            if path is not None:
                yield Place(("folder", index, kind), path)
