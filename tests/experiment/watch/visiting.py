"""What the window's tests share: agents of known answers, and a visitor who strikes keys."""

from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pygame
import torch
from numpy.typing import NDArray

from commands.game import GameConfig
from experiment.policy import Plain, Thought
from experiment.show import Moment, show
from experiment.watch.bests import Bests
from experiment.watch.director import Contender, Director
from experiment.watch.scene import USUAL, Scene
from experiment.watch.window import Viewing

FOOT = 31  # units at the bottom of the panel in which the window writes words of its own


class Glider(Plain):
    """Never flaps; tells probabilities and values that tell the time of day."""

    def __init__(self) -> None:
        super().__init__(lambda observations: torch.zeros(len(observations), dtype=torch.int64))
        self.asked = 0

    def think(self, observations: torch.Tensor) -> Thought:
        self.asked += 1
        likes = torch.tensor([[0.75, 0.25]]) if self.asked % 2 else torch.tensor([[0.5, 0.5]])
        return Thought(torch.zeros(1, dtype=torch.int64), likes, True, torch.tensor([float(self.asked)]))


class Flapper(Glider):
    """Flaps every eighth decision."""

    def think(self, observations: torch.Tensor) -> Thought:
        thought = super().think(observations)
        return thought._replace(actions=torch.tensor([int(self.asked % 8 == 1)]))


def maps(policy: Any, observation: torch.Tensor) -> NDArray[np.float32]:
    return observation[:, :1, :8, :8].numpy().astype(np.float32).repeat(4, 1)[0]


def corner(policy: Any, observation: torch.Tensor) -> NDArray[np.float32]:
    """A saliency map that is bright in the upper left quarter."""
    picture = np.zeros((84, 84), np.float32)
    picture[:42, :42] = 1 / 42**2
    return picture


def right(policy: Any, observation: torch.Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(corner(policy, observation)[:, ::-1])


def eyes(policy: Any, observation: torch.Tensor) -> NDArray[np.uint8]:
    return observation[0, -1, :, :, None].numpy().repeat(3, -1) // 2


LOOKS = {"maps": maps, "eyes": eyes, "corner": corner, "right": right}


def agent(policy: Any = None, name: str = "glider", **more: Any) -> Contender:
    return Contender(name, policy or Glider(), 2, LOOKS, **more)


def direct(
    *contenders: Contender, seed: int = 0, game: Any = None, overlays: frozenset[str] = USUAL, cap: int | None = None
) -> Director:
    return Director(game or GameConfig(), list(contenders) or [agent()], seed, cap, overlays)


def episode(seed: int) -> list[Moment]:
    return list(show(GameConfig(), Glider(), 2, seed))


def same(one: list[NDArray[np.uint8]], other: list[NDArray[np.uint8]]) -> bool:
    return len(one) == len(other) and all((a == b).all() for a, b in zip(one, other, strict=True))


class AtOnce(Executor):
    """Does what it is asked at once, so that each picture shows the frame that was due with the last one."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Visitor:
    """Opens a window, strikes keys after given pictures and notes what is shown.

    Keys: pygame's names; "close" closes the window, "-a" lets go of a and "+a" holds it.

    Attributes:
        scenes: what was shown, one a picture.
        screens: the window, uint8 [height, width, 3].
        signs: what it says besides.
    """

    def __init__(
        self, director: Director, keys: dict[int, str], scale: float = 0.5, bests: Bests | None = None
    ) -> None:
        self.keys = keys
        self.scenes: list[Scene] = []
        self.screens: list[NDArray[np.uint8]] = []
        self.signs: list[Any] = []
        self.speeds: list[float] = []
        self.fps = director.fps
        self.viewing = Viewing(director, scale, "test", bests, AtOnce(), self._wait)
        assert self.viewing.run() == 0

    def _wait(self) -> float:
        viewing = self.viewing
        self.scenes.append(viewing.scene)
        self.screens.append(pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1).copy())
        self.signs.append(viewing.controls.signs(viewing._banner(), viewing._note))
        self.speeds.append(viewing.controls.speed)
        assert len(self.scenes) < 700, "the window was never closed"
        strike(self.keys.get(len(self.scenes), ""))
        return 1 / self.fps

    @property
    def pictures(self) -> list[NDArray[np.uint8]]:
        return [scene.seats[0].moment.picture for scene in self.scenes]

    @property
    def frames(self) -> list[int]:
        return [scene.seats[0].moment.frame for scene in self.scenes]


def strike(keys: str) -> None:
    """Post what a keyboard does; several keys are parted by blanks."""
    for key in keys.split():
        if key == "close":
            pygame.event.post(pygame.event.Event(pygame.QUIT))
            continue
        down, up = (key[0] != "-" or key == "-"), (key[0] != "+" or key == "+")
        code = pygame.key.key_code(key[1:] if len(key) > 1 and key[0] in "+-" else key)
        if down:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=code))
        if up:
            pygame.event.post(pygame.event.Event(pygame.KEYUP, key=code))
