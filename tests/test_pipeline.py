"""One job inside a worker, in this process: every way in and every way out."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sharpend.attempt import Failed, Failure, Staged
from sharpend.errors import Reason, TransientError
from sharpend.files import beneath
from sharpend.files.access import Access
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.preview_layout import IMAGES
from sharpend.imaging import codec
from sharpend.imaging.files import save_png
from sharpend.imaging.formats import Format
from sharpend.imaging.picture import Frame, Picture
from sharpend.imaging.transparency import fill
from sharpend.model.device import Placement
from sharpend.model.measuring import measure
from sharpend.policies import Losses, Policies
from sharpend.task import Options, Task
from sharpend.workers import staging
from sharpend.workers.pipeline import Pipeline
from tests.cases import bytes_of
from tests.conftest import drop, photograph

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tests.conftest import Networks

TEMP = b".sharpend-1-test.tmp"
CPU = Placement(device="cpu", precision="float32")
needs_permissions = pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")


class Bench:
    """An input folder, an output folder and a task between them."""

    def __init__(self, home: Path, model: Path) -> None:
        self.source, self.output = home / "in", home / "out"
        self.source.mkdir()
        self.output.mkdir()
        self.options = Options(str(model))

    def task(self, path: Path, **changes: object) -> Task:
        """The task for a file as it is there now."""
        task = Task(
            job_id=1,
            input_root=os.fsencode(self.source),
            output_root=os.fsencode(self.output),
            relative=os.path.relpath(os.fsencode(path), os.fsencode(self.source)),
            output_parent=b"",
            temp_name=TEMP,
            fingerprint=Fingerprint.of(path.lstat()),
            options=self.options,
        )
        return replace(task, **changes)  # type: ignore[arg-type]

    @property
    def made(self) -> Path:
        """Where the staged file grows."""
        return self.output / os.fsdecode(TEMP)

    def decoded(self) -> Picture:
        """The staged file, read again."""
        return decoded(self.made)


@pytest.fixture
def bench(tmp_path: Path, networks: Networks) -> Bench:
    """Empty folders."""
    return Bench(tmp_path, networks.student)


def decoded(path: Path) -> Picture:
    """A file's image."""
    with path.open("rb") as file:
        return codec.decode(file, max_pixels=10**8, max_bytes=10**8)


def write(path: Path, picture: Picture) -> Path:
    """An image as a file."""
    with path.open("wb") as file:
        codec.encode(picture, file)
    return path


def staged(outcome: Staged | Failed) -> Staged:
    """The outcome, which must be good."""
    assert isinstance(outcome, Staged), outcome
    return outcome


def failed(outcome: Staged | Failed, bench: Bench) -> Failed:
    """The outcome, which must be bad and leave nothing behind."""
    assert isinstance(outcome, Failed), outcome
    assert list(bench.output.iterdir()) == []
    return outcome


# What goes well


def test_a_picture_is_staged(worker: Pipeline, bench: Bench) -> None:
    """The staged file is durable under its temporary name and is what the message says."""
    source = drop(bench.source, "a.png")
    source.chmod(0o640)
    os.utime(source, ns=(1_600_000_000_000_000_001, 1_600_000_000_123_456_789))
    outcome = staged(worker.run(bench.task(source)))
    status = bench.made.stat()
    assert outcome.fingerprint == Fingerprint.of(status)
    assert (outcome.height, outcome.width) == (48, 64)
    assert outcome.temp_name == TEMP
    assert outcome.model_digest == worker.models.sharpener(bench.options.model).digest
    assert set(outcome.stages_s) == {"decode", "measure", "infer", "encode"}
    assert status.st_mode & 0o7777 == 0o640
    assert status.st_mtime_ns == 1_600_000_000_123_456_789
    assert bench.decoded().pixels.shape == decoded(source).pixels.shape


