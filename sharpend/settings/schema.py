"""Settings schema: each key with its type, range, default and unit.

Owns the frozen models of all tables but `[[folder]]` and `[[hook]]`, which are in modules of these
names; types of single values are in `values`. The values behind a default of "auto" are in the
module that the field's docstring names: the default settle time is in `intake.settle_time`. Refuses
unknown keys. `load` reads the sources and checks folders against each other.
"""

# No `from __future__ import annotations` here: pydantic reads the annotations at run time.
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sharpend.model.automatic import Choice, automatic_model
from sharpend.model.softness import SHARP_ABOVE
from sharpend.policies import Cmyk, Compression, Frames, Losses, Metadata, OneBit, Thumbnail
from sharpend.settings.folder import FolderSettings
from sharpend.settings.hook import HookSettings
from sharpend.settings.section import Section
from sharpend.settings.values import (
    Auto,
    Cue,
    Days,
    Device,
    Directory,
    Flag,
    Fraction,
    Levels,
    Megabytes,
    Number,
    Positive,
    Profile,
    Strength,
    Whole,
)
from sharpend.task import OVERSHOOT


class ModelSettings(Section):
    """`[model]`: the model and where it runs."""

    name: str = Field(default="auto", min_length=1)
    """A shipped model, or a weights file; auto: lite-photo or base-photo, by `model.automatic`."""
    device: Device = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    runtime: Literal["auto", "torch", "openvino"] = "auto"
    """Library that runs the model; auto: openvino where it is installed, faster and alike."""
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto"
    """Numeric type of the model; auto: the one that is measured as fastest and alike."""
    tile_px: Auto | Annotated[Whole, Field(ge=128, multiple_of=4)] = "auto"
    """Side of a tile in pixels, at least 128 and divisible by 4; auto: by memory."""
    strength: Strength = 1.0
    """Factor on the detail that the model adds, 0 to 2; 1 is as trained."""
    crispness: Fraction = 0.0
    """Amount of unsharp mask on top of the model's result, 0 to 1."""
    skip_sharp: Flag = False
    """Copy files that are sharp already unchanged, byte for byte."""
    skip_sharp_above: Cue = SHARP_ABOVE
    """The sharpness, as `sharpend inspect` prints it, above which a file is sharp, -10 to 10."""
    overshoot: Levels = OVERSHOOT
    """Levels of 8 bit by which a pixel may exceed the range of the input within 4 to 7 pixels to
    each side, 0 to 255; at 16 bit each is 257. 255 sets no bound."""


class PictureSettings(Section):
    """`[pictures]`: metadata, frames and colours of images."""

    metadata: Metadata = Metadata.KEEP
    """keep, strip (ICC profile, orientation and resolution stay) or strip-gps."""
    thumbnail: Thumbnail = Thumbnail.KEEP
    """The thumbnail inside EXIF: keep, refresh or drop."""
    frames: Frames = Frames.REFUSE
    """Animations and files of many pages: refuse, first or all."""
    cmyk: Cmyk = Cmyk.REFUSE
    """CMYK: refuse, or convert to sRGB by the file's own ICC profile."""
    cmyk_profile: Literal["none"] | Profile = "none"
    """ICC profile file for CMYK images that have none; none: those are refused."""
    one_bit: OneBit = OneBit.REFUSE
    """Images of 1 bit: refuse, or copy the file unchanged."""
    provenance: Flag = False
    """Record in the XMP of outputs which model made them, and from which file."""
    losses: Losses = Losses.KEEP
    """Images with content that outputs lack (a video, layers): keep their sources, accept, refuse.
    """
    compression: Compression = Compression.FAST
    """PNG, TIFF with deflate, WebP, lossless JPEG XL: fast, or small files that take longer."""


class WorkerSettings(Section):
    """`[workers]`: the worker processes."""

    count: Auto | Annotated[Whole, Field(ge=1, le=64)] = "auto"
    """Number of processes, 1 to 64; auto: on a CPU one for each core with 2 GiB of memory, on a GPU
    one for two cores, up to 4."""
    threads: Auto | Annotated[Whole, Field(ge=1, le=1024)] = "auto"
    """Torch threads of each process; auto: cores / processes."""
    job_timeout_s: Positive = 600
    """Seconds after which a worker that has not finished its image is replaced."""
    memory_mb: Auto | Annotated[Number, Field(ge=256)] = "auto"
    """Most memory that one image may take in a process, in millions of bytes, at least 256; auto:
    what limits.max_megapixels can need, within the machine's memory."""


class EngineSettings(Section):
    """`[engine]`: where the workers run."""

    kind: Literal["local", "ray"] = "local"
    """local: worker processes of this machine; ray: on the nodes of a Ray cluster."""
    address: Annotated[str, Field(pattern=r"^(auto|.+:\d{1,5})$")] = "auto"
    """HOST:PORT of the cluster's head, which is never started; auto: the cluster of this machine.
    """
    workers: Auto | Annotated[Whole, Field(ge=1, le=100_000)] = "auto"
    """Number of workers on all nodes; auto: as many as fit on the present nodes."""
    cpus: Annotated[Number, Field(gt=0, le=1024)] = 1
    """Processors of a node that each worker takes, as Ray counts them; also its threads."""
    gpus: Auto | Annotated[Number, Field(ge=0, le=64)] = "auto"
    """GPUs of a node that each worker takes, also a fraction; auto: 0.25 where model.device is
    cuda, else 0."""


