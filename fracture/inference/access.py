"""Who may ask, a line a request, and no connection that only waits."""

import asyncio
import hmac
import ipaddress
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fracture.errors import ConfigError
from fracture.failures import unreadable

_OPEN = frozenset({"/", "/page.css", "/page.js", "/healthz"})  # hold no answers: the page asks for the token
_PROBES = frozenset({"/healthz", "/metrics"})  # called every few seconds by machines: no line
_SHORTEST = 16  # characters of a token
_REFUSED = b'{"detail":"a token is needed: Authorization: Bearer TOKEN"}'


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can ask there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def read_token(path: Path) -> str:
    """The token that a file holds.

    Raises:
        ConfigError: no such file, or too short to be a secret.
    """
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"--token {path}: cannot be read as ASCII text: {unreadable(error)}") from error
    if len(token) < _SHORTEST or len(token.split()) != 1:
        raise ConfigError(
            f"--token {path}: holds {len(token)} characters, one word of {_SHORTEST} or more is needed. "
            f"`openssl rand -hex 24 > {path}` makes one"
        )
    return token


class AccessMiddleware:
    """ASGI middleware: refuses who has no token where there is one, and says a line a request."""

    def __init__(self, app: ASGIApp, token: str, say: Callable[[str], None]) -> None:
        """Wrap ``app``; an empty ``token`` lets everybody in."""
        self._app, self._say = app, say
        self._wanted = f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, status = time.perf_counter(), 499  # until an answer begins: it was given up

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self._admits(scope):
                await self._app(scope, receive, noted)
            else:
                await _refuse(noted)
        finally:
            if scope["path"] not in _PROBES:
                who = (scope.get("client") or ("-",))[0]
                seconds = time.perf_counter() - began
                at = time.strftime("%H:%M:%S")
                self._say(f"{at} {who} {scope['method']} {scope['path']} {status} {seconds:.2f} s")

    def _admits(self, scope: MutableMapping[str, Any]) -> bool:
        if not self._wanted or scope["path"] in _OPEN:
            return True
        given = dict(scope["headers"]).get(b"authorization", b"")
        return hmac.compare_digest(given, self._wanted)


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSED})


class HeaderTimeoutProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, but no connection waits for ever: for the end of a request's headers, or of a body.

    A body that is refused before it has arrived is still taken, and thrown away: closed at once, the connection would
    be reset, and whoever is sending would not see why it was refused.
    """

    seconds = 30.0
    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of the headers, or no longer."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE or self._answered_early():
            self._wait()
        else:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the rest of a body that nobody wants any more."""
        super().on_response_complete()
        if self._answered_early():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _answered_early(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete

    def _wait(self) -> None:
        if self._closing is None:
            self._closing = self.loop.call_later(self.seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
