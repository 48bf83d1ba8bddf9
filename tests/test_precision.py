"""Precision is chosen by what is measured: faster and alike, remembered, and the same for all."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import torch

from sharpend.cli import main
from sharpend.daemon import engine
from sharpend.errors import UnavailableError
from sharpend.logs.events import Event
from sharpend.model import installed, precision, weights
from sharpend.model.device import Placement
from sharpend.model.networks import StudentNet
from sharpend.model.precision import place, timed
from sharpend.model.runtimes import openvino_runtime
from sharpend.model.trial import LEAST_SSIM, Form, Trial
from sharpend.model.weights import Card, save_network
from sharpend.settings.schema import ModelSettings, Settings
from sharpend.workers import trials
from sharpend.workers.loading import LoadedModel
from tests.conftest import drop
from tests.daemons import configured, running
from tests.fakes import ListLog
from tests.selected import fast_where

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

KEY = "ab" * 32
AUTO = Placement("cpu", "auto", threads=1)
needs_openvino = pytest.mark.skipif(
    installed.openvino_version() is None, reason="needs OpenVINO: pip install 'sharpend[openvino]'"
)
CPU = torch.device("cpu")


def trial(
    float32_ms: float | None, *others: Form, key: str = KEY, remembered: bool = False
) -> Trial:
    """A trial with these numbers."""
    return Trial(key, float32_ms, others, remembered)


def half(ms: float | None, ssim: float | None = 1.0) -> Form:
    """Torch in bfloat16."""
    return Form("torch", "bfloat16", ms, ssim)


def bytewise(ms: float | None, ssim: float | None = 1.0) -> Form:
    """OpenVINO in int8."""
    return Form("openvino", "int8", ms, ssim)


@pytest.mark.parametrize(
    ("float32_ms", "other", "auto", "bfloat16"),
    [
        (2.2, half(1.0, 0.9999), "bfloat16", "bfloat16"),
        (1.1, half(1.0, 0.999), "bfloat16", "bfloat16"),
        (1.09, half(1.0, 0.9999), "float32", "bfloat16"),
        (0.5, half(1.0, 1.0), "float32", "bfloat16"),
        (2.2, half(1.0, 0.9989), "float32", "float32"),
        (None, half(None, None), "float32", "float32"),
    ],
)
def test_faster_and_alike(float32_ms: float | None, other: Form, auto: str, bfloat16: str) -> None:
    """Auto takes bfloat16 where it gains a tenth; nothing takes it where pixels differ."""
    made = trial(float32_ms, other)
    chosen = [str(made.chosen("auto", wanted)) for wanted in ("auto", "bfloat16", "float32")]
    assert chosen == [auto, bfloat16, "float32"]


@pytest.mark.parametrize(
    ("others", "wanted", "chosen", "refused"),
    [
        ((half(2.0), bytewise(1.0)), ("auto", "auto"), "openvino int8", []),
        ((half(2.0), bytewise(1.0)), ("torch", "auto"), "bfloat16", []),
        ((half(2.0), bytewise(1.9)), ("auto", "auto"), "bfloat16", []),
        ((half(2.0), bytewise(1.9)), ("auto", "int8"), "openvino int8", []),
        ((half(2.0), bytewise(1.0, 0.998)), ("auto", "auto"), "openvino int8", []),
        ((half(2.0), bytewise(1.0, 0.9979)), ("auto", "auto"), "bfloat16", ["openvino int8"]),
        ((half(2.0), bytewise(1.0, 0.9979)), ("torch", "auto"), "bfloat16", []),
        ((bytewise(1.0, 0.9979),), ("openvino", "int8"), "float32", ["openvino int8"]),
        ((bytewise(None, None),), ("auto", "int8"), "float32", []),
    ],
)
def test_the_fastest_of_what_is_allowed_and_alike(
    others: tuple[Form, ...], wanted: tuple[str, str], chosen: str, refused: list[str]
) -> None:
    """Settings say what is allowed; a less simple form must gain a tenth; unlike ones are named."""
    made = trial(4.0, *others)
    assert str(made.chosen(*wanted)) == chosen
    assert [str(one) for one in made.refused(*wanted)] == refused


def test_auto_follows_the_measurement(networks: Networks) -> None:
    """A model is placed in what its trial says, and times and likeness are real."""
    placed = place(weights.load(str(networks.student)), AUTO)
    assert placed.trial is not None
    assert placed.runtime.precision == placed.trial.chosen("torch", "auto").precision
    assert placed.trial.float32_ms
    measured = placed.trial.form("bfloat16")
    assert measured.ms
    assert measured.is_alike
    assert not placed.trial.remembered


@pytest.mark.usefixtures("timed_once")
@pytest.mark.parametrize(("gain", "chosen"), [(0.5, "float32"), (2.0, "bfloat16")])
def test_a_known_trial_is_not_made_again(
    networks: Networks, gain: float, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured for these weights on this machine decides."""
    loaded = weights.load(str(networks.student))
    measured = place(loaded, AUTO).trial
    assert measured is not None
    known = trial(gain, half(1.0), key=measured.key, remembered=True)
    monkeypatch.delattr(precision, "timed")
    again = place(loaded, replace(AUTO, trials=(trial(1.0, half(1.0)), known)))
    assert (again.trial, again.runtime.precision) == (known, chosen)


