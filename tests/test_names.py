"""Names of outputs: by the template, never twice, never too long, and the same every time."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpend.commit import names
from sharpend.commit.names import Naming, numbered, shortened
from sharpend.errors import ImageRefusedError, Reason
from sharpend.ledger.case_folding import twin_key
from sharpend.policies import CollisionPolicy, ExistingPolicy, SourcePolicy
from tests.mounts import caseless_disk
from tests.shop import CommitShop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = b"/nowhere"
COMPOSED, DECOMPOSED = "caf\u00e9.jpg", "cafe\u0301.jpg"
FULL = Naming("{folder}_{stem}{suffix}-{model}{ext}", "-sharp", "inbox", "lite-x4")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[CommitShop]:
    """A shop with nothing to do."""
    made = CommitShop(tmp_path)
    yield made
    made.ledger.close()


def first(relative: bytes, naming: Naming) -> bytes:
    """The best name."""
    return next(numbered(ROOT, relative, naming))


TEMPLATES = [
    (Naming(), b"x.png", b"x.png"),
    (Naming(suffix="-sharp"), b"x.png", b"x-sharp.png"),
    (Naming(suffix="-sharp"), b"2024/a b/x.PNG", b"2024/a b/x-sharp.PNG"),
    (Naming(suffix="é"), b"x.png", "xé.png".encode()),
    (Naming(suffix="-s"), b"\xff\xfe.png", b"\xff\xfe-s.png"),
    (Naming(suffix="\u0301"), b"\xc3.png", b"\xc3\xcc\x81.png"),
    (Naming(suffix="-s"), b".png", b".png-s"),
    (Naming(suffix="-s"), b"..png", b"..png-s"),
    (Naming(suffix="-s"), b".x.png", b".x-s.png"),
    (Naming(suffix="-s"), b"x", b"x-s"),
    (Naming(suffix="-s"), b"x.", b"x-s."),
    (Naming(suffix="-s"), b"x.tar.xmp.jpg", b"x.tar.xmp-s.jpg"),
    (Naming(suffix="-s"), b"notes. a whole sentence", b"notes. a whole sentence-s"),
    (Naming(suffix="-s"), b"-rf.jpg", b"-rf-s.jpg"),
    (Naming(suffix="-s"), b"new\nline.jpg", b"new\nline-s.jpg"),
    (FULL, b"x.png", b"inbox_x-sharp-lite-x4.png"),
    (FULL, b"{ext}{folder}.png", b"inbox_{ext}{folder}-sharp-lite-x4.png"),
    (FULL, b"{stem}.{ext}", b"inbox_{stem}-sharp-lite-x4.{ext}"),
    (replace(FULL, model="{stem}"), b"x.png", b"inbox_x-sharp-{stem}.png"),
    (replace(FULL, model=os.fsdecode(b"\xff")), b"x.png", b"inbox_x-sharp-\xff.png"),
    (Naming("{stem}.out"), b"d/x.png", b"d/x.out"),
    (Naming("{stem}-{stem}{ext}"), b"x.png", b"x-x.png"),
]


@pytest.mark.parametrize(("naming", "relative", "output"), TEMPLATES)
def test_a_template_makes_the_name_and_the_tree_is_mirrored(
    naming: Naming, relative: bytes, output: bytes
) -> None:
    """Names are bytes, braces in them are no placeholders, and folders stay what they are."""
    assert first(relative, naming) == output


def test_numbers_follow_the_stem() -> None:
    """A number belongs to the stem, wherever the template has it."""
    assert list(islice(numbered(ROOT, b"a/x.png", FULL), 3)) == [
        b"a/inbox_x-sharp-lite-x4.png",
        b"a/inbox_x-2-sharp-lite-x4.png",
        b"a/inbox_x-3-sharp-lite-x4.png",
    ]


LONG_STEMS = {
    "ascii": b"n" * 251,
    "four bytes a character": "\U0001f4f7".encode() * 62 + b"abc",
    "three bytes a character": "\u5199".encode() * 83 + b"ab",
    "combining": "e\u0301".encode() * 83 + b"ab",
    "no UTF-8": b"\xff" * 251,
    "torn UTF-8": b"\xf0\x9f\x93" * 83 + b"ab",
}


@pytest.mark.parametrize("stem", LONG_STEMS.values(), ids=LONG_STEMS)
@pytest.mark.parametrize("limit", [255, 254, 253, 252, 143])
def test_a_long_name_is_shortened_between_two_characters(stem: bytes, limit: int) -> None:
    """255 bytes go in; the limit is kept, the suffix stays, and no character is torn."""
    name = stem + b".png"
    assert len(name) == 255
    made = shortened(name, limit, Naming(suffix="-sharp"))
    kept, _, end = made.rpartition(b"~")
    assert limit - 8 < len(made) <= limit
    assert stem.startswith(kept)
    assert end[8:] == b"-sharp.png"
    assert int(end[:8], 16) >= 0
    text = stem.decode("utf-8", "surrogateescape")
    cut = kept.decode("utf-8", "surrogateescape")
    assert text.startswith(cut)
    assert text[len(cut)] != "\u0301"


def test_long_names_stay_different_and_are_always_the_same() -> None:
    """What is cut off still counts."""
    naming = Naming(suffix="-sharp")
    one, other = (first(b"d/" + b"n" * 250 + end + b".png", naming) for end in (b"1", b"2"))
    assert one == b"d/" + b"n" * 236 + b"~" + one[-18:-10] + b"-sharp.png"
    assert one[:-18] == other[:-18]
    assert one != other
    assert one == first(b"d/" + b"n" * 250 + b"1.png", naming)


def test_numbers_of_a_long_name_stay_in_sight() -> None:
    """A number comes after the digits and is never cut off."""
    plain, second, third = islice(numbered(ROOT, b"n" * 251 + b".png"), 3)
    assert plain == b"n" * 251 + b".png"
    assert second.endswith(b"-2.png")
    assert third == second.replace(b"-2", b"-3")
    assert len(second) == 255


def test_a_stem_that_is_used_twice_is_cut_twice() -> None:
    """The space is shared."""
    made = first(b"n" * 200 + b".png", Naming("{stem}={stem}{ext}"))
    one, other = made.removesuffix(b".png").split(b"=")
    assert one == other
    assert 250 < len(made) <= 255


def test_a_mark_never_is_without_its_letter() -> None:
    """Where the whole stem is one letter with its marks, the digits are left."""
    made = shortened(b"e" + "\u0301".encode() * 127, 255)
    assert made.startswith(b"~")
    assert len(made) == 9


@pytest.mark.parametrize("relative", [b"x.png", b"n" * 251 + b".png"])
def test_what_is_no_stem_cannot_be_shortened(relative: bytes) -> None:
    """A template that fills a name alone is reported, with the setting."""
    with pytest.raises(ImageRefusedError) as refused:
        first(relative, Naming("{stem}" + "x" * 252 + "{ext}"))
    assert refused.value.reason is Reason.NAME_TOO_LONG
    assert refused.value.setting == "folder.output_name"


@pytest.mark.parametrize(("length", "expected"), [(143, 143), (144, 143), (255, 143)])
def test_a_file_system_with_shorter_names_is_believed(
    monkeypatch: pytest.MonkeyPatch, length: int, expected: int
) -> None:
    """Where names are encrypted, as on many a NAS, they are cut to what fits there."""

    def lstat(path: bytes) -> None:
        number = errno.ENAMETOOLONG if len(os.path.basename(path)) > 143 else errno.ENOENT
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(names.os, "lstat", lstat)  # type: ignore[attr-defined]
    assert len(first(b"n" * (length - 4) + b".png", Naming())) == expected


LETTERS = st.sampled_from("aA.-~{}\u00e9e\u0301\u00c9\U0001f4f7\u5199")
STEMS = st.one_of(
    st.text(LETTERS, min_size=1, max_size=80).map(str.encode),
    st.binary(min_size=1, max_size=251),
    st.builds(
        lambda text, times: (text * times).encode(), st.text(LETTERS, min_size=1), st.just(60)
    ),
)
FILES = st.builds(
    lambda stem, ext: stem[: 255 - len(ext)] + ext, STEMS, st.sampled_from([b".png", b".jpeg", b""])
).filter(lambda name: not set(name) & {0, ord("/")} and name not in {b".", b".."})
NAMINGS = st.builds(
    Naming,
    st.sampled_from(["{stem}{suffix}{ext}", "{folder} {stem}{model}{ext}{suffix}", "{stem}.out"]),
    st.sampled_from(["", "-sharp", "\u0301"]),
    st.just("in"),
    st.just("lite-x4"),
)


@settings(max_examples=30)
@given(FILES, NAMINGS, st.integers(1, 12))
def test_every_name_is_legal(name: bytes, naming: Naming, tried: int) -> None:
    """However odd an input's name is, its output's is one plain component that fits."""
    for made in islice(numbered(ROOT, b"d/" + name, naming), tried):
        parent, base = os.path.split(made)
        assert parent == b"d"
        assert 0 < len(base) <= 255
        assert b"\0" not in base
        assert base not in {b".", b".."}
    assert len(set(islice(numbered(ROOT, name, naming), tried))) == tried


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(
    inputs=st.lists(FILES, min_size=2, max_size=6, unique=True),
    naming=NAMINGS,
    portable=st.booleans(),
)
def test_inputs_never_share_an_output(
    tmp_path_factory: pytest.TempPathFactory,
    inputs: list[bytes],
    naming: Naming,
    *,
    portable: bool,
) -> None:
    """Distinct inputs have distinct outputs, portable ones even folded, and keep them."""
    shop = CommitShop(tmp_path_factory.mktemp("shop"))
    shop.to = replace(shop.to, naming=naming, portable_names=portable)
    for turn in (b"1", b"2"):
        for name in inputs:
            shop.drop(os.fsdecode(name), name + turn)
        shop.run_all()
        made = shop.files("out")
        assert sorted(made.values()) == sorted(b"sharp " + name + turn for name in inputs)
        keys = [os.fsencode(path) for path in made]
        assert len({twin_key(key) if portable else key for key in keys}) == len(inputs)
    shop.ledger.close()


# Collisions and twins


def test_a_collision_is_numbered_and_the_names_last(shop: CommitShop) -> None:
    """Of two inputs with one name the first has it, and each keeps its own when done again."""
    shop.to = replace(shop.to, naming=Naming("{stem}.out"))
    shop.drop("x.png", b"png")
    shop.run_all()
    shop.drop("x.jpg", b"jpg")
    shop.run_all()
    assert shop.files("out") == {"x.out": b"sharp png", "x-2.out": b"sharp jpg"}
    for again in ("x.jpg", "x.png"):
        shop.drop(again, b"new " + again.encode())
    shop.run_all()
    assert shop.files("out") == {"x.out": b"sharp new x.png", "x-2.out": b"sharp new x.jpg"}


@pytest.mark.parametrize("policy", ExistingPolicy)
def test_a_collision_is_refused_before_the_work(shop: CommitShop, policy: ExistingPolicy) -> None:
    """The error of the later input says which one was first, whatever becomes of foreign files."""
    shop.to = replace(
        shop.to,
        naming=Naming("{stem}.out"),
        collision=CollisionPolicy.REFUSE,
        existing=policy,
        source=SourcePolicy.DELETE,
    )
    shop.drop("x.png", b"png")
    shop.run_all()
    shop.drop("x.jpg", b"jpg")
    with pytest.raises(ImageRefusedError, match=r"'x\.out' belongs to .* 'x\.png'") as refused:
        shop.prepare(shop.claim())
    assert refused.value.reason is Reason.NAME_TAKEN
    assert refused.value.setting == "folder.collision"
    assert shop.files("out") == {"x.out": b"sharp png"}
    assert shop.files("in") == {"x.jpg": b"jpg"}


def test_a_collision_at_the_last_moment_is_refused(shop: CommitShop) -> None:
    """Two inputs may be in work at once; the later one leaves nothing behind."""
    shop.to = replace(shop.to, naming=Naming("{stem}.out"), collision=CollisionPolicy.REFUSE)
    for name in ("x.png", "x.jpg"):
        shop.drop(name, name.encode())
    jobs = [shop.claim(), shop.claim()]
    attempts = [shop.work(job) for job in jobs]
    shop.commit(jobs[0], attempts[0])
    with pytest.raises(ImageRefusedError) as refused:
        shop.commit(jobs[1], attempts[1])
    assert refused.value.reason is Reason.NAME_TAKEN
    assert shop.files("out") == {"x.out": b"sharp x.png"}


def test_a_refusing_folder_does_its_own_again(shop: CommitShop) -> None:
    """An input's own output is no collision; nor is a foreign file, which `existing` rules."""
    shop.to = replace(shop.to, collision=CollisionPolicy.REFUSE)
    (shop.home / "out/x.png").write_bytes(b"foreign")
    for content in (b"old", b"new"):
        shop.drop("x.png", content)
        shop.run()
    assert shop.files("out") == {"x.png": b"foreign", "x-2.png": b"sharp new"}


