"""The window in a browser: its pictures and keys over real connections, who is refused, and a real browser."""

import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import play
from experiment.errors import UserError
from experiment.watch.compose import compose, size_of
from experiment.watch.director import Director
from experiment.watch.sounds import NoSounds
from experiment.watch.web import Browser
from experiment.watch.window import Viewing
from tests.experiment.watch.chromium import PROGRAM, Chromium
from tests.experiment.watch.visiting import Flapper, agent, direct


class Served:
    """A viewing in a thread of its own, served at any free port."""

    def __init__(self, director: Director, host: str = "127.0.0.1") -> None:
        self.failed: list[BaseException] = []
        self._opened = threading.Event()
        self._host = host
        self._thread = threading.Thread(target=self._run, args=(director,))
        self._thread.start()
        assert self._opened.wait(30), self.failed

    def _run(self, director: Director) -> None:
        def open_page(*size: Any) -> Browser:
            self.page = Browser(*size, host=self._host, port=0)
            return self.page

        try:
            self.viewing = Viewing(director, 1.0, "test", open_window=open_page, sounds=NoSounds)
            self._opened.set()
            self.viewing.run()
        except BaseException as error:
            self.failed.append(error)

    @property
    def watch(self) -> str:
        return self.page.address.replace("http", "ws").replace("/?", "/watch?").rstrip("/") + (
            "" if "?" in self.page.address else "/watch"
        )

    def close(self) -> None:
        self.viewing.controls.left = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        assert not self.failed


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served(direct(agent(Flapper()), seed=5))
    yield one
    one.close()


def look(socket: Any) -> NDArray[np.uint8]:
    """Take the next picture and say that it has been shown."""
    picture = np.asarray(Image.open(io.BytesIO(socket.recv(timeout=20))))
    socket.send("shown")
    return picture


def strike(socket: Any, key: str) -> None:
    for down in (True, False):
        socket.send(json.dumps({"key": key, "down": down}))


def until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def status(address: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=20) as answer:
            code: int = answer.status
    except urllib.error.HTTPError as error:
        return error.code
    return code


def test_what_is_sent_is_what_the_window_shows(served: Served) -> None:
    with connect(served.watch) as socket:
        look(socket)
        strike(socket, "p")
        until(lambda: served.viewing.controls.paused)
        end = time.monotonic() + 20
        while True:
            got = look(socket).astype(int)
            shown = compose(served.viewing.scene, 1.0).array()
            foot = shown.shape[0] - 40  # below are the window's own words
            off = np.abs(got[:foot] - shown[:foot].astype(int))
            if off.mean() < 1 or time.monotonic() > end:
                break
            strike(socket, "h")  # draws again, with the list of keys and without
            strike(socket, "h")
        assert got.shape == shown.shape
        assert off.mean() < 1  # gray levels; JPEG's own
        width, height = size_of(served.viewing.scene)
        assert shown.shape[:2] == (height, width)


def test_the_picture_moves_and_keys_work(served: Served) -> None:
    with connect(served.watch) as socket:
        pictures = [look(socket) for _ in range(12)]
        assert len({picture.tobytes() for picture in pictures}) > 6
        seed = served.viewing.scene.seed
        strike(socket, "n")
        until(lambda: served.viewing.scene.seed == seed + 1)
        strike(socket, "t")
        until(lambda: served.viewing.controls.by_hand)
        strike(socket, "+")
        until(lambda: served.viewing.controls.speed == 2)


def test_two_viewers_see_the_same_and_both_have_keys(served: Served) -> None:
    with connect(served.watch) as one, connect(served.watch) as other:
        for _ in range(5):
            assert look(one).shape == look(other).shape
        strike(one, "p")
        until(lambda: served.viewing.controls.paused)
        strike(other, "p")
        until(lambda: not served.viewing.controls.paused)
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "web viewer"])
    with connect(served.watch) as later:
        look(later)


def test_a_viewer_who_stands_still_gets_the_newest_picture_next(served: Served) -> None:
    with connect(served.watch) as slow, connect(served.watch) as fast:
        slow.recv(timeout=20)  # and does not say that it was shown
        for _ in range(10):
            look(fast)
        with pytest.raises(TimeoutError):
            slow.recv(timeout=0.3)
        slow.send("shown")
        look(slow)


def test_nobody_can_close_the_game_from_afar_or_hold_a_key_for_ever(served: Served) -> None:
    with connect(served.watch) as socket:
        look(socket)
        for words in (
            '{"key": "escape", "down": true}',
            '{"key": "q", "down": true}',
            "[]",
            "{",
            b"\xff",
            '{"key": 3}',
        ):
            socket.send(words)
        strike(socket, "t")
        until(lambda: served.viewing.controls.by_hand)
        socket.send('{"key": "up", "down": true}')
        until(lambda: served.viewing.controls._held)
    until(lambda: not served.viewing.controls._held)
    assert not served.viewing.controls.left


