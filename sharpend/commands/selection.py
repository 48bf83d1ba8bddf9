"""Single images of `sharpend once`: the files that are named, and the folders they belong to.

Owns the reading of lists. A file below a configured input keeps its path there; with --output alone
the folder of each file is the input, so an image has one place whatever else is named beside it.
Refuses what is missing, folders, and outputs as inputs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.errors import InputMissingError, UsageError
from sharpend.files.fingerprint import display
from sharpend.settings.sources import located

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

    from sharpend.settings.folder import FolderSettings
    from sharpend.settings.schema import Settings

_MOST_NAMED = 5


def selected(options: argparse.Namespace) -> list[bytes] | None:
    """Return the absolute paths of the files that are named; None if no file is named.

    Raises:
        UsageError: a path is a folder, or --null is given without a list.
        InputMissingError: a file, or the list, is missing or cannot be read.
    """
    if options.null and options.from_file is None:
        raise UsageError("--null belongs to --from-file")
    if not options.files and options.from_file is None:
        return None
    named = [os.fsencode(path) for path in options.files]
    if options.from_file is not None:
        named += _read(options.from_file, b"\0" if options.null else b"\n")
    paths = list(dict.fromkeys(os.fsencode(located(Path(os.fsdecode(path)))) for path in named))
    _require_files(paths)
    return paths


def _read(source: Path, separator: bytes) -> list[bytes]:
    """Read a list of paths; `-` is standard input."""
    try:
        text = sys.stdin.buffer.read() if str(source) == "-" else source.read_bytes()
    except OSError as error:
        raise InputMissingError(f"--from-file: {source}: {error.strerror}") from error
    return [path for path in text.split(separator) if path]


def _require_files(paths: Sequence[bytes]) -> None:
    folders = [path for path in paths if os.path.isdir(path)]
    if folders:
        raise UsageError(
            f"{display(folders[0])}: is a folder: give it by --input, or name the files in it"
        )
    missing = [path for path in paths if not os.path.lexists(path)]
    if missing:
        more = f"\nand {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        lines = [f"{display(path)}: no such file" for path in missing[:_MOST_NAMED]]
        raise InputMissingError("\n".join(lines) + more)


def folders_of(paths: Iterable[bytes], output: Path) -> list[Mapping[str, object]]:
    """Make a folder for each folder that contains files, with the same output.

    Raises:
        UsageError: a file is in the output.
    """
    real_output = os.path.realpath(os.fsencode(located(output)))
    names: dict[str, bytes] = {}
    for parent in dict.fromkeys(map(os.path.dirname, paths)):
        if _is_below(parent, real_output):
            raise UsageError(f"{display(parent)}: is in the output: choose another --output")
        names[_free_name(parent, names)] = parent
    return [
        {"input": os.fsdecode(parent), "output": output, "name": name, "recursive": False}
        for name, parent in names.items()
    ]


def _is_below(path: bytes, folder: bytes) -> bool:
    real = os.path.realpath(path)
    return real == folder or real.startswith(folder.rstrip(b"/") + b"/")


def _free_name(parent: bytes, taken: Mapping[str, bytes]) -> str:
    """Return the base name of a folder, with a number where another folder has it."""
    base = display(os.path.basename(parent)) or "files"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def limited(settings: Settings, paths: Iterable[bytes]) -> Settings:
    """Limit the folders of the settings to these files; folders without any are left out.

    Raises:
        UsageError: a file is in none of the folders.
    """
    chosen: dict[int, list[bytes]] = {}
    for path in paths:
        number, relative = _place(settings.folder, path)
        chosen.setdefault(number, []).append(relative)
    folders = [settings.folder[number].limited_to(files) for number, files in chosen.items()]
    return settings.model_copy(update={"folder": folders})


def _place(folders: Sequence[FolderSettings], path: bytes) -> tuple[int, bytes]:
    """Find the folder that a file is an input of; return its number and the path below it."""
    for number, folder in enumerate(folders):
        root = os.fsencode(folder.input).rstrip(b"/") + b"/"
        relative = path.removeprefix(root)
        if path.startswith(root) and (folder.recursive or b"/" not in relative):
            return number, relative
    raise UsageError(
        f"{display(path)}: is in none of the input folders; give --output alone to sharpen any file"
    )
