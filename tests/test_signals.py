"""How the outside steers the loop: wake-ups from any thread, and signals."""

from __future__ import annotations

import os
import signal
import threading
import time

from sharpend.daemon.signals import Control

LONG_S = 30.0


def waited_s(control: Control, timeout_s: float) -> float:
    """How long a wait took."""
    began_s = time.monotonic()
    control.wait(timeout_s)
    return time.monotonic() - began_s


def test_a_wait_ends_by_itself() -> None:
    """Without a wake-up the wait takes its time, and a time that is over takes none."""
    control = Control()
    assert 0.02 <= waited_s(control, 0.02) < LONG_S
    assert waited_s(control, -1.0) < 1.0


def test_a_thread_ends_the_wait() -> None:
    """A wake-up from another thread ends the wait at once."""
    control = Control()
    threading.Thread(target=control.wake).start()
    assert waited_s(control, LONG_S) < LONG_S / 2


def test_a_wake_up_before_the_wait_counts() -> None:
    """What happened just before the wait is not slept through."""
    control = Control()
    control.wake()
    assert waited_s(control, LONG_S) < LONG_S / 2


def test_a_thousand_wakes_are_one() -> None:
    """A burst of events costs one turn of the loop, and the next wait waits."""
    control = Control()
    for _ in range(1000):
        control.wake()
    assert waited_s(control, LONG_S) < LONG_S / 2
    assert waited_s(control, 0.02) >= 0.02


def test_no_wake_up_is_lost() -> None:
    """Whatever a thread did before it woke the loop is seen after some wait that ends early."""
    control = Control()
    done: list[int] = []

    def work() -> None:
        for number in range(2000):
            done.append(number)
            control.wake()

    worker = threading.Thread(target=work)
    worker.start()
    seen = 0
    while seen < 2000:
        assert waited_s(control, LONG_S) < LONG_S / 2
        seen = len(done)
    worker.join()


def test_stops_are_counted() -> None:
    """The first asks for a drain, the second for an immediate end; each wakes the loop."""
    control = Control()
    assert control.stops == 0
    control.stop()
    control.stop()
    assert control.stops == 2
    assert waited_s(control, LONG_S) < LONG_S / 2


def test_signals_set_flags_only() -> None:
    """SIGTERM and SIGINT stop, SIGHUP reloads, and the old handlers come back."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    control = Control()
    with control.signals():
        os.kill(os.getpid(), signal.SIGHUP)
        control.wait(LONG_S)
        assert control.reload
        assert control.stops == 0
        os.kill(os.getpid(), signal.SIGTERM)
        control.wait(LONG_S)
        assert (control.stops, control.signal) == (1, signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        control.wait(LONG_S)
        assert (control.stops, control.signal) == (2, signal.SIGINT)
    after = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    assert after == before


def test_a_signal_ends_a_wait_under_way() -> None:
    """The loop need not poll: a signal that comes during the wait ends it."""
    control = Control()
    with control.signals():
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        assert waited_s(control, LONG_S) < LONG_S / 2
        timer.join()
    assert control.stops == 1
