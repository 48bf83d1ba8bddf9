"""`sharpend check`: validate the configuration and print its meaning, without starting anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.commands.arguments import workable_settings_of
from sharpend.daemon import plans
from sharpend.files.fingerprint import display
from sharpend.logs.logs import printable

if TYPE_CHECKING:
    import argparse


def main(options: argparse.Namespace) -> int:
    """Print the resulting folders and models; every mistake is an error with its key and advice."""
    settings = workable_settings_of(options)
    for plan in plans.folder_plans(settings):
        way = plan.destination
        line = f"{way.folder}: {display(way.input_root)} -> {display(way.output_root)}"
        print(printable(f"{line}, model {plan.options.model}, source {way.source}"))
    print(printable(f"state: {settings.state}; workers: {plans.worker_count(settings)}"))
    return 0