def test_float32_needs_no_trial(networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set to float32 is measured by nobody."""
    monkeypatch.delattr(precision, "timed")
    placed = place(weights.load(str(networks.student)), replace(AUTO, precision="float32"))
    assert (placed.trial, placed.runtime.precision) == (None, "float32")


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


def calibrated(folder: Path) -> Path:
    """Weights of a small model that has ranges for int8."""
    torch.manual_seed(4)
    network = StudentNet(16, 1, bias_free=True)
    path = folder / "small.safetensors"
    card = Card("small", "student", 16, 1, network.halo_px, bias_free=True, ranges=(1.0, 1.0))
    save_network(path, network, card)
    return path


@pytest.mark.usefixtures("timed_once")
@pytest.mark.parametrize("wanted", ["auto", "bfloat16"])
def test_other_pixels_are_refused(tmp_path: Path, wanted: str) -> None:
    """Where bfloat16 gives another image, float32 runs, asked for or not."""
    placed = place(weights.load(str(coarse(tmp_path))), replace(AUTO, precision=wanted))
    assert placed.trial is not None
    (refused,) = placed.trial.refused("torch", wanted)
    assert refused.ssim is not None
    assert refused.ssim < LEAST_SSIM["bfloat16"]
    assert placed.runtime.precision == "float32"


def test_float16_is_for_cuda(networks: Networks) -> None:
    """On a CPU, where it is slow, it is refused with the setting to change."""
    with pytest.raises(UnavailableError, match=r'model\.precision: float16: .* set it to "auto"'):
        place(weights.load(str(networks.student)), replace(AUTO, precision="float16"))


@pytest.fixture
def timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials of one round, for tests of likeness."""
    monkeypatch.setattr(precision, "FEWEST_ROUNDS", 1)
    monkeypatch.setattr(precision, "BUDGET_S", 0.0)


SHIPPED = fast_where(
    lambda name: name in {"lite-x4", "base-photo"},
    [("lite-x4",), ("base-x4",), ("lite-photo",), ("base-photo",)],
)
"""Models that the daemon runs; the fast tests have one of each size and of each family."""


@needs_openvino
@pytest.mark.usefixtures("timed_once")
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_are_alike_in_int8(name: str) -> None:
    """All have ranges, and they and their specialists pass the line of int8."""
    wanted = replace(AUTO, runtime="openvino", precision="int8")
    placed = place(weights.load(name), wanted)
    assert placed.trial is not None
    assert placed.trial.refused("openvino", "int8") == ()
    assert placed.runtime.described == "cpu openvino int8"


@pytest.mark.usefixtures("timed_once")
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_are_alike(name: str) -> None:
    """All models that the daemon runs, and their specialists, pass far above the line."""
    made = place(weights.load(name), replace(AUTO, precision="bfloat16")).trial
    assert made is not None
    ssim = made.form("bfloat16").ssim
    assert ssim is not None
    assert ssim > 1 - (1 - LEAST_SSIM["bfloat16"]) / 2


@pytest.mark.usefixtures("timed_once")
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
    assert [one.form("bfloat16").is_alike for one in (alone, pair)] == [True, False]
    assert alone.key != pair.key


def test_times_are_taken_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both run once a round on one thread, and the threads are as before in the end."""
    ran: list[str] = []
    before = torch.get_num_threads()
    threads: set[int] = set()

    def run(name: str) -> None:
        ran.append(name)
        threads.add(torch.get_num_threads())

    monkeypatch.setattr(precision, "FAR_SLOWER", math.inf)
    taken = timed(CPU, lambda: run("a"), lambda: run("b"))
    assert len(taken) == 2
    assert ran == ["a", "b"] * (len(ran) // 2)
    assert precision.FEWEST_ROUNDS <= len(ran) // 2 <= precision.MOST_ROUNDS
    assert threads == {1}
    assert torch.get_num_threads() == before


def test_what_is_far_slower_runs_once() -> None:
    """A form that one round shows to be out of the question costs a start no more time."""
    now_s, ran = 0.0, ""

    def run(name: str, seconds: float) -> None:
        nonlocal now_s, ran
        now_s, ran = now_s + seconds, ran + name

    runs = [partial(run, "a", 1.0), partial(run, "b", 3.9), partial(run, "c", 4.0)]
    taken = precision._rounds(lambda: now_s, runs, 4.0)
    assert ran[:3] == "abc"
    assert ran[3:] == "ab" * (len(ran[3:]) // 2)
    assert [min(column) for column in taken] == pytest.approx([1.0, 3.9, 4.0])
    assert len(taken[0]) == len(taken[1]) >= precision.FEWEST_ROUNDS


# The file


def test_trials_are_remembered(tmp_path: Path) -> None:
    """The latest stand first, a known one is not written again, and old ones fall out."""
    assert trials.read(tmp_path) == ()
    made = [
        trial(2.0, half(1.0), bytewise(0.5), key=f"{number:064x}")
        for number in range(trials.MOST + 2)
    ]
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
        b'[{"key":"%s","float32_ms":NaN,"others":[],"remembered":true}]' % (b"a" * 64),
        b'[{"key":"%s","float32_ms":1.0,"others":[{"runtime":"c","precision":"int8","ms":1.0,'
        b'"ssim":1.0}],"remembered":true}]' % (b"a" * 64),
    ],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    """It is read as empty, and replaced by the next trial."""
    (tmp_path / trials.FILE).write_bytes(content)
    assert trials.read(tmp_path) == ()
    trials.remember(tmp_path, [trial(2.0, half(1.0, None))])
    assert trials.read(tmp_path) == (trial(2.0, half(1.0, None), remembered=True),)


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
    loaded = LoadedModel("lite", "digest", "cpu", 128, 4, None, None, trial=trial(2.0, half(1.0)))
    log = ListLog()
    engine.remember_trials(settings, {"lite": loaded}, log)
    (told,) = log.of(Event.PRECISION_UNSAVED)
    assert "gone" in told["reason"]


@pytest.mark.slow
@needs_openvino
def test_openvino_works_inside_the_sandbox(tmp_path: Path) -> None:
    """Confined workers with little memory sharpen images of many shapes, and say what they use.

    The worker that made no trial follows it, and so does the next start.
    """
    config = configured(tmp_path, calibrated(tmp_path))
    asked = {"SHARPEND_MODEL__RUNTIME": "openvino", "SHARPEND_MODEL__PRECISION": "int8"}
    limits = {"SHARPEND_WORKERS__MEMORY_MB": "256", "SHARPEND_WORKERS__COUNT": "2"}
    for remembered in (False, True):
        with running("--config", config, **asked, **limits) as daemon:
            for number in range(6):
                size = {"height": 100 + 64 * number, "width": 700 - 64 * number}
                drop(tmp_path / "in", f"{remembered}{number}.png", **size)
            finished = [daemon.wait_for("image.finished") for _ in range(6)]
            ready = daemon.wait_for("daemon.ready")
            assert not daemon.events("worker.unconfined")
        assert {one["outcome"] for one in finished} == {"sharpened"}
        assert ready["device"] == "cpu openvino int8"
        assert (ready["runtime"], ready["precision"]) == ("openvino", "int8")
        assert ready["int8_ssim"] >= LEAST_SSIM["int8"]
        assert ready["precision_remembered"] is remembered


@needs_openvino
@pytest.mark.usefixtures("timed_once")
def test_a_runtime_is_chosen_among_what_is_there(tmp_path: Path) -> None:
    """Auto tries OpenVINO on a CPU; int8 is left out of a model without ranges."""
    given = weights.load(str(calibrated(tmp_path)))
    placed = place(given, replace(AUTO, runtime="auto"))
    assert placed.trial is not None
    tried = [str(one) for one in placed.trial.others]
    assert tried == ["bfloat16", "openvino int8"]
    assert str(placed.trial.chosen("auto", "auto")) in placed.runtime.described
    given.network.ranges = ()
    left = place(given, replace(AUTO, runtime="openvino")).trial
    assert left is not None
    assert [str(one) for one in left.others] == ["openvino float32", "openvino bfloat16"]


@needs_openvino
@pytest.mark.usefixtures("timed_once")
def test_float32_by_openvino_is_a_choice(networks: Networks) -> None:
    """The runtime may be set, and the precision with it."""
    wanted = replace(AUTO, runtime="openvino", precision="float32")
    placed = place(weights.load(str(networks.student)), wanted)
    assert placed.runtime.described == "cpu openvino float32"


@needs_openvino
def test_openvino_reports_nothing_to_anybody() -> None:
    """Its import would send an event to a server; ours leaves that part out."""
    openvino_runtime()
    assert "openvino" in sys.modules
    assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]


@pytest.mark.parametrize(
    ("runtime", "precision", "version", "said"),
    [
        ("torch", "int8", None, "torch does not have it"),
        ("auto", "int8", None, "openvino is not installed"),
        ("openvino", "auto", None, "openvino is not installed"),
        ("auto", "int8", "2026.1", "has no ranges"),
    ],
)
def test_what_is_not_there_is_refused(
    networks: Networks,
    monkeypatch: pytest.MonkeyPatch,
    runtime: str,
    precision: str,
    version: str | None,
    said: str,
) -> None:
    """A form that cannot be had ends the start, with the setting to change."""
    for module in (installed, sys.modules[place.__module__]):
        monkeypatch.setattr(module, "openvino_version", lambda: version)
    loaded = weights.load(str(networks.student))
    with pytest.raises(UnavailableError, match=rf"^model\.(runtime|precision): .*{said}"):
        place(loaded, replace(AUTO, runtime=runtime, precision=precision))


@pytest.mark.parametrize(("ssim", "warnings"), [(0.9, 1), (1.0, 0)])
def test_a_refused_precision_is_told(tmp_path: Path, ssim: float, warnings: int) -> None:
    """bfloat16 is set, the pixels differ: a warning names it, and the setting."""
    settings = Settings(state=tmp_path, model=ModelSettings(precision="bfloat16"))
    measured = trial(2.0, half(1.0, ssim))
    loaded = LoadedModel("coarse", "digest", "cpu", 128, 4, None, None, trial=measured)
    log = ListLog()
    engine.log_refused_precisions(settings, {"coarse": loaded}, log)
    told = log.of(Event.PRECISION_REFUSED)
    said = [(one["model"], one["refused"], one["ssim"]) for one in told]
    assert said == [("coarse", "bfloat16", ssim)] * warnings
    assert all(one["message"].startswith("model.precision: ") for one in told)
