"""The schema of the settings: each key with its type, its range, its default and its unit.

Owns the frozen models; what a single value must look like is in `values`. Refuses unknown keys.
Reading the sources and checking folders against each other is done in `load`.
"""

# No `from __future__ import annotations` here: pydantic reads the annotations at run time.
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sharpend.job import OVERSHOOT
from sharpend.model.softness import SHARP_ABOVE
from sharpend.policies import (
    Cmyk,
    CollisionPolicy,
    ExistingPolicy,
    Frames,
    Metadata,
    OneBit,
    SourcePolicy,
    Thumbnail,
)
from sharpend.settings.values import (
    Auto,
    Cue,
    Days,
    Device,
    Directory,
    FolderName,
    Group,
    Levels,
    Megabytes,
    Mode,
    Number,
    Positive,
    Share,
    Strength,
    Suffix,
    Template,
    Whole,
    name_of_input,
)


class _Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FolderSettings(_Section):
    """`[[folder]]`: one input folder and where its pictures go."""

    input: Directory
    """The folder whose pictures are sharpened."""
    output: Directory
    """The folder for the results; made when it is missing."""
    name: FolderName = Field(default_factory=name_of_input)
    """What ledger, logs and quarantine call the folder; default: the base name of `input`."""
    recursive: bool = True
    """Whether folders inside the input are sharpened too, into the same places of the output."""
    source: SourcePolicy = SourcePolicy.KEEP
    """What happens to an input once its output is durable."""
    archive: Directory | None = Field(default=None, validate_default=True)
    """Where inputs are moved with `source = "archive"`, which needs it; nothing else takes it."""
    existing: ExistingPolicy = ExistingPolicy.SUFFIX
    """What happens where a file that is not ours has the output's name."""
    collision: CollisionPolicy = CollisionPolicy.NUMBER
    """What happens where the output of another input has the output's name."""
    portable_names: bool = False
    """Whether names that differ only in case or in Unicode's normal form count as one."""
    output_name: Template = "{stem}{suffix}{ext}"
    """The output's file name; {ext} is the input's suffix with its dot, {suffix} the next key."""
    suffix: Suffix = ""
    """Goes between stem and ext, or wherever `output_name` has it."""
    group: Group | None = None
    """The group of outputs and of folders made for them; default: that of the daemon or, where it
    runs as root, of the source."""
    mode: Mode | None = None
    """Permissions of outputs in octal digits; folders made for them get x for each r. Default: the
    source's, and 0777 less the umask for folders."""
    model: str | None = None
    """A network for this folder; default: `[model] name`."""
    strength: Strength | None = None
    """For this folder, as `[model]` has it, which is the default. So are the next three."""
    crispness: Share | None = None
    """For this folder."""
    skip_sharp: bool | None = None
    """For this folder."""
    skip_sharp_above: Cue | None = None
    """For this folder."""
    metadata: Metadata | None = None
    """For this folder; default: `[pictures] metadata`. So are the next five."""
    thumbnail: Thumbnail | None = None
    """For this folder."""
    frames: Frames | None = None
    """For this folder."""
    cmyk: Cmyk | None = None
    """For this folder."""
    one_bit: OneBit | None = None
    """For this folder."""
    provenance: bool | None = None
    """For this folder."""
    overshoot: Levels | None = None
    """An overshoot for this folder, 0 to 255; default: `[model] overshoot`."""
    settle_s: Auto | Annotated[Number, Field(ge=0)] = "auto"
    """Seconds that a file must stay unchanged before it is taken; auto: 1, 2 or 5."""
    polling: Auto | bool = "auto"
    """Whether to look for changes instead of being told; auto: on network file systems."""
    poll_s: Positive = 5
    """Seconds between two looks when polling; more where a look takes over a hundredth of them."""
    reprocess: bool = False
    """Whether finished files are done again when the network or an option changes."""
    order: Literal["oldest", "newest"] = "oldest"
    """Which of the waiting pictures is next: the one that came in first, or last."""

    @field_validator("archive")
    @classmethod
    def _archive_goes_with_source(cls, archive: Path | None, info: ValidationInfo) -> Path | None:
        archives = info.data.get("source") is SourcePolicy.ARCHIVE
        if archives and archive is None:
            raise ValueError('is required by source = "archive"')
        if archive is not None and "source" in info.data and not archives:
            raise ValueError('needs source = "archive"; set that or remove this')
        return archive

    @field_validator("suffix")
    @classmethod
    def _suffix_has_its_place(cls, suffix: str, info: ValidationInfo) -> str:
        if suffix and "{suffix}" not in info.data.get("output_name", "{suffix}"):
            raise ValueError("needs {suffix} in output_name; put it there or remove this")
        return suffix


