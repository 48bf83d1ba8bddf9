"""Schema of `[[hook]]`: a program that is started, or an address that is called, at an event."""

# No `from __future__ import annotations` here: pydantic reads the annotations at run time.
import pwd
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from sharpend.settings.section import Section
from sharpend.settings.values import Positive


def _command(command: object) -> object:
    texts = isinstance(command, list | tuple) and all(isinstance(one, str) for one in command)
    if not texts or not command or not str(command[0]).startswith("/"):  # type: ignore[index]
        raise ValueError('must be a list that begins with a program\'s path: ["/usr/bin/x", "-v"]')
    if any("\0" in one for one in command):  # type: ignore[attr-defined]
        raise ValueError("must not contain a zero byte")
    return command


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be an address that begins with http:// or https://")
    return url


def _user(user: str) -> str:
    try:
        pwd.getpwnam(user)
    except KeyError as error:
        raise ValueError("must be a user of this system") from error
    return user


class HookSettings(Section):
    """`[[hook]]`: one program or address, for one event."""

    event: Literal[
        "image.finished", "image.quarantined", "batch.finished", "agreement.low", "canary.low"
    ]
    """The event of the log that the hook is for."""
    command: Annotated[tuple[str, ...], BeforeValidator(_command)] | None = None
    """Program and arguments, started without a shell; it gets JSON on its standard input."""
    url: Annotated[str, AfterValidator(_url)] | None = Field(default=None, validate_default=True)
    """Address that gets the same JSON by POST; the hook has this or `command`."""
    user: Annotated[str, AfterValidator(_user)] | None = None
    """User that the program runs as, where the daemon runs as root; default: the daemon's."""
    timeout_s: Positive = 30
    """Seconds after which the program is ended, or the request given up."""

    @field_validator("url")
    @classmethod
    def _one_of_both(cls, url: str | None, info: ValidationInfo) -> str | None:
        if "command" in info.data and (url is None) == (info.data["command"] is None):
            raise ValueError("is required where there is no command, and refused with one")
        return url

    @field_validator("user")
    @classmethod
    def _goes_with_command(cls, user: str | None, info: ValidationInfo) -> str | None:
        if user is not None and info.data.get("command", ()) is None:
            raise ValueError("needs command; set that or remove it")
        return user
