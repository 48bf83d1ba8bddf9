"""Messages between the daemon and its workers: JSON with bounds on every value.

Owns the list of all fields that cross the pipe. A worker decodes untrusted files and may have been
taken over, so the daemon reads its answers strictly: see `sharpend.workers.jsoncodec`. Whether an
answer fits the task that was handed out is judged by `sharpend.workers.pool`; `framing` sends it.

A field that is added to a class below needs its kind here; without one the import fails.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

from sharpend import policies
from sharpend.attempt import AgreementSample, CanarySample, Failed, Failure, Staged
from sharpend.errors import Reason
from sharpend.files.access import Access
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.preview_layout import IMAGES, MOST_BYTES, Layout
from sharpend.model.trial import RUNTIMES, Trial
from sharpend.task import Options, Task
from sharpend.workers.jsoncodec import (
    Kind,
    choice,
    digest,
    dumps,
    exactly,
    flag,
    items,
    loads,
    octets,
    one_of,
    optional,
    real,
    record,
    table,
    tagged,
    text,
    whole,
)
from sharpend.workers.loading import HealthyRatio, LoadedModel, WorkerOptions
from sharpend.workers.trials import TRIAL, TRIALS

ANSWER_BYTES = 1024 * 1024
"""Longest frame from a worker: more than the longest notes and losses take."""
REQUEST_BYTES = 16 * 1024 * 1024
"""Longest frame from the daemon; paths may be long where folders are deep."""
MESSAGE_CHARACTERS = 2000
"""Longest error message."""
NOTE_CHARACTERS = 500
NOTES = 64
"""Most notes of one image, and most losses."""
NAME_CHARACTERS = 200
"""Longest name of a model, a device, a digest or a setting."""
TEMP_NAME_BYTES = 255
"""Longest file name of Linux file systems."""
PIXELS = 1 << 40
STAGES = ("decode", "measure", "infer", "agree", "canary", "preview", "encode")
"""The timed stages of a task: keys of `Staged.stages_s`, values of `Failed.stage`."""
UNTIMED_STAGES = ("open",)
"""Stages that take no time worth a key; a task can fail in them, too."""
SECONDS = 1e7
"""Longest time of a stage: four months."""
NOT_NAMED = one_of(("",))
"""Name of the node in a result: a worker gives none, since the pool knows it."""
_WHOLE_64 = (1 << 63) - 1
_SETTING = whole(0, 10**320)
"""A number of the settings, which are trusted: whatever a person may have written."""
_SETTING_S = real(0.0, sys.float_info.max)


@dataclass(frozen=True, slots=True)
class Describe:
    """Request: load a model, try it, and answer with an Engine."""

    model: str
    teacher: bool
    """Load its teacher, too."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Request without an answer: take the form of a model that another worker's trial chose."""

    trial: Trial


@dataclass(frozen=True, slots=True)
class Began:
    """Answer: the worker has started its task; if the worker ends from now on, the task failed."""

    job_id: int


