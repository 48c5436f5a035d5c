"""The window shows the game's own frames and does what the keys say."""

import itertools
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pygame
import pytest
import torch
from numpy.typing import NDArray

from agents.build import GameConfig
from envs import FLAPPY_BIRD, GameVectorEnv
from experiment.errors import UserError
from experiment.show import show
from experiment.window import Window, play_yourself, watch


class Visitor:
    """Strikes keys after given frames, and notes what is drawn.

    Attributes:
        pictures, scores, notes, rates: one of each a frame drawn.
        screens: what was on the screen, uint8 [height, width, 3].
    """

    def __init__(self, keys: dict[int, str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys = keys
        self.pictures: list[NDArray[np.uint8]] = []
        self.scores: list[int] = []
        self.notes: list[str] = []
        self.rates: list[float] = []
        self.screens: list[NDArray[np.uint8]] = []
        draw: Callable[..., None] = Window.draw

        def noted(window: Window, picture: NDArray[np.uint8], score: int, note: str, fps: float) -> None:
            draw(window, picture, score, note, 0)  # without waiting
            self.pictures.append(picture.copy())
            self.scores.append(score)
            self.notes.append(note)
            self.rates.append(fps)
            self.screens.append(pygame.surfarray.array3d(window.screen).swapaxes(0, 1))
            assert len(self.pictures) < 400, "the window was never closed"
            self._strike(self.keys.get(len(self.pictures), ""))

        monkeypatch.setattr(Window, "draw", noted)

    @staticmethod
    def _strike(key: str) -> None:
        if key == "close":
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        elif key:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.key.key_code(key)))
            pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.key.key_code(key)))


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    assert not pygame.display.get_init(), "the window was left open"
    pygame.quit()


def glide(observations: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(observations), dtype=torch.int64)


PLAYER: Any = SimpleNamespace(settings=SimpleNamespace(game=GameConfig(), frames=2), act=glide)


def episode(seed: int) -> list[NDArray[np.uint8]]:
    return [frame.picture for frame in show(GameConfig(), glide, 2, seed)]


def same(one: list[NDArray[np.uint8]], other: list[NDArray[np.uint8]]) -> bool:
    return len(one) == len(other) and all((a == b).all() for a, b in zip(one, other, strict=True))


def test_watching_episode_after_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = Visitor({50: "close"}, monkeypatch)
    assert watch(PLAYER, seed=7, scale=1.0, name="test") == 0
    expected = episode(7) + episode(8)
    assert len(episode(7)) == 32  # a bird that only glides falls to the ground on frame 31
    assert same(visitor.pictures, expected[:51])  # the closing is noticed one frame later
    assert [note.split()[1] for note in visitor.notes] == ["7"] * 32 + ["8"] * 19
    assert set(visitor.rates) == {30.0}


def test_the_screen_shows_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = Visitor({20: "close"}, monkeypatch)
    watch(PLAYER, seed=0, scale=1.0, name="test")
    middle = slice(100, 450)  # above and below are score and note
    for screen, picture in zip(visitor.screens, visitor.pictures, strict=True):
        assert screen.shape == picture.shape == (512, 288, 3)
        assert (screen[middle] == picture[middle]).all()
        assert (screen != picture).any()
    assert all((a != b).any() for a, b in itertools.pairwise(visitor.screens))


def test_a_large_window_and_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for scale in (0.5, 2.0):
        with monkeypatch.context() as patch:
            visitor = Visitor({3: "close"}, patch)
            watch(PLAYER, seed=0, scale=scale, name="test")
            assert visitor.screens[0].shape == (512 * scale, 288 * scale, 3)
            reduced = visitor.screens[0].mean((0, 1))
            assert reduced == pytest.approx(visitor.pictures[0].mean((0, 1)), abs=8)


def test_pause_and_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = Visitor({5: "space", 9: "space", 12: "q"}, monkeypatch)
    assert watch(PLAYER, seed=1, scale=1.0, name="test") == 0
    frames = episode(1)
    assert same(visitor.pictures, [*frames[:6], *[frames[5]] * 4, *frames[6:9]])


def test_next_episode_speed_and_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {2: "+", 4: "=", 6: "+", 8: "+", 10: "-", 12: "n", 14: "-", 15: "-", 16: "-", 17: "-", 18: "-", 20: "escape"}
    visitor = Visitor(keys, monkeypatch)
    assert watch(PLAYER, seed=1, scale=1.0, name="test") == 0
    times = [rate / 30 for rate in visitor.rates]
    assert times[:13] == [1, 1, 2, 2, 4, 4, 8, 8, 8, 8, 4, 4, 4]
    assert times[13:] == [4, 2, 1, 0.5, 0.25, 0.25, 0.25, 0.25]
    begin = next(i for i, note in enumerate(visitor.notes) if note.startswith("seed 2"))
    assert begin == 13
    assert same(visitor.pictures[begin:], episode(2)[: len(visitor.pictures) - begin])


def by_hand(seed: int, flaps: set[int], frames: int) -> list[NDArray[np.uint8]]:
    """A game's pictures when its frames numbered in `flaps` get a flap."""
    env = GameVectorEnv(FLAPPY_BIRD, 1, render_mode="rgb_array")
    env.reset(seed=seed)
    pictures = []
    for frame in range(frames + 1):
        rendered = env.render()
        assert rendered is not None
        pictures.append(rendered[0])
        env.step(np.array([int(frame + 1 in flaps)]))
    return pictures


def test_playing_yourself(monkeypatch: pytest.MonkeyPatch) -> None:
    # The first key begins the game and is the first flap. After three flaps the bird falls to its death.
    visitor = Visitor({4: "space", 10: "up", 15: "a", 20: "space", 100: "space", 103: "q"}, monkeypatch)
    assert play_yourself(GameConfig(), seed=5, scale=1.0) == 0
    assert all("to start" in note for note in visitor.notes[:4])
    assert "to play " in visitor.notes[4]
    first = by_hand(5, {1, 7, 17}, 90)
    over = next(i for i, note in enumerate(visitor.notes) if "to play again" in note)
    assert 40 < over < 100
    assert same(visitor.pictures[:4], [first[0]] * 4)
    assert same(visitor.pictures[4 : over + 1], first[1 : over - 2])
    assert same(visitor.pictures[over:100], [visitor.pictures[over]] * (100 - over))
    assert all("to play again" in note for note in visitor.notes[over:100])
    again = by_hand(6, set(), 0)[0]
    assert same(visitor.pictures[100:103], [again] * 3)
    assert "to start" in visitor.notes[100]


def test_closing_before_the_first_flap(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = Visitor({2: "close"}, monkeypatch)
    assert play_yourself(GameConfig(preset="head2023"), seed=0, scale=1.5) == 0
    assert len(visitor.pictures) == 3


def test_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "nowhere")
    for try_it in (lambda: watch(PLAYER, 0, 1.0, "test"), lambda: play_yourself(GameConfig(), 0, 1.0)):
        with pytest.raises(UserError, match=r"no window can be opened .*; use --headless .* or --record"):
            try_it()
        pygame.quit()