class LimitSettings(Section):
    """`[limits]`: sizes above which a file is refused before it is decoded."""

    max_megapixels: Positive = 200
    """Largest image, in millions of pixels."""
    max_megabytes: Positive = 1000
    """Largest file, in millions of bytes."""
    max_scans: Annotated[Whole, Field(ge=1, le=1_000_000)] = 500
    """Most scans of a progressive JPEG, each of which costs the time of a whole image."""


class IntakeSettings(Section):
    """`[intake]`: the search for files."""

    rescan_s: Positive = 60
    """Seconds between two scans of every folder; these find files without an inotify event."""
    quiet_s: Positive = 300
    """Seconds that a refused input which may be incomplete must stay unchanged, and open in no
    process, before it is moved to the quarantine; four times as long where the system does not
    report who has it open."""


class RetrySettings(Section):
    """`[retry]`: attempts after transient failures."""

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


class RetentionSettings(Section):
    """`[retention]`: limits by age and size on what is kept."""

    quarantine_days: Days = "never"
    """Days after which a quarantined input and its reason file are deleted."""
    quarantine_megabytes: Megabytes = "unlimited"
    """Largest size of the quarantine, in millions of bytes; the oldest inputs are deleted first."""
    archive_days: Days = "never"
    """Days after which an image is deleted from a folder's archive."""
    archive_megabytes: Megabytes = "unlimited"
    """Largest size of each folder's archive, in millions of bytes; the oldest are deleted first."""
    ledger_days: Days = 90.0
    """Days after which the ledger drops an input of which neither source nor output exists."""
    backups: Annotated[Whole, Field(ge=0, le=30)] = 2
    """Number of daily backups of the ledger, 0 to 30."""


class ReportSettings(Section):
    """`[report]`: the periodic report."""

    every_s: Positive = 60
    """Seconds between two reports."""


class CanarySettings(Section):
    """`[canary]`: a second model that is tried on crops and never written out."""

    model: str = Field(default="none", min_length=1)
    """A shipped model, or a weights file; none: no model is tried."""
    share: Fraction = 0.02
    """Share of the main model's images on which it is tried, 0 to 1."""


class PreviewSettings(Section):
    """`[previews]`: small images before and after, for people, in the state directory."""

    count: Annotated[Whole, Field(ge=0, le=10_000)] = 200
    """Number of images of which a preview is kept, 0 to 10000; 0 switches them off."""
    max_mb: Annotated[Number, Field(ge=0)] = 64
    """Largest size of all previews, in millions of bytes; the oldest are removed first."""
    share: Fraction = 0.005
    """Largest share of the workers' time that making them may take, 0 to 1; at 1 each image gets
    one."""


class AgreementSettings(Section):
    """`[agreement]`: comparison with the teacher on a sample of the images."""

    sample: Fraction = 0.05
    """Share of the images that are sampled, 0 to 1; 0 switches it off."""
    budget: Fraction = 0.03
    """Largest share of the busy time that sampling may take, 0 to 1."""
    crop_px: Annotated[Whole, Field(ge=64, multiple_of=4)] = 256
    """Side of the compared crop in pixels, at least 64 and divisible by 4."""
    window: Annotated[Whole, Field(ge=1)] = 50
    """Number of samples in the rolling window."""
    alarm_residual: Auto | Positive = "auto"
    """Residual ratio above which health is degraded; auto: from the model's card, or 1."""
    alarm_below: Auto | Fraction = "auto"
    """Rolling mean SSIM of all samples below which health is degraded too; auto: the line on the
    model's card, for measurable samples, if neither it nor `alarm_residual` has one."""


class LogSettings(Section):
    """`[log]`: the log on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The lowest level that is logged."""
    format: Literal["auto", "json", "console", "journald"] = "auto"
    """auto: console on a terminal, journald where stderr is systemd's journal, json elsewhere."""
    repeats: Annotated[Whole, Field(ge=0)] = 20
    """Lines per minute for equal failures; further ones are counted. 0: a line for each."""


class Settings(Section):
    """All settings; created by `load`, the only reader of the sources."""

    state: Directory
    """The state directory: ledger, quarantine and status; default: see `default_state`."""
    folder: tuple[FolderSettings, ...] = ()
    """The folders; those of the command line replace those of the file."""
    hook: tuple[HookSettings, ...] = ()
    """Programs that are started, and addresses that are called, at events."""
    model: ModelSettings = ModelSettings()
    pictures: PictureSettings = PictureSettings()
    workers: WorkerSettings = WorkerSettings()
    engine: EngineSettings = EngineSettings()
    limits: LimitSettings = LimitSettings()
    intake: IntakeSettings = IntakeSettings()
    retry: RetrySettings = RetrySettings()
    retention: RetentionSettings = RetentionSettings()
    report: ReportSettings = ReportSettings()
    agreement: AgreementSettings = AgreementSettings()
    canary: CanarySettings = CanarySettings()
    previews: PreviewSettings = PreviewSettings()
    log: LogSettings = LogSettings()


class SettingsSources(Settings, BaseSettings):
    """The same keys as a class for the readers of pydantic-settings; never instantiated.

    An instance would read the environment as a side effect, and a key of the file that begins with
    an underscore would configure the library.
    """

    model_config = SettingsConfigDict(env_prefix="SHARPEND_", env_nested_delimiter="__")


def automatic_choice(settings: Settings) -> Choice:
    """Choose the model that `auto` means, and say why."""
    model = settings.model
    return automatic_model(
        device=model.device,
        runtime=model.runtime,
        precision=model.precision,
        is_local=settings.engine.kind == "local",
    )


def resolve_model(name: str, settings: Settings) -> str:
    """Resolve a `model` setting to the name or path of a model."""
    return automatic_choice(settings).model if name == "auto" else name
