"""`sharpend web`: serve the status page of a state directory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.commands.overrides import settings_of
from sharpend.daemon import settings_values
from sharpend.errors import UnavailableError, UsageError
from sharpend.logs.events import Event

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection

    from sharpend.web.tokens import Tokens


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options of this command alone."""
    text = "127.0.0.1:PORT, [::1]:PORT or unix:PATH; another address needs --token-file"
    command.add_argument("--listen", default="127.0.0.1:8484", metavar="ADDRESS", help=text)
    text = "file with a name and a token on each line; every visitor needs one of them"
    command.add_argument("--token-file", type=Path, metavar="FILE", help=text)
    text = "host name of this page in browsers, besides localhost; may be repeated"
    command.add_argument("--allow-host", action="append", metavar="NAME", help=text)
    text = "trust X-Forwarded-For and X-Forwarded-Proto; only behind a proxy, with --token-file"
    command.add_argument("--behind-proxy", action="store_true", help=text)


def main(options: argparse.Namespace) -> int:
    """Answer until SIGTERM.

    Raises:
        UsageError: the address is malformed, another machine could reach it without a token, or
            anybody's proxy headers would be trusted.
        UnavailableError: the libraries of the page are missing, or the address is in use.
    """
    try:
        from sharpend.web import access_control, address, app, serve, sessions, tokens  # noqa: PLC0415
    except ImportError as error:
        raise UnavailableError(
            f"the status page needs {error.name}: pip install 'sharpend[web]'"
        ) from error
    settings = settings_of(options)
    where = address.parse(options.listen)
    known = tokens.Tokens({}) if options.token_file is None else tokens.read(options.token_file)
    names = where.names | {access_control.name_in(name) for name in options.allow_host or ()}
    if options.behind_proxy and not where.is_local:
        raise UsageError(
            f"--behind-proxy: {options.listen}: every client could send these headers: listen at"
            " unix:PATH or 127.0.0.1:PORT"
        )
    is_local = where.is_local and not options.allow_host and not options.behind_proxy
    _require_safe(options.listen, known, names, is_local=is_local)
    log = settings_values.log(settings)
    own = sessions.Sessions(cookie=where.cookie)
    access = access_control.Access(names, known, own, tokens.Throttle(), log, options.behind_proxy)
    site = app.Site(settings.state, settings.report.every_s, access)

    def on_ready(url: str) -> None:
        asks = known.are_asked_for
        log.info(Event.WEB_READY, address=url, state=settings.state, asks_for_token=asks)

    serve.serve(partial(app.make, site), on_ready, where)
    return 0


def _require_safe(listen: str, known: Tokens, names: Collection[str], *, is_local: bool) -> None:
    """Raise UsageError for an address that others can reach without a token, or without a name."""
    if not is_local and not known.are_asked_for:
        raise UsageError(
            f"--listen: {listen}: other machines can reach this address, the name of --allow-host,"
            " or the server of --behind-proxy: give --token-file"
        )
    if not names:
        raise UsageError(f"--listen: {listen}: give --allow-host with the name of this machine")
