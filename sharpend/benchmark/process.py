"""Child process that is measured: requests are one line each, replies one line of JSON.

A process of its own isolates the memory and the threads of what is measured, and several processes
that work in turn can be compared on a busy machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from sharpend.errors import SharpendError, UnavailableError
from sharpend.model.device import Placement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Reply: TypeAlias = "dict[str, Any]"


class ChildProcess:
    """Client: starts the process, sends requests, ends it."""

    def __init__(self, module: str, given: Mapping[str, object], *, name: str) -> None:
        """Start `python -m module` with one argument.

        Args:
            module: the server.
            given: its argument, as JSON.
            name: of what is measured, for errors.
        """
        self._name = name
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - __exit__ closes it
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def __enter__(self) -> Self:
        """Wait until the server is ready.

        Raises:
            UnavailableError: it cannot start; the text is the last line of its stderr.
        """
        try:
            self.opened(self._reply())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.kill()
        with self._process, self._stderr:
            pass

    def opened(self, reply: Reply) -> None:
        """Take the server's first reply, which describes what it holds."""

    def ask(self, request: str) -> Reply:
        """Send a request and wait for its reply.

        Raises:
            UnavailableError: the process ended instead.
        """
        assert self._process.stdin is not None  # noqa: S101 - tells the type checker
        with suppress(BrokenPipeError):  # the process has ended: `_reply` raises
            self._process.stdin.write(f"{request}\n")
            self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> Reply:
        assert self._process.stdout is not None  # noqa: S101 - tells the type checker
        line = self._process.stdout.readline()
        if line:
            reply: Reply = json.loads(line)
            return reply
        status = self._process.wait()
        self._stderr.seek(0)
        said = self._stderr.read().strip().splitlines() or [f"ended with status {status}"]
        raise UnavailableError(f"{self._name}: cannot be measured: {said[-1]}")


def run_server(
    serve: Callable[[str, Placement, Iterable[str]], Iterator[Reply]],
    arguments: Sequence[str],
    requests: Iterable[str],
) -> int:
    """Run a server until its requests end; returns the exit status.

    Args:
        serve: yields a first reply, then one for each request.
        arguments: one, JSON of `model` and the fields of Placement.
        requests: one a line.
    """
    given = json.loads(arguments[0])
    model, answers = given.pop("model"), sys.stdout
    try:
        with redirect_stdout(sys.stderr):  # libraries may print; stdout carries replies only
            for reply in serve(model, Placement(**given), (line.strip() for line in requests)):
                answers.write(f"{json.dumps(reply)}\n")
                answers.flush()
    except SharpendError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0
