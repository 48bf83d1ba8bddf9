"""Messages between daemon and workers: what is valid survives, what is not is refused."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpend.attempt import AgreementSample, CanarySample, Failed, Failure, Staged
from sharpend.errors import Reason
from sharpend.files.access import Access
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.preview_layout import Layout
from sharpend.model.trial import Form, Trial
from sharpend.policies import Losses, Metadata, Policies
from sharpend.task import Options, Task
from sharpend.workers import framing, messages
from sharpend.workers.jsoncodec import MessageError, record, whole
from sharpend.workers.loading import HealthyRatio, LoadedModel, WorkerOptions
from sharpend.workers.messages import ANSWER_BYTES, Began, Describe, Follow, Raised, Unavailable

AGREEMENT = AgreementSample(0.99, 0.95, 0.5, 2.5, 1.5, 300)
STAGED = Staged(
    job_id=7,
    temp_name=bytes(range(1, 256)),
    fingerprint=Fingerprint(1, -2, 2**64 - 1),
    height=480,
    width=640,
    pixels=480 * 640,
    frames=2,
    stages_s={"decode": 0.25, "encode": 1.0},
    agreement=AGREEMENT,
    canary=CanarySample(AGREEMENT, AGREEMENT, 1.5, 20.0, 10.0),
    preview=Layout((1, 2, 512, 256), 640, 480, (1, 2, 3, 4)),
    model_digest="ab" * 32,
    tile_px=512,
    notes=("a palette was written as RGB", "über"),
    losses=("its depth map was not kept",),
    sharpness=-1.25,
)
FAILED = Failed(7, Failure.TRANSIENT, Reason.OUT_OF_MEMORY, "no", "workers.memory_mb", "infer")
TRIAL = Trial(
    "cd" * 32, 2.5, (Form("torch", "bfloat16", 1.0, 0.9999), Form("openvino", "int8", 0.5, 0.999))
)
LOADED = LoadedModel(
    "lite", "ab", "cpu bfloat16", 512, 4, 0.5, "teacher", 10**9, ("system_calls",),
    precision="bfloat16", trial=TRIAL, healthy=(HealthyRatio("g1", 0.25),),
)  # fmt: skip
TASK = Task(
    job_id=7,
    input_root=b"/in/\xff",
    output_root=b"/out",
    relative=b"a/\xe4.png",
    output_parent=b"a",
    temp_name=b".t",
    fingerprint=Fingerprint(1, 2, 3),
    options=Options(
        os.fsdecode(b"/models/\xff"),
        strength=1.5,
        crispness=0.5,
        skip_sharp_above=-0.8,
        policies=Policies(Metadata.STRIP, provenance=True, losses=Losses.REFUSE),
    ),
    measure_agreement=True,
    canary=os.fsdecode(b"/models/\xfe"),
    preview=b"/state/previews/.tmp-\xff",
    access=Access(1000, 0o640),
)


@pytest.mark.parametrize(
    "answer",
    [
        Began(7),
        STAGED,
        replace(
            STAGED, agreement=None, canary=None, preview=None, notes=(), stages_s={}, sharpness=None
        ),
        FAILED,
        replace(FAILED, reason=None, setting=None),
        Raised("ZeroDivisionError('bug')"),
        LOADED,
        replace(LOADED, trial=replace(TRIAL, float32_ms=None, others=(Form("torch", "bfloat16"),))),
        replace(
            LOADED, trial=None, alarm_below=None, teacher=None, resident_bytes=None, confined_by=()
        ),
        Unavailable("model.device: cuda:9"),
    ],
)
def test_answers_survive(answer: messages.Answer) -> None:
    """What a worker says is read as it was written."""
    assert messages.answer(messages.encode(answer)) == answer


@pytest.mark.parametrize("request_", [TASK, Describe("lite", teacher=True), Follow(TRIAL)])
def test_requests_survive(request_: messages.Request) -> None:
    """So is what the daemon asks, with names that are no UTF-8."""
    assert messages.request(messages.encode(request_)) == request_


def test_options_survive() -> None:
    """What a worker is started with, too."""
    options = WorkerOptions("cpu", "auto", None, 1, 64, 2.5, 10**9, (TRIAL,))
    kind = messages.WORKER_OPTIONS
    assert kind.read(json.loads(json.dumps(kind.write(options)))) == options


def test_what_is_too_long_is_cut_by_an_honest_worker() -> None:
    """A library's endless error text costs its image nothing; a stray byte of a name is escaped."""
    wordy = replace(STAGED, notes=("x" * 10**6, "\udcff", *["y"] * 1000))
    told = messages.answer(messages.encode(wordy))
    assert isinstance(told, Staged)
    assert len(told.notes) == messages.NOTES
    assert told.notes[:2] == ("x" * messages.NOTE_CHARACTERS, "\\udcff")
    many = ("\U0001f600" * 10**6,) * 1000
    longest = replace(STAGED, notes=many, losses=many)
    assert len(messages.encode(longest)) < ANSWER_BYTES


