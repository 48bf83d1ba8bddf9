"""Client of an S3 store, with bounded waits; its errors become errors of a file system.

Owns boto3: nothing else imports it. Endpoint, region and credentials come from boto3's own chain:
the `AWS_` variables, the profile, the machine's role. Every error becomes an OSError, so that what
follows from it is decided where errors of disks are.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sharpend.errors import ConfigError
from sharpend.files.objects.outage import NoAnswerError, Outage
from sharpend.files.remote import STORE_FAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_S, READ_S, ATTEMPTS = 4.0, 20.0, 3
"""Seconds for one connection and for each answer, and tries of a request before it fails."""
_CONNECTIONS = 64

_CREDENTIALS = "change the credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, or the machine's role)"
_REGION = "set AWS_REGION to the bucket's region"
_CAUSES = {
    "NoSuchBucket": "the bucket does not exist; create it or change the setting",
    "InvalidBucketName": "the bucket's name is not valid; change the setting",
    "AccessDenied": f"access is denied; give these credentials the permissions, or {_CREDENTIALS}",
    "AllAccessDisabled": "access to the bucket is disabled",
    "InvalidAccessKeyId": f"the store does not know the access key; {_CREDENTIALS}",
    "SignatureDoesNotMatch": f"the secret access key is wrong; {_CREDENTIALS}",
    "ExpiredToken": f"the credentials have expired; {_CREDENTIALS}",
    "InvalidToken": f"the session token is not valid; {_CREDENTIALS}",
    "RequestTimeTooSkewed": "the clock of this machine is wrong; set it",
    "AuthorizationHeaderMalformed": f"the region is wrong; {_REGION}",
    "IllegalLocationConstraintException": f"the region is wrong; {_REGION}",
    "PermanentRedirect": f"the bucket is in another region; {_REGION}",
    "301": f"the bucket is in another region; {_REGION}",
    "403": f"access is denied; give these credentials the permissions, or {_CREDENTIALS}",
    "InvalidObjectState": "the object is in an archive class; restore it",
    "KeyTooLongError": "the key is too long",
    "QuotaExceeded": "the store is full; free space",
    "XMinioStorageFull": "the store is full; free space",
    "XMinioAdminBucketQuotaExceeded": "the quota of the bucket is used up; free space",
    "RequestTimeout": "the store waited too long for a request; look at the network",
}
_NOT_REFUSED = {408, 429}
"""Statuses that ask for the same request later."""
_FAILS = 500
"""Least status of a store that fails, and not the request."""
_LACKING = {
    "NoCredentialsError": f"there are no credentials; {_CREDENTIALS}",
    "PartialCredentialsError": f"the credentials are not complete; {_CREDENTIALS}",
    "CredentialRetrievalError": f"the credentials cannot be had; {_CREDENTIALS}",
    "TokenRetrievalError": f"the credentials have expired; {_CREDENTIALS}",
    "ProfileNotFound": f"the profile does not exist; {_CREDENTIALS}",
    "NoRegionError": f"no region is set; {_REGION}",
    "InvalidRegionError": f"the region is not valid; {_REGION}",
}


class DeniedError(OSError):
    """Access is denied, to one object or to all; treated as STORE_FAULT unless that is checked."""


class RefusedError(OSError):
    """A request was refused, for one object or for all; treated as STORE_FAULT unless checked."""


class NoUploadError(FileNotFoundError):
    """There is no such upload (any more)."""


class ConflictError(OSError):
    """Another request works on the same key at this moment: a repetition will succeed."""


class UnsupportedError(OSError):
    """The store does not know this request."""


_KINDS: tuple[tuple[type[OSError], int, set[str]], ...] = (
    (NoUploadError, errno.ENOENT, {"NoSuchUpload"}),
    (FileNotFoundError, errno.ENOENT, {"NoSuchKey", "NoSuchVersion", "NotFound", "404"}),
    (FileExistsError, errno.EEXIST, {"PreconditionFailed", "412"}),
    (ConflictError, errno.EAGAIN, {"ConditionalRequestConflict", "OperationAborted", "409"}),
    (DeniedError, STORE_FAULT, {"AccessDenied", "InvalidObjectState", "403"}),
    (UnsupportedError, errno.ENOTSUP, {"NotImplemented", "501"}),
    (OSError, errno.ENAMETOOLONG, {"KeyTooLongError"}),
    (OSError, errno.EFBIG, {"EntityTooLarge"}),
)


@cache
def client() -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    """Return the client of this process, which all threads share.

    Raises:
        ConfigError: boto3 is not installed.
        OSError: the chain of settings has no region, or a profile that does not exist.
    """
    try:
        from boto3.session import Session  # noqa: PLC0415 - an extra
        from botocore.config import Config  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ConfigError(
            "folder: s3:// needs boto3; install it with pip install 'sharpend[s3]'"
        ) from error
    options = Config(
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=_CONNECTIONS,
    )
    with translated():
        return Session().client("s3", config=options)


@cache
def outage() -> Outage:
    """Return the memory of this process whether the endpoint answers."""
    return Outage()


@contextmanager
def translated() -> Iterator[None]:
    """Translate the errors of boto3; fail at once while the endpoint gives no answer.

    Raises:
        FileNotFoundError: no such object; NoUploadError: no such upload.
        FileExistsError: the condition of a request was not met.
        ConflictError: another request is at the same key.
        DeniedError: access is denied, to one object or to all.
        RefusedError: the request is refused, for one object or for all.
        UnsupportedError: the store does not know the request.
        NoAnswerError: the endpoint cannot be reached, or fails.
        OSError: EINVAL, for what no request can say; or STORE_FAULT, with a sentence for people:
            the store as a whole cannot be worked on.
    """
    with outage().noticed(), _translated():
        yield


@contextmanager
def _translated() -> Iterator[None]:
    from botocore.exceptions import (  # noqa: PLC0415 - as above
        BotoCoreError,
        ClientError,
        ParamValidationError,
    )

    try:
        yield
    except ClientError as error:
        raise _answered(error) from error
    except ParamValidationError as error:  # of this one object
        raise OSError(errno.EINVAL, _first_line(error)) from error
    except BotoCoreError as error:
        if cause := _LACKING.get(type(error).__name__):
            raise OSError(STORE_FAULT, cause) from error
        raise NoAnswerError(STORE_FAULT, _unreachable(error)) from error


def _answered(error: Any) -> OSError:  # noqa: ANN401 - as above
    """Translate a refusal of the store."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    text = _CAUSES.get(code) or f"the store answered {code or 'with an error'}"
    for kind, number, codes in _KINDS:
        if code in codes:
            return kind(number, text)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code not in _CAUSES and status in range(400, 500) and status not in _NOT_REFUSED:
        return RefusedError(STORE_FAULT, text)
    kind_of_all = NoAnswerError if status >= _FAILS else OSError
    return kind_of_all(STORE_FAULT, text)


def _unreachable(error: Any) -> str:  # noqa: ANN401 - as above
    """Say which endpoint gave no answer, and what to look at."""
    url = urlsplit(str(error.kwargs.get("endpoint_url", "")))
    host = url.netloc.rpartition("@")[2]  # a user and a password may precede it
    where = f" at {url.scheme}://{host}" if host else ""
    advice = "wait, or look at AWS_ENDPOINT_URL_S3 and the network"
    return f"the store{where} cannot be reached ({type(error).__name__}): {advice}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
