"""A headless Chromium, driven by its own debugging protocol."""

import json
import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync", "--disable-quic", "--disable-extensions", "--mute-audio"]


class Chromium:
    """One page.

    Args:
        folder: for its profile.
        address: of the page.
    """

    def __init__(self, folder: Path, address: str) -> None:
        assert PROGRAM is not None
        words = [PROGRAM, "--headless", *QUIET, f"--user-data-dir={folder}", "--window-size=900,700"]
        self._process = subprocess.Popen(
            [*words, "--remote-debugging-port=0", address], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        assert self._process.stderr is not None
        port = next(
            found[1] for line in self._process.stderr if (found := re.search(r"listening on ws://[^:]+:(\d+)/", line))
        )
        with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = json.load(answer)
        page = next(page for page in pages if page["type"] == "page")
        self._open = ExitStack()
        self._socket = self._open.enter_context(connect(page["webSocketDebuggerUrl"], max_size=None))
        self._number = 0

    def ask(self, method: str, **words: Any) -> dict[str, Any]:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": words}))
        while True:
            answer = json.loads(self._socket.recv(timeout=30))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def run(self, script: str) -> Any:
        """Return what a script gives."""
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def strike(self, key: str, code: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=code, text=key if kind == "keyDown" else "")

    def close(self) -> None:
        self._open.close()
        self._process.terminate()
        self._process.communicate(timeout=30)
