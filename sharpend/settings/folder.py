"""Schema of `[[folder]]`: each key with its type, range, default and unit.

Owns the checks of keys of one folder against each other. `overlaps` checks folders against each
other. A key whose default is that of another table is None here.
"""

# No `from __future__ import annotations` here: pydantic reads the annotations at run time.
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator

from sharpend.files.objects.address import Address
from sharpend.policies import (
    Cmyk,
    CollisionPolicy,
    Compression,
    ExistingPolicy,
    Frames,
    Losses,
    Metadata,
    OneBit,
    Sidecars,
    SourcePolicy,
    Thumbnail,
)
from sharpend.settings.section import Section
from sharpend.settings.values import (
    AnyFolder,
    Auto,
    Cue,
    Flag,
    FolderName,
    Fraction,
    Group,
    HoursList,
    Levels,
    Mode,
    Number,
    PatternList,
    Positive,
    Profile,
    Strength,
    Suffix,
    Template,
    name_of_input,
)


class FolderSettings(Section):
    """`[[folder]]`: one input folder and where its outputs go."""

    input: AnyFolder
    """The folder whose images are sharpened; `s3://bucket/folder` is one in object storage."""
    output: AnyFolder
    """The folder for the outputs; created if it is missing. Also in object storage."""
    name: FolderName = Field(default_factory=name_of_input)
    """Name of the folder in ledger, logs and quarantine; default: the base name of `input`."""
    recursive: Flag = True
    """Sharpen the subfolders of the input, too, into the same subfolders of the output."""
    exclude: PatternList = ()
    """Files and folders that are left alone, by patterns as in .gitignore."""
    include: PatternList = ()
    """If there are any, only files that match are taken."""
    only_new: Flag = False
    """Skip the images that exist at the first start with this key."""
    source: SourcePolicy = SourcePolicy.KEEP
    """Policy for an input once its output is durable."""
    archive: AnyFolder | None = Field(default=None, validate_default=True)
    """The folder to which `source = "archive"` moves inputs; required with it, refused without. It
    is in object storage where the input is."""
    remove_empty_folders: Flag = False
    """Remove subfolders of the input that became empty because images were archived or deleted."""
    sidecars: Sidecars = Sidecars.FOLLOW
    """Policy for the sidecars (.xmp, .aae) of an input: leave them; follow: archive them with it;
    copy: also copy them beside the output, under its name."""
    existing: ExistingPolicy = ExistingPolicy.SUFFIX
    """Policy for a file that has the output's name and was not written by sharpend."""
    collision: CollisionPolicy = CollisionPolicy.NUMBER
    """Policy for two inputs whose outputs would have the same name."""
    portable_names: Flag = False
    """Treat names that differ only in case or in Unicode's normal form as equal, and rewrite names
    that Windows or the output's file system does not take."""
    output_name: Template = "{stem}{suffix}{ext}"
    """The output's file name; {ext} is the input's suffix with its dot, {suffix} the next key."""
    suffix: Suffix = ""
    """Text for {suffix} in `output_name`: between stem and ext by default."""
    group: Group | None = None
    """The group of outputs and of folders made for them; default: that of the daemon or, where it
    runs as root, of the source."""
    mode: Mode | None = None
    """Permissions of outputs in octal digits; folders made for them get x for each r. Default: the
    source's, and 0777 less the umask for folders."""
    model: str | None = None
    """The model of this folder; default: `[model] name`."""
    strength: Strength | None = None
    """Factor on what the model adds; default: `[model] strength`."""
    crispness: Fraction | None = None
    """Edge contrast beyond the model's result; default: `[model] crispness`."""
    skip_sharp: Flag | None = None
    """Copy images that are sharp already; default: `[model] skip_sharp`."""
    skip_sharp_above: Cue | None = None
    """Sharpness above which an image counts as sharp; default: `[model] skip_sharp_above`."""
    metadata: Metadata | None = None
    """Policy for EXIF, XMP and IPTC; default: `[pictures] metadata`."""
    thumbnail: Thumbnail | None = None
    """Policy for the thumbnail in EXIF; default: `[pictures] thumbnail`."""
    frames: Frames | None = None
    """Policy for animations and files of many pages; default: `[pictures] frames`."""
    cmyk: Cmyk | None = None
    """Policy for CMYK images; default: `[pictures] cmyk`."""
    cmyk_profile: Literal["none"] | Profile | None = None
    """ICC profile for CMYK images without one; default: `[pictures] cmyk_profile`."""
    one_bit: OneBit | None = None
    """Policy for pure black and white; default: `[pictures] one_bit`."""
    provenance: Flag | None = None
    """Record model and input in the output's XMP; default: `[pictures] provenance`."""
    losses: Losses | None = None
    """Policy for content that the output lacks; default: `[pictures] losses`."""
    compression: Compression | None = None
    """Speed or size of PNG, TIFF, WebP and JPEG XL; default: `[pictures] compression`."""
    overshoot: Levels | None = None
    """Most levels beyond the surrounding values, 0 to 255; default: `[model] overshoot`."""
    settle_s: Auto | Annotated[Number, Field(ge=0)] = "auto"
    """Seconds that a file must stay unchanged before it is taken; auto: `intake.settle_time`."""
    polling: Auto | Flag = "auto"
    """Scan for changes instead of using inotify; auto: on network file systems."""
    poll_s: Positive = 5
    """Seconds between two scans when polling; longer if a scan takes over a hundredth of them."""
    require_mount: Auto | Flag = "auto"
    """Disk of input, output and archive; auto: the same as before; true: any but the system's."""
    reprocess: Flag = False
    """Sharpen finished files again when the model or an option changes."""
    hours: HoursList = ()
    """Local times of day in which images are begun, such as "20:00-06:00"; empty: at any time."""
    order: Literal["oldest", "newest"] = "oldest"
    """Order of the waiting images: the one that was found first, or last, is next."""
    _files: tuple[bytes, ...] | None = PrivateAttr(default=None)
    _shard: tuple[int, int] | None = PrivateAttr(default=None)

    @property
    def files(self) -> tuple[bytes, ...] | None:
        """Paths below the input that alone are sharpened; None: all. Not set by any file."""
        return self._files

    def limited_to(self, files: Sequence[bytes]) -> Self:
        """Make a copy of these settings for the files at these paths below the input."""
        copy = self.model_copy()
        copy._files = tuple(files)  # noqa: SLF001 - of this class
        return copy

    @property
    def is_remote(self) -> bool:
        """True if one of its places is in object storage."""
        return any(isinstance(one, Address) for one in (self.input, self.output, self.archive))

    @property
    def shard(self) -> tuple[int, int] | None:
        """Part, and number of parts, of the images to sharpen; None: all. Not set by any file."""
        return self._shard

    def in_shard(self, shard: tuple[int, int]) -> Self:
        """Make a copy of these settings for one part of the images."""
        copy = self.model_copy()
        copy._shard = shard  # noqa: SLF001 - of this class
        return copy

    @field_validator("archive")
    @classmethod
    def _archive_goes_with_source(
        cls, archive: AnyFolder | None, info: ValidationInfo
    ) -> AnyFolder | None:
        archives = info.data.get("source") is SourcePolicy.ARCHIVE
        if archives and archive is None:
            raise ValueError('is required by source = "archive"')
        if archive is not None and "source" in info.data and not archives:
            raise ValueError('needs source = "archive"; set that or remove it')
        if archive is not None and isinstance(archive, Address) != _is_remote(info, "input"):
            raise ValueError("must be in object storage where the input is, and only there")
        return archive

    @field_validator("polling", "poll_s", "settle_s", "remove_empty_folders")
    @classmethod
    def _fits_the_input(cls, value: object, info: ValidationInfo) -> object:
        if _is_remote(info, "input") and value not in {"auto", False}:
            raise ValueError("has no effect on an input in object storage; remove it")
        return value

    @field_validator("group", "mode")
    @classmethod
    def _fits_the_output(cls, value: object, info: ValidationInfo) -> object:
        if _is_remote(info, "output") and value is not None:
            raise ValueError("has no effect on an output in object storage; remove it")
        return value

    @field_validator("sidecars")
    @classmethod
    def _has_sidecars(cls, value: Sidecars, info: ValidationInfo) -> Sidecars:
        remote = _is_remote(info, "input") or _is_remote(info, "output")
        if remote and value is Sidecars.COPY:
            raise ValueError('cannot be "copy" with object storage, where sidecars stay; remove it')
        return value

    @field_validator("require_mount")
    @classmethod
    def _has_a_disk(cls, value: object, info: ValidationInfo) -> object:
        if value is True and _is_remote(info, "input") and _is_remote(info, "output"):
            raise ValueError("has no effect on object storage; remove it")
        return value

    @field_validator("suffix")
    @classmethod
    def _suffix_has_its_place(cls, suffix: str, info: ValidationInfo) -> str:
        if suffix and "{suffix}" not in info.data.get("output_name", "{suffix}"):
            raise ValueError("needs {suffix} in output_name; put it there or remove the key")
        return suffix


def _is_remote(info: ValidationInfo, key: str) -> bool:
    """Return whether a folder that was checked before is in object storage."""
    return isinstance(info.data.get(key), Address)
