"""Names that the file system of the output does not take: that image's fault, never the folder's.

On a real NTFS that refuses the names that Windows refuses.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import drop
from tests.daemons import configured, once, running, temps
from tests.mounts import windows_disk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

pytestmark = pytest.mark.slow

GOOD = {"ok1.png", "zz.png", "sub/fine.png"}
BAD = {"what?.png", "2019-05-01 12:30/a.png", "2019-05-01 12:30/below/b.png", "sub/1:2.png"}


def fill(base: Path, names: set[str]) -> None:
    """Inputs with these names."""
    for name in names:
        path = base / "in" / name
        drop(path.parent, path.name)


def files(root: Path) -> set[str]:
    """All files below a folder."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_once_does_all_that_can_be_named(networks: Networks, tmp_path: Path) -> None:
    """An impossible name, of a file or of a folder, is quarantined; all others are sharpened."""
    fill(tmp_path, GOOD | BAD)
    with windows_disk(tmp_path) as disk:
        folder: dict[str, object] = {
            "input": tmp_path / "in",
            "output": disk / "o",
            "settle_s": 0.1,
        }
        result = once("--config", configured(tmp_path, networks.student, folder), "--json")
        assert files(disk / "o") == GOOD
        assert temps(disk) == []
    assert result.returncode == 65, result.stderr
    *told, _ = [json.loads(line) for line in result.stdout.splitlines()]
    refused = {line["input"]: line for line in told if line["outcome"] == "quarantined"}
    assert set(refused) == {str(tmp_path / "in" / name) for name in BAD}
    for name, part in ((name, name.split("/")[0 if "12:30" in name else -1]) for name in BAD):
        line = refused[str(tmp_path / "in" / name)]
        assert (line["reason"], line["attempts"]) == ("name_not_possible", 1)
        assert repr(part) in line["message"]
        assert line["setting"] == "folder.portable_names"
    assert files(tmp_path / "in") == GOOD | BAD


def test_a_daemon_goes_on(networks: Networks, tmp_path: Path) -> None:
    """No folder is paused, and health stays ok, while the log names the image and the cause."""
    with windows_disk(tmp_path) as disk:
        folder: dict[str, object] = {
            "input": tmp_path / "in",
            "output": disk / "o",
            "archive": disk / "originals",
            "source": "archive",
            "settle_s": 0.1,
        }
        config = configured(tmp_path, networks.student, folder)
        with running("--config", config) as daemon:
            daemon.wait_for("daemon.ready")
            fill(tmp_path, GOOD | BAD)
            for name in BAD:
                event = daemon.wait_for("image.quarantined", path=name)
                assert event["error_code"] == "name_not_possible"
            for name in GOOD:
                daemon.wait_for("image.finished", path=name)
            report = daemon.wait_for(
                "report.published", images_total=len(GOOD), failures_total=len(BAD)
            )
            assert (report["health"], report["paused"]) == ("ok", {})
            assert daemon.events("folder.paused") == []
        assert files(disk / "originals") == GOOD
