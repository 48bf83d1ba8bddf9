"""`sharpend inspect`: show format and metadata of images, and refusals."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sharpend.commands.overrides import settings_of
from sharpend.daemon import settings_values
from sharpend.errors import ExitCode, ImageRefusedError, Reason, TransientError
from sharpend.logs.plain import plain, printable
from sharpend.model.softness import word_for

if TYPE_CHECKING:
    import argparse
    from pathlib import Path
    from typing import BinaryIO

    from sharpend.imaging.picture import Picture
    from sharpend.task import Options


def main(options: argparse.Namespace) -> int:
    """Print the facts about each file; reads only, and changes nothing.

    Returns:
        0 where all would be sharpened, 65 where one would be refused, 66 where one is missing or
        cannot be read.

    Raises:
        ConfigError: a setting is wrong.
    """
    settings = settings_of(options)
    how = settings_values.default_options(settings)
    worst = ExitCode.OK
    for path in options.files:
        facts, status = _inspected(path, how)
        report = {"file": str(path), **facts}
        print(json.dumps(plain(report)) if options.json else _text(report), flush=True)
        worst = max(worst, status)
    return worst


def _inspected(path: Path, how: Options) -> tuple[dict[str, Any], ExitCode]:
    """Collect the facts about a file, and the exit status that follows."""
    try:
        if path.exists() and not path.is_file():
            reason = Reason.NOT_A_REGULAR_FILE
            return _refused(ImageRefusedError(reason, "not a regular file"))
        with path.open("rb") as file:
            return _read(file, how)
    except (OSError, TransientError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return {"taken": False, "error": why}, ExitCode.INPUT_MISSING


def _read(file: BinaryIO, how: Options) -> tuple[dict[str, Any], ExitCode]:
    from sharpend.imaging import codec  # noqa: PLC0415 - Pillow only where it is used

    found = _header(file)
    try:
        picture = codec.decode(file, **how.limits, policies=how.policies)
        found |= _of_picture(picture)
        found |= _sharpness_facts(file, picture, how)
    except ImageRefusedError as error:
        refused, status = _refused(error)
        return {**found, **refused}, status
    return {**found, "taken": True}, ExitCode.OK


def _sharpness_facts(file: BinaryIO, picture: Picture, how: Options) -> dict[str, Any]:
    """Measure the sharpness of the first frame, and whether the file would be skipped.

    Raises:
        ImageRefusedError: `would_lose`.
    """
    from sharpend.imaging import losses  # noqa: PLC0415 - torch only where it is used
    from sharpend.imaging.transparency import fill  # noqa: PLC0415 - as above
    from sharpend.model.measuring import measure  # noqa: PLC0415 - as above
    from sharpend.workers import skipping  # noqa: PLC0415 - as above

    if not picture.frames:
        return {"sharpness": None, "passed_on": True}
    shown = map(fill, picture.frames)
    cues = [measure(one.pixels, one.visible) for one in shown]
    judged = cues[0].judged
    facts: dict[str, Any] = {"sharpness": None if judged is None else round(judged, 3)}
    facts["passed_on"] = False
    if skipping.may_skip(cues, how):
        picture = skipping.skipped(file, picture, cues, how)
        facts |= {"passed_on": not picture.frames, "notes": picture.notes}
    return facts | {"losses": losses.check(picture, how.policies).losses}


def _refused(error: ImageRefusedError) -> tuple[dict[str, Any], ExitCode]:
    facts = {"reason": error.reason, "message": str(error), "setting": error.setting}
    return {"taken": False, **facts}, error.exit_code


def _header(file: BinaryIO) -> dict[str, Any]:
    """Facts from the header, which are known for a refused image as well."""
    from sharpend.imaging.codec import probe  # noqa: PLC0415 - as above

    try:
        header = probe(file)
    except ImageRefusedError:
        return {}
    return {
        "format": header.format,
        "width": header.width,
        "height": header.height,
        "bits": header.bits,
    }


def _of_picture(picture: Picture) -> dict[str, Any]:
    from sharpend.imaging.contents import contents_of  # noqa: PLC0415 - as above

    facts = {"frames": len(picture.frames), "notes": picture.notes, "losses": picture.losses}
    if not picture.frames:
        return facts
    return {
        "channels": picture.pixels.shape[2],
        "alpha": picture.alpha is not None,
        "carries": asdict(contents_of(picture)),
        **facts,
    }


def _text(report: dict[str, Any]) -> str:
    """Format the facts for people: a line with the verdict, and indented ones with facts."""
    name, first, *rest = report["file"], _verdict(report)
    if report.get("setting"):
        rest.append(f"setting: {report['setting']}")
    if "format" in report:
        rest.append(_shape(report))
    if report.get("sharpness") is not None:
        rest.append(f"sharpness: {report['sharpness']:.2f}, {word_for(report['sharpness'])}")
    if "carries" in report:
        rest += _carried(report["carries"])
    rest += [f"note: {note}" for note in report.get("notes", ())]
    rest += [f"loss: {loss}" for loss in report.get("losses", ())]
    return "\n  ".join(printable(line) for line in [f"{name}: {first}", *rest])


def _verdict(report: dict[str, Any]) -> str:
    if "error" in report:
        return f"cannot be read: {report['error']}"
    if report["taken"]:
        return "would be copied" if report["passed_on"] else "would be sharpened"
    return f"would be refused: {report['reason']}: {report['message']}"


def _shape(report: dict[str, Any]) -> str:
    bits = f"{report['bits']} bit" + "s" * (report["bits"] > 1)
    words = [f"{report['format']}, {report['width']} x {report['height']}, {bits}"]
    if report.get("frames", 1) > 1:
        words.append(f"{report['frames']} frames")
    if "channels" in report:
        words.append("gray" if report["channels"] == 1 else "RGB")
        words.append("with alpha" if report["alpha"] else "no alpha")
    return ", ".join(words)


def _carried(carries: dict[str, Any]) -> list[str]:
    """Format one line for each kind of metadata."""
    lines = []
    if carries["icc_bytes"]:
        lines.append(f"colour profile: {carries['icc']}, {carries['icc_bytes']} bytes")
    if carries["exif_bytes"]:
        lines.append(f"EXIF: {carries['exif_bytes']} bytes")
    if carries["thumbnail_bytes"]:
        lines.append(f"thumbnail: {carries['thumbnail_bytes']} bytes")
    if carries["xmp_bytes"]:
        lines.append(f"XMP: {carries['xmp_bytes']} bytes")
    if carries["iptc"]:
        lines.append("IPTC: yes")
    lines += [
        f"position (GPS): {'yes' if carries['gps'] else 'no'}",
        f"orientation: {carries['orientation']}",
    ]
    if carries["dpi"]:
        lines.append("resolution: {:.4g} x {:.4g} dpi".format(*carries["dpi"]))
    if carries["comment"]:
        lines.append(f"comment: {carries['comment']}")
    return lines + _provenance(carries["provenance"])


def _provenance(record: dict[str, str] | None) -> list[str]:
    if not record:
        return []
    return [
        f"made by sharpend {record['version']} with {record['model']}",
        f"  model {record['model_digest']}",
        f"  options {record['options_digest']}",
        f"  input {record['input_digest']}",
    ]