def test_an_edited_output_of_another_input_is_not_replaced(shop: CommitShop) -> None:
    """`existing = "replace"` is about foreign files; a retouched output of ours is none."""
    shop.to = replace(shop.to, naming=Naming("{stem}.out"), existing=ExistingPolicy.REPLACE)
    shop.drop("x.png", b"png")
    shop.run()
    (shop.home / "out/x.out").write_bytes(b"retouched")
    shop.drop("x.jpg", b"jpg")
    shop.run()
    assert shop.files("out") == {"x.out": b"retouched", "x-2.out": b"sharp jpg"}


TWINS = [
    (["Photo.jpg", "photo.jpg"], ["Photo.jpg", "photo-2.jpg"]),
    ([COMPOSED, DECOMPOSED], [COMPOSED, "cafe\u0301-2.jpg"]),
    (["x.JPG", "x.jpg", "X.jpg"], ["x.JPG", "x-2.jpg", "X-3.jpg"]),
    (["A/x.jpg", "a/x.jpg", "a/y.jpg"], ["A/x.jpg", "a/x-2.jpg", "a/y.jpg"]),
    (["Stra\u00dfe.jpg", "STRASSE.jpg"], ["Stra\u00dfe.jpg", "STRASSE-2.jpg"]),
]


@pytest.mark.parametrize("portable", [True, False])
@pytest.mark.parametrize(("inputs", "outputs"), TWINS)
def test_twins_are_distinguished_or_not(
    shop: CommitShop, inputs: list[str], outputs: list[str], *, portable: bool
) -> None:
    """Twins are mirrored as they are; portable names number the later one, the same each time."""
    shop.to = replace(shop.to, portable_names=portable)
    for turn in (b"1", b"2"):
        for name in inputs:
            shop.drop(name, os.fsencode(name) + turn)
            shop.run()
        expected = outputs if portable else inputs
        assert shop.files("out") == {
            output: b"sharp " + os.fsencode(name) + turn
            for name, output in zip(inputs, expected, strict=True)
        }


