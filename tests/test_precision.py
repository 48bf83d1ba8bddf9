"""Precision is chosen by what is measured: faster and alike, remembered, and the same for all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from sharpend.cli import main
from sharpend.daemon import crew
from sharpend.logs.events import Event
from sharpend.model import precision, weights
from sharpend.model.networks import StudentNet
from sharpend.model.precision import place, timed
from sharpend.model.runtime import Placement
from sharpend.model.trial import LEAST_SSIM, Trial
from sharpend.model.weights import Card, save_network
from sharpend.settings.load import Settings
from sharpend.settings.schema import ModelSettings
from sharpend.workers import trials
from sharpend.workers.worker import Engine
from tests.daemons import configured, running
from tests.fakes import ListLog

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

KEY = "ab" * 32
AUTO = Placement("cpu", "auto", threads=1)
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("float32_ms", "bfloat16_ms", "ssim", "auto", "bfloat16"),
    [
        (2.2, 1.0, 0.9999, "bfloat16", "bfloat16"),
        (1.1, 1.0, 0.999, "bfloat16", "bfloat16"),
        (1.09, 1.0, 0.9999, "float32", "bfloat16"),
        (0.5, 1.0, 1.0, "float32", "bfloat16"),
        (2.2, 1.0, 0.9989, "float32", "float32"),
        (None, None, None, "float32", "float32"),
    ],
)
def test_faster_and_alike(
    float32_ms: float | None,
    bfloat16_ms: float | None,
    ssim: float | None,
    auto: str,
    bfloat16: str,
) -> None:
    """Auto takes bfloat16 where it gains a tenth; nothing takes it where pixels differ."""
    trial = Trial(KEY, float32_ms, bfloat16_ms, ssim)
    chosen = [trial.chosen(wanted) for wanted in ("auto", "bfloat16", "float32")]
    assert chosen == [auto, bfloat16, "float32"]


def test_auto_follows_the_measurement(networks: Networks) -> None:
    """A model is placed in what its trial says, and both times and the likeness are real."""
    placed = place(weights.load(str(networks.student)), AUTO)
    assert placed.trial is not None
    assert placed.runtime.precision_name == placed.trial.chosen("auto")
    assert placed.trial.gain > 0
    assert placed.trial.is_alike
    assert not placed.trial.remembered


@pytest.mark.parametrize(("gain", "chosen"), [(0.5, "float32"), (2.0, "bfloat16")])
def test_a_known_trial_is_not_made_again(
    networks: Networks, gain: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured for these weights on this machine decides."""
    loaded = weights.load(str(networks.student))
    measured = place(loaded, AUTO).trial
    assert measured is not None
    known = Trial(measured.key, gain, 1.0, 1.0, remembered=True)
    monkeypatch.delattr(precision, "timed")
    again = place(loaded, replace(AUTO, trials=(Trial(KEY, 1.0, 1.0, 1.0), known)))
    assert (again.trial, again.runtime.precision_name) == (known, chosen)


