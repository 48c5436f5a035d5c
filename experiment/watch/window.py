"""The window: shows composed pictures sixty times a second, however slow the network is, and hands keys on."""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pygame

from experiment.errors import UserError
from experiment.watch.bests import Bests, lines
from experiment.watch.compose import compose, put_signs, score_text, size_of
from experiment.watch.controls import Controls
from experiment.watch.director import Director
from experiment.watch.pace import Pace
from experiment.watch.paint import NIGHT, Canvas
from experiment.watch.recorder import Recorder, free_name
from experiment.watch.scene import Scene
from experiment.watch.sounds import Sounds, heard

CATCH_UP = 0.1  # seconds of the game that are played at most to make up for lost time
REST = 1.2  # seconds for which the end of an episode is shown
BREATH = 0.4  # seconds after a person's game in which the game's keys count for nothing
FILMS = Path("films")


class Window:
    """A resizable window.

    Attributes:
        screen: pygame's surface.
        driver: SDL's name of the display that shows it; "dummy" shows it to nobody.
        wait: waits for the next picture's turn; returns the seconds since the last one's.

    Raises:
        UserError: if there is no display.
    """

    def __init__(self, width: float, height: float, scale: float, title: str) -> None:
        try:
            pygame.display.init()
            sizes = pygame.display.get_desktop_sizes()
            fit = min([scale, *(0.95 * min(wide / width, high / height) for wide, high in sizes[:1] if wide > 0)])
            self.screen = pygame.display.set_mode((round(width * fit), round(height * fit)), pygame.RESIZABLE)
        except pygame.error as error:
            raise UserError(
                f"no window can be opened ({error}); use --headless to evaluate, --web to watch in a browser "
                "or --record film.mp4 to film"
            ) from error
        pygame.display.set_caption(title)
        self.driver = pygame.display.get_driver()
        pygame.key.set_repeat()
        self.wait = Pace().wait

    def scale(self, width: float, height: float) -> float:
        """Return the pixels a unit at which a picture of so many units fills the window."""
        wide, high = self.screen.get_size()
        return float(min(wide / width, high / height))

    def show(self, canvas: Canvas) -> None:
        """Show a picture in the middle."""
        self.screen.fill(NIGHT)
        self.screen.blit(canvas.surface, canvas.surface.get_rect(center=self.screen.get_rect().center))
        pygame.display.flip()

    def hold(self) -> None:
        """Show what is shown a while longer."""
        pygame.display.flip()

    def moved(self) -> Iterator[tuple[str, bool]]:
        """Yield the names of keys that moved since the last call, and whether they went down; "quit" to close."""
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                yield "escape", True
            elif event.type in (pygame.KEYDOWN, pygame.KEYUP):
                # A key that writes another sign with shift held, such as +, goes by that sign.
                sign = getattr(event, "unicode", "")
                yield sign if sign in ("+", "-") else pygame.key.name(event.key), event.type == pygame.KEYDOWN

    def close(self) -> None:
        """Close the window."""
        pygame.quit()


