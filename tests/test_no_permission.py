"""Commands of a user who may not look: one line that names the owner, never a traceback."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sharpend.ledger.opening import open_ledger
from tests.daemons import surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

NOBODY = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may enter, with a state directory of root's alone."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    base = Path(tempfile.mkdtemp(prefix="sharpend-test-", dir="/var/tmp"))
    base.chmod(0o777)
    (base / "in").mkdir(mode=0o755)
    open_ledger(base / "state").close()
    yield base
    shutil.rmtree(base)


AS_NOBODY = f"""
import os, sys
from sharpend.cli import main  # before, because others may not be able to read this installation
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
sys.exit(main(sys.argv[1:]))
"""


def as_nobody(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A finished command of another user."""
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=place,
        env=surroundings({"HOME": str(place)}),
    )


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "status --json",
        "status --check",
        "retry",
        "list quarantined",
        "once --input in --output out",
        "once --input in --output out --dry-run",
        "run --input in --output out",
    ],
)
def test_another_users_state(place: Path, command: str) -> None:
    """Each command ends with 73, the owner's name, and what to do."""
    ran = as_nobody(place, *command.split(), "--state", "state")
    assert ran.returncode == 73, ran.stderr
    owner = pwd.getpwuid(0).pw_name
    assert ran.stderr.splitlines()[-1].startswith("sharpend: state directory ")
    assert f"Permission denied; it belongs to user {owner}: run this by `sudo -u" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_what_reads_no_state_goes_on(place: Path) -> None:
    """`check` needs no state directory; a file that may not be read is one line of `inspect`."""
    (place / "secret.png").touch(mode=0o600)
    ran = as_nobody(place, "check", "--input", "in", "--output", "out", "--state", "state")
    assert ran.returncode == 0, ran.stderr
    ran = as_nobody(place, "inspect", "secret.png")
    assert (ran.returncode, "Permission denied" in ran.stdout) == (66, True)
    ran = as_nobody(place, "check", "--config", "state/sharpend.toml")
    assert (ran.returncode, "Permission denied" in ran.stderr) == (78, True)
