"""`sharpend demo`: a real daemon over one's own images, its table and its sheet."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

from sharpend.cli import main
from sharpend.errors import ExitCode
from sharpend.imaging.files import load_rgb
from sharpend.ledger.pages import NEWEST, LedgerPages
from tests.conftest import drop

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks


def test_a_folder_without_pictures_is_reported(
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
        "demo-state",
        *(f"{name}, {kind}.png" for name in ("harbour", "a.jpg", "a.png") for kind in kinds),
    }
    assert load_rgb(output / "harbour, sharp.png").shape == (120, 160, 3)
    assert list((tmp_path / "scratch").iterdir()) == []
    assert told.splitlines()[-1].endswith(f"sharpend web --state {output / 'demo-state'}")
    with LedgerPages.read_only(output / "demo-state") as ledger:
        assert len(ledger.results(NEWEST, 50)) == 12


def test_a_folder_that_is_not_of_a_demo_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The state of an earlier demo is replaced, and nothing else that has its name."""
    drop(tmp_path / "own", "a.png")
    (tmp_path / "shown" / "demo-state" / "mine").mkdir(parents=True)
    arguments = ["--pictures", str(tmp_path / "own"), "--output", str(tmp_path / "shown")]
    assert main(["demo", *arguments]) == ExitCode.OUTPUT_FAILED
    assert "holds other files" in capsys.readouterr().err
    assert (tmp_path / "shown" / "demo-state" / "mine").exists()
