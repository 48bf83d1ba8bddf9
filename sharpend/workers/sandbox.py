"""Sandbox of workers: seccomp filter and no_new_privs, set before untrusted input is decoded.

Owns the list of system calls that image processing does not need and an attacker would use
next. A compromised decoder can still do what the worker itself can: read and write the files
that its user may. Also keeps such a worker from reading
the memory of the daemon and of the fork server. Linux on x86_64 and
aarch64; elsewhere there is no sandbox, and `enter` reports so.

Source: seccomp(2), linux/filter.h, linux/seccomp.h; the numbers are those of asm/unistd.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

NO_NEW_PRIVILEGES = "no_new_privileges"
SYSTEM_CALLS = "system_calls"
PARTS = frozenset({NO_NEW_PRIVILEGES, SYSTEM_CALLS})

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_SET_MODE_FILTER, _FLAG_TSYNC = 1, 1
_CLONE_THREAD = 0x10000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
"""These write into the terminal that `sharpend once` was typed in."""
_FIOSETOWN, _SIOCSPGRP = 0x8901, 0x8902
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15
"""These have the kernel send a signal of choice to another process when a pipe becomes ready."""
_SET_ID = 0o6000
"""A program with these bits runs as its owner, whoever starts it."""
_CREATES = os.O_CREAT | 0o20000000
"""O_CREAT, and the bit of O_TMPFILE: the call has a mode."""
_X32 = 0x40000000
"""The bit of x86_64's second set of numbers for the same calls."""

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the tables below, and the kernel's name for the architecture."""
_SECCOMP = (317, 277)
_CLONE, _CLONE3, _SOCKET, _IOCTL = (56, 220), (435, 435), (41, 198), (16, 29)
_KILL, _TGKILL = (62, 129), (234, 131)
_FCNTL, _PRCTL = (72, 25), (157, 167)
_OPENAT2 = (437, 437)
_MODE_AT: tuple[tuple[tuple[int | None, int | None], int], ...] = (
    ((90, None), 1),  # chmod
    ((91, 52), 1),  # fchmod
    ((268, 53), 2),  # fchmodat
    ((452, 452), 2),  # fchmodat2
    ((85, None), 1),  # creat
    ((83, None), 1),  # mkdir
    ((258, 34), 2),  # mkdirat
)
"""Calls that give a file a mode, and which argument that is."""
_FLAGS_AT: tuple[tuple[tuple[int | None, int | None], int], ...] = (((2, None), 1), ((257, 56), 2))
"""open and openat, and which argument are the flags; the mode is the next."""
_PRLIMIT = (302, 261)
"""Limits of its own process alone (pid 0): a processor time of 0 would end another process."""

_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # Other programs and processes
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    # Another view of the file system, and its back doors
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "mknod": (133, None), "mknodat": (259, 33),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "quotactl": (179, 60),
    "fanotify_init": (300, 262),
    # The machine
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "sethostname": (170, 161),
    "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None),
    "init_module": (175, 105), "delete_module": (176, 106), "finit_module": (313, 273),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "acct": (163, 89),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "syslog": (103, 116), "vhangup": (153, 58),
    # Wide ways into the kernel; io_uring also opens sockets and files past any filter
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "personality": (135, 92), "modify_ldt": (154, None),
}  # fmt: skip
"""Calls that fail with EPERM, by their numbers on x86_64 and aarch64."""

# Instructions of the filter: load a word, jump where it is equal / at least / has a bit, return.
_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_DENY = _ERRNO | errno.EPERM