class ModelSettings(_Section):
    """`[model]`: the network and where it runs."""

    name: str = Field(default="auto", min_length=1)
    """A shipped network, or the path of a weights file; auto: the best that is shipped."""
    device: Device = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """The arithmetic of the network; auto: the fastest that the device does well."""
    tile_px: Auto | Annotated[Whole, Field(ge=128, multiple_of=4)] = "auto"
    """Side of a tile in pixels, at least 128 and divisible by 4; auto: by memory."""
    strength: Strength = 1.0
    """How much of what the network adds reaches the picture, 0 to 2; 1 is what it means."""
    crispness: Share = 0.0
    """How much of a mask is laid over the network's result, 0 to 1."""
    skip_sharp: bool = False
    """Whether files that are sharp already are passed on as they are, byte for byte."""
    skip_sharp_above: Cue = SHARP_ABOVE
    """The sharpness, as `sharpend inspect` tells it, above which a file is sharp, -10 to 10."""
    overshoot: Levels = OVERSHOOT
    """Levels of 8 bit by which a pixel may leave what the input holds within 4 to 7 pixels to each
    side, 0 to 255; at 16 bit each is 257. 255 bounds nothing."""


class PictureSettings(_Section):
    """`[pictures]`: what is done with what pictures hold besides sharpness."""

    metadata: Metadata = Metadata.KEEP
    """keep, strip (ICC profile, orientation and resolution stay) or strip-gps."""
    thumbnail: Thumbnail = Thumbnail.KEEP
    """The small picture inside EXIF: keep, refresh or drop."""
    frames: Frames = Frames.REFUSE
    """Animations and files of many pages: refuse, first or all."""
    cmyk: Cmyk = Cmyk.REFUSE
    """Printing colours: refuse, or convert to sRGB through the file's own ICC profile."""
    one_bit: OneBit = OneBit.REFUSE
    """Pure black and white: refuse, or pass the file on as it is."""
    provenance: bool = False
    """Whether outputs tell in their XMP which network made them, and of which file."""


class WorkerSettings(_Section):
    """`[workers]`: the processes that sharpen."""

    count: Auto | Annotated[Whole, Field(ge=1, le=64)] = "auto"
    """Number of processes, 1 to 64; auto: by cores and memory."""
    threads: Auto | Annotated[Whole, Field(ge=1, le=1024)] = "auto"
    """Torch threads of each process; auto: cores / processes."""
    job_timeout_s: Positive = 600
    """Seconds after which a worker that has not finished its picture is replaced."""
    memory_mb: Auto | Annotated[Number, Field(ge=256)] = "auto"
    """Most memory that one picture may take in a process, in millions of bytes, at least 256; auto:
    what limits.max_megapixels can need, within the machine's memory."""


class LimitSettings(_Section):
    """`[limits]`: what is refused before it is decoded."""

    max_megapixels: Positive = 200
    """Largest picture, in millions of pixels."""
    max_megabytes: Positive = 1000
    """Largest file, in millions of bytes."""


class IntakeSettings(_Section):
    """`[intake]`: how files are found."""

    rescan_s: Positive = 60
    """Seconds between two walks through every folder; these find what no event told of."""