class Viewing:
    """One person before one window, or several before a page that shows the same.

    The games are played by another thread, a few frames at a time; this one shows the newest and takes keys.

    Attributes:
        scene: the one that is shown.
        window: a `Window`, or something with the same methods, as `experiment.watch.web.Browser`.
        controls: the state that keys have set.

    Args:
        director: of the games; its overlays are taken over.
        scale: of the window, pixels a unit.
        name: in the window's title and in the names of films.
        bests: where a person's games are kept; None to keep none.
        worker: plays the games; a thread of its own if None.
        wait: called once a picture, returns the seconds since the last one; the display's rate if None.
        open_window: called with the picture's width and height in units, the scale and a title.
        sounds: plays them.
    """

    def __init__(
        self,
        director: Director,
        scale: float,
        name: str,
        bests: Bests | None = None,
        worker: Executor | None = None,
        wait: Callable[[], float] | None = None,
        open_window: Callable[[float, float, float, str], Any] = Window,
        sounds: Callable[[], Sounds] = Sounds,
    ) -> None:
        self._director, self._name, self._bests = director, name, bests
        agents = any(contender.policy is not None for contender in director.contenders)
        self._person = director.contenders[0].policy is None
        self._taps = bool(director.game.ours and director.game.game.taps)
        keys = director.keys
        self.controls = Controls(keys, director.overlays, director.saliencies, agents, self._person)
        self._about = " ".join(filter(None, director.game.about.values()))
        self._first_key = next(iter(keys))
        self._note = ""
        self._recall_bests()
        self.scene = director.scene()
        self.window = open_window(*size_of(self.scene), scale, f"Wingbeat: {name}")
        self._wait = wait or self.window.wait
        self._worker = worker or ThreadPoolExecutor(1, "games")
        self._sounds = sounds()
        self._recorder: Recorder | None = None
        self._film_scale = 1.0
        self._job: Future[list[Scene]] | None = None
        self._owed = 0.0  # frames of the game that are due
        self._rested = self._ended = 0.0  # seconds since all games were over, and since a person's was
        self._begun, self._kept = not self._person, False
        self._note = self._note or ("no sound device" if self._sounds.silent else "")
        self._painted: tuple[Scene, float] | None = None
        self._shown: Any = None
        self._canvas = Canvas(1, 1, 1)

    def run(self) -> int:
        """Show the games until the window is closed; returns the exit code."""
        try:
            self._draw()
            while True:
                seconds = self._wait()
                for key, down in self.window.moved():
                    (self.controls.press if down else self.controls.release)(key)
                if self.controls.left:
                    break
                self._collect()
                self._ask(seconds)
                self._collect()
                self._switch_film()
                self._draw()
        finally:
            if self._job is not None:
                self._job.exception()  # wait for it
            self._worker.shutdown()
            self._keep()
            if self._recorder is not None:
                print(self._recorder.close(), file=sys.stderr)
            self._director.close()
            self.window.close()
        return 0

    def _ask(self, seconds: float) -> None:
        """Let the worker go on with the games, if it is time and it is idle."""
        controls, over = self.controls, self._over
        if not controls.paused and self._begun and not over:
            self._owed += seconds * self._director.fps * controls.speed
        if over and not controls.paused:
            self._rested += seconds
        self._owed = min(self._owed, max(1.0, CATCH_UP * self._director.fps * controls.speed))
        mine_over = self.scene.seats[0].moment.over
        if self._person and mine_over:
            if self._ended < BREATH:
                self.controls.hush()  # struck before the person could see the end: not meant for the next game
            self._ended += seconds
        if self._job is not None:
            return
        if (mine_over and controls.waiting) if self._person else (over and self._rested >= REST):
            controls.wish = controls.wish or "next"
        if not self._begun and controls.waiting:
            self._begun, self._owed = True, 1.0
        frames = int(self._owed) + (controls.steps if self._begun else 0)
        if controls.wish:
            wish, seed = controls.wish, self.scene.seed
            self._keep()
            controls.begin()
            self._begun, self._kept, self._rested, self._owed = not self._person, False, 0.0, 0.0
            self._ended = 0.0
            self._job = self._worker.submit(self._start, seed + (wish == "next"))
        elif (controls.overlays, controls.saliency) != (self._director.overlays, self._director.saliency):
            self._job = self._worker.submit(self._look_again, controls.overlays, controls.saliency)
        elif frames and not over:
            self._owed -= int(self._owed)
            controls.steps = 0
            hand = controls.hand(self._taps) if controls.by_hand else None
            self._job = self._worker.submit(self._advance, frames, hand, controls.by_hand)

    @property
    def _over(self) -> bool:
        return all(seat.moment.over for seat in self.scene.seats)

    def _start(self, seed: int) -> list[Scene]:
        self._director.start(seed)
        return [self._director.scene()]

    def _look_again(self, overlays: frozenset[str], saliency: str) -> list[Scene]:
        self._director.overlays, self._director.saliency = overlays, saliency
        self._director.look_again()
        return [self._director.scene()]

    def _advance(self, frames: int, hand: int | None, by_hand: bool) -> list[Scene]:
        director, scenes = self._director, []
        director.by_hand = by_hand
        for _ in range(frames):
            if director.over:
                break
            director.advance(hand)
            scenes.append(director.scene())
            hand = None if self._taps else hand
        return scenes

    def _collect(self) -> None:
        """Take the frames that the worker has played: all are filmed and heard, the last is shown."""
        if self._job is None or not self._job.done():
            return
        scenes, self._job = self._job.result(), None
        for scene in scenes:
            if not self.controls.muted:
                self._sounds.play(heard(self.scene, scene))
            if scene.episode != self.scene.episode:
                self._note = self._director.note
            played = [seat.moment for seat in scene.seats] != [seat.moment for seat in self.scene.seats]
            self.scene = scene
            if self._recorder is not None and played:
                self._recorder.add(self._paint(self._film_scale).array())
        if self._over:
            self._keep()

    def _keep(self) -> None:
        """Put a person's game on the list, once, if it is over."""
        seats = self.scene.seats
        if self._bests is None or not self._person or self._kept or not seats[0].moment.over:
            return
        self._kept = True
        entry: dict[str, Any] = {
            "score": seats[0].moment.score,
            "seed": self.scene.seed,
            "date": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        if len(seats) == 2:
            entry |= {"against": seats[1].name, "their_score": seats[1].moment.score}
        try:
            place = self._bests.add(self._about, entry)
        except UserError as error:
            self._note = str(error)
        else:
            self._note = "" if place is None else "your best game" if place == 1 else f"your best game but {place - 1}"
        self._recall_bests()

    def _recall_bests(self) -> None:
        director = self._director
        if self._bests is None or not self._person:
            return
        try:
            director.scores = lines(self._bests.of(self._about))
        except UserError as error:
            self._note = str(error)

    def _switch_film(self) -> None:
        if self.controls.recording and self._recorder is None:
            self._film_scale = self.window.scale(*size_of(self.scene))
            path = free_name(FILMS, f"{self._name}-seed{self.scene.seed}")
            self._recorder = Recorder(path, self._director.fps)
            self._recorder.add(self._paint(self._film_scale).array())
            self._note = f"filming to {path}"
        elif self._recorder is not None and (self._recorder.failed or not self.controls.recording):
            self._note, self._recorder, self.controls.recording = self._recorder.close(), None, False

    def _paint(self, scale: float) -> Canvas:
        """Paint the scene, unless it has been painted."""
        if self._painted != (self.scene, scale):
            self._canvas, self._painted = compose(self.scene, scale), (self.scene, scale)
        return self._canvas

    def _draw(self) -> None:
        """Show the scene and the window's own signs, if anything is new."""
        signs = self.controls.signs(self._banner(), self._note, self._director.game_keys)
        scale = self.window.scale(*size_of(self.scene))
        if self._shown == (self.scene, signs, scale):
            self.window.hold()
            return
        canvas = self._paint(scale).copy()
        put_signs(canvas, signs)
        self.window.show(canvas)
        self._shown = (self.scene, signs, scale)

    def _banner(self) -> str:
        seats = self.scene.seats
        one, other = seats[0].moment, seats[-1].moment
        if self._person and not self._begun:
            return f"{self._first_key} to start"
        if len(seats) == 1:
            if not one.over:
                return ""
            return f"{self._first_key} to play again" if self._person else f"over at {score_text(one.score)}"
        scores = f"{score_text(one.score)} : {score_text(other.score)}"
        if self._over:
            winner = seats[int(other.score > one.score)].name
            wins = f"{winner} {'win' if winner == 'you' else 'wins'}"
            return f"{'a draw' if one.score == other.score else wins}, {scores}"
        return f"{scores} so far; {self._first_key} for the next" if self._person and one.over else ""