LAYOUT = {"crop": [0, 0, 1, 1], "width": 1, "height": 1, "sizes": [1, 1, 1, 1]}


def changed(answer: messages.Answer, /, **values: object) -> bytes:
    """A message with other values."""
    ((name, told),) = json.loads(messages.encode(answer)).items()
    return json.dumps({name: told | values}).encode()


@pytest.mark.parametrize(
    "body",
    [
        changed(FAILED, failure="broken"),
        changed(FAILED, reason="because"),
        changed(FAILED, reason=1),
        changed(FAILED, stage=None),
        changed(FAILED, stage="commit"),
        changed(FAILED, node="another"),
        changed(STAGED, node="another"),
        changed(STAGED, stages_s={"open": 1.0}),
        changed(FAILED, message="x" * 2001),
        changed(STAGED, temp_name="\u0100"),
        changed(STAGED, temp_name="x" * 256),
        changed(STAGED, fingerprint=[1, 2, 3]),
        changed(STAGED, notes="abc"),
        changed(STAGED, stages_s=[]),
        changed(STAGED, agreement={"student": 1.0}),
        changed(STAGED, pixels=2**64),
        changed(STAGED, canary={"difference": 1.0}),
        changed(STAGED, preview={"crop": [0, 0, 1, 1]}),
        changed(STAGED, preview=LAYOUT | {"crop": [0, 0, 1]}),
        changed(STAGED, preview=LAYOUT | {"sizes": [1, 1, 1, 2**40]}),
        changed(STAGED, preview=LAYOUT | {"width": -1}),
        changed(STAGED, pixels=1.0),
        b'{"began":{"job_id":1},"raised":{"error":""}}',
        b'{"task":{}}',
        b"[]",
        b"{}",
        b"null",
        b'"began"',
        b'{"began":{"job_id":1' + b"0" * 5000 + b"}}",
        b'{"began":{"job_id":-0.0}}',
        b'{"began":{}}',
        "{}".encode("utf-16"),
    ],
)
def test_what_is_not_valid_is_refused(body: bytes) -> None:
    """One error for all of it."""
    with pytest.raises(MessageError):
        messages.answer(body)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_another_error(body: bytes) -> None:
    """Whatever comes, it is a message or it is refused."""
    try:
        messages.answer(body)
    except MessageError:
        return


@settings(deadline=None)
@given(st.sampled_from(["job_id", "height", "stages_s", "agreement", "notes", "fingerprint"]), JSON)
def test_no_value_raises_another_error(name: str, value: object) -> None:
    """Nor does any value of a field."""
    try:
        messages.answer(changed(STAGED, **{name: value}))
    except MessageError:
        return


def test_frames() -> None:
    """Frames follow each other; an end within one, and one too long, are reported."""
    pipe = io.BytesIO()
    framing.send(pipe, b"one")
    framing.send(pipe, b"two")
    pipe.seek(0)
    assert [framing.receive(pipe, 3) for _ in range(3)] == [b"one", b"two", None]
    for cut in (b"\0", b"\0\0\0\x02a", b"\0\0\0\x00", b"\0\0\0\x04abcd"):
        with pytest.raises(MessageError):
            framing.receive(io.BytesIO(cut), 3)


def test_a_field_without_its_kind_is_noticed_at_once() -> None:
    """Who adds a field to a message learns of it when the module is imported."""
    with pytest.raises(TypeError, match="Describe: its fields and their kinds differ: teacher"):
        record(Describe, model=whole(0, 1))
    with pytest.raises(TypeError, match="is not a message"):
        messages.encode(7)  # type: ignore[arg-type]
