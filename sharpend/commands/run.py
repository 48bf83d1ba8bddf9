"""`sharpend run`: run the daemon in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.commands.overrides import workable_settings_of
from sharpend.daemon import settings_values
from sharpend.daemon.daemon import Daemon
from sharpend.daemon.run_mode import RunMode

if TYPE_CHECKING:
    import argparse

    from sharpend.settings.schema import Settings


def main(options: argparse.Namespace) -> int:
    """Run until SIGTERM."""

    def load() -> Settings:
        return workable_settings_of(options)

    settings = load()
    return int(Daemon(settings, settings_values.log(settings), RunMode(load=load)).run())
