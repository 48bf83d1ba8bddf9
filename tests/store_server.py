"""A store that speaks S3 for tests: moto's server on the loopback device, made to fail at will.

What a test sets on it stands between the client and moto: answers in place of moto's, answers that
are lost after moto has done what was asked, and conditions that the store does not see.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from sharpend.files.objects.client import client, outage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Environ: TypeAlias = "dict[str, Any]"
KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
MOTOS_TIME = b"2010-11-10T20:48:33.000Z"
"""Told by moto as the beginning of every upload."""
NO_CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH")


def needed(module: str) -> Any:  # noqa: ANN401 - a module
    """A module of moto, imported by the first test that needs it; without it, that one skips."""
    return pytest.importorskip(module, reason="moto is not installed")


class StoreServer:
    """A server with any number of buckets, for all tests of a process."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        moto_server, serving = needed("moto.server"), needed("werkzeug.serving")
        self._app = moto_server.create_backend_app("s3")
        self._server = serving.make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._buckets = 0
        self.environment = KEYS | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self._server.port}"}
        self.reset()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def reset(self) -> None:
        """Behave as a good store does, to clients that know of no outage."""
        outage.cache_clear()
        self.asked: list[str] = []
        """Method and operation of each request."""
        self.refuses: Callable[[str], tuple[int, str] | None] = lambda _: None
        """Answers in place of the store, given what is asked: status and code."""
        self.loses: Callable[[str], bool] = lambda _: False
        """True for what is asked: it is done, and the answer is an error of the server."""
        self.ignores: tuple[str, ...] = ()
        """Headers that the store does not see."""
        self.upload_age_s = 0.0
        """Seconds since all uploads were begun, as the store tells it."""

    def bucket(self) -> str:
        """Make an empty bucket; return its name."""
        self._buckets += 1
        name = f"bucket-{self._buckets}"
        client().create_bucket(Bucket=name)
        return name

    def fill(self, bucket: str, keys: Iterable[str]) -> None:
        """Put empty objects into a bucket."""
        for key in keys:
            put(bucket, key, b"")

    def _answer(self, environ: Environ, start: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI
        asked = _operation(environ)
        self.asked.append(asked)
        if (refusal := self.refuses(asked)) is not None:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _error(start, *refusal)
        for header in self.ignores:
            environ.pop(header, None)
        if self.loses(asked):
            list(self._app(environ, lambda *_: lambda _: None))
            return _error(start, 500, "InternalError")
        begun = datetime.fromtimestamp(time.time() - self.upload_age_s, UTC)
        told = begun.strftime("%Y-%m-%dT%H:%M:%S.000Z").encode()
        answer = list(self._app(environ, start))
        return [body.replace(MOTOS_TIME, told) for body in answer] if asked == "list" else answer


def _operation(environ: Environ) -> str:
    """Name what is asked, as the tests speak of it."""
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    if method == "POST":
        return "create" if "uploads" in query else "complete"
    if method == "PUT" and "partNumber" in query:
        return "copy" if "HTTP_X_AMZ_COPY_SOURCE" in environ else "send"
    if method == "DELETE":
        return "abort" if "uploadId" in query else "delete"
    if method == "GET":
        listing = "list-type" in query or "uploads" in query
        return "list" if listing else "get"
    return str(method).lower()


def _error(start: Any, status: int, code: str) -> list[bytes]:  # noqa: ANN401 - WSGI
    start(f"{status} {code}", [("Content-Type", "application/xml")])
    return [f"<Error><Code>{code}</Code><Message>for a test</Message></Error>".encode()]


_SERVERS: list[StoreServer] = []


@contextmanager
def running_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreServer]:
    """Use the server of this process, started by the first test that needs it.

    What it refuses is asked again at once, as often as usual.
    """
    if not _SERVERS:
        _SERVERS.append(StoreServer())
        client.cache_clear()
    outage.cache_clear()
    (server,) = _SERVERS
    server.reset()
    monkeypatch.setattr(
        needed("botocore.retries.standard").ExponentialBackoff, "delay_amount", lambda *_: 0.0
    )
    for key in [key for key in os.environ if key.startswith("AWS_")]:
        monkeypatch.delenv(key)
    for key, value in server.environment.items():
        monkeypatch.setenv(key, value)
    yield server


def _backend() -> Any:  # noqa: ANN401 - moto's
    """What the server of this process has stored.

    Tests look at it without requests: these would cost more than what is tested, and be among those
    that are counted and refused.
    """
    return needed("moto.s3.models").s3_backends["123456789012"]["aws"]


def objects(bucket: str) -> dict[str, bytes]:
    """Every object of a bucket by its key."""
    backend = _backend()
    keys, *_ = backend.list_objects(backend.get_bucket(bucket), None, None, None, None)
    return {key.name: key.value for key in keys}


def put(bucket: str, key: str, body: bytes) -> None:
    """Write an object, as anybody may."""
    _backend().put_object(bucket, key, body)


def open_uploads(bucket: str) -> int:
    """Number of uploads that are not complete."""
    return len(_backend().list_multipart_uploads(bucket))