def test_float32_needs_no_trial(networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set to float32 is measured by nobody."""
    monkeypatch.delattr(precision, "timed")
    placed = place(weights.load(str(networks.student)), replace(AUTO, precision="float32"))
    assert (placed.trial, placed.runtime.precision) == (None, torch.float32)


def coarse(folder: Path) -> Path:
    """Weights whose detail lies below the last digit that bfloat16 keeps of their features."""
    torch.manual_seed(3)
    network = StudentNet(8, 1)
    with torch.no_grad():
        assert network.head.bias is not None
        network.head.bias.fill_(300.0)
        network.tail.weight.mul_(3.0)
        network.tail.weight.sub_(network.tail.weight.mean(dim=(1, 2, 3), keepdim=True))
    path = folder / "coarse.safetensors"
    save_network(path, network, Card("coarse", "student", 8, 1, network.halo_px))
    return path


@pytest.mark.parametrize("wanted", ["auto", "bfloat16"])
def test_other_pixels_are_refused(tmp_path: Path, wanted: str) -> None:
    """Where bfloat16 gives another image, float32 runs, asked for or not."""
    placed = place(weights.load(str(coarse(tmp_path))), replace(AUTO, precision=wanted))
    assert placed.trial is not None
    assert placed.trial.ssim is not None
    assert placed.trial.ssim < LEAST_SSIM
    assert placed.runtime.precision is torch.float32


@pytest.mark.parametrize("name", ["lite-x4", "base-x4", "lite-photo", "base-photo"])
def test_shipped_models_are_alike(name: str) -> None:
    """All models that the daemon runs, and their specialists, pass far above the line."""
    trial = place(weights.load(name), replace(AUTO, precision="bfloat16")).trial
    assert trial is not None
    assert trial.ssim is not None
    assert trial.ssim > 1 - (1 - LEAST_SSIM) / 2


def test_the_specialist_counts(networks: Networks, tmp_path: Path) -> None:
    """Likeness is that of the worse of both models of a file, and both are in its key."""
    loaded = weights.load(str(networks.student))
    other = weights.load(str(coarse(tmp_path)))
    both = replace(
        loaded,
        specialist=other.network,
        card=replace(loaded.card, specialist="coarse", specialist_digest=other.digest),
    )
    alone, pair = (place(one, AUTO).trial for one in (loaded, both))
    assert alone is not None
    assert pair is not None
    assert (alone.is_alike, pair.is_alike) == (True, False)
    assert alone.key != pair.key


def test_times_are_taken_in_turn() -> None:
    """Both run once a round on one thread, and the threads are as before in the end."""
    ran: list[str] = []
    before = torch.get_num_threads()
    threads: set[int] = set()

    def run(name: str) -> None:
        ran.append(name)
        threads.add(torch.get_num_threads())

    taken = timed(CPU, lambda: run("a"), lambda: run("b"))
    assert len(taken) == 2
    assert ran == ["a", "b"] * (len(ran) // 2)
    assert precision.FEWEST_ROUNDS <= len(ran) // 2 <= precision.MOST_ROUNDS
    assert threads == {1}
    assert torch.get_num_threads() == before


# The file


def test_trials_are_remembered(tmp_path: Path) -> None:
    """The latest stand first, a known one is not written again, and old ones fall out."""
    assert trials.read(tmp_path) == ()
    made = [Trial(f"{number:064x}", 2.0, 1.0, 1.0) for number in range(trials.MOST + 2)]
    for one in made:
        trials.remember(tmp_path, [one])
    assert trials.read(tmp_path) == tuple(
        replace(one, remembered=True) for one in reversed(made[2:])
    )
    written = (tmp_path / trials.FILE).stat().st_ino
    trials.remember(tmp_path, [replace(made[-1], float32_ms=9.0)])
    assert (tmp_path / trials.FILE).stat().st_ino == written


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"{}",
        b"[1]",
        b'[{"key":"x"}]',
        b"[" * 100_000,
        b'[{"key":"%s","float32_ms":NaN,"bfloat16_ms":1,"ssim":1,"remembered":true}]' % (b"a" * 64),
    ],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    """It is read as empty, and replaced by the next trial."""
    (tmp_path / trials.FILE).write_bytes(content)
    assert trials.read(tmp_path) == ()
    trials.remember(tmp_path, [Trial(KEY, 2.0, 1.0, None)])
    assert trials.read(tmp_path) == (Trial(KEY, 2.0, 1.0, None, remembered=True),)


# The daemon


@pytest.mark.slow
def test_a_later_start_remembers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged file is measured anew, what is refused is told, and the next start remembers."""
    config = configured(tmp_path, coarse(tmp_path))
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / trials.FILE).write_bytes(b"damaged")
    with running("--config", config, SHARPEND_MODEL__PRECISION="bfloat16") as daemon:
        assert daemon.wait_for("precision.refused")["model"] == "coarse"
        first = daemon.wait_for("daemon.ready")
    with running("--config", config, SHARPEND_MODEL__PRECISION="auto") as daemon:
        second = daemon.wait_for("daemon.ready")
    assert [one["precision_remembered"] for one in (first, second)] == [False, True]
    measured = ("precision", "float32_ms", "bfloat16_ms", "bfloat16_ssim", "device")
    assert [first[key] for key in measured] == [second[key] for key in measured]
    assert first["device"] == "cpu float32"
    assert "times as fast as float32" in first["precision_cause"]
    assert "remembered" in second["precision_cause"]
    assert main(["status", "--state", str(tmp_path / "state")]) == 0
    line = f"precision: {second['precision']}: {second['precision_cause']}"
    assert line in capsys.readouterr().out.splitlines()


def test_a_trial_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The daemon goes on, and the log says why the next start will measure again."""
    settings = Settings(state=tmp_path / "gone")
    engine = Engine("lite", "digest", "cpu", 128, 4, None, None, trial=Trial(KEY, 2.0, 1.0, 1.0))
    log = ListLog()
    crew.remember_trials(settings, {"lite": engine}, log)
    (told,) = log.of(Event.PRECISION_UNSAVED)
    assert "gone" in told["reason"]


@pytest.mark.parametrize(("ssim", "warnings"), [(0.9, 1), (1.0, 0)])
def test_a_refused_precision_is_told(tmp_path: Path, ssim: float, warnings: int) -> None:
    """bfloat16 is set, the pixels differ: a warning names the setting, and float32 runs."""
    settings = Settings(state=tmp_path, model=ModelSettings(precision="bfloat16"))
    engine = Engine("coarse", "digest", "cpu", 128, 4, None, None, trial=Trial(KEY, 2, 1, ssim))
    engine = replace(engine, precision=Trial(KEY, 2, 1, ssim).chosen("bfloat16"))
    log = ListLog()
    crew.tell_of_refusals(settings, {"coarse": engine}, log)
    told = log.of(Event.PRECISION_REFUSED)
    assert [(one["model"], one["bfloat16_ssim"]) for one in told] == [("coarse", ssim)] * warnings
    assert all(one["message"].startswith("model.precision: ") for one in told)
