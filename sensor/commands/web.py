"""``port25 web``: the abuse desk's page, live."""

import argparse
import importlib
import os
import pwd
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from sensor.commands.options import (
    following,
    from_kafka_argument,
    person,
    settings_argument,
    settings_from,
    state_argument,
    state_from,
)
from sensor.commands.terminal import Stop

if TYPE_CHECKING:
    import socket

    from sensor.console.web.app_state import AppState
    from sensor.settings import Settings

__all__ = ["HELP", "PLACE", "arguments", "run"]

HELP: Final = "alerts as they come, in a browser; and an API"
PLACE: Final = 130
_SHORTEST: Final = 10
_LATER: Final = (
    "anyio._backends._asyncio",
    "anyio._core._fileio",
    "anyio.to_thread",
    "argon2",
    "asyncio",
    "encodings.idna",
    "mimetypes",
    "pyshark.tshark.output_parser.tshark_xml",
    "uvicorn.lifespan.on",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
_OIDC: Final = (
    "authlib.integrations.base_client",
    "authlib.integrations.requests_client",
    "authlib.oidc.core",
    "joserfc.jwk",
    "joserfc.jwt",
)
"""Modules that others import when they first need them."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    settings_argument(parser)
    state_argument(parser)
    from_kafka_argument(parser)
    parser.add_argument(
        "--listen", metavar="ADDRESS:PORT", help="in place of the settings' (127.0.0.1:8625)"
    )
    parser.add_argument(
        "--new-password", action="store_true", help="ask for one; print what the settings need"
    )
    parser.add_argument("--new-token", action="store_true", help="print one, and what they need")


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    import msgspec

    from sensor.base.database import DatabaseError
    from sensor.console.view import View
    from sensor.console.web.auth import AccessError, listen_at

    if options.new_password:
        return _new_password()
    if options.new_token:
        from sensor.console.web import credentials

        token = credentials.new_token()
        print(f"token:  {token}\nsha256: {credentials.digest(token)}")
        return 0
    settings = settings_from(options.config)
    if options.listen:
        web = msgspec.structs.replace(settings.web, listen=options.listen)
        settings = msgspec.structs.replace(settings, web=web)
    try:
        host, port = listen_at(settings.web)
    except (AccessError, ValueError) as error:
        raise Stop(2, str(error)) from None
    if settings.web.oidc.issuer:
        for name in _OIDC:
            importlib.import_module(name)
    state = state_from(options, settings)
    topics = following(options, settings, state)
    try:
        View(state)
        listening = _listening(settings, host, port)
        _serve(settings, state, options.config, listening)
    except DatabaseError as error:
        raise Stop(1, str(error)) from None
    finally:
        if topics is not None:
            topics.stop()
    return 0


def _listening(settings: "Settings", host: str, port: int) -> "socket.socket":
    """Where it serves. Raises Stop."""
    import socket

    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        raise Stop(1, f"web.listen: {settings.web.listen}: {error.strerror}") from None


def _serve(
    settings: "Settings", state: Path, config: str | None, listening: "socket.socket"
) -> None:
    import secrets

    import uvicorn

    from sensor.base.access import Person
    from sensor.console.web import packets
    from sensor.console.web.app_state import AppState
    from sensor.console.web.auth import Logins, log
    from sensor.console.web.server import application

    web, owner = settings.web, Person(person(), "operator")
    try:
        app, key = AppState(settings, state, config), secrets.token_urlsafe(24)
    except (OSError, ValueError) as error:
        raise Stop(2, str(error)) from None
    logins = Logins(web, app.keys)

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.follower.stop()  # who follows would hold it up
            super().handle_exit(sig, frame)

    told = uvicorn.Config(
        application(app, logins, key, owner),
        loop="asyncio",
        log_level="warning",
        access_log=False,
        server_header=False,
        ssl_certfile=web.certificate or None,
        ssl_keyfile=web.key or None,
        proxy_headers=bool(web.trusted_proxies),
        forwarded_allow_ips=list(web.trusted_proxies),
        timeout_graceful_shutdown=2,
    )
    told.load()  # reads the key, which its later self may not be able to
    _become_owner(app, state)
    packets.get_ready()
    host, port = listening.getsockname()[:2]
    scheme = "https" if web.certificate else "http"
    address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"
    print(address if web.login else f"{address}?key={key}", flush=True)
    if not web.login:
        log(f"whoever opens this address acts as {owner.name}, with every right")
    Server(told).run([listening])


def _become_owner(app: "AppState", state: Path) -> None:
    """Root becomes whose the state is: it need not be root to read it.

    What that one needs of this program is read before: it may not be able to.
    """
    from sensor.evidence import export
    from sensor.service import privileges

    owner = state.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        for name in _LATER:
            importlib.import_module(name)
        export.get_ready(app.export)
        app.give_to(owner, pwd.getpwuid(owner).pw_gid)
        privileges.drop_privileges(pwd.getpwuid(owner).pw_name)


def _new_password() -> int:
    """Ask for one, print what the settings hold of it."""
    import getpass

    from sensor.console.web import credentials

    if sys.stdin.isatty():
        password = getpass.getpass("new password: ")
        if password != getpass.getpass("once more: "):
            raise Stop(2, "the two are not the same")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < _SHORTEST:
        raise Stop(2, f"a password has at least {_SHORTEST} characters")
    print(credentials.hashed(password))
    return 0
