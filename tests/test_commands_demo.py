"""`sharpend demo`: a real daemon over one's own images, its table and its sheet."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.errors import ExitCode
from sharpend.imaging.files import load_rgb
from tests.conftest import drop

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks


def test_a_folder_without_pictures_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an image there is nothing to show: exit 66 and one line."""
    assert main(["demo", "--pictures", str(tmp_path)]) == ExitCode.INPUT_MISSING
    assert "no image in this folder" in capsys.readouterr().err


@pytest.mark.slow
def test_one_s_own_pictures(
    networks: Networks,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The table has a row for each image, the sheet and the outputs stay, the rest goes."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    for seed, name in enumerate(("harbour.png", "a.png", "a.jpg")):
        drop(tmp_path / "own", name, height=120, width=160, seed=seed)
    output = tmp_path / "shown"
    arguments = ["--pictures", str(tmp_path / "own"), "--output", str(output)]
    assert main(["demo", *arguments, "--model", str(networks.student), "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    rows = {line[:28].strip() for line in told.splitlines()}
    assert rows >= {"softened by four", "soft photograph", "sharp", "sharp, crispness 0.5"}
    assert "agreement with the teacher: SSIM" in told
    assert "residual ratio: not measurable, 0 measurable crop(s)" in told
    kinds = ("softened by four", "soft photograph", "sharp", "sharp, crispness 0.5")
    assert {path.name for path in output.iterdir()} == {
        "comparison.png",
        *(f"{name}, {kind}.png" for name in ("harbour", "a.jpg", "a.png") for kind in kinds),
    }
    assert load_rgb(output / "harbour, sharp.png").shape == (120, 160, 3)
    assert list((tmp_path / "scratch").iterdir()) == []
