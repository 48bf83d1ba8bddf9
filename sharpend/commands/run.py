"""`sharpend run`: the daemon in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend import logs
from sharpend.commands.given import workable_settings_of
from sharpend.daemon import Daemon, Hooks

if TYPE_CHECKING:
    import argparse

    from sharpend.settings.load import Settings


def main(options: argparse.Namespace) -> int:
    """Work until SIGTERM."""

    def load() -> Settings:
        return workable_settings_of(options)

    settings = load()
    log = logs.configure(level=settings.log.level, format=settings.log.format)
    return int(Daemon(settings, log, Hooks(load=load)).run())