def test_twins_are_refused_where_collisions_are(shop: CommitShop) -> None:
    """`collision` rules twins too."""
    shop.to = replace(shop.to, portable_names=True, collision=CollisionPolicy.REFUSE)
    shop.drop("Photo.jpg")
    shop.run()
    shop.drop("photo.jpg")
    with pytest.raises(ImageRefusedError) as refused:
        shop.run()
    assert refused.value.reason is Reason.NAME_TAKEN


def test_a_twin_that_is_gone_has_no_claim(shop: CommitShop) -> None:
    """A name is free again when the output that had it was taken away."""
    shop.to = replace(shop.to, portable_names=True)
    shop.drop("Photo.jpg")
    shop.run()
    (shop.home / "out/Photo.jpg").unlink()
    shop.drop("photo.jpg")
    assert shop.run().output == b"photo.jpg"


def test_a_staged_twin_has_a_claim(shop: CommitShop) -> None:
    """What a crash left between rename and record counts as well."""
    shop.to = replace(shop.to, portable_names=True)
    shop.crash_at = "renamed"
    shop.drop("Photo.jpg")
    with pytest.raises(Exception, match="renamed"):
        shop.run()
    shop.crash_at = ""
    shop.drop("photo.jpg")
    assert shop.run().output == b"photo-2.jpg"


