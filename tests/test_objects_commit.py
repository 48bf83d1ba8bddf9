"""Outputs in object storage: one whole object per input, through crashes, conflicts and rivals."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sharpend.commit.destination import Destination
from sharpend.commit.interface import StagedElsewhereError
from sharpend.commit.results import Committed, Unfinished
from sharpend.commit.stale import remove_stale_uploads
from sharpend.daemon.store_upkeep import Leftovers, StoreUpkeep
from sharpend.daemon.writers import CHECK_EVERY_S, ObjectRecord, OutputWriters, Writer
from sharpend.errors import FolderFaultError
from sharpend.files.objects.bucket import Bucket
from sharpend.files.objects.client import client
from sharpend.files.objects.outage import SHUT_S, NoAnswerError, Outage
from sharpend.files.objects.uploads import Upload, Uploads
from sharpend.files.remote import STORE_FAULT
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from sharpend.policies import ExistingPolicy, SourcePolicy
from tests.fakes import ListLog
from tests.remote_shop import RemoteShop
from tests.shop import CrashError
from tests.store_server import StoreServer, objects, open_uploads, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WITHIN_S = 60.0
UPLOAD_STEPS = ["recorded", "created", "sent", "staged"]
COMMIT_STEPS = ["chosen", "completed", "forgotten", "renamed", "synced", "finished", "disposed"]
ARCHIVED = ["source_removed", "sidecars_moved"]


@pytest.fixture
def bucket(store: StoreServer) -> str:
    """A bucket with one input."""
    name = store.bucket()
    put(name, "in/a/x.png", b"photo")
    return name


@pytest.fixture
def shop(bucket: str, tmp_path: Path) -> Iterator[RemoteShop]:
    """A daemon that has listed it."""
    made = RemoteShop(tmp_path, bucket)
    made.take()
    yield made
    made.ledger.close()


def outputs(bucket: str) -> dict[str, bytes]:
    """The objects below `out/`."""
    return {key[4:]: body for key, body in objects(bucket).items() if key.startswith("out/")}


def crashing(step: str) -> Callable[[str], None]:
    """A hook that ends the daemon at a step, once."""
    left = [step]

    def at(reached: str) -> None:
        if left == [reached]:
            left.clear()
            raise CrashError(reached)

    return at


def test_output_mirrors_the_input(shop: RemoteShop, bucket: str) -> None:
    """The output has the input's path, nothing is left in spool and store, and the source stays."""
    done = shop.run()
    assert isinstance(done, Committed)
    assert objects(bucket) == {"in/a/x.png": b"photo", "out/a/x.png": b"sharp photo"}
    assert (open_uploads(bucket), shop.uploads.attempts()) == (0, [])


def test_nothing_is_visible_before_the_commit(shop: RemoteShop, bucket: str) -> None:
    """A staged file is an upload that nobody sees."""
    job = shop.claim()
    shop.work(job)
    assert (outputs(bucket), open_uploads(bucket)) == ({}, 1)


