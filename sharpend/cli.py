"""Command line: parse options, call one command, turn errors into exit codes.

Owns the commands and their options; options for settings are in `commands.overrides`. Imports no
torch. A bad image or configuration ends in one readable line, never in a traceback; that is a bug
(exit 70).
"""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sharpend import __version__
from sharpend.commands import (
    accept,
    bench,
    check,
    demo,
    doctor,
    formats,
    inspect,
    listing,
    metrics,
    move,
    once,
    pause,
    retry,
    run,
    status,
    web,
)
from sharpend.commands.overrides import add_model, add_settings
from sharpend.commands.stdout import guarded_stdout
from sharpend.errors import SIGNALLED, ExitCode, OutputFailedError, SharpendError
from sharpend.logs.plain import plain, printable
from sharpend.settings.sources import location

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    _Main: TypeAlias = Callable[[argparse.Namespace], int]
    _Add: TypeAlias = Callable[[str, _Main, str], argparse.ArgumentParser]

EPILOG = (
    "exit status: 0 all went well; 1 not healthy (status --check); 64 usage; "
    "65 some inputs quarantined; 66 input missing; 69 device, model, teacher or daemon unavailable;"
    " 70 a bug; 73 output or state cannot be used; 75 state in use by another process; "
    "78 configuration; 128 + N ended early by signal N"
)


