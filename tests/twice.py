"""Tests in several processes; files in which one failed are run once more, one test at a time.

    python -m tests.twice -m slow

Beside much other load a wait of a test may run out. A real fault fails again, and the first failure
stays in the output. A file is run as a whole, because some tests go on where the last one ended.
Nothing is run again after an interruption or an error of pytest, nor where many files failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SIDE_BY_SIDE = (
    *("-n", "logical", "--maxprocesses", "4"),
    *("--dist", "loadfile", "--no-loadscope-reorder"),
)
"""A process on each core, at most four, because each may have a daemon and its models. The tests of
a file run in one of them, because they may share what they set up; conftest.py orders the files."""
MOST_FILES = 5
"""More than these do not fail by chance."""
_FAILED = Path(".pytest_cache/v/cache/lastfailed")
_TESTS_FAILED = 1
"""Exit status of pytest."""


def main(options: list[str]) -> int:
    """Run pytest with these options, once or twice; returns the exit status of the last run."""
    _FAILED.unlink(missing_ok=True)  # else it has the failures of an earlier day, too
    status = _ran(*SIDE_BY_SIDE, *options)
    files = _failed_files()
    if status != _TESTS_FAILED or not 0 < len(files) <= MOST_FILES:
        return status
    print(f"\nOnce more, one test at a time: {', '.join(files)}", flush=True)  # noqa: T201
    return _ran(*options, *files)


def _ran(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


def _failed_files() -> list[str]:
    """The files of the tests that failed in the last run."""
    with suppress(OSError, ValueError):
        return sorted({test.partition("::")[0] for test in json.loads(_FAILED.read_bytes())})
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
