"""A store that speaks S3 for tests: moto's server on the loopback device, made to fail at will.

What a test sets on it stands between the client and moto: answers in place of moto's, answers that
are lost after moto has done what was asked, and conditions that the store does not see.

    TEST_STORE=http://127.0.0.1:8333 python -m pytest tests/test_objects_commit.py

puts another server in moto's place, one that takes the keys below (`KEYS`).
"""

from __future__ import annotations

import http.client
import logging
import os
import re
import secrets
import threading
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

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
OTHER = os.environ.get("TEST_STORE")
"""Endpoint of a server to test with in place of moto."""
BEGUN = re.compile(rb"(?<=<Initiated>)[^<.Z]*")
"""Beginning of an upload; moto tells one time for all of them."""
FORWARD_S = 60.0
_OF_A_HOP = {"Connection", "Keep-Alive", "Transfer-Encoding", "Date", "Server"}
NO_CONDITIONS = ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH")


def needed(module: str) -> Any:  # noqa: ANN401 - a module
    """A module of moto, imported by the first test that needs it; without it, that one skips."""
    return pytest.importorskip(module, reason="moto is not installed")


class StoreServer:
    """A server with any number of buckets, for all tests of a process."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        serving = needed("werkzeug.serving")
        self._app = _moto() if OTHER is None else partial(_forwarded, OTHER)
        self._server = serving.make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._buckets, self._run = 0, secrets.token_hex(4)
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
        name = f"bucket-{self._run}-{self._buckets}"
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
        told = begun.strftime("%Y-%m-%dT%H:%M:%S").encode()
        answer = list(self._app(environ, start))
        return [BEGUN.sub(told, body) for body in answer] if asked == "list" else answer


def _moto() -> Any:  # noqa: ANN401 - WSGI
    return needed("moto.server").create_backend_app("s3")


def _forwarded(endpoint: str, environ: Environ, start: Any) -> list[bytes]:  # noqa: ANN401 - WSGI
    """Ask another server the same, under the host name that the client has signed."""
    sent = {
        key[5:].replace("_", "-"): value
        for key, value in environ.items()
        if key.startswith("HTTP_") and key not in {"HTTP_EXPECT", "HTTP_CONNECTION"}
    }
    if kind := environ.get("CONTENT_TYPE"):
        sent["Content-Type"] = kind
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    netloc = urlsplit(endpoint).netloc
    with closing(http.client.HTTPConnection(netloc, timeout=FORWARD_S)) as connection:
        method, path = environ["REQUEST_METHOD"], environ["RAW_URI"]
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        told = [(name, value) for name, value in answer.getheaders() if name not in _OF_A_HOP]
        start(f"{answer.status} {answer.reason}", told)
        return [answer.read()]


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


@cache
def _other() -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    """A client of the other server that does not go by way of this process."""
    keys = {name.lower(): KEYS[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    session = needed("boto3.session").Session(**keys, region_name=KEYS["AWS_REGION"])
    return session.client("s3", endpoint_url=OTHER)


def objects(bucket: str) -> dict[str, bytes]:
    """Every object of a bucket by its key."""
    if OTHER is not None:
        pages = _other().get_paginator("list_objects_v2").paginate(Bucket=bucket)
        names = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return {key: _other().get_object(Bucket=bucket, Key=key)["Body"].read() for key in names}
    backend = _backend()
    keys, *_ = backend.list_objects(backend.get_bucket(bucket), None, None, None, None)
    return {key.name: key.value for key in keys}


def put(bucket: str, key: str, body: bytes) -> None:
    """Write an object, as anybody may."""
    if OTHER is not None:
        _other().put_object(Bucket=bucket, Key=key, Body=body)
        return
    _backend().put_object(bucket, key, body)


def open_uploads(bucket: str) -> int:
    """Number of uploads that are not complete."""
    if OTHER is not None:
        return len(_other().list_multipart_uploads(Bucket=bucket).get("Uploads", ()))
    return len(_backend().list_multipart_uploads(bucket))
