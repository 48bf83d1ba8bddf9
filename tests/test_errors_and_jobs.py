"""Names that all packages share: errors with their exit codes, states with their moves."""

from __future__ import annotations

import re

import pytest

from sharpend import errors
from sharpend.attempt import Failure
from sharpend.errors import ExitCode, ImageRefusedError, Reason, SharpendError, TransientError
from sharpend.files.fingerprint import Fingerprint, display
from sharpend.ledger.records import MOVES, State
from sharpend.logs.events import Event

PRINT = Fingerprint(1, 2, 3)
TREE = [
    one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, SharpendError)
]


@pytest.mark.parametrize("error", TREE)
def test_every_error_knows_its_exit_code(error: type[SharpendError]) -> None:
    """One tree: whatever is raised on purpose ends the process with a status that is documented."""
    assert error.exit_code in ExitCode
    assert error.exit_code is not ExitCode.OK
    assert error.__doc__


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UsageError", 64),
        ("ImageRefusedError", 65),
        ("InputMissingError", 66),
        ("UnavailableError", 69),
        ("OutputFailedError", 73),
        ("FolderFaultError", 73),
        ("StateLockedError", 75),
        ("ConfigError", 78),
    ],
)
def test_exit_codes_are_a_contract(name: str, code: int) -> None:
    """Scripts rely on the numbers of sysexits.h."""
    assert getattr(errors, name).exit_code == code


def test_refusals_carry_code_and_setting() -> None:
    """What quarantine writes down comes with the error."""
    error = ImageRefusedError(Reason.TOO_MANY_PIXELS, "too large", setting="limits.max_megapixels")
    assert (error.reason, error.setting, str(error)) == (
        Reason.TOO_MANY_PIXELS,
        "limits.max_megapixels",
        "too large",
    )
    assert TransientError(Reason.IO_ERROR, "EIO").reason is Reason.IO_ERROR


def test_every_state_has_its_moves() -> None:
    """The table is complete, nothing stays where it is, and every state can be reached."""
    assert set(MOVES) == set(State)
    assert not [state for state, to in MOVES.items() if state in to]
    assert set().union(*MOVES.values()) == set(State)


def test_no_state_is_a_dead_end() -> None:
    """From every state a job can be brought back to pending: recovery, a drain, `retry`."""
    assert all(State.PENDING in to for state, to in MOVES.items() if state is not State.PENDING)


@pytest.mark.parametrize(
    ("state", "to"),
    [
        (State.PENDING, State.DONE),
        (State.PENDING, State.STAGED),
        (State.RUNNING, State.DONE),
        (State.RUNNING, State.DISPOSED),
        (State.STAGED, State.DISPOSED),
        (State.STAGED, State.VANISHED),
        (State.DONE, State.QUARANTINED),
        (State.QUARANTINED, State.DONE),
        (State.DISPOSED, State.QUARANTINED),
        (State.VANISHED, State.DONE),
    ],
)
def test_no_step_of_the_promise_is_skipped(state: State, to: State) -> None:
    """An output is staged before it is done, and done before its source goes."""
    assert to not in MOVES[state]


def test_a_source_goes_only_after_its_output_is_in_place() -> None:
    """Every way to DISPOSED leads through DONE, and every way to DONE through STAGED."""
    assert [state for state, to in MOVES.items() if State.DISPOSED in to] == [State.DONE]
    assert [state for state, to in MOVES.items() if State.DONE in to] == [State.STAGED]


def test_values_are_distinguished() -> None:
    """Another size, time or inode is another file."""
    for changed in (Fingerprint(9, 2, 3), Fingerprint(1, 9, 3), Fingerprint(1, 2, 9)):
        assert changed != PRINT


@pytest.mark.parametrize("path", [b"a/b.png", b"\xff\xfe.png", "naïve.png".encode(), b"a\nb"])
def test_display_loses_nothing(path: bytes) -> None:
    """A path for people turns back into the same bytes."""
    assert display(path).encode("utf-8", "surrogateescape") == path


def test_names_are_spelled_alike() -> None:
    """Events are noun.past_participle; reasons, states and failures are snake_case and unique."""
    assert all(re.fullmatch(r"[a-z]+\.[a-z]+", event) for event in Event)
    codes = [*Reason, *State, *Failure]
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)
    for kind in (Reason, State, Failure, Event):
        assert len(kind.__members__) == len(list(kind))