# Long names, all the way


def test_long_names_reach_the_disk_and_the_archive(shop: CommitShop) -> None:
    """An input of 255 bytes has its output, and its place in an archive that has one already."""
    shop.to = replace(shop.to, naming=Naming(suffix="-sharp"), source=SourcePolicy.ARCHIVE)
    name = "\U0001f4f7" * 62 + "abc.png"
    (shop.home / "archive" / name).write_bytes(b"earlier")
    shop.drop(name, b"long")
    done = shop.run()
    assert done.warning == ""
    assert done.output.endswith(b"-sharp.png")
    (archived,) = set(shop.files("archive")) - {name}
    assert archived.endswith("-2.png")
    assert shop.files("in") == {}


def test_a_long_name_is_kept_when_it_is_done_again(shop: CommitShop) -> None:
    """The output of a long name is replaced by the next, not joined by it."""
    shop.to = replace(shop.to, naming=Naming(suffix="-sharp"))
    for content in (b"old", b"new"):
        shop.drop("n" * 251 + ".png", content)
        shop.run()
    assert list(shop.files("out").values()) == [b"sharp new"]


# A real file system that does not tell upper from lower case


@pytest.mark.slow
@pytest.mark.parametrize("policy", ExistingPolicy)
def test_twins_on_a_disk_that_takes_them_for_one(shop: CommitShop, policy: ExistingPolicy) -> None:
    """There the later twin meets the other's output by name, and nothing is ever overwritten."""
    shop.to = replace(shop.to, existing=policy)
    made = {"Photo.jpg": b"sharp Photo.jpg", "photo-2.jpg": b"sharp photo.jpg"}
    with caseless_disk(shop.home / "image", shop.home / "out") as mount_anew:
        for _ in range(2):
            for name in ("Photo.jpg", "photo.jpg"):
                shop.drop(name, name.encode())
                shop.run()
            assert shop.files("out") == made
            assert mount_anew()  # files may get other inode numbers, by which they are known
        shop.drop("PHOTO.jpg", b"third")
        third = shop.run().output
        assert shop.files("out") == made | {os.fsdecode(third): b"sharp third"}
