"""Settings loader: read, merge and check all sources before anything starts.

Owns the precedence (command line over environment over TOML file) and the checks of folders against
each other. Reports all problems at once, in one ConfigError with one line per problem. Only the
command line and the daemon read settings; lower packages take plain values.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from sharpend.errors import ConfigError, InputMissingError
from sharpend.files.objects.address import Address
from sharpend.logs.plain import printable
from sharpend.policies import Metadata, Sidecars
from sharpend.settings.folder import FolderSettings
from sharpend.settings.hook import HookSettings
from sharpend.settings.overlaps import Place, overlaps
from sharpend.settings.problems import problem, problems
from sharpend.settings.schema import Settings, SettingsSources
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

    from sharpend.settings.layers import Layer


NOT_RELOADABLE = ("state",)
"""Keys that need a restart; a reload cannot change them."""


_WOULD_TELL = (
    'copies metadata that the outputs of this folder must lack; set "follow", or metadata = "keep"'
)
_ABSENT = object()


def load(
    config: Path | None,
    overrides: Mapping[str, object] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    may_overlap: bool = False,
) -> Settings:
    """Read, merge and check all sources: command line over environment over TOML file.

    Args:
        config: the TOML file; None searches $SHARPEND_CONFIG, the XDG configuration directory and
            /etc/sharpend, and takes the defaults if there is none.
        overrides: values of the command line, nested like the TOML file; paths may be `Path`.
        environment: instead of the process's own.
        may_overlap: folders may be inside one another, because single files are named.

    Raises:
        ConfigError: with one line per problem, `where: key: what to change`.
    """
    environment = os.environ if environment is None else environment
    layers = [
        read_command_line(overrides or {}, environment),
        read_environment(SettingsSources, environment),
    ]
    path = find_config(config, environment)
    if path is not None:
        layers.append(read_toml(path, environment))
    values = merged(layers)
    if "state" not in values:
        values["state"] = default_state(environment)
    found = [line for layer in layers for line in layer.problems]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_lines(found + problems(error, layers, _known()))) from error
    found += _duplicate_names(settings, layers)
    found += _copies_of_metadata(settings, layers)
    found += _out_of_reach_of_nodes(settings, layers)
    if not may_overlap:
        found += [problem(key, advice, layers) for key, advice in overlaps(_places(settings))]
    if found:
        raise ConfigError(_lines(found))
    return settings


def config_of(config: Path | None) -> Path | None:
    """Return the absolute path of the TOML file that `load` reads, or None if there is none.

    Raises:
        ConfigError: the file that is named is missing or not a regular file.
    """
    found = find_config(config, os.environ)
    return None if found is None else found.absolute()


def missing_inputs(settings: Settings) -> list[str]:
    """List the input folders that do not exist or are no folders, one line each."""
    return [
        f"folder {folder.name}: input: {_absence(folder.input)}: {folder.input}"
        for folder in settings.folder
        if not isinstance(folder.input, Address) and not os.path.isdir(folder.input)
    ]


def check_folders(settings: Settings) -> None:
    """Require that every input folder exists.

    Raises:
        InputMissingError: with one line per missing folder.
    """
    missing = missing_inputs(settings)
    if missing:
        raise InputMissingError(_lines(missing))


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """List the dotted keys that differ, sorted; a folder is named: `folder.inbox.source`."""
    before, after = dict(_flat(old)), dict(_flat(new))
    return sorted(
        key for key in before | after if before.get(key, _ABSENT) != after.get(key, _ABSENT)
    )


def _lines(problems_found: list[str]) -> str:
    """Join problems as lines; newlines inside a key or a path are escaped."""
    return "\n".join(printable(line) for line in problems_found)


def _flat(settings: Settings) -> Iterator[tuple[str, object]]:
    tables = {name: getattr(settings, name) for name in Settings.model_fields}
    tables |= {f"folder.{folder.name}": folder for folder in tables.pop("folder")}
    for name, table in tables.items():
        if isinstance(table, BaseModel):
            yield from ((f"{name}.{key}", value) for key, value in table)
        else:
            yield name, table


def _absence(path: Path | Address) -> str:
    return "not a folder" if os.path.exists(path) else "no such folder"


def _known() -> dict[str, list[str]]:
    """Map each section to its keys; the top level is ""."""
    schemas = {
        name: type(field.default)
        for name, field in Settings.model_fields.items()
        if isinstance(field.default, BaseModel)
    }
    sections = {name: list(schema.model_fields) for name, schema in schemas.items()}
    top = {
        "": list(Settings.model_fields),
        "folder": list(FolderSettings.model_fields),
        "hook": list(HookSettings.model_fields),
    }
    return sections | top


def _duplicate_names(settings: Settings, layers: list[Layer]) -> list[str]:
    """Find folders that have the name of another one."""
    found = []
    names = [folder.name for folder in settings.folder]
    for index, name in enumerate(names):
        if name in names[:index]:
            advice = f"another folder has the name {name}; set a different one"
            found.append(problem(("folder", index, "name"), advice, layers))
    return found


def _copies_of_metadata(settings: Settings, layers: list[Layer]) -> list[str]:
    """Find folders whose sidecars would bring back the metadata that their outputs must lack."""
    return [
        problem(("folder", index, "sidecars"), _WOULD_TELL, layers)
        for index, folder in enumerate(settings.folder)
        if folder.sidecars is Sidecars.COPY
        and (folder.metadata or settings.pictures.metadata) is not Metadata.KEEP
    ]


def _out_of_reach_of_nodes(settings: Settings, layers: list[Layer]) -> list[str]:
    """Find folders in object storage whose images, spooled here, no node of a cluster sees."""
    if settings.engine.kind != "ray":
        return []
    advice = 'object storage needs engine.kind = "local"; change one of them'
    return [
        problem(("folder", index, kind), advice, layers)
        for index, folder in enumerate(settings.folder)
        for kind in ("input", "output")
        if isinstance(getattr(folder, kind), Address)
    ]


def _places(settings: Settings) -> Iterator[Place]:
    yield Place(("state",), settings.state)
    for index, folder in enumerate(settings.folder):
        for kind in ("input", "output", "archive"):
            path = getattr(folder, kind)
            if path is not None:
                yield Place(("folder", index, kind), path)