def test_the_page_is_whole(served: Served) -> None:
    with urllib.request.urlopen(served.page.address, timeout=20) as answer:
        assert answer.headers.get_content_type() == "text/html"
        page = answer.read().decode()
    assert "<title>Wingbeat: test</title>" in page
    assert "http" not in page.replace("/^http/", "")  # nothing is loaded from elsewhere
    assert status(served.page.address + "favicon.ico") == 404


def test_other_addresses_of_this_machine_are_listened_to() -> None:
    try:
        page = Browser(4, 3, 1.0, "test", host="::1", port=0)
    except UserError:
        pytest.skip("there is no IPv6 here")
    assert page.address.startswith("http://[::1]:")
    assert status(page.address) == 200
    page.close()


def test_a_name_is_text_in_the_page() -> None:
    page = Browser(4, 3, 1.0, '"><script>alert(1)</script>', port=0)
    with urllib.request.urlopen(page.address, timeout=20) as answer:
        assert "<script>alert" not in answer.read().decode()
    page.close()


def test_who_reads_nothing_keeps_nobody_from_leaving() -> None:
    """A viewer's connection is full, and what is sent to it waits for ever."""
    page, rng = Browser(4, 3, 1.0, "test", port=0), np.random.default_rng(0)
    port = int(page.address.rsplit(":", 1)[1].strip("/"))
    with socket.socket() as narrow:
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", port))
        with connect(
            f"ws://127.0.0.1:{port}/watch", sock=narrow, max_queue=1, max_size=None, close_timeout=1
        ) as viewer:
            for _ in range(12):  # each a megabyte, since noise is not JPEG's friend
                with page._news:
                    page._picture, page._number = rng.integers(0, 256, (1000, 1000, 3), np.uint8), page._number + 1
                    page._news.notify_all()
                viewer.send("shown")
                time.sleep(0.1)
            closing = threading.Thread(target=page.close, daemon=True)
            closing.start()
            closing.join(20)
            assert not closing.is_alive()


def test_on_this_machine_no_token_is_needed_but_other_sites_are_refused(served: Served) -> None:
    assert "token" not in served.page.address
    assert status(served.page.address) == 200
    assert status(served.page.address, Origin="http://example.com") == 403
    assert status(served.page.address, Host="example.com") == 403
    with pytest.raises(InvalidStatus, match="403"), connect(served.watch, origin="http://example.com"):  # type: ignore[arg-type]
        pass


def test_whoever_can_be_reached_by_others_asks_for_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "127.0.0.1")
    served = Served(direct(agent(Flapper()), seed=5), host="0.0.0.0")
    try:
        address = served.page.address
        token = address.split("token=")[1]
        assert len(token) > 20
        assert status(address) == 200
        for wrong in (address.split("?")[0], address[:-1], address + "x", address.replace("token=", "word=")):
            assert status(wrong) == 403
            with pytest.raises(InvalidStatus, match="403"), connect(wrong.replace("http", "ws")):
                pass
        with connect(served.watch) as socket:
            look(socket)
    finally:
        served.close()
    other = Served(direct(seed=5), host="0.0.0.0")
    other.close()
    assert token not in other.page.address


def test_a_port_that_is_taken_is_told_in_one_line(served: Served) -> None:
    port = int(served.page.address.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(UserError, match=f"127.0.0.1:{port}.*--port"):
        Browser(4, 3, 1.0, "test", port=port)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--web --headless", "--web shows the window"),
        ("--web --record x.mp4", "--web shows the window"),
        ("--web --port 70000", "--port"),
        ("--web --host nowhere.invalid", "nowhere.invalid"),
    ],
)
def test_what_can_not_be_meant_is_refused(words: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*about: Any, **more: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # no network is asked
    with pytest.raises(UserError, match=expected):
        play.main(words.split())


@pytest.mark.skipif(PROGRAM is None, reason="needs Chromium")
def test_in_a_real_browser(served: Served, tmp_path: Path) -> None:
    browser = Chromium(tmp_path / "profile", served.page.address)
    try:
        until(lambda: browser.run("document.querySelector('p').textContent === ''"))
        drawn = "document.querySelector('canvas').toDataURL().length + document.querySelector('canvas').toDataURL()"
        first = browser.run(drawn)
        until(lambda: browser.run(drawn) != first)
        assert browser.run("document.querySelector('canvas').height") == 512
        seed = served.viewing.scene.seed
        browser.strike("n", "KeyN")
        until(lambda: served.viewing.scene.seed > seed)
        browser.strike("p", "KeyP")
        until(lambda: served.viewing.controls.paused)
        browser.strike("q", "KeyQ")  # only this page
        until(lambda: "closed" in browser.run("document.querySelector('p').textContent"))
        assert not served.viewing.controls.left
    finally:
        browser.close()