class RetrySettings(_Section):
    """`[retry]`: what follows a failure that may pass."""

    attempts: Annotated[Whole, Field(ge=1)] = 8
    """Attempts at one file before it is quarantined."""
    first_s: Positive = 5
    """Seconds before the second attempt; each further wait is twice as long."""
    longest_s: Annotated[Number, Field(gt=0, le=600)] = 600
    """The longest wait between two attempts, in seconds, at most 600."""

    @field_validator("longest_s")
    @classmethod
    def _not_below_first(cls, longest_s: float, info: ValidationInfo) -> float:
        if longest_s < info.data.get("first_s", 0):
            raise ValueError("must be at least retry.first_s")
        return longest_s


class RetentionSettings(_Section):
    """`[retention]`: what is removed when it gets too old, or too much."""

    quarantine_days: Days = "never"
    """Days after which a quarantined input and its reason are removed."""
    quarantine_megabytes: Megabytes = "unlimited"
    """Most that lies in quarantine, in millions of bytes; the oldest inputs go first."""
    archive_days: Days = "never"
    """Days after which a picture is removed from a folder's archive."""
    archive_megabytes: Megabytes = "unlimited"
    """Most that lies in each folder's archive, in millions of bytes; the oldest go first."""
    ledger_days: Days = 90.0
    """Days after which a finished input is forgotten of which neither source nor output is left."""
    backups: Annotated[Whole, Field(ge=0, le=30)] = 2
    """How many daily backups of the ledger are kept, 0 to 30."""


class ReportSettings(_Section):
    """`[report]`: what the daemon says about itself."""

    every_s: Positive = 60
    """Seconds between two reports."""


class AgreementSettings(_Section):
    """`[agreement]`: the teacher's second opinion on a sample of the pictures."""

    sample: Share = 0.05
    """Share of the pictures that are sampled, 0 to 1; 0 switches it off."""
    budget: Share = 0.03
    """Largest share of the busy time that sampling may take, 0 to 1."""
    crop_px: Annotated[Whole, Field(ge=64, multiple_of=4)] = 256
    """Side of the compared crop in pixels, at least 64 and divisible by 4."""
    window: Annotated[Whole, Field(ge=1)] = 50
    """Number of samples in the rolling window."""
    alarm_residual: Auto | Positive = "auto"
    """Residual ratio above which health is degraded; auto: from the network's metadata, or 1."""
    alarm_below: Auto | Share = "auto"
    """Rolling mean SSIM of all samples below which health is degraded too; auto: the line in the
    network's metadata, for measurable samples, if neither it nor `alarm_residual` has one."""


class LogSettings(_Section):
    """`[log]`: what goes to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level that is logged."""
    format: Literal["auto", "json", "console", "journald"] = "auto"
    """auto: console on a terminal, journald where stderr is systemd's journal, json elsewhere."""
    repeats: Annotated[Whole, Field(ge=0)] = 20
    """Lines in a minute for failures alike, the others are counted; 0: a line for each."""


class Settings(_Section):
    """Everything that can be set; made by `load`, which alone looks at the sources."""

    state: Directory
    """The directory of ledger, quarantine and status; default: see `default_state`."""
    folder: tuple[FolderSettings, ...] = ()
    """The folders; given on the command line they stand in place of the file's."""
    model: ModelSettings = ModelSettings()
    pictures: PictureSettings = PictureSettings()
    workers: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    intake: IntakeSettings = IntakeSettings()
    retry: RetrySettings = RetrySettings()
    retention: RetentionSettings = RetentionSettings()
    report: ReportSettings = ReportSettings()
    agreement: AgreementSettings = AgreementSettings()
    log: LogSettings = LogSettings()


class SettingsSources(Settings, BaseSettings):
    """The same keys as the readers of pydantic-settings want them; never made itself.

    Making it would read the environment by the way, and let a key of the file that begins with
    an underscore steer the library.
    """

    model_config = SettingsConfigDict(env_prefix="SHARPEND_", env_nested_delimiter="__")
