"""What photographers have beside their images, in one run of the real command."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.conftest import drop
from tests.daemons import configured, once

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

pytestmark = pytest.mark.slow


def files(root: Path) -> set[str]:
    """All files below a folder."""
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_sidecars_tags_folders_and_names_in_one_run(networks: Networks, attributes: Path) -> None:
    """All four at once, and a second run finds nothing to do."""
    inbox = attributes / "in"
    for name in ("walk/IMG_1.png", "walk/sea/what?.png", "raw/IMG_2.png"):
        drop((inbox / name).parent, os.path.basename(name))
    for name in ("walk/IMG_1.xmp", "walk/sea/what?.png.xmp", "raw/IMG_2.xmp", "raw/IMG_2.CR2"):
        (inbox / name).write_text("edits")
    os.setxattr(inbox / "walk/IMG_1.png", "user.xdg.tags", b"sea")
    folder: dict[str, object] = {
        "input": inbox,
        "output": attributes / "out",
        "archive": attributes / "originals",
        "source": "archive",
        "suffix": "-sharp",
        "sidecars": "copy",
        "remove_empty_folders": True,
        "portable_names": True,
        "settle_s": 2.5,
    }
    config = configured(attributes, networks.student, folder)
    ran = once("--config", config, "--json")
    assert ran.returncode == 0, ran.stderr
    last = json.loads(ran.stdout.splitlines()[-1])["summary"]
    assert last["left_alone"] == {"sidecar": 1, ".cr2": 1}
    assert files(inbox) == {"raw/IMG_2.xmp", "raw/IMG_2.CR2"}
    assert sorted(path.name for path in inbox.iterdir()) == ["raw"]
    assert files(attributes / "originals") == {
        "walk/IMG_1.png",
        "walk/IMG_1.xmp",
        "walk/sea/what?.png",
        "walk/sea/what?.png.xmp",
        "raw/IMG_2.png",
    }
    what = "walk/sea/what_~1288e034-sharp.png"
    assert files(attributes / "out") == {
        "walk/IMG_1-sharp.png",
        "walk/IMG_1-sharp.xmp",
        what,
        f"{what}.xmp",
        "raw/IMG_2-sharp.png",
        "raw/IMG_2-sharp.xmp",
    }
    assert os.getxattr(attributes / "out/walk/IMG_1-sharp.png", "user.xdg.tags") == b"sea"
    again = once("--config", config, "--json")
    assert [json.loads(line).get("earlier") for line in again.stdout.splitlines()] == [None]