class _Parser(argparse.ArgumentParser):
    """Argument parser that exits with the status of sysexits.h on a wrong command line."""

    def error(self, message: str) -> NoReturn:
        self.exit(ExitCode.USAGE, f"{self.format_usage()}{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `sharpend`; returns the exit status."""
    try:
        with guarded_stdout():
            options = parser().parse_args(arguments)
            command: Callable[[argparse.Namespace], int] = options.command
            return int(command(options))
    except SharpendError as error:
        return _failed(error)
    except BrokenPipeError:  # the reader has closed the pipe; finished images are in the ledger
        return SIGNALLED + signal.SIGPIPE
    except PermissionError as error:
        return _failed(OutputFailedError(_denied(error)))
    except KeyboardInterrupt:
        return SIGNALLED + signal.SIGINT
    except Exception:  # noqa: BLE001 - every other exception is a bug
        with suppress(OSError):
            traceback.print_exc()
        _print_error("this is a bug in sharpend; no data was lost")
        return int(ExitCode.BUG)


def _failed(error: SharpendError) -> int:
    for line in str(error).splitlines() or [type(error).__name__]:
        _print_error(line)
    return int(error.exit_code)


def _print_error(line: str) -> None:
    """Print a line on stderr, which may be full or closed."""
    with suppress(OSError, ValueError):
        print(f"sharpend: {printable(line)}", file=sys.stderr, flush=True)


def _denied(error: PermissionError) -> str:
    """Describe a denial that no command describes itself."""
    path = printable(str(plain(error.filename or "")))
    return f"{path}: {error.strerror}: run as a user with access, or change its permissions"


def parser() -> argparse.ArgumentParser:
    """Build the parser of all commands."""
    top = _Parser(
        prog="sharpend",
        description="Sharpen the photographs that are dropped into folders.",
        epilog=EPILOG,
    )
    top.add_argument("--version", action="version", version=f"sharpend {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add = partial(_added, commands.add_parser)
    _add_work(add)
    _add_questions(add)
    return top


def _added(
    make: Callable[..., argparse.ArgumentParser],
    name: str,
    main: _Main,
    about: str,
) -> argparse.ArgumentParser:
    """Add a command, with its summary in the list and in its own help."""
    command = make(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    command.set_defaults(command=main)
    return command


def _add_work(add: _Add) -> None:
    """Add the commands that sharpen, or queue inputs again."""
    command = add("once", once.main, "sharpen all images in a folder now, then exit")
    add_settings(command, folders=True)
    command.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="sharpen only these files"
    )
    text = "read the files' paths from LIST, one a line; - is stdin"
    command.add_argument("--from-file", type=Path, metavar="LIST", help=text)
    command.add_argument("--null", action="store_true", help="paths in LIST end with a NUL byte")
    text = "sharpen only part I of N (I from 0), with a state of its own"
    command.add_argument("--shard", metavar="I/N", help=text)
    command.add_argument("--json", action="store_true", help="one JSON line per input on stdout")
    command.add_argument(
        "--dry-run", action="store_true", help="print planned actions; reads headers only"
    )

    command = add("run", run.main, "run the daemon in the foreground; SIGTERM stops it")
    add_settings(command, folders=True)

    command = add("retry", retry.main, "retry quarantined images")
    add_settings(command, folders=False)
    command.add_argument(
        "paths",
        nargs="*",
        type=location,
        metavar="PATH",
        help="inputs, their files in quarantine, or their outputs; all if none is given",
    )
    command.add_argument("--all", action="store_true", help="also redo finished images")

    _add_folders(add)
    command = add("web", web.main, "serve a status page: health, before and after, quarantine")
    add_settings(command, folders=False)
    web.add_options(command)
    command = add("demo", demo.main, "sharpen sample images with a real daemon")
    where = Path("demo-output")
    text = f"folder for the results (default: {where})"
    command.add_argument("--output", type=Path, default=where, metavar="DIR", help=text)
    command.add_argument("--pictures", type=Path, metavar="DIR", help="your own sharp images")
    add_model(command)
    command = add("bench", bench.main, "measure models, codecs and the daemon on this machine")
    bench.add_options(command)


def _add_folders(add: _Add) -> None:
    """Add the commands that change what the ledger records of a folder."""
    command = add("move", move.main, "record that an input or output folder was moved")
    add_settings(command, folders=False)
    command.add_argument("old", type=Path, metavar="OLD", help="path of the folder until now")
    command.add_argument("new", type=Path, metavar="NEW", help="path of the folder from now on")
    text = "do it even if NEW contains none of the files in the ledger"
    command.add_argument("--anyway", action="store_true", help=text)

    _add_pauses(add)
    command = add("accept", accept.main, "accept that a folder is on another disk than before")
    add_settings(command, folders=False)
    command.add_argument("folder", metavar="FOLDER", help="name of the folder, as in the log")


def _add_pauses(add: _Add) -> None:
    """Add the commands that pause and resume folders."""
    for name, main, text in (
        (
            "pause",
            pause.pause,
            "start no image of a folder until `resume`; images in progress are finished",
        ),
        ("resume", pause.resume, "end the pause of folders"),
    ):
        command = add(name, main, text)
        add_settings(command, folders=False)
        about = "name or input path; all folders if none is given"
        command.add_argument("folders", nargs="*", type=location, metavar="FOLDER", help=about)


def _add_questions(add: _Add) -> None:
    """Add the commands that only read."""
    command = add("check", check.main, "check the configuration and print what it sets")
    add_settings(command, folders=True)

    command = add("doctor", doctor.main, "check whether this machine can run the daemon")
    add_settings(command, folders=False)
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")

    command = add("status", status.main, "show daemon and queue status")
    add_settings(command, folders=False)
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")

    command.add_argument(
        "--check",
        action="store_true",
        help="print one line; exit status 1 if it is not healthy, 69 if no daemon runs",
    )

    command = add("metrics", metrics.main, "print metrics in the text format of Prometheus")
    add_settings(command, folders=False)
    text = "replace this file, which ends with .prom, for node_exporter"
    command.add_argument("--textfile", type=Path, metavar="PATH", help=text)

    command = add("list", listing.main, "list images that wait, are in quarantine, or are done")
    add_settings(command, folders=False)
    command.add_argument("which", choices=list(listing.STATES), help="images to list")
    command.add_argument("--folder", metavar="NAME", help="list this folder only")
    command.add_argument("--json", action="store_true", help="one JSON object per image on stdout")

    command = add("inspect", inspect.main, "show format and metadata of images, and refusals")
    command.add_argument("files", nargs="+", type=Path, metavar="FILE", help="an image")
    command.add_argument("--config", type=Path, metavar="FILE", help="configuration file (TOML)")
    command.add_argument("--json", action="store_true", help="one JSON object per file on stdout")

    add("formats", formats.main, "list supported formats and what each may hold")
