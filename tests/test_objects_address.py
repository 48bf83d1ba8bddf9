"""Addresses in object storage, the keys of files, and how a store's answers are told."""

from __future__ import annotations

import os

import pytest

from sharpend.errors import ImageRefusedError, Reason
from sharpend.files.objects.address import Address
from sharpend.files.objects.client import client, translated
from sharpend.files.objects.condition_check import check_conditions, check_listing
from tests.store_server import NO_CONDITIONS, StoreServer, objects


@pytest.mark.parametrize(
    ("text", "root", "name"),
    [
        ("s3://bucket", "s3://bucket", "bucket"),
        ("s3://bucket/", "s3://bucket", "bucket"),
        ("s3://bucket/a b/ä", "s3://bucket/a b/ä", "ä"),
        ("S3://bucket/a/", "s3://bucket/a", "a"),
    ],
)
def test_addresses(text: str, root: str, name: str) -> None:
    """Each folder has one spelling, by which the ledger knows it."""
    address = Address.parse(text)
    assert (str(address), os.fsencode(address), address.name) == (root, root.encode(), name)
    assert Address.of(os.fsencode(address)) == address


@pytest.mark.parametrize(
    "text", ["s3://", "s3:///a", "s3://a", "s3://bucket//a", "s3://bucket/../a", "s3://b cket/a"]
)
def test_no_addresses(text: str) -> None:
    """What names no folder is refused."""
    with pytest.raises(ValueError, match="s3://bucket/folder"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("key", "relative"),
    [
        ("in/a.png", b"a.png"),
        ("in/ü/ä b+%.png", "ü/ä b+%.png".encode()),
        ("in/a\x01\n.png", b"a\x01\n.png"),
        ("in/folder/", None),
        ("in/../a.png", None),
        ("in/./a.png", None),
        ("in//a.png", None),
        ("in/a/../../b.png", None),
        ("inner/a.png", None),
        ("in", None),
    ],
)
def test_keys_and_paths(key: str, relative: bytes | None) -> None:
    """A key that no file could have as its path is no input, and never leads out of its folder."""
    address = Address.parse("s3://bucket/in")
    assert address.relative(key) == relative
    if relative is not None:
        assert address.key(relative) == key


@pytest.mark.parametrize(
    ("relative", "reason"),
    [(b"\xff.png", Reason.NAME_NOT_POSSIBLE), (b"a" * 1030, Reason.NAME_TOO_LONG)],
)
def test_paths_without_a_key(relative: bytes, reason: Reason) -> None:
    """Keys are UTF-8 and have at most 1,024 bytes."""
    with pytest.raises(ImageRefusedError) as refused:
        Address.parse("s3://bucket/out").key(relative)
    assert refused.value.reason is reason


def test_a_good_store_passes_the_trial(store: StoreServer) -> None:
    """Nothing is left of it."""
    bucket = store.bucket()
    check_conditions(f"s3://{bucket}/out".encode())
    assert objects(bucket) == {}


@pytest.mark.parametrize("ignored", NO_CONDITIONS)
def test_a_store_that_ignores_conditions_is_refused(store: StoreServer, ignored: str) -> None:
    """Two writers would overwrite each other, or a deletion would take a newer object."""
    store.ignores = (ignored,)
    bucket = store.bucket()
    with pytest.raises(OSError, match="the store ignores If-"):
        check_conditions(f"s3://{bucket}/out".encode())
    assert objects(bucket) == {}


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("InvalidAccessKeyId", 403, "does not know the access key; .*AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", 403, "secret access key is wrong"),
        ("ExpiredToken", 400, "have expired"),
        ("AccessDenied", 403, "permissions"),
        ("AuthorizationHeaderMalformed", 400, "AWS_REGION"),
        ("NoSuchBucket", 404, "bucket does not exist; create it or change the setting"),
    ],
)
def test_refusals_name_what_to_change(
    store: StoreServer, code: str, status: int, told: str
) -> None:
    """One sentence, whatever the store says."""
    store.refuses = lambda _: (status, code)
    with pytest.raises(OSError, match=told):
        check_listing(b"s3://bucket/in")


@pytest.mark.usefixtures("store")
def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chain has none."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    client.cache_clear()
    with pytest.raises(OSError, match="there are no credentials"):
        check_listing(b"s3://bucket/in")
    client.cache_clear()


@pytest.mark.usefixtures("store")
def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint where no store is; its password is not told."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://user:secret@127.0.0.1:9")
    client.cache_clear()
    with pytest.raises(OSError, match=r"store at http://127\.0\.0\.1:9 cannot"), translated():
        client().list_buckets()
    client.cache_clear()
