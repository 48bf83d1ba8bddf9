"""The settings that a command line stands for: file, environment, and its own options on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.errors import UsageError
from sharpend.settings.load import Settings, load

if TYPE_CHECKING:
    import argparse


def settings_of(options: argparse.Namespace) -> Settings:
    """Load the settings for a command.

    Raises:
        UsageError: --input without --output, or the other way round.
        ConfigError: a setting is wrong, wherever it came from.
    """
    return load(options.config, overrides_of(options))


def overrides_of(options: argparse.Namespace) -> dict[str, object]:
    """What the command line sets, nested like the file; only what was given."""
    given = {key: value for key, value in vars(options).items() if value is not None}
    overrides: dict[str, object] = {}
    if "state" in given:
        overrides["state"] = given["state"]
    if ("input" in given) != ("output" in given):
        raise UsageError("--input and --output belong together: give both or neither")
    if "input" in given:
        overrides["folder"] = [{"input": given["input"], "output": given["output"]}]
    keys = {"model": "name", "device": "device", "strength": "strength"}
    model = {key: given[option] for option, key in keys.items() if option in given}
    if model:
        overrides["model"] = model
    if "workers" in given:
        overrides["workers"] = {"count": given["workers"]}
    return overrides


def with_folders(settings: Settings) -> Settings:
    """The settings, if there is any folder to work on.

    Raises:
        UsageError: there is none.
    """
    if not settings.folder:
        raise UsageError("no folder to work on: give --input and --output, or a --config file")
    return settings
