"""The reference of the log for models: device, precision and agreement with the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.logs.events import INFO, WARNING, Described, Event

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL = {"model": "text: name on the model's card; in a report, of the main model"}
DEVICE = {
    "device": "text: device and precision of the main model, and `openvino` where that runs it",
    "runtime": "text: `torch` or `openvino`, of the main model",
    "precision": "text: `float32`, `bfloat16`, `float16` or `int8`, of the main model",
    "precision_cause": "text: the measurement that chose it, in words, or `as set`",
    "float32_ms": "number or null, milliseconds: one tile of 512 x 512 in float32, one thread on a"
    " CPU",
    "bfloat16_ms": "number or null, milliseconds: the same tile in bfloat16",
    "bfloat16_ssim": "number or null, SSIM: finished pixels in bfloat16 to those in float32",
    "int8_ms": "number or null, milliseconds: the same tile in int8, by OpenVINO",
    "int8_ssim": "number or null, SSIM: finished pixels in int8 to those in float32",
    "precision_remembered": "boolean: true where an earlier start measured it",
}
_AGREEMENT = {
    "n": "integer: samples since the start",
    "mean": "number or null, SSIM: student to teacher, over all samples",
    "min": "number or null, SSIM: student to teacher, the lowest sample",
    "rolling": "number or null, SSIM: student to teacher, over the window",
    "noop_mean": "number or null, SSIM: input to teacher, over all samples",
    "alarm_below": "number or null, SSIM: threshold of the alarm",
    "residual_ratio": "number or null, ratio: over the measurable samples of the window;"
    " null where they are fewer than five",
    "residual_above": "number, ratio: threshold of the alarm",
    "measurable": "integer: measurable samples in the window",
    "verdict": "text: `good`, `low` or `not measurable`",
}
_CANARY = {
    "model": "text: name on the canary's card",
    "teacher": "text: the canary's teacher, which the numbers of the canary are measured with",
    **_AGREEMENT,
    "used_teacher": "text: teacher of the model in use, for the numbers of that",
    "used_mean": "number or null, SSIM: model in use to its teacher, over the same samples",
    "used_residual_ratio": "number or null, ratio: `residual_ratio` of the model in use, over the"
    " same samples",
    "quotient": "number or null, ratio: `residual_ratio` by `used_residual_ratio` over the crops of"
    " the window that are measurable for both models; null where they are fewer than five",
    "quotient_above": "number or null, ratio: the alarm's line",
    "difference": "number or null, levels of 8 bit: root mean square of canary - model in use,"
    " mean over the window",
    "crop_ms": "number or null, milliseconds: a crop by the canary, median over the window",
    "used_crop_ms": "number or null, milliseconds: the same crops by the model in use",
}

OF_MODELS: Mapping[Event, Described] = {
    Event.AGREEMENT_LOW: Described(
        WARNING, "a rule of the alarm holds (see Agreement)", {**MODEL, **_AGREEMENT}
    ),
    Event.AGREEMENT_RECOVERED: Described(
        INFO, "no rule of the alarm holds any more", {**MODEL, **_AGREEMENT}
    ),
    Event.CANARY_LOW: Described(
        WARNING, "a rule of the alarm holds for the canary (see Canary)", _CANARY
    ),
    Event.CANARY_RECOVERED: Described(
        INFO, "no rule of the alarm holds for the canary any more", _CANARY
    ),
    Event.PRECISION_REFUSED: Described(
        WARNING,
        "`model.runtime` and `model.precision` allow a form of the model whose pixels are too"
        " unlike those of float32; another one runs",
        {
            **MODEL,
            "refused": "text: runtime and precision that is not used",
            "ssim": "number, SSIM: finished pixels of the refused form to those in float32",
            "message": "text: what to do, in words",
        },
    ),
    Event.PRECISION_UNSAVED: Described(
        WARNING,
        "the measurement of a precision could not be written; the next start measures again",
        {"reason": "text: the cause, in words"},
    ),
}
