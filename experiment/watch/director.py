"""Lets agents and a person play episodes and makes scenes of them; knows neither the window nor the clock."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment.policy import Policy
from experiment.show import Decision, Episode, Look
from experiment.watch.compose import picture
from experiment.watch.scene import PAST, USUAL, Scene, Seat


@dataclass
class Contender:
    """A player: an agent, or a person.

    Attributes:
        name: of the run, or "you".
        policy: the agent, None for a person.
        frames: frames in a stack.
        looks: "maps", float32 [channels, height, width]; "eyes", a picture, uint8 [height, width, 3]; and saliency maps
            by any other name, float32 [height, width] from 0 on.
        renew: asked before each episode but the first; returns a newer policy, or None, and a line about it.
        best: the best score of an episode so far; None before one has ended.
    """

    name: str
    policy: Policy | None = None
    frames: int = 1
    looks: Mapping[str, Look] = field(default_factory=dict)
    renew: Callable[[], tuple[Any, str]] | None = None
    best: int | float | None = None


class Director:
    """Plays one episode after the other, each contender in a game of its own, all of the same seed.

    Attributes:
        overlays: names in `OVERLAYS` of those that are shown.
        saliency: the name of the map that "saliency" shows, "" for none.
        by_hand: a person plays the first contender's game.
        note: a line about the newest event, as a newer policy; "" if there is none.
        scores: lines of a person's best games.
        fps: frames a second at which a person watches.
        keys: the action of each of the game's own keys.
        game_keys: these in words, as (keys, action), one for each action that has any.
        seed: of the episode.
        episode: its number, from 1.

    Args:
        game: what is played, a `commands.game.GameConfig`.
        contenders: one or two.
        seed: of the first episode.
        score_cap: where episodes end; None for no cap.
        overlays: see above.
    """

    def __init__(
        self,
        game: Any,
        contenders: list[Contender],
        seed: int,
        score_cap: int | None = None,
        overlays: frozenset[str] = USUAL,
    ) -> None:
        self.game, self.contenders, self.seed, self.episode = game, contenders, seed, 0
        self.overlays, self.note = overlays, ""
        self.saliency = next(iter(self.saliencies), "") if "saliency" in overlays else ""
        self.by_hand = contenders[0].policy is None
        self._score_cap, self._actions, self.fps = score_cap, game.actions, int(game.fps)
        self.keys = dict(game.keys)
        self.game_keys = self._told_keys()
        about = game.about
        self._title = f"{game.name} \u00b7 {about['preset']}" if about["preset"] else game.env
        self._episodes: list[Episode] = []
        self._pasts: list[tuple[Decision, ...]] = []
        self.scores: tuple[tuple[str, str], ...] = ()
        self.start(seed)

    def _told_keys(self) -> tuple[tuple[str, str], ...]:
        keys: dict[int, list[str]] = {}
        for key, action in self.keys.items():
            keys.setdefault(action, []).append(key)
        return tuple((", ".join(names), self._actions[action]) for action, names in keys.items())

    @property
    def saliencies(self) -> tuple[str, ...]:
        """Names of the saliency maps that there are."""
        return tuple(name for name in self.contenders[-1].looks if name not in ("maps", "eyes"))

    @property
    def over(self) -> bool:
        """All games are over."""
        return all(episode.moment.over for episode in self._episodes)

    def start(self, seed: int) -> None:
        """Begin the episode of a seed."""
        self.seed, self.episode, self.note = seed, self.episode + 1, ""
        for contender in self.contenders:
            if self.episode > 1 and contender.renew is not None:
                policy, note = contender.renew()
                contender.policy = policy or contender.policy
                self.note = note or self.note
        if self._episodes:
            # The same games go on: another's environment, when it is closed, may close all of pygame with it.
            for contender, episode in zip(self.contenders, self._episodes, strict=True):
                episode.begin(contender.policy, seed)
        else:
            self._episodes = [
                Episode(self.game, contender.policy, contender.frames, seed, self._score_cap)
                for contender in self.contenders
            ]
        self._pasts = [() for _ in self.contenders]

    def advance(self, hand: int | None = None) -> None:
        """Go on by a frame in every game that is not over.

        Args:
            hand: a person's action; counts only `by_hand`.
        """
        for i, (contender, episode) in enumerate(zip(self.contenders, self._episodes, strict=True)):
            if episode.moment.over:
                continue
            mine = i == 0 and self.by_hand
            moment = episode.step((hand or 0) if mine else None, self._looks(contender))
            if moment.decided and moment.decision is not None:
                self._pasts[i] = (*self._pasts[i][1 - PAST :], moment.decision)
            if moment.over:
                contender.best = moment.score if contender.best is None else max(contender.best, moment.score)

    def _looks(self, contender: Contender) -> dict[str, Look]:
        wished = {"maps": "maps", "eyes": "eyes", "saliency": self.saliency}
        return {
            name: contender.looks[look]
            for name, look in wished.items()
            if name in self.overlays and look in contender.looks
        }

    def look_again(self) -> None:
        """Look once more at the agents' last decisions, with the overlays that are chosen now."""
        for i, (contender, episode, past) in enumerate(zip(self.contenders, self._episodes, self._pasts, strict=True)):
            if past:
                self._pasts[i] = (*past[:-1], episode.look(past[-1], self._looks(contender)))

    def scene(self) -> Scene:
        """Return the scene of this moment; it does not change when the games go on."""
        seats = tuple(
            Seat(
                name=contender.name,
                moment=episode.moment,
                actions=self._actions,
                past=past,
                best=contender.best,
                agent=contender.policy is not None,
                hints=(*self.game_keys, ("p", "pause"), ("n", "next seed"), ("h", "all keys")),
                scores=self.scores,
                saliency=self.saliency,
            )
            for contender, episode, past in zip(self.contenders, self._episodes, self._pasts, strict=True)
        )
        return Scene(seats, self._title, self.episode, self.seed, self.overlays)

    def close(self) -> None:
        """Close the games."""
        for episode in self._episodes:
            episode.close()


def film_frames(director: Director, scale: float) -> Iterator[NDArray[np.uint8]]:
    """Play the director's episode to its end; yields composed pictures, uint8 [height, width, 3], one a frame."""
    yield picture(director.scene(), scale)
    while not director.over:
        director.advance()
        yield picture(director.scene(), scale)
