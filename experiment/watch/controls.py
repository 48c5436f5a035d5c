"""The keys and the state that they set, such as paused or recording, apart from the window and from the games."""

from collections.abc import Mapping, Sequence

from experiment.watch.scene import OVERLAYS, Signs

SLOWEST, FASTEST = 0.125, 8.0
KEYS = {
    "space, p": "pause, go on",
    ".": "one frame on",
    "+  -": "faster, slower",
    "n": "next seed",
    "backspace": "this seed again",
    "t": "take over, hand back",
    **{overlay.key: overlay.about for overlay in OVERLAYS.values()},
    "o": "all of these, none",
    "r": "record a film, end it",
    "m": "sound off, on",
    "h": "this list",
    "q, escape": "leave",
}
OVERLAY_KEYS = {overlay.key: name for name, overlay in OVERLAYS.items()}


class Controls:
    """Takes keys and keeps the state that they have set.

    Attributes:
        left: to be closed.
        paused: the games stand still.
        steps: frames to go on nevertheless.
        speed: times the games' own.
        overlays: names in `OVERLAYS` of those that are shown.
        saliency: the name of the saliency map that is chosen, "" for none.
        by_hand: a person plays.
        recording: a film is being made.
        muted: no sounds.
        listing: the list of keys is shown.
        wish: "next" or "again" if another episode is wished for.
        note: a line about the last key.

    Args:
        keys: action of each of the game's keys.
        overlays: shown at first.
        saliencies: names of the maps that there are.
        agents: there is an agent that can be taken over from, and that has overlays.
        person: a person plays from the start, and can't hand over.
    """

    def __init__(
        self, keys: Mapping[str, int], overlays: frozenset[str], saliencies: tuple[str, ...], agents: bool, person: bool
    ) -> None:
        self._keys, self._saliencies, self._agents, self._person = keys, saliencies, agents, person
        self.left = self.paused = self.recording = self.muted = self.listing = False
        self.by_hand, self.steps, self.speed, self.overlays = person, 0, 1.0, overlays
        self.saliency = saliencies[0] if saliencies and "saliency" in overlays else ""
        self.wish, self.note = "", ""
        self._struck: int | None = None
        self._held: list[int] = []

    def press(self, key: str) -> None:
        """Take a key that goes down, by pygame's name. The game's keys come first while a person plays."""
        self.note = ""
        if self.by_hand and key in self._keys:
            self._struck = self._keys[key]
            self._held.append(self._keys[key])
        elif key in ("q", "escape"):
            self.left = True
        elif key in ("space", "p"):
            self.paused = not self.paused
        elif key == ".":
            self.paused, self.steps = True, self.steps + 1
        elif key in ("+", "=", "[+]"):
            self.speed = min(FASTEST, self.speed * 2)
        elif key in ("-", "[-]"):
            self.speed = max(SLOWEST, self.speed / 2)
        elif key in ("n", "backspace"):
            self.wish = "next" if key == "n" else "again"
        elif key == "t":
            self._take_over()
        elif key == "r":
            self.recording = not self.recording
        elif key == "m":
            self.muted = not self.muted
        elif key == "h":
            self.listing = not self.listing
        elif key in OVERLAY_KEYS or key == "o":
            self._show(key)

    def release(self, key: str) -> None:
        """Take a key that comes up."""
        if self._keys.get(key) in self._held:
            self._held.remove(self._keys[key])

    def _take_over(self) -> None:
        if self._person:
            self.note = "you play this game from its start to its end"
            return
        self.by_hand, self._held, self._struck = not self.by_hand, [], None

    def _show(self, key: str) -> None:
        if not self._agents:
            self.note = "no agent plays here"
        elif key == "o":
            everything = frozenset(OVERLAYS) - ({"saliency"} if not self._saliencies else set())
            self.overlays = frozenset() if self.overlays == everything else everything
            self.saliency = self._saliencies[0] if "saliency" in self.overlays else ""
        elif OVERLAY_KEYS[key] == "saliency":
            order = ("", *self._saliencies)
            self.saliency = order[(order.index(self.saliency) + 1) % len(order)]
            self.overlays = (self.overlays | {"saliency"}) if self.saliency else (self.overlays - {"saliency"})
            self.note = "" if self._saliencies else "this agent has no saliency map"
        else:
            self.overlays = self.overlays ^ {OVERLAY_KEYS[key]}

    def hand(self, taps: bool) -> int | None:
        """Return a person's action for the next frame, None if there is none, and forget the key.

        Args:
            taps: only a key that was struck counts; otherwise one that is held does, too, the newest of them.
        """
        action = self._struck
        if action is None and not taps and self._held:
            action = self._held[-1]
        self._struck = None
        return action

    @property
    def waiting(self) -> bool:
        """One of the game's keys has been struck, and `hand` has not been asked for it yet."""
        return self._struck is not None

    def hush(self) -> None:
        """Forget the key that was struck."""
        self._struck = None

    def begin(self) -> None:
        """Forget keys that were meant for the episode before."""
        self.hush()
        self.steps, self.wish = 0, ""

    def signs(self, banner: str, note: str, game_keys: Sequence[tuple[str, str]] = ()) -> Signs:
        """Return the window's own words over the scene; the game's keys stand in the list while a person plays."""
        status = []
        if self.recording:
            status.append("rec")
        if self.paused:
            status.append("paused")
        if self.speed != 1:
            status.append(f"{self.speed:g}x")
        if self.muted:
            status.append("no sound")
        return Signs(banner, (*status, "h: keys"), self.note or note, self._list(game_keys) if self.listing else {})

    def _list(self, game_keys: Sequence[tuple[str, str]]) -> dict[str, str]:
        if not self.by_hand:
            return KEYS
        return {**dict(game_keys), **{key.removeprefix("space, "): about for key, about in KEYS.items()}}
