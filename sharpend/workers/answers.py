"""Worker results: validate answers against their task, and explain how a process ended.

A worker may have been taken over by the file that it decodes, so its answer is compared with what
the daemon knows by itself: the task that it handed out, and the staged file as it lies there.
"""

from __future__ import annotations

import platform
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.attempt import Failed, Failure, Lost, Staged
from sharpend.errors import ImageRefusedError
from sharpend.files import beneath
from sharpend.workers.jsoncodec import MessageError
from sharpend.workers.messages import Raised

if TYPE_CHECKING:
    from collections.abc import Callable

    from sharpend.task import Task
    from sharpend.workers.messages import Answer

TIME_SETTING = "workers.job_timeout_s"
NOT_STARTED = "no worker process could be started"


def not_started(task: Task, cause: str) -> Failed:
    """Result for a task that no process took, so that the image is not blamed."""
    return Failed(task.job_id, Failure.FOLDER, None, f"{NOT_STARTED}: {cause}")


def lost(task: Task, cause: str) -> Lost:
    """Result of a task whose worker ended with the fork server, so the image is not blamed."""
    return Lost(task.job_id, platform.node(), f"the fork server ended: {cause}")


def fitting(task: Task, result: Staged | Failed) -> Staged | Failed | None:
    """Validate a result against its task and the staged file on disk; None if it does not fit."""
    if result.job_id != task.job_id or isinstance(result, Failed):
        return result if result.job_id == task.job_id else None
    if result.temp_name != task.temp_name:
        return None
    try:
        with beneath.directory(task.output_root, task.output_parent) as parent:
            found = beneath.fingerprint_at(parent, task.temp_name)
    except (OSError, ImageRefusedError):
        return result  # missing or unreachable: the commit raises the same error
    if found is None or (found.size, found.inode) != (
        result.fingerprint.size,
        result.fingerprint.inode,
    ):
        return None
    return replace(result, fingerprint=found)


def end_of(
    exit_code: Callable[[], int | None], answer: Answer | MessageError | EOFError
) -> tuple[str, str | None]:
    """Explain why a process cannot be used any longer, with the setting whose limit it met.

    Args:
        exit_code: called if the pipe was closed; returns None while the process runs.
        answer: the last message of the process, or the error of reading it.
    """
    if isinstance(answer, Raised):
        return answer.error, None
    if isinstance(answer, MessageError):
        return f"it sent an invalid message: {answer}", None
    if not isinstance(answer, EOFError):
        return "it sent a message for another task", None
    code = exit_code()
    if code is None:
        return "it closed its pipe", None
    return cause_of(code), TIME_SETTING if code == -signal.SIGXCPU else None


def cause_of(exit_code: int) -> str:
    """Describe a process's exit in words; negative codes are signals."""
    if exit_code >= 0:
        return f"exit status {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:  # most real-time signals have no name
        return f"signal {-exit_code}"