@pytest.mark.parametrize(
    "source",
    [
        SourcePolicy.ARCHIVE,
        pytest.param(SourcePolicy.KEEP, marks=pytest.mark.slow),
        pytest.param(SourcePolicy.DELETE, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("step", [*UPLOAD_STEPS, *COMMIT_STEPS, *ARCHIVED])
def test_crash_at_each_step(tmp_path: Path, bucket: str, step: str, source: SourcePolicy) -> None:
    """After a start each input has one whole output, and no upload is open."""
    dying = RemoteShop(tmp_path, bucket, crashing(step))
    dying.with_source(source)
    dying.take()
    try:
        dying.run()
    except CrashError:
        dying.ledger.close()
        shop = RemoteShop(tmp_path, bucket)
        shop.with_source(source)
        shop.start()
        assert open_uploads(bucket) == 0
        shop.take()
        list(shop.run_all())
        shop.ledger.close()
    assert outputs(bucket) == {"a/x.png": b"sharp photo"}
    kept = {key: body for key, body in objects(bucket).items() if not key.startswith("out/")}
    place = {"keep": "in", "delete": None, "archive": "archive"}[source]
    assert kept == ({} if place is None else {f"{place}/a/x.png": b"photo"})
    assert (open_uploads(bucket), shop_left(tmp_path)) == (0, [])


def shop_left(home: Path) -> list[str]:
    """What is left in the spool."""
    return [path.name for path in (home / "spool").iterdir()]


def test_a_conflict_is_tried_again(shop: RemoteShop, store: StoreServer, bucket: str) -> None:
    """409 says that another request is at the key: the same again is answered."""
    conflicts = [(409, "ConditionalRequestConflict")] * 3
    store.refuses = lambda asked: conflicts.pop() if asked == "complete" and conflicts else None
    assert isinstance(shop.run(), Committed)
    assert (outputs(bucket), conflicts) == ({"a/x.png": b"sharp photo"}, [])


def test_conflicts_without_end_leave_it_to_a_later_try(
    shop: RemoteShop, store: StoreServer, bucket: str
) -> None:
    """The folder pauses, and `recover` completes the same upload."""
    store.refuses = lambda asked: (409, "OperationAborted") if asked == "complete" else None
    ended = shop.run()
    assert isinstance(ended, Unfinished)
    assert isinstance(ended.error, FolderFaultError)
    store.reset()
    assert [type(one) for one in shop.start()] == [Committed]
    assert (outputs(bucket), open_uploads(bucket)) == ({"a/x.png": b"sharp photo"}, 0)


def test_an_upload_that_a_conflict_has_dropped_is_sent_again(
    shop: RemoteShop, store: StoreServer, bucket: str
) -> None:
    """Amazon's store may drop the upload with a 409; the next attempt sends it."""
    job = shop.claim()
    attempt = shop.work(job)
    dropped = [(404, "NoSuchUpload")]
    store.refuses = lambda asked: dropped.pop() if asked == "complete" and dropped else None
    shop.finish(job, attempt)
    assert (outputs(bucket), store.asked.count("create")) == ({"a/x.png": b"sharp photo"}, 2)


def test_name_taken_at_the_last_moment(shop: RemoteShop, store: StoreServer, bucket: str) -> None:
    """412 is a collision like any other: the rival's object stays, ours gets the next name."""
    job = shop.claim()
    attempt = shop.work(job)

    def rival(asked: str) -> None:
        if asked == "complete":
            store.reset()
            put(bucket, "out/a/x.png", b"rival")

    store.refuses = rival
    shop.finish(job, attempt)
    assert outputs(bucket) == {"a/x.png": b"rival", "a/x-2.png": b"sharp photo"}
    assert open_uploads(bucket) == 0


def test_a_commit_sends_no_image(shop: RemoteShop, store: StoreServer, bucket: str) -> None:
    """The dispatcher waits for it: where the name is taken, the next attempt sends the image."""
    job = shop.claim()
    attempt = shop.work(job)
    put(bucket, "out/a/x.png", b"rival")
    store.asked.clear()
    (ended,) = shop.commit((job, attempt))
    assert isinstance(ended, Unfinished)
    assert isinstance(ended.error, StagedElsewhereError)
    assert not {"create", "send"} & set(store.asked)
    assert open_uploads(bucket) == 0
    again = shop.claim()
    assert (again.id, again.attempts) == (job.id, 1)
    shop.finish(again, shop.work(again))
    assert store.asked.count("create") == 1
    assert outputs(bucket) == {"a/x.png": b"rival", "a/x-2.png": b"sharp photo"}


@pytest.mark.parametrize(
    ("existing", "left"),
    [
        (ExistingPolicy.SUFFIX, {"a/x.png": b"foreign", "a/x-2.png": b"sharp photo"}),
        (ExistingPolicy.REPLACE, {"a/x.png": b"sharp photo"}),
        (ExistingPolicy.SKIP, {"a/x.png": b"foreign"}),
    ],
)
def test_foreign_objects(
    shop: RemoteShop, bucket: str, existing: ExistingPolicy, left: dict[str, bytes]
) -> None:
    """An object that sharpend did not make is treated as `existing` says."""
    put(bucket, "out/a/x.png", b"foreign")
    shop.to = replace(shop.to, existing=existing)
    job = shop.claim()
    if existing is not ExistingPolicy.SKIP:
        shop.finish(job, shop.work(job))
    else:
        with pytest.raises(AssertionError):  # finished before the work
            shop.work(job)
    assert (outputs(bucket), open_uploads(bucket)) == (left, 0)


def test_new_content_replaces_its_own_output(shop: RemoteShop, bucket: str) -> None:
    """An input that was replaced is done again, under the same name."""
    shop.run()
    put(bucket, "in/a/x.png", b"other photo")
    shop.take()
    shop.run()
    assert outputs(bucket) == {"a/x.png": b"sharp other photo"}


def test_an_output_that_somebody_replaced_is_foreign(shop: RemoteShop, bucket: str) -> None:
    """It stays, also against the next version of its input."""
    shop.run()
    put(bucket, "out/a/x.png", b"edited")
    put(bucket, "in/a/x.png", b"other photo")
    shop.take()
    shop.run()
    assert outputs(bucket) == {"a/x.png": b"edited", "a/x-2.png": b"sharp other photo"}


def test_an_output_that_goes_at_the_last_moment(
    shop: RemoteShop, store: StoreServer, bucket: str
) -> None:
    """404 is then the answer to the condition: the name is chosen again, and nothing sent anew."""
    shop.run()
    put(bucket, "in/a/x.png", b"other photo")
    shop.take()
    job = shop.claim()
    attempt = shop.work(job)
    store.asked.clear()

    def rival(asked: str) -> tuple[int, str] | None:
        if asked != "complete":
            return None
        store.refuses = lambda _: None
        client().delete_object(Bucket=bucket, Key="out/a/x.png")
        return 404, "NoSuchKey"

    store.refuses = rival
    shop.finish(job, attempt)
    assert outputs(bucket) == {"a/x.png": b"sharp other photo"}
    assert "create" not in store.asked


@pytest.mark.parametrize("lost", ["complete", "create", "send", "head"])
def test_lost_answers(shop: RemoteShop, store: StoreServer, bucket: str, lost: str) -> None:
    """What was done and not answered is asked again, and done once."""
    left = [lost]
    store.loses = lambda asked: left == [asked] and bool(left.pop())
    assert isinstance(shop.run(), Committed)
    assert (outputs(bucket), left) == ({"a/x.png": b"sharp photo"}, [])


def test_the_answer_of_a_completion_is_lost_for_good(
    shop: RemoteShop, store: StoreServer, bucket: str
) -> None:
    """The folder pauses; later the object is found to be ours, by its attempt, and finished."""
    store.loses = lambda asked: asked == "complete"
    (ended,) = [shop.run()]
    assert isinstance(ended, Unfinished)
    store.reset()
    assert [type(one) for one in shop.start()] == [Committed]
    assert outputs(bucket) == {"a/x.png": b"sharp photo"}
    assert store.asked.count("complete") == 0


@pytest.mark.parametrize("source", SourcePolicy)
def test_a_group_is_published_side_by_side(
    shop: RemoteShop, store: StoreServer, bucket: str, source: SourcePolicy
) -> None:
    """Completions, deletions and copies of a group wait for each other in the store."""
    names = ["a/x.png", *(f"{number}.png" for number in range(3))]
    for name in names[1:]:
        put(bucket, f"in/{name}", b"photo")
    shop.with_source(source)
    shop.take()
    group = [(job, shop.work(job)) for job in [shop.claim() for _ in names]]
    together = {"complete": threading.Barrier(len(names)), "delete": threading.Barrier(len(names))}

    def wait(asked: str) -> None:
        if asked in together:
            together[asked].wait(WITHIN_S)

    store.refuses = wait
    assert [type(end) for end in shop.commit(*group)] == [Committed] * len(names)
    assert outputs(bucket) == dict.fromkeys(names, b"sharp photo")
    assert not together["complete"].broken
    assert (open_uploads(bucket), shop.uploads.attempts()) == (0, [])


def test_two_daemons_by_mistake(bucket: str, tmp_path: Path, store: StoreServer) -> None:
    """Two states, one output folder, rivals at each key: nothing is lost, replaced or doubled."""
    for number in range(4):
        put(bucket, f"in/{number}.png", b"%d" % number)
    shops = [RemoteShop(tmp_path / name, bucket) for name in "ab"]
    taken = []
    for shop in shops:
        shop.take()
        jobs = [shop.claim() for _ in range(5)]
        taken.append([(job, shop.work(job)) for job in jobs])
    for pairs in zip(*taken, strict=True):
        for shop, pair in zip(shops, pairs, strict=True):
            shop.finish(*pair)
    wanted = {f"{number}.png": b"sharp %d" % number for number in range(4)}
    assert outputs(bucket) == wanted | {"a/x.png": b"sharp photo"}
    assert open_uploads(bucket) == 0
    assert "put" not in store.asked[store.asked.index("create") :]
    for shop in shops:
        shop.ledger.close()


@pytest.mark.parametrize("source", [SourcePolicy.DELETE, SourcePolicy.ARCHIVE])
def test_a_source_that_was_replaced_stays(
    shop: RemoteShop, bucket: str, source: SourcePolicy
) -> None:
    """What was put in its place after it was read is a new input."""
    shop.with_source(source)
    job = shop.claim()
    attempt = shop.work(job)
    put(bucket, "in/a/x.png", b"other photo")
    shop.finish(job, attempt)
    assert objects(bucket) == {"in/a/x.png": b"other photo", "out/a/x.png": b"sharp photo"}


@pytest.mark.parametrize("source", [SourcePolicy.DELETE, SourcePolicy.ARCHIVE])
def test_a_source_replaced_at_the_last_moment_stays(
    shop: RemoteShop, store: StoreServer, bucket: str, source: SourcePolicy
) -> None:
    """The deletion has a condition, so that no look before it need be believed."""
    shop.with_source(source)
    job = shop.claim()
    attempt = shop.work(job)

    def rival(asked: str) -> None:
        if asked == "delete":
            store.reset()
            put(bucket, "in/a/x.png", b"other photo")

    store.refuses = rival
    shop.commit((job, attempt))
    assert objects(bucket)["in/a/x.png"] == b"other photo"


def test_a_source_that_goes_while_it_is_copied(
    shop: RemoteShop, store: StoreServer, bucket: str
) -> None:
    """Nothing is archived, and no upload stays open."""
    shop.with_source(SourcePolicy.ARCHIVE)

    def rival(asked: str) -> None:
        if asked == "copy":
            store.reset()
            client().delete_object(Bucket=bucket, Key="in/a/x.png")

    store.refuses = rival
    assert isinstance(shop.run(), Committed)
    assert objects(bucket) == {"out/a/x.png": b"sharp photo"}
    assert (open_uploads(bucket), shop.uploads.attempts()) == (0, [])


@pytest.mark.parametrize("source", [SourcePolicy.DELETE, SourcePolicy.ARCHIVE])
def test_a_bucket_of_sources_that_is_missing(
    shop: RemoteShop, store: StoreServer, source: SourcePolicy
) -> None:
    """Its objects look gone, and nothing is concluded from that: the source waits."""
    shop.with_source(source)
    job = shop.claim()
    attempt = shop.work(job)
    key = attempt.staged.temp_name

    def missing(asked: str) -> tuple[int, str] | None:
        done = key not in shop.uploads.attempts()
        codes = {"head": "404", "list": "NoSuchBucket"}
        return (404, codes[asked]) if done and asked in codes else None

    store.refuses = missing
    (ended,) = shop.commit((job, attempt))
    assert isinstance(ended, Unfinished)
    assert isinstance(ended.error, FolderFaultError)


def test_nothing_in_the_archive_is_overwritten(shop: RemoteShop, bucket: str) -> None:
    """A name that is taken there gets a number."""
    put(bucket, "archive/a/x.png", b"older")
    shop.with_source(SourcePolicy.ARCHIVE)
    shop.run()
    archived = {key: body for key, body in objects(bucket).items() if key.startswith("archive/")}
    assert archived == {"archive/a/x.png": b"older", "archive/a/x-2.png": b"photo"}


def test_a_versioned_bucket(shop: RemoteShop, bucket: str) -> None:
    """Versions change nothing: a deleted source is a version that is not the latest."""
    enabled = {"Status": "Enabled"}
    client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled)
    put(bucket, "in/a/x.png", b"photo")
    shop.take()
    shop.with_source(SourcePolicy.DELETE)
    list(shop.run_all())
    assert objects(bucket) == {"out/a/x.png": b"sharp photo"}
    versions = client().list_object_versions(Bucket=bucket, Prefix="in/")
    assert len(versions["Versions"]) == 2


def test_an_unreachable_store_loses_nothing(
    shop: RemoteShop, store: StoreServer, bucket: str
) -> None:
    """A commit that gets no answer pauses the folder; a start leaves no upload open."""
    job = shop.claim()
    attempt = shop.work(job)
    store.refuses = lambda _: (503, "SlowDown")
    (ended,) = shop.commit((job, attempt))
    assert isinstance(ended, Unfinished)
    assert isinstance(ended.error, FolderFaultError)
    store.reset()
    list(shop.run_all())
    assert (outputs(bucket), shop.ledger.waiting(["in"])) == ({"a/x.png": b"sharp photo"}, 0)
    (outcome,) = shop.ledger.outcomes("in", [b"a/x.png"])
    assert outcome.state is State.DISPOSED
    shop.start()  # what could not be dropped in the outage is on record
    assert (open_uploads(bucket), shop.uploads.attempts()) == (0, [])


@pytest.mark.parametrize(("age_s", "left"), [(0.0, 0), (-600.0, 0), (3600.0, 1), (-3600.0, 1)])
def test_uploads_of_other_programs_stay(
    tmp_path: Path, bucket: str, store: StoreServer, age_s: float, left: int
) -> None:
    """An upload whose id was lost is found by its key and its time, whatever the clocks say."""
    uploads = Uploads(os.fsencode(tmp_path / "spool"), crashing("created"))
    with pytest.raises(CrashError):
        uploads.begin(b"t", Upload(f"s3://{bucket}/out", "a.png", 1, ""), {}, "image/png")
    store.upload_age_s = age_s
    uploads.discard(b"t")
    assert (uploads.attempts(), open_uploads(bucket)) == ([], left)


@pytest.mark.parametrize(("code", "left"), [("InvalidRequest", 1), ("ExpiredToken", 3)])
def test_stale_uploads_that_cannot_be_dropped(
    shop: RemoteShop, store: StoreServer, bucket: str, code: str, left: int
) -> None:
    """One alone holds up no other; where the whole store fails, it is asked once."""
    for number in range(3):
        upload = Upload(f"s3://{bucket}/out", f"{number}.png", 1, "")
        shop.uploads.begin(b"t%d" % number, upload, {}, "image/png")
    first = [(400, code)]
    store.refuses = lambda asked: first.pop() if asked == "abort" and first else None
    remove_stale_uploads(shop.ledger, shop.spool)
    assert (len(shop.uploads.attempts()), open_uploads(bucket)) == (left, left)


def test_what_an_outage_leaves_at_a_start_is_dropped_after_it(
    shop: RemoteShop, store: StoreServer, bucket: str
) -> None:
    """The daemon goes on to try; uploads that are in work are let alone."""
    for number in range(3):
        upload = Upload(f"s3://{bucket}/out", f"{number}.png", 1, "")
        shop.uploads.begin(b"t%d" % number, upload, {}, "image/png")
    store.refuses = lambda asked: (503, "SlowDown") if asked == "abort" else None
    remove_stale_uploads(shop.ledger, shop.spool)
    store.reset()
    shop.work(shop.claim())
    leftovers = Leftovers(shop.spool)
    leftovers.step(0.0)
    assert leftovers._thread is not None
    leftovers._thread.join(60)
    assert (open_uploads(bucket), len(shop.uploads.attempts())) == (1, 1)


def test_an_upload_that_is_being_begun_is_not_taken_for_a_lost_one(
    tmp_path: Path, bucket: str
) -> None:
    """It has no id on record yet, as the one to drop, which waits."""
    spool = os.fsencode(tmp_path / "spool")
    upload = Upload(f"s3://{bucket}/out", "a.png", 1, "")
    for temp in (b"lost", b"begun"):
        with pytest.raises(CrashError):
            Uploads(spool, crashing("created")).begin(temp, upload, {}, "image/png")
    with pytest.raises(OSError, match="being begun"):
        Uploads(spool).discard(b"lost")
    assert (open_uploads(bucket), Uploads(spool).leftovers()) == (2, [b"lost"])


def test_an_outage_is_logged_once_for_all_folders(store: StoreServer, shop: RemoteShop) -> None:
    """The first pause names the folders in the store; one with another reason is its own."""
    log = ListLog()
    disk = Destination("disk", b"/in", b"/out")
    upkeep = StoreUpkeep(None, [shop.to, disk, replace(shop.to, folder="other")], log)
    assert not upkeep.covers("the store answered SlowDown")
    store.refuses = lambda _: (503, "SlowDown")
    with pytest.raises(NoAnswerError):
        Bucket(shop.to.input_root).page(None)
    reasons = ("the store answered SlowDown", "out: the store answered SlowDown", "disk full")
    assert [upkeep.covers(one) for one in reasons] == [True, True, False]
    upkeep.step(0.0)
    store.reset()
    Bucket(shop.to.input_root).page(None)
    upkeep.step(1.0)
    upkeep.step(2.0)
    folders, reason = ["in", "other"], "the store answered SlowDown"
    assert log.told == [
        ("error", Event.STORE_PAUSED, {"folders": folders, "reason": reason}),
        ("info", Event.STORE_RESUMED, {"folders": folders}),
    ]


def look(writers: OutputWriters, now_s: float) -> None:
    """Look who else writes the output, to the end."""
    writers.check(now_s)
    assert writers._thread is not None
    writers._thread.join(WITHIN_S)
    writers.close()


def test_two_daemons_on_one_bucket_are_told_of_each_other(
    store: StoreServer, bucket: str, tmp_path: Path
) -> None:
    """Each log names the other's host and state; a lost race for the record is run again."""
    shops = [RemoteShop(tmp_path / name, bucket) for name in "ab"]
    logs = [ListLog(), ListLog()]
    first, second = (
        OutputWriters(shop.to, tmp_path / name, shop.ledger, log)
        for shop, name, log in zip(shops, "ab", logs, strict=True)
    )
    look(first, 0.0)
    assert logs[0].told == []

    def rival(asked: str) -> None:
        if asked == "put":
            store.reset()
            record = ObjectRecord(shops[0].to.output_root)
            record.write(record.read() | {"rival": Writer("elsewhere", "/state", time.time())})

    store.refuses = rival
    look(second, 0.0)
    told = [(event["host"], event["state"]) for event in logs[1].of(Event.OUTPUT_SHARED)]
    assert sorted(told) == sorted(
        [(os.uname().nodename, str(tmp_path / "a")), ("elsewhere", "/state")]
    )
    look(first, CHECK_EVERY_S)
    assert {event["state"] for event in logs[0].of(Event.OUTPUT_SHARED)} == {
        "/state",
        str(tmp_path / "b"),
    }
    for shop in shops:
        shop.ledger.close()


@pytest.mark.parametrize(("took_s", "shut_s"), [(0.1, 15.0), (72.0, 144.0)])
def test_a_store_that_answers_slowly_is_asked_seldom(took_s: float, shut_s: float) -> None:
    """Other folders' commits wait for each try, so the time between two grows with it."""
    now_s = [0.0]
    outage = Outage(lambda: now_s[0])

    def fails() -> None:
        with outage.noticed():
            now_s[0] += took_s
            raise NoAnswerError(STORE_FAULT, "no answer")

    with pytest.raises(OSError, match="no answer"):
        fails()
    now_s[0] += shut_s - 1
    with pytest.raises(OSError, match="no answer"):
        fails()
    assert now_s[0] == pytest.approx(took_s + shut_s - 1)  # the store was not asked
    now_s[0] += 1
    with outage.noticed():
        pass


def test_one_request_asks_whether_an_outage_is_over() -> None:
    """Others fail meanwhile, whatever folder they are for; after the first answer all go on."""
    now_s = [0.0]
    outage = Outage(lambda: now_s[0])
    with pytest.raises(NoAnswerError), outage.noticed():
        raise NoAnswerError(STORE_FAULT, "no answer")
    now_s[0] += SHUT_S
    with outage.noticed(), pytest.raises(NoAnswerError, match="no answer"), outage.noticed():
        pass
    for _ in range(2):
        with outage.noticed():
            pass


def test_the_answer_to_an_older_request_ends_no_outage() -> None:
    """It was on its way when another one failed."""
    now_s = [0.0]
    outage = Outage(lambda: now_s[0])
    with outage.noticed():
        now_s[0] = 1.0
        with pytest.raises(NoAnswerError), outage.noticed():
            raise NoAnswerError(STORE_FAULT, "no answer")
    assert outage.cause == "no answer"
    now_s[0] += SHUT_S
    with outage.noticed():
        pass
    assert outage.cause is None


def test_an_outage_of_the_endpoint_is_noticed_once(store: StoreServer, bucket: str) -> None:
    """Of two buckets the second one is not asked; a bucket that is missing is no outage."""
    other = store.bucket()
    with pytest.raises(OSError, match="does not exist"):
        Bucket(b"s3://missing-bucket/in").page(None)
    assert Bucket(f"s3://{bucket}/in".encode()).page(None)[0]
    store.refuses = lambda _: (503, "SlowDown")
    for name in (bucket, other):
        with pytest.raises(NoAnswerError, match="SlowDown"):
            Bucket(f"s3://{name}/in".encode()).page(None)
        store.asked, asked = [], store.asked
        assert bool(asked) is (name == bucket)
