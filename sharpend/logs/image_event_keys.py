"""The reference of the log for images: settled, finished, failed, and workers that they ended.

The values are filled in by `daemon.outcomes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.logs.events import DEBUG, ERROR, INFO, WARNING, Described, Event

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = {"folder": "text: name of the folder"}
_IMAGE = {**FOLDER, "path": "text: the input, below the input folder"}
_NODE = {
    "node": "text: node of a Ray cluster that worked on it; absent for local"
    " workers, unless one was lost"
}
_ATTEMPTS = {"attempts": "integer: attempts at this image so far", **_NODE}
_SECONDS = {"seconds": "number, seconds: from the assignment to a worker to the end"}
ERROR_KEYS = {
    "error_code": "text: class of the failure, a stable word",
    "message": "text: what went wrong, in words",
}
_IMAGE_MESSAGE = {**_IMAGE, "message": ERROR_KEYS["message"]}
_SHARPNESS = "number or null, natural logarithm: sharpness of the input"
_STAGES = {
    "decode_s": "number, seconds: reading and decoding",
    "measure_s": "number, seconds: measuring the sharpness",
    "infer_s": "number, seconds: the model",
    "agree_s": "number, seconds: comparison with the teacher, where the image was sampled",
    "canary_s": "number, seconds: comparison of the canary, where the image was sampled",
    "preview_s": "number, seconds: making a preview, where one was made",
    "encode_s": "number, seconds: encoding and writing",
}

OF_IMAGES: Mapping[Event, Described] = {
    Event.FILE_SETTLED: Described(DEBUG, "a file stopped changing and was queued", _IMAGE),
    Event.IMAGE_FINISHED: Described(
        INFO,
        "an output is in place",
        {
            **_IMAGE,
            "output": "text: the output, below the output folder",
            "outcome": "text: `sharpened`; `unchanged` where its pixels were copied as they are, or"
            " an existing output was kept",
            **_SECONDS,
            **_ATTEMPTS,
            "height": "integer, pixels: height of the image",
            "width": "integer, pixels: width of the image",
            "frames": "integer: frames or pages",
            **_STAGES,
            "sharpness": _SHARPNESS,
            "notes": "list of text: differences of the output from the input, in words",
            "losses": "list of text: content of the input that the output lacks, in words",
            "agreement": "table: where the image was sampled: `ssim` of student to teacher,"
            " `noop_ssim` of input to teacher, `residual_ratio` of this crop",
            "warning": "text: why the input or a sidecar was not archived, removed or copied",
            "rewritten": "boolean: true where `portable_names` changed the output's name",
            "sidecars": "list of text: sidecars moved into the archive, as paths below it",
            "sidecar_copies": "list of text: sidecars beside the output, below the output folder",
            "recovered": "boolean: true if an earlier, interrupted attempt was completed now",
        },
    ),
    Event.IMAGE_RETRIED: Described(
        WARNING,
        "an attempt failed; another one follows",
        {
            **_IMAGE,
            **ERROR_KEYS,
            "stage": "text: where it failed: `open`, `decode`, `measure`, `infer`, `agree`,"
            " `canary`, `preview`, `encode` or `commit`",
            **_ATTEMPTS,
            "wait_s": "number, seconds: until the next attempt",
        },
    ),
    Event.IMAGE_QUARANTINED: Described(
        WARNING,
        "an input was quarantined",
        {
            **_IMAGE,
            **ERROR_KEYS,
            "setting": "text or null: setting to change so that the input is accepted",
            **_SECONDS,
            **_ATTEMPTS,
        },
    ),
    Event.IMAGE_CHANGED: Described(
        INFO,
        "an input changed after it had settled; it is tried again when it has settled anew",
        _IMAGE_MESSAGE,
    ),
    Event.IMAGE_VANISHED: Described(
        INFO,
        "an input disappeared or was excluded before it was finished",
        {**_IMAGE_MESSAGE, **_NODE},
    ),
    Event.WORKER_DIED: Described(
        ERROR,
        "a worker process ended, or was ended, during an image",
        {**_IMAGE, "cause": "text: signal, exit status or limit, in words", **_ATTEMPTS},
    ),
}
