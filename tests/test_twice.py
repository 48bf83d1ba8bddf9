"""`make test` runs what failed once more: a failure by chance is forgiven, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
BY_CHANCE = """
from pathlib import Path
def test_first(): Path("first").touch()
def test_second():
    assert Path("first").exists()  # it goes on where the first test ended
    Path("first").unlink()
    ran = Path("ran").exists()
    Path("ran").touch()
    assert ran
"""
REAL = "def test_real(): assert False"
INTERRUPTED = "def test_interrupted(): raise KeyboardInterrupt"
CRASHED = "import os\ndef test_crashed(): os._exit(3)"
STALE = "def test_stale(): pass"


@pytest.mark.parametrize(
    ("text", "options", "status", "runs"),
    [
        (BY_CHANCE, (), 0, 2),
        (REAL, (), 1, 2),
        (CRASHED, (), 3, 2),
        (INTERRUPTED, (), 2, 1),
        (STALE, ("--no-such-option",), 4, 1),
    ],
)
def test_what_failed_runs_once_more(
    tmp_path: Path, text: str, options: tuple[str, ...], status: int, runs: int
) -> None:
    """Files that failed run again as a whole; after anything else the first status counts."""
    (tmp_path / "test_it.py").write_text(text)
    cache = tmp_path / ".pytest_cache/v/cache/lastfailed"
    cache.parent.mkdir(parents=True)
    cache.write_text('{"test_it.py::test_of_yesterday": true}')
    ran = subprocess.run(
        [sys.executable, "-m", "tests.twice", "-p", "no:anyio", f"--rootdir={tmp_path}", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, 1 + ran.stdout.count("Once more")) == (status, runs), ran.stdout
