"""A browser's side of HTTP without a socket: requests go straight into an ASGI application."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message

HOST = "127.0.0.1"
MOST_REDIRECTIONS = 5


@dataclass
class Answer:
    """A response, and the path that it came from."""

    path: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass
class Asking:
    """One browser, with cookies of its own.

    Attributes:
        app: the application.
        cookies: by name.
        host: what it sends as `Host`.
    """

    app: ASGIApp
    cookies: dict[str, str] = field(default_factory=dict)
    host: str = HOST

    async def get(self, path: str) -> Answer:
        """Ask for a page, and follow redirections."""
        return await self._followed(await self.ask("GET", path))

    async def post(self, path: str, form: Mapping[str, str]) -> Answer:
        """Send a form, and follow redirections."""
        return await self._followed(await self.ask("POST", path, urlencode(form).encode()))

    async def _followed(self, answer: Answer) -> Answer:
        for _ in range(MOST_REDIRECTIONS):
            if answer.status != 303:
                return answer
            answer = await self.ask("GET", answer.headers["location"])
        raise AssertionError(f"redirected without end: {answer.path}")

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send one request, and keep the cookies of the answer."""
        answer, asked = Answer(urlsplit(path).path), False

        async def receive() -> Message:
            nonlocal asked
            kind = "http.disconnect" if asked else "http.request"
            asked = True
            return {"type": kind, "body": body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                for name, value in message["headers"]:
                    self._keep(answer, name.decode(), value.decode())
            else:
                answer.body += message.get("body", b"")

        await self.app(self._scope(method, path), receive, send)
        return answer

    def _keep(self, answer: Answer, name: str, value: str) -> None:
        answer.headers[name] = value
        if name == "set-cookie":
            own, _, content = value.split(";", maxsplit=1)[0].partition("=")
            self.cookies[own] = content

    def _scope(self, method: str, path: str) -> dict[str, Any]:
        parts = urlsplit(path)
        sent = {"host": self.host, "content-type": "application/x-www-form-urlencoded"}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": (HOST, 1),
            "server": (HOST, 80),
        }
