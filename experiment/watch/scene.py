"""Scenes: plain data of one moment, all that a picture is composed of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from experiment.show import Decision, Moment

PAST = 124  # decisions that are kept to be shown


class Overlay(NamedTuple):
    """Something that can be shown besides the game.

    Attributes:
        key: shows and hides it.
        about: what it is, for the list of keys.
    """

    key: str
    about: str


OVERLAYS = {
    "input": Overlay("i", "what the network sees"),
    "actions": Overlay("a", "what it would do"),
    "value": Overlay("v", "what it expects"),
    "maps": Overlay("f", "its first convolution"),
    "eyes": Overlay("e", "what its encoder tells"),
    "saliency": Overlay("s", "what its choice hangs on"),
}
USUAL = frozenset({"input", "actions", "value"})


class Told(NamedTuple):
    """An agent's decisions in this episode: all that overlays show.

    Attributes:
        actions: their names.
        past: its last decisions, the newest last.
    """

    actions: tuple[str, ...]
    past: tuple[Decision, ...] = ()


@dataclass(frozen=True, eq=False)
class Seat:
    """One game on the stage, and who plays it.

    Attributes:
        name: of the run, or "you".
        moment: the newest.
        actions: their names.
        past: the last decisions of this episode, the newest last.
        best: the best score of an episode so far; None before one has ended.
        agent: there is an agent.
        hints: lines for a person, (left, right), as keys and what they do.
        scores: lines of a best list, (score, about it).
        saliency: the name of the map that lies over the game, if one does.
    """

    name: str
    moment: Moment
    actions: tuple[str, ...]
    past: tuple[Decision, ...] = ()
    best: float | None = None
    agent: bool = True
    hints: tuple[tuple[str, str], ...] = ()
    scores: tuple[tuple[str, str], ...] = ()
    saliency: str = ""

    @property
    def told(self) -> Told:
        """What the overlays show; equal from one decision to the next."""
        return Told(self.actions, self.past)


@dataclass(frozen=True, eq=False)
class Scene:
    """All of a moment.

    Attributes:
        seats: one game, or two side by side.
        game: its name, and that of its rules.
        episode: its number, from 1.
        seed: of the episode.
        overlays: which are shown, names in OVERLAYS.
    """

    seats: tuple[Seat, ...]
    game: str
    episode: int
    seed: int
    overlays: frozenset[str] = USUAL


@dataclass(frozen=True)
class Signs:
    """The window's own words over the picture; they are in no film.

    Attributes:
        banner: a line over the games.
        status: short words at the foot, as "paused".
        note: a line at the foot, instead of them.
        keys: the list of keys with what each does; empty if it is not shown.
    """

    banner: str = ""
    status: tuple[str, ...] = ()
    note: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
