"""The window in a browser: the same pictures and keys, for a machine without a screen.

Pictures go out over a WebSocket as JPEGs, the newest one whenever a viewer has shown the last, so a slow line shows
fewer of them and never older ones. Keys come back by the names that the window has for them.
"""

import contextlib
import hmac
import html
import http
import io
import ipaddress
import json
import queue
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pygame
from numpy.typing import NDArray
from PIL import Image

from experiment.errors import UserError
from experiment.watch.pace import Pace
from experiment.watch.paint import Canvas

QUALITY = 88  # of the JPEGs
PATIENCE = 0.25  # seconds to wait for a viewer or a picture before looking whether the viewer has left
PAGE = Path(__file__).with_name("web.html")
SECRET = "token"


class Browser:
    """A window's place taken by a page, for any number of viewers at once.

    It listens to this machine alone unless told otherwise. If others can reach it, the address holds a token, and
    whoever comes without it gets 403. Pages of other sites get 403 in any case.

    Attributes:
        address: where to look.
        wait: waits for the next picture's turn; returns the seconds since the last one's.

    Args:
        width: units of the picture.
        height: likewise.
        scale: pixels a unit.
        title: of the page.
        host: an address of this machine.
        port: 0 for any that is free.

    Raises:
        UserError: if the library is missing, or nothing can be listened to there.
    """

    def __init__(
        self, width: float, height: float, scale: float, title: str, host: str = "127.0.0.1", port: int = 8765
    ) -> None:
        try:
            from websockets.sync.server import serve
        except ImportError as error:
            raise UserError('--web needs one more package: pip install -c constraints.txt -e ".[web]"') from error
        self._scale, self._local, self.wait = scale, _is_local(host), Pace().wait
        self._token = "" if self._local else secrets.token_urlsafe(16)
        self._page = PAGE.read_text().replace("{title}", html.escape(title)).replace("{size}", f"{width / height:.4f}")
        self._moved: queue.Queue[tuple[str, bool]] = queue.Queue()
        self._news = threading.Condition()
        self._viewers: set[Any] = set()
        self._picture: NDArray[np.uint8] = np.zeros((1, 1, 3), np.uint8)
        self._number, self._coded = 0, (-1, b"")
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            both = host == "::" and socket.has_dualstack_ipv6()
            listening = socket.create_server((host, port), family=family, dualstack_ipv6=both)
            self._server = serve(self._watch, sock=listening, process_request=self._answer)
        except OSError as error:
            raise UserError(
                f"nothing can be served at {host}:{port} ({error.strerror or error}); choose another --port or --host"
            ) from error
        port = self._server.socket.getsockname()[1]
        name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        self.address = f"http://{name}:{port}/" + (f"?{SECRET}={self._token}" if self._token else "")
        self._thread = threading.Thread(target=self._server.serve_forever, name="web", daemon=True)
        self._thread.start()

    def scale(self, width: float, height: float) -> float:
        """Return the pixels a unit, whatever the viewers' windows; they enlarge what they get."""
        return self._scale

    def show(self, canvas: Canvas) -> None:
        """Show a picture to all viewers, each as soon as it has shown the one before."""
        with self._news:
            self._picture, self._number = canvas.array(), self._number + 1
            self._news.notify_all()

    def hold(self) -> None:
        """Show what is shown a while longer."""

    def moved(self) -> Iterator[tuple[str, bool]]:
        """Yield the names of keys that viewers moved since the last call, and whether they went down."""
        while not self._moved.empty():
            yield self._moved.get()

    def close(self) -> None:
        """Send all viewers away, also those that do not read what they are sent."""
        for connection in list(self._viewers):
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._thread.join()
        pygame.quit()

    def _answer(self, connection: Any, request: Any) -> Any:
        """Let viewers in, hand out the page, and refuse all else; see `websockets.sync.server.serve`."""
        parts = urlsplit(request.path)
        token = parse_qs(parts.query).get(SECRET, [""])[0]
        origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return connection.respond(http.HTTPStatus.FORBIDDEN, "The token in the address is missing or wrong.\n")
        if origin is not None and urlsplit(origin).netloc != host:
            return connection.respond(http.HTTPStatus.FORBIDDEN, "Pages of other sites can't watch.\n")
        if self._local and not _is_local(urlsplit(f"//{host}").hostname or ""):
            return connection.respond(http.HTTPStatus.FORBIDDEN, "This is for the machine itself alone.\n")
        if parts.path == "/watch":
            return None  # go on to the WebSocket
        if parts.path != "/":
            return connection.respond(http.HTTPStatus.NOT_FOUND, "There is nothing here but the game, at /.\n")
        response = connection.respond(http.HTTPStatus.OK, self._page)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "text/html; charset=utf-8"
        response.headers["Referrer-Policy"] = "no-referrer"  # the address may hold the token
        return response

    def _watch(self, connection: Any) -> None:
        """Serve one viewer until it leaves."""
        from websockets.exceptions import ConnectionClosed

        ready, left = threading.Event(), threading.Event()
        ready.set()
        sender = threading.Thread(target=self._send, args=(connection, ready, left), name="web viewer", daemon=True)
        sender.start()
        held: set[str] = set()
        self._viewers.add(connection)
        try:
            for message in connection:
                if message == "shown":
                    ready.set()
                    continue
                key, down = _key(message)
                if key:
                    (held.add if down else held.discard)(key)
                    self._moved.put((key, down))
        except ConnectionClosed:
            pass
        finally:
            left.set()
            self._viewers.discard(connection)
            for key in held:  # the viewer that held it can't let go of it any more
                self._moved.put((key, False))
            sender.join()

    def _send(self, connection: Any, ready: threading.Event, left: threading.Event) -> None:
        from websockets.exceptions import ConnectionClosed

        seen = 0
        while not left.is_set():
            if not ready.wait(PATIENCE):
                continue
            with self._news:
                if not self._news.wait_for(lambda: self._number != seen, PATIENCE):  # noqa: B023
                    continue
                seen, jpeg = self._number, self._jpeg()
            ready.clear()
            try:
                connection.send(jpeg)
            except ConnectionClosed:
                return

    def _jpeg(self) -> bytes:
        """Return the newest picture as JPEG, made once for all viewers."""
        if self._coded[0] != self._number:
            out = io.BytesIO()
            Image.fromarray(self._picture).save(out, "JPEG", quality=QUALITY, subsampling=0)
            self._coded = self._number, out.getvalue()
        return self._coded[1]


def _is_local(host: str) -> bool:
    """Whether nobody but this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _key(message: Any) -> tuple[str, bool]:
    """Read a viewer's message, a key and whether it is down; ("", False) if it is none, or closes the game for all."""
    try:
        told = json.loads(message)
        key, down = told["key"], told["down"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "", False
    known = isinstance(key, str) and isinstance(down, bool) and len(key) <= 20
    return (key, down) if known and key not in ("escape", "q") else ("", False)