@dataclass(frozen=True, slots=True)
class Raised:
    """Answer: the request ended with an unexpected error."""

    error: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Answer to Describe: the device or the model is not available."""

    message: str


Request = Describe | Follow | Task
Answer = Began | Staged | Failed | Raised | LoadedModel | Unavailable

_JOB_ID = whole(0, _WHOLE_64)
_SIZE = whole(0, _WHOLE_64)
_NAME = text(NAME_CHARACTERS)
_PATH = octets(REQUEST_BYTES)
PATH_TEXT: Kind[str] = Kind(
    lambda value: _PATH.write(os.fsencode(value)), lambda value: os.fsdecode(_PATH.read(value))
)
_FINGERPRINT = record(
    Fingerprint,
    size=_SIZE,
    mtime_ns=whole(-_WHOLE_64, _WHOLE_64),
    inode=whole(0, (1 << 64) - 1),
)
_SSIM = real(-2.0, 2.0)
_SHARPNESS = real(-100.0, 100.0)
_RESIDUAL = real(0.0, float(PIXELS))
_AGREEMENT = record(
    AgreementSample,
    student=_SSIM,
    noop=_SSIM,
    student_residual=_RESIDUAL,
    noop_residual=_RESIDUAL,
    detail=_RESIDUAL,
    values=whole(1, PIXELS),
)
_MS = real(0.0, 1e9)
_CANARY = record(
    CanarySample,
    canary=_AGREEMENT,
    used=_AGREEMENT,
    difference=real(0.0, 1e6),
    canary_ms=_MS,
    used_ms=_MS,
)
_PREVIEW = record(
    Layout,
    crop=exactly(4, whole(0, PIXELS)),
    width=whole(1, PIXELS),
    height=whole(1, PIXELS),
    sizes=exactly(len(IMAGES), whole(1, MOST_BYTES)),
)

_STAGED = record(
    Staged,
    job_id=_JOB_ID,
    temp_name=octets(TEMP_NAME_BYTES),
    fingerprint=_FINGERPRINT,
    height=whole(0, PIXELS),
    width=whole(0, PIXELS),
    pixels=whole(0, PIXELS),
    frames=whole(0, PIXELS),
    stages_s=table(STAGES, real(0.0, SECONDS)),
    agreement=optional(_AGREEMENT),
    canary=optional(_CANARY),
    preview=optional(_PREVIEW),
    model_digest=_NAME,
    tile_px=whole(0, PIXELS),
    notes=items(text(NOTE_CHARACTERS), NOTES),
    losses=items(text(NOTE_CHARACTERS), NOTES),
    sharpness=optional(_SHARPNESS),
    input_digest=optional(digest()),
    node=NOT_NAMED,
)
_FAILED = record(
    Failed,
    job_id=_JOB_ID,
    failure=choice(Failure),
    reason=optional(choice(Reason)),
    message=text(MESSAGE_CHARACTERS),
    setting=optional(_NAME),
    stage=one_of(UNTIMED_STAGES + STAGES),
    input_digest=optional(digest()),
    node=NOT_NAMED,
)
_LOADED_MODEL = record(
    LoadedModel,
    model=_NAME,
    digest=_NAME,
    device=_NAME,
    tile_px=whole(0, PIXELS),
    softened_by=optional(whole(0, PIXELS)),
    alarm_below=optional(_SSIM),
    teacher=optional(text(MESSAGE_CHARACTERS)),
    resident_bytes=optional(_SIZE),
    confined_by=items(_NAME, NOTES),
    residual_above=optional(real(0.0, 1e6)),
    measurable_from=optional(real(0.0, 1e6)),
    precision=_NAME,
    trial=optional(TRIAL),
    teacher_digest=optional(_NAME),
    runtime=one_of(RUNTIMES),
    healthy=items(record(HealthyRatio, kind=_NAME, ratio=real(0.0, 1e6)), NOTES),
)
_OPTIONS = record(
    Options,
    model=PATH_TEXT,
    strength=real(0.0, 2.0),
    crispness=real(0.0, 1.0),
    skip_sharp_above=optional(_SHARPNESS),
    policies=record(
        policies.Policies,
        metadata=choice(policies.Metadata),
        thumbnail=choice(policies.Thumbnail),
        frames=choice(policies.Frames),
        cmyk=choice(policies.Cmyk),
        one_bit=choice(policies.OneBit),
        provenance=flag(),
        cmyk_profile=PATH_TEXT,
        losses=choice(policies.Losses),
        compression=choice(policies.Compression),
    ),
    overshoot=whole(0, 255),
    max_pixels=_SETTING,
    max_bytes=_SETTING,
    max_scans=_SETTING,
)
_TASK = record(
    Task,
    job_id=_JOB_ID,
    input_root=_PATH,
    output_root=_PATH,
    relative=_PATH,
    output_parent=_PATH,
    temp_name=octets(TEMP_NAME_BYTES),
    fingerprint=_FINGERPRINT,
    options=_OPTIONS,
    measure_agreement=flag(),
    canary=optional(PATH_TEXT),
    output_name=_PATH,
    preview=optional(_PATH),
    access=record(Access, group=optional(whole(0, (1 << 32) - 1)), mode=optional(whole(0, 0o7777))),
)
WORKER_OPTIONS = record(
    WorkerOptions,
    device=_NAME,
    precision=_NAME,
    tile_px=optional(_SETTING),
    threads=optional(_SETTING),
    crop_px=_SETTING,
    job_timeout_s=_SETTING_S,
    memory_bytes=optional(_SETTING),
    trials=TRIALS,
    runtime=_NAME,
)
"""Start options on a worker's command line."""

REQUESTS: dict[str, tuple[type, Kind[Any]]] = {
    "describe": (Describe, record(Describe, model=PATH_TEXT, teacher=flag())),
    "follow": (Follow, record(Follow, trial=TRIAL)),
    "task": (Task, _TASK),
}
ANSWERS: dict[str, tuple[type, Kind[Any]]] = {
    "began": (Began, record(Began, job_id=_JOB_ID)),
    "staged": (Staged, _STAGED),
    "failed": (Failed, _FAILED),
    "raised": (Raised, record(Raised, error=text(MESSAGE_CHARACTERS))),
    "loaded_model": (LoadedModel, _LOADED_MODEL),
    "unavailable": (Unavailable, record(Unavailable, message=text(MESSAGE_CHARACTERS))),
}
_MESSAGE = tagged({**REQUESTS, **ANSWERS})
_REQUEST: Kind[Request] = tagged(REQUESTS)
_ANSWER: Kind[Answer] = tagged(ANSWERS)


def encode(message: Request | Answer) -> bytes:
    """Encode a message as the body of a frame."""
    return dumps(_MESSAGE.write(message))


def request(body: bytes) -> Request:
    """Parse a request from the daemon.

    Raises:
        MessageError: it is not valid.
    """
    return _REQUEST.read(loads(body))


def answer(body: bytes) -> Answer:
    """Parse an answer from a worker.

    Raises:
        MessageError: it is not valid.
    """
    return _ANSWER.read(loads(body))