def test_the_staged_file_is_flushed_to_disk(
    worker: Pipeline, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole content, mode and time are in the file before fsync, and fsync comes last."""
    seen = []

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        seen.append(Fingerprint.of(status))

    monkeypatch.setattr(os, "fsync", fsync)
    outcome = staged(worker.run(bench.task(drop(bench.source, "a.png"))))
    assert seen == [outcome.fingerprint]


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_strength_scales_the_change(worker: Pipeline, bench: Bench, strength: float) -> None:
    """At strength 0 the output has the input's pixels, at 1 the model's."""
    source = drop(bench.source, "a.png")
    options = replace(bench.options, strength=strength)
    staged(worker.run(bench.task(source, options=options)))
    same = np.array_equal(bench.decoded().pixels, decoded(source).pixels)
    assert same == (strength == 0)


def test_crispness_works_without_the_network(worker: Pipeline, bench: Bench) -> None:
    """At strength 0 the mask alone changes the image, by the noise of all that is visible."""
    pixels = photograph(80, 80)
    pixels[40:] = pixels[40:] // 16 + 100
    alpha: NDArray[np.uint8] = np.full((80, 80), 255, np.uint8)
    alpha[:8] = 0
    source = write(bench.source / "a.png", Picture.still(pixels, alpha=alpha))
    shown = fill(Frame(pixels, alpha))
    options = replace(bench.options, strength=0, crispness=1.0)
    outcome = staged(worker.run(bench.task(source, options=options)))
    crisp = bench.decoded().pixels
    cues = measure(shown.pixels, shown.visible)
    expected = worker.models.sharpener(bench.options.model).sharpen(
        shown.pixels, strength=0, crispness=1.0, cues=cues
    )
    assert outcome.sharpness == cues.sharpness
    assert np.array_equal(crisp[8:], expected[8:])
    assert np.array_equal(crisp[:8], pixels[:8])
    assert not np.array_equal(crisp[8:], pixels[8:])


def test_agreement_is_of_networks(worker: Pipeline, bench: Bench) -> None:
    """Crispness changes the output, and not at all the figures of student and teacher."""
    source = drop(bench.source, "a.png", height=96, width=120)
    told = []
    for crispness in (0.0, 1.0):
        options = replace(bench.options, crispness=crispness)
        outcome = staged(worker.run(bench.task(source, options=options, measure_agreement=True)))
        told.append((outcome.agreement, bench.made.read_bytes()))
        bench.made.unlink()
    assert told[0][0] == told[1][0] is not None
    assert told[0][1] != told[1][1]


@pytest.mark.parametrize("format", [Format.JPEG, Format.WEBP, Format.TIFF, Format.PNG])
def test_the_format_is_kept(worker: Pipeline, bench: Bench, format: Format) -> None:  # noqa: A002
    """The output has the input's format, whatever the file is called."""
    picture = Picture.still(photograph(40, 56), format=format)
    source = write(bench.source / "picture.jpg", picture)
    staged(worker.run(bench.task(source)))
    assert bench.decoded().format is format


@pytest.mark.parametrize("size", [(1, 1), (1, 37), (5, 3)])
def test_tiny_pictures_are_sharpened(worker: Pipeline, bench: Bench, size: tuple[int, int]) -> None:
    """One pixel is an image; where nothing can be compared, nothing is."""
    source = bench.source / "dot.png"
    save_png(photograph(*size), source)
    outcome = staged(worker.run(bench.task(source, measure_agreement=True)))
    assert (outcome.height, outcome.width) == size
    assert outcome.agreement is None


def test_gray_stays_gray(worker: Pipeline, bench: Bench) -> None:
    """An image of one channel comes out with one channel."""
    source = write(bench.source / "gray.png", Picture.still(photograph(40, 40)[..., :1]))
    staged(worker.run(bench.task(source)))
    assert bench.decoded().pixels.shape == (40, 40, 1)


def test_what_is_transparent_is_untouched(worker: Pipeline, bench: Bench) -> None:
    """Colours under alpha 0 are kept bit for bit, and alpha is copied; the rest is sharpened."""
    pixels = photograph(40, 40)
    alpha: NDArray[np.uint8] = np.full((40, 40), 255, np.uint8)
    alpha[:20] = 0
    source = write(bench.source / "alpha.png", Picture.still(pixels, alpha=alpha))
    staged(worker.run(bench.task(source)))
    result = bench.decoded()
    assert result.alpha is not None
    assert np.array_equal(result.alpha, alpha)
    assert np.array_equal(result.pixels[:20], pixels[:20])
    assert not np.array_equal(result.pixels[20:], pixels[20:])


@pytest.mark.parametrize("name", [b"-r\xff\n x.png", b"d/e f/\xe9.png"])
def test_any_name_works(worker: Pipeline, bench: Bench, name: bytes) -> None:
    """Names are bytes: not UTF-8, a newline, a leading dash, folders below."""
    target = Path(os.fsdecode(os.path.join(os.fsencode(bench.source), name)))
    target.parent.mkdir(parents=True, exist_ok=True)
    source = drop(bench.source, "plain.png").rename(target)
    (bench.output / "sub").mkdir()
    staged(worker.run(bench.task(source, output_parent=b"sub")))
    assert os.listdir(bench.output / "sub") == [os.fsdecode(TEMP)]


def test_agreement_is_measured_when_asked(worker: Pipeline, bench: Bench) -> None:
    """A sampled job brings the teacher's numbers and the seconds that they took."""
    source = drop(bench.source, "a.png", height=96, width=96)
    outcome = staged(worker.run(bench.task(source, measure_agreement=True)))
    assert outcome.agreement is not None
    assert 0 < outcome.agreement.student <= 1.0001
    assert 0 < outcome.agreement.noop <= 1.0001
    assert outcome.agreement.noop_residual > 0
    assert "agree" in outcome.stages_s


def test_a_missing_teacher_costs_no_picture(bench: Bench, networks: Networks) -> None:
    """The second opinion may fail; the image is finished and says so."""
    alone = bench.output.parent / "alone.safetensors"
    alone.write_bytes(networks.teacher.read_bytes())
    task = bench.task(
        drop(bench.source, "a.png"), measure_agreement=True, options=Options(str(alone))
    )
    outcome = staged(Pipeline(CPU, crop_px=64).run(task))
    assert outcome.agreement is None
    assert [note for note in outcome.notes if "names no teacher" in note]


def test_a_preview_is_made_when_asked(worker: Pipeline, bench: Bench) -> None:
    """It shows input and output, and the output is the same without it."""
    source = drop(bench.source, "a.png", height=96, width=120)
    folder = os.fsencode(bench.output.parent / "preview")
    staged(worker.run(bench.task(source)))
    alone = bench.made.read_bytes()
    bench.made.unlink()
    outcome = staged(worker.run(bench.task(source, preview=folder)))
    assert bench.made.read_bytes() == alone
    assert outcome.preview is not None
    assert (outcome.preview.crop, outcome.preview.sizes[0]) == (
        (0, 0, 120, 96),
        os.path.getsize(os.path.join(folder, IMAGES[0].encode())),
    )
    assert "preview" in outcome.stages_s


def test_a_preview_that_fails_costs_no_picture(worker: Pipeline, bench: Bench) -> None:
    """Where its folder cannot be made the image is finished, and says why."""
    folder = os.fsencode(bench.output.parent / "missing" / "preview")
    outcome = staged(worker.run(bench.task(drop(bench.source, "a.png"), preview=folder)))
    assert outcome.preview is None
    assert [note for note in outcome.notes if "no preview was made: [Errno 2]" in note]


# Sources that are not what was settled


def test_a_changed_source_goes_back(worker: Pipeline, bench: Bench) -> None:
    """A file that is not the one that settled is not even decoded."""
    source = drop(bench.source, "a.png")
    task = bench.task(source)
    with source.open("ab") as file:
        file.write(b"more")
    assert failed(worker.run(task), bench).failure is Failure.CHANGED


def test_a_vanished_source_is_gone(worker: Pipeline, bench: Bench) -> None:
    """A deleted input is no failure of anybody."""
    source = drop(bench.source, "a.png")
    task = bench.task(source)
    source.unlink()
    assert failed(worker.run(task), bench).failure is Failure.VANISHED


def test_a_vanished_root_pauses_the_folder(worker: Pipeline, bench: Bench) -> None:
    """Nothing is concluded about a file from the absence of its whole folder."""
    task = bench.task(drop(bench.source, "a.png"))
    bench.source.rename(bench.source.parent / "elsewhere")
    assert failed(worker.run(task), bench).failure is Failure.FOLDER


def test_a_link_in_place_of_the_source_is_refused(worker: Pipeline, bench: Bench) -> None:
    """A link is never followed, even to the very same image."""
    source = drop(bench.source, "a.png")
    task = bench.task(source)
    source.rename(bench.source.parent / "kept.png")
    source.symlink_to(bench.source.parent / "kept.png")
    outcome = failed(worker.run(task), bench)
    assert (outcome.failure, outcome.reason) == (Failure.REFUSED, Reason.NOT_A_REGULAR_FILE)


def test_a_fifo_never_blocks(worker: Pipeline, bench: Bench) -> None:
    """A named pipe under an input's name is refused at once."""
    task = bench.task(drop(bench.source, "a.png"), relative=b"pipe.png")
    os.mkfifo(bench.source / "pipe.png")
    assert failed(worker.run(task), bench).reason is Reason.NOT_A_REGULAR_FILE


def while_decoding(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let something happen to the source after it was read and before the result counts."""
    decode = codec.decode

    def decode_and_act(file: io.BufferedReader, **limits: Any) -> Picture:  # noqa: ANN401
        try:
            return decode(file, **limits)
        finally:
            act()

    monkeypatch.setattr(codec, "decode", decode_and_act)


def test_a_source_replaced_while_read_goes_back(
    worker: Pipeline, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old content is not made into an output once new content has its name."""
    source = drop(bench.source, "a.png")
    newer = drop(bench.source.parent / "staging", "b.png", seed=1)
    while_decoding(monkeypatch, lambda: newer.rename(source))
    assert failed(worker.run(bench.task(source)), bench).failure is Failure.CHANGED


def test_a_source_deleted_while_read_is_gone(
    worker: Pipeline, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody wants the output of an image that was just deleted."""
    source = drop(bench.source, "a.png")
    while_decoding(monkeypatch, source.unlink)
    assert failed(worker.run(bench.task(source)), bench).failure is Failure.VANISHED


def test_a_file_still_being_written_is_not_refused(
    worker: Pipeline, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the decoder says of a half file counts for nothing if the file grew meanwhile."""
    whole = drop(bench.source, "whole.png").read_bytes()
    source = bench.source / "a.png"
    source.write_bytes(whole[: len(whole) // 2])
    while_decoding(monkeypatch, lambda: source.write_bytes(whole))
    assert failed(worker.run(bench.task(source)), bench).failure is Failure.CHANGED


# Sources that cannot be sharpened


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda _: b"", Reason.EMPTY),
        (lambda data: data[: len(data) // 2], Reason.TRUNCATED),
        (lambda _: b"<html>not a picture</html>" * 9, Reason.NOT_AN_IMAGE),
        (lambda data: data[:60] + bytes(40) + data[100:], Reason.DAMAGED),
    ],
)
def test_bad_pictures_are_refused_with_a_reason(
    worker: Pipeline, bench: Bench, spoil: Callable[[bytes], bytes], reason: Reason
) -> None:
    """What trying again cannot help is refused at once, with a code and a sentence."""
    source = drop(bench.source, "a.png")
    source.write_bytes(spoil(source.read_bytes()))
    outcome = failed(worker.run(bench.task(source)), bench)
    assert (outcome.failure, outcome.reason) == (Failure.REFUSED, reason)
    assert outcome.message
    assert outcome.stage == "decode"


@pytest.mark.parametrize(
    ("limits", "reason", "setting"),
    [
        ({"max_pixels": 100}, Reason.TOO_MANY_PIXELS, "limits.max_megapixels"),
        ({"max_bytes": 100}, Reason.TOO_MANY_BYTES, "limits.max_megabytes"),
    ],
)
def test_limits_name_their_setting(
    worker: Pipeline, bench: Bench, limits: dict[str, int], reason: Reason, setting: str
) -> None:
    """An image over a limit is refused with the setting that would let it through."""
    options = replace(bench.options, **limits)  # type: ignore[arg-type]
    outcome = failed(worker.run(bench.task(drop(bench.source, "a.png"), options=options)), bench)
    assert (outcome.failure, outcome.reason) == (Failure.REFUSED, reason)
    assert outcome.setting == setting


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.EACCES, Reason.PERMISSION_DENIED), (errno.EIO, Reason.IO_ERROR)],
)
def test_an_unreadable_source_is_tried_again(
    worker: Pipeline,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    reason: Reason,
) -> None:
    """Permissions and disks get better: no quarantine at the first failure."""
    task = bench.task(drop(bench.source, "a.png"))

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(beneath, "open_file", refuse)
    outcome = failed(worker.run(task), bench)
    assert (outcome.failure, outcome.reason) == (Failure.TRANSIENT, reason)


# The output side


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_pauses_the_folder(
    worker: Pipeline, bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """What meets every image alike is the folder's fault, and the message names the setting."""
    fail_at_fsync(monkeypatch, number)
    outcome = failed(worker.run(bench.task(drop(bench.source, "a.png"))), bench)
    assert outcome.failure is Failure.FOLDER
    assert "folder.output" in outcome.message


def test_a_write_error_is_tried_again(
    worker: Pipeline, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO may pass, and leaves no half file."""
    fail_at_fsync(monkeypatch, errno.EIO)
    outcome = failed(worker.run(bench.task(drop(bench.source, "a.png"))), bench)
    assert (outcome.failure, outcome.reason) == (Failure.TRANSIENT, Reason.IO_ERROR)
    assert outcome.stage == "encode"


def test_a_missing_output_root_pauses_the_folder(worker: Pipeline, bench: Bench) -> None:
    """A root that has gone is waited for, not made."""
    task = bench.task(drop(bench.source, "a.png"))
    bench.output.rmdir()
    outcome = worker.run(task)
    assert isinstance(outcome, Failed)
    assert outcome.failure is Failure.FOLDER
    assert not bench.output.exists()


def test_a_missing_subfolder_concerns_one_picture(worker: Pipeline, bench: Bench) -> None:
    """A folder below the root that was removed meanwhile is made again at the next attempt."""
    task = bench.task(drop(bench.source, "a.png"), output_parent=b"gone")
    assert failed(worker.run(task), bench).failure is Failure.TRANSIENT


def test_a_closed_subfolder_concerns_one_picture(
    worker: Pipeline, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EACCES below a root that can be written must not hold up all other images."""
    task = bench.task(drop(bench.source, "a.png"))

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(staging, "_write_in", refuse)
    outcome = failed(worker.run(task), bench)
    assert (outcome.failure, outcome.reason) == (Failure.TRANSIENT, Reason.PERMISSION_DENIED)


@pytest.mark.parametrize("planted", ["file", "link"])
def test_a_planted_temp_name_is_never_written(worker: Pipeline, bench: Bench, planted: str) -> None:
    """The temporary file must be new: what is there is not followed, written or removed."""
    victim = bench.source.parent / "victim"
    victim.write_bytes(b"precious")
    task = bench.task(drop(bench.source, "a.png"))
    if planted == "link":
        bench.made.symlink_to(victim)
    else:
        bench.made.write_bytes(b"precious")
    outcome = worker.run(task)
    assert isinstance(outcome, Failed)
    assert outcome.failure is Failure.TRANSIENT
    assert victim.read_bytes() == bench.made.read_bytes() == b"precious"


def test_a_link_on_the_way_out_is_refused(worker: Pipeline, bench: Bench, tmp_path: Path) -> None:
    """The output's folder is not looked for through a link."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (bench.output / "sub").symlink_to(elsewhere)
    outcome = worker.run(bench.task(drop(bench.source, "a.png"), output_parent=b"sub"))
    assert isinstance(outcome, Failed)
    assert outcome.reason is Reason.NOT_A_REGULAR_FILE
    assert list(elsewhere.iterdir()) == []


def test_file_systems_without_modes_are_served(
    worker: Pipeline, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT answers EPERM to a mode: the image is written all the same."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    staged(worker.run(bench.task(drop(bench.source, "a.png"))))


def test_a_mode_that_is_asked_for_is_the_staged_files(worker: Pipeline, bench: Bench) -> None:
    """The folder's mode stands in place of the source's, before the file has its final name."""
    source = drop(bench.source, "a.png")
    source.chmod(0o600)
    staged(worker.run(bench.task(source, access=Access(group=os.getegid(), mode=0o664))))
    status = bench.made.stat()
    assert (status.st_mode & 0o7777, status.st_gid) == (0o664, os.getegid())
    assert status.st_mtime_ns == source.stat().st_mtime_ns


def test_a_mode_that_cannot_be_had_pauses_the_folder(
    worker: Pipeline, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a mode was asked for, a file system without modes is a fault, and nothing is left."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    task = bench.task(drop(bench.source, "a.png"), access=Access(mode=0o640))
    outcome = failed(worker.run(task), bench)
    assert outcome.failure is Failure.FOLDER
    assert "folder.mode 0640: Operation not permitted" in outcome.message


# The worker itself


def test_a_missing_network_pauses_the_folder(bench: Bench) -> None:
    """Weights that are gone meet every image of the folder."""
    task = bench.task(drop(bench.source, "a.png"), options=Options("/no/such.safetensors"))
    outcome = failed(Pipeline(CPU, crop_px=64).run(task), bench)
    assert outcome.failure is Failure.FOLDER
    assert "no such model" in outcome.message


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), Reason.OUT_OF_MEMORY),
        (TransientError(Reason.OUT_OF_MEMORY, "no memory for a tile"), Reason.OUT_OF_MEMORY),
        (ZeroDivisionError("bug"), Reason.INTERNAL),
    ],
)
def test_what_nobody_foresaw_is_tried_again(
    worker: Pipeline,
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    reason: Reason,
) -> None:
    """Memory that runs out, and a bug of ours, cost one attempt at one image."""
    task = bench.task(drop(bench.source, "a.png"))

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(worker.models.sharpener(bench.options.model), "sharpen", fail)
    outcome = failed(worker.run(task), bench)
    assert (outcome.failure, outcome.reason) == (Failure.TRANSIENT, reason)
    assert outcome.stage == "infer"


def test_a_bug_tells_where_it_is(
    worker: Pipeline, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message of an unforeseen error has its class and line, so that it can be reported."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("bug")

    monkeypatch.setattr(worker.models.sharpener(bench.options.model), "sharpen", fail)
    outcome = failed(worker.run(bench.task(drop(bench.source, "a.png"))), bench)
    assert "ZeroDivisionError: bug (test_pipeline.py:" in outcome.message


@needs_permissions
def test_real_permissions_of_an_input(worker: Pipeline, bench: Bench) -> None:
    """A file that this user may not read is tried again later."""
    source = drop(bench.source, "a.png")
    source.chmod(0)
    assert failed(worker.run(bench.task(source)), bench).reason is Reason.PERMISSION_DENIED


def fail_at_fsync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the disk report an error at the last moment, as NFS and thin volumes do."""

    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("policy", Losses)
def test_what_an_output_cannot_hold_is_told_or_refused(
    worker: Pipeline, bench: Bench, policy: Losses
) -> None:
    """Each loss is named, with the setting; a file that is passed on whole loses nothing."""
    path = bench.source / "layers.tif"
    path.write_bytes(bytes_of("tiff-layers.tif"))
    options = replace(bench.options, policies=Policies(losses=policy))
    answer = worker.run(bench.task(path, options=options))
    if policy is Losses.REFUSE:
        assert isinstance(answer, Failed)
        assert (answer.reason, answer.setting) == (Reason.WOULD_LOSE, "pictures.losses")
        assert "its layers were not kept" in answer.message
        assert not bench.made.exists()
    else:
        assert isinstance(answer, Staged)
        assert answer.losses == ("its layers were not kept",)
        bench.made.unlink()
    whole = worker.run(bench.task(path, options=replace(options, skip_sharp_above=-9.0)))
    assert isinstance(whole, Staged)
    assert (whole.pixels, whole.losses) == (0, ())
