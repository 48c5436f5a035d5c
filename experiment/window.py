"""The pygame window: watch an agent, or play yourself."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment.errors import UserError
from experiment.show import Frame, show

KEYS = "space pause   n next episode   +/- speed   q quit"


class Window:
    """A window that shows a game's frames, crisp at any size.

    Raises:
        UserError: if there is no display.
    """

    def __init__(self, width: int, height: int, scale: float, title: str) -> None:
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame

        self.pygame = pygame
        try:
            pygame.display.init()
            pygame.font.init()
            self.screen = pygame.display.set_mode((round(width * scale), round(height * scale)), pygame.RESIZABLE)
        except pygame.error as error:
            raise UserError(
                f"no window can be opened ({error}); use --headless to evaluate or --record film.mp4 to film"
            ) from error
        pygame.display.set_caption(title)
        self.clock = pygame.time.Clock()

    def draw(self, picture: NDArray[np.uint8], score: int, note: str, fps: float) -> None:
        """Show a picture, uint8 [height, width, 3], with its score and a note, then wait for the next frame."""
        pygame = self.pygame
        area = self.screen.get_rect()
        height, width = picture.shape[:2]
        scale = min(area.width / width, area.height / height)
        image = pygame.image.frombuffer(np.ascontiguousarray(picture).tobytes(), (width, height), "RGB")
        image = pygame.transform.smoothscale(image, (round(width * scale), round(height * scale)))
        place = image.get_rect(center=area.center)
        self.screen.fill("#101418")
        self.screen.blit(image, place)
        self._text(str(score), (place.centerx, place.top + 0.09 * place.height), 0.09 * place.height)
        self._text(note, (place.centerx, place.top + 0.97 * place.height), 0.026 * place.height)
        pygame.display.flip()
        self.clock.tick(fps)

    def _text(self, text: str, center: tuple[float, float], size: float) -> None:
        font = self.pygame.font.Font(None, max(12, round(size)))
        for color, shift in (("#101418", max(1.0, size / 24)), ("#ffffff", 0.0)):
            drawn = font.render(text, True, color)
            self.screen.blit(drawn, drawn.get_rect(center=(center[0] + shift, center[1] + shift)))

    def struck(self) -> Iterator[str]:
        """Yield the names of the keys struck since the last call; "quit" for a closed window."""
        for event in self.pygame.event.get():
            if event.type == self.pygame.QUIT:
                yield "quit"
            elif event.type == self.pygame.KEYDOWN:
                yield self.pygame.key.name(event.key)

    def close(self) -> None:
        """Close the window."""
        self.pygame.quit()


def watch(player: Any, seed: int, scale: float, name: str) -> int:
    """Show an agent play, episode after episode, until the window is closed; returns the exit code."""
    game = player.settings.game
    frames = show(game, player.act, player.settings.frames, seed)
    frame = next(frames)
    height, width, _ = frame.picture.shape
    window = Window(width, height, scale, f"Wingbeat: {name}")
    speed, best, running = 1.0, 0.0, True
    while running:
        paused, skip = False, False
        while running and not skip:
            for key in window.struck():
                running &= key not in ("quit", "q", "escape")
                paused ^= key == "space"
                skip |= key == "n"
                speed = min(8.0, speed * 2) if key in ("+", "=", "[+]") else speed
                speed = max(0.25, speed / 2) if key in ("-", "[-]") else speed
            best = max(best, frame.score)
            window.draw(frame.picture, frame.score, f"seed {seed}   best {best}   {KEYS}", game.fps * speed)
            if frame.over:
                skip = True
            elif not paused:
                frame = next(frames)
        seed += 1
        frames = show(game, player.act, player.settings.frames, seed)
        frame = next(frames)
    window.close()
    return 0


def play_yourself(game: Any, seed: int, scale: float) -> int:
    """Let a person play by keyboard until the window is closed; returns the exit code."""
    rules = game.game
    window = Window(rules.width, rules.height, scale, f"Wingbeat: {rules.name}")
    names = ", ".join(rules.keys)
    best, running = 0, True
    while running:
        envs = game.make(1, frame_skip=1, render_mode="rgb_array")
        _, info = envs.reset(seed=seed)
        frame, begun = Frame(envs.render()[0], 0, False), False
        while running:
            struck = list(window.struck())
            running &= not {"quit", "q", "escape"} & set(struck)
            actions = [rules.keys[key] for key in struck if key in rules.keys]
            if frame.over and actions:
                break
            begun |= bool(actions)
            if begun and not frame.over:
                _, _, terminated, truncated, info = envs.step(np.array([actions[-1] if actions else 0]))
                over = bool(terminated[0] or truncated[0])
                frame = Frame(envs.render()[0], int(info["score"][0]), over)
                best = max(best, frame.score)
            note = (
                f"{names} to {'play again' if frame.over else 'start' if not begun else 'play'}   best {best}   q quit"
            )
            window.draw(frame.picture, frame.score, note, rules.fps)
        seed += 1
    window.close()
    return 0