class _Program(ctypes.Structure):
    """The C struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def enter(*, local_sockets: bool) -> tuple[str, ...]:
    """Enter the sandbox with every thread of this process, irrevocably.

    Args:
        local_sockets: leave sockets of this machine's file system, which drivers may talk through.

    Returns:
        What is in force now, of `PARTS`.
    """
    if sys.platform != "linux":
        return ()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return ()
    if platform.machine() not in _MACHINES or ctypes.sizeof(ctypes.c_void_p) != 8:  # noqa: PLR2004
        return (NO_NEW_PRIVILEGES,)
    column, architecture = _MACHINES[platform.machine()]
    filter_ = _filter(column, architecture, local_sockets=local_sockets)
    program = _Program(len(filter_) // 8, filter_)
    # ENOSYS or EINVAL without seccomp; the id of a thread that could not be confined.
    if libc.syscall(_SECCOMP[column], _SET_MODE_FILTER, _FLAG_TSYNC, ctypes.byref(program)):
        return (NO_NEW_PRIVILEGES,)
    return (NO_NEW_PRIVILEGES, SYSTEM_CALLS)


def deny_inspection() -> None:
    """Keep other processes of this user from reading this one's memory and descriptors.

    A worker has the daemon's user and may open files, so without this it could write into the
    memory of the daemon or of the fork server through /proc. Root still can. A program that is
    started afterwards is not protected.
    """
    _set_dumpable(0)


def allow_inspection() -> None:
    """Take `deny_inspection` back in a forked process that is confined.

    The unit hides such processes from the daemon (ProtectProc=invisible), which reads how much
    memory a worker holds. A worker that is not confined yet must not be changed by another one.
    """
    _set_dumpable(1)


def _set_dumpable(value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, value, 0, 0, 0)


def _filter(column: int, architecture: int, *, local_sockets: bool) -> bytes:
    """Build the BPF program that the kernel runs before each system call."""
    here = os.getpid()
    steps = [
        _step(_LOAD, _ARCHITECTURE_AT),
        *_continue_if(_EQUAL, architecture, otherwise=_KILL_PROCESS),
        _step(_LOAD, _NUMBER_AT),
    ]
    if not column:
        steps += _return_if(_AT_LEAST, _X32, _DENY)
    for numbers in _REFUSED.values():
        number = numbers[column]
        if number is not None:
            steps += _return_if(_EQUAL, number, _DENY)
    # What they ask for lies behind a pointer, so a filter cannot judge it; libc takes older calls.
    for number in (_CLONE3[column], _OPENAT2[column]):
        steps += _return_if(_EQUAL, number, _ERRNO | errno.ENOSYS)
    steps += _check_argument(_CLONE[column], 0, _HAS_BIT, _CLONE_THREAD)
    for number in (_KILL[column], _TGKILL[column]):
        steps += _check_argument(number, 0, _EQUAL, here)
    steps += _check_argument(_PRLIMIT[column], 0, _EQUAL, 0)
    for code in (_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP):
        steps += _check_argument(_IOCTL[column], 1, _EQUAL, code, held=_DENY, otherwise=None)
    for code in (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX):
        steps += _check_argument(_FCNTL[column], 1, _EQUAL, code, held=_DENY, otherwise=None)
    # A worker that outlived its parent could be killed by nobody.
    steps += _check_argument(
        _PRCTL[column], 0, _EQUAL, _PR_SET_PDEATHSIG, held=_DENY, otherwise=None
    )
    steps += _deny_set_id(column)
    if local_sockets:
        steps += _check_argument(_SOCKET[column], 0, _EQUAL, 1)  # AF_UNIX
    else:
        steps += _return_if(_EQUAL, _SOCKET[column], _DENY)
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _deny_set_id(column: int) -> list[bytes]:
    """Build rules that refuse to set the set-user-ID and set-group-ID bits."""
    steps = []
    for numbers, argument in _MODE_AT:
        if (number := numbers[column]) is not None:
            steps += _check_argument(
                number, argument, _HAS_BIT, _SET_ID, held=_DENY, otherwise=None
            )
    for numbers, argument in _FLAGS_AT:
        if (number := numbers[column]) is not None:
            inside = [
                _step(_LOAD, _ARGUMENTS_AT + 8 * argument),
                _step(_HAS_BIT, _CREATES, 0, 3),
                _step(_LOAD, _ARGUMENTS_AT + 8 * (argument + 1)),
                *_return_if(_HAS_BIT, _SET_ID, _DENY),
                _step(_LOAD, _NUMBER_AT),
            ]
            steps += [_step(_EQUAL, number, 0, len(inside)), *inside]
    return steps


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Build one struct sock_filter; jumps are counted in steps to skip."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _return_if(test: int, value: int, verdict: int) -> list[bytes]:
    """Build a test that returns a verdict if the loaded word passes, else continues."""
    return [_step(test, value, 0, 1), _step(_RETURN, verdict)]


def _continue_if(test: int, value: int, *, otherwise: int) -> list[bytes]:
    """Build a test that continues if the loaded word passes, else returns a verdict."""
    return [_step(test, value, 1, 0), _step(_RETURN, otherwise)]


def _check_argument(
    number: int,
    argument: int,
    test: int,
    value: int,
    *,
    held: int = _ALLOW,
    otherwise: int | None = _DENY,
) -> list[bytes]:
    """Check a call by the low half of one argument; `otherwise` None goes on to the next rule."""
    inside = [
        _step(_LOAD, _ARGUMENTS_AT + 8 * argument),
        *_return_if(test, value, held),
        _step(_LOAD, _NUMBER_AT) if otherwise is None else _step(_RETURN, otherwise),
    ]
    return [_step(_EQUAL, number, 0, len(inside)), *inside]
