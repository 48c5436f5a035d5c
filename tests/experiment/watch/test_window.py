"""The window shows the composed pictures and does what the keys say."""

import itertools
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
import torch
from numpy.typing import NDArray

from commands.game import GameConfig
from envs import FLAPPY_BIRD, GameVectorEnv
from experiment.errors import UserError
from experiment.policy import Thought
from experiment.watch import recorder
from experiment.watch.bests import Bests
from experiment.watch.compose import picture
from experiment.watch.controls import KEYS
from experiment.watch.director import Contender, Director, film_frames
from experiment.watch.scene import OVERLAYS, USUAL
from experiment.watch.sounds import NOTES, Sounds
from experiment.watch.window import REST, Viewing
from tests.experiment.watch.visiting import FOOT, AtOnce, Flapper, Glider, Visitor, agent, direct, episode, same

RESTING = round(REST * 30)  # pictures for which an episode's end stays


@pytest.fixture(autouse=True)
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.setattr(pygame.display, "get_desktop_sizes", lambda: [(3840, 2160)])
    monkeypatch.chdir(tmp_path)
    yield
    assert not pygame.display.get_init(), "the window was left open"
    pygame.quit()


def test_watching_episode_after_episode() -> None:
    visitor = Visitor(direct(seed=7), {32 + RESTING + 10: "close"})
    first, second = ([moment.picture for moment in episode(seed)] for seed in (7, 8))
    assert len(first) == 32  # a bird that only glides falls to the ground on frame 31
    # The episode's end stays for a while; the next one's start comes with the picture after.
    assert same(visitor.pictures[:32], first)
    assert same(visitor.pictures[32 : 31 + RESTING], [first[-1]] * (RESTING - 1))
    start = next(i for i, scene in enumerate(visitor.scenes) if scene.seed == 8)
    assert start in range(30 + RESTING, 34 + RESTING)
    assert same(visitor.pictures[start:], second[: len(visitor.pictures) - start])
    assert [(scene.episode, scene.seed) for scene in visitor.scenes[:: len(visitor.scenes) - 1]] == [(1, 7), (2, 8)]
    assert visitor.signs[31].banner == "over at 0"
    assert visitor.signs[30].banner == ""


def test_the_window_shows_what_is_composed_without_it() -> None:
    for scale in (1.5, 1.0):
        visitor = Visitor(direct(seed=2), {8: "close"}, scale)
        expected = list(film_frames(direct(seed=2), scale))
        assert len(visitor.screens) == 8
        foot = round(FOOT * scale)
        for screen, frame in zip(visitor.screens, expected, strict=False):
            assert screen.shape == frame.shape == (512 * scale, 576 * scale, 3)
            assert (screen[:-foot] == frame[:-foot]).all()
            assert (screen[:, : round(288 * scale)] == frame[:, : round(288 * scale)]).all()
            assert (screen != frame).any()  # at the foot: how to see the list of keys
        assert all((a != b).any() for a, b in itertools.pairwise(visitor.screens))


def test_a_film_made_in_the_window_is_the_one_made_without(monkeypatch: pytest.MonkeyPatch) -> None:
    films: dict[Path, list[NDArray[np.uint8]]] = {}
    monkeypatch.setattr(recorder, "film", lambda frames, path, fps: films.setdefault(path, list(frames)))
    # Whatever else happens in the window: speed, the list of keys, a pause.
    keys = {1: "r", 4: "+", 6: "h", 8: "space", 12: "space", 14: "-", 16: "h", 18: "r", 20: "r", 25: "q"}
    visitor = Visitor(direct(agent(Flapper()), seed=3), keys)
    expected = list(itertools.islice(film_frames(direct(agent(Flapper()), seed=3), 0.5), 60))
    (first,) = films.values()  # the second has the first's name, for nothing was written
    # Frame 1 was shown when the film began, and one more came with the key that ended it.
    assert same(first, expected[1 : visitor.frames[18] + 1])
    assert len(first) > 18
    filming = ["rec" in signs.status for signs in visitor.signs]
    assert filming == [False] + [True] * 17 + [False] * 2 + [True] * 5


def test_a_film_is_written_and_finished_when_the_window_closes(capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        visitor = Visitor(direct(seed=1), {2: "r", 12: "close"}, 0.5)
        assert visitor.signs[3].note == f"filming to films/test-seed1-{number}.mp4"
        assert capsys.readouterr().err == f"wrote films/test-seed1-{number}.mp4\n"
    assert sorted(path.name for path in Path("films").iterdir()) == ["test-seed1-1.mp4", "test-seed1-2.mp4"]
    assert all(path.stat().st_size > 1000 for path in Path("films").iterdir())


def test_a_film_that_cannot_be_written_leaves_the_window_open() -> None:
    Path("films").write_text("in the way")
    visitor = Visitor(direct(seed=1), {2: "r", 15: "close"}, 0.5)
    told = [signs for signs in visitor.signs if signs.note.startswith("no film: cannot write films")]
    assert told
    assert "rec" not in told[-1].status
    assert len(visitor.scenes) == 15


def test_pause_step_and_go_on() -> None:
    visitor = Visitor(direct(seed=1), {5: "space", 9: ".", 11: ". .", 14: "p", 17: "q"})
    assert visitor.frames == [*range(5), 4, 4, 4, 4, 5, 5, 7, 7, 7, 8, 9, 10][: len(visitor.frames)]
    assert same(visitor.pictures[:5], [moment.picture for moment in episode(1)[:5]])
    assert "paused" in visitor.signs[6].status
    assert "paused" not in visitor.signs[15].status


def test_speeds() -> None:
    keys = {2: "+", 4: "=", 6: "+", 8: "+", 10: "-", 11: "-", 12: "-", 13: "-", 14: "-", 15: "-", 16: "-", 30: "escape"}
    visitor = Visitor(direct(agent(Flapper()), seed=1), keys)
    assert visitor.speeds[:11] == [1, 1, 2, 2, 4, 4, 8, 8, 8, 8, 4]
    assert visitor.speeds[11:17] == [2, 1, 0.5, 0.25, 0.125, 0.125]
    steps = np.diff(visitor.frames)
    assert steps[:4].tolist() == [1, 2, 2, 4]
    assert set(steps[17:].tolist()) == {0, 1}
    assert "0.125x" in visitor.signs[-1].status


def test_the_next_seed_and_this_one_again() -> None:
    visitor = Visitor(direct(seed=4), {6: "n", 12: "backspace", 18: "q"})
    seeds = [(scene.seed, scene.seats[0].moment.frame) for scene in visitor.scenes]
    assert seeds == [*((4, i) for i in range(6)), *((5, i) for i in range(6)), *((5, i) for i in range(6))]
    assert [scene.episode for scene in visitor.scenes] == [1] * 6 + [2] * 6 + [3] * 6


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("name", list(OVERLAYS))
def test_each_overlay_has_a_key(name: str, paused: bool) -> None:
    key = OVERLAYS[name].key
    keys = {14: "space"} if paused else {}
    visitor = Visitor(direct(agent(Flapper()), overlays=frozenset()), {**keys, 16: key, 20: "close"})
    assert visitor.scenes[15].overlays == frozenset()
    assert visitor.scenes[18].overlays == {name}
    frames = film_frames(direct(agent(Flapper()), overlays=frozenset()), 0.5)
    alike = next(itertools.islice(frames, visitor.frames[18], None))
    shown = (visitor.screens[18] != alike)[: -FOOT // 2]
    game, panel = shown[:, :144], shown[:, 144:]
    assert game.any() == (name == "saliency")
    assert panel.any() == (name != "saliency")
    again = Visitor(direct(agent(Flapper()), overlays=frozenset({name})), {16: key, 20: "close"})
    assert again.scenes[15].overlays == {name}
    assert again.scenes[18].overlays == ({"saliency"} if name == "saliency" else frozenset())


def test_saliency_goes_through_its_maps() -> None:
    visitor = Visitor(direct(agent(Flapper()), overlays=frozenset()), {14: "s", 18: "s", 22: "s", 26: "close"})
    seen = [scene.seats[0].saliency if scene.overlays else "" for scene in visitor.scenes]
    assert (seen[13], seen[16], seen[20], seen[24]) == ("", "corner", "right", "")
    screens = [visitor.screens[i][40:100].mean((0, 2)) for i in (16, 20)]
    left = [screen[10:60].mean() - screen[90:140].mean() for screen in screens]
    assert left[0] > left[1] + 20  # the glow has gone from the left to the right


def test_all_overlays_and_none() -> None:
    visitor = Visitor(direct(), {4: "o", 8: "o", 12: "close"})
    assert [visitor.scenes[i].overlays for i in (3, 6, 10)] == [USUAL, frozenset(OVERLAYS), frozenset()]


def test_the_list_of_keys_and_the_sound_key() -> None:
    visitor = Visitor(direct(), {3: "h", 6: "h", 8: "m", 11: "m", 14: "close"})
    assert visitor.signs[2].keys == visitor.signs[7].keys == {}
    assert visitor.signs[4].keys == KEYS
    before, there = visitor.screens[2].astype(int), visitor.screens[4].astype(int)
    assert there.mean() < 0.7 * before.mean()  # all else is dimmed
    assert ["no sound" in visitor.signs[i].status for i in (7, 9, 12)] == [False, True, False]


def test_the_list_has_the_games_keys_while_a_person_plays() -> None:
    director = direct(agent(Flapper()))
    visitor = Visitor(director, {2: "t", 3: "h", 6: "close"})
    listed = visitor.viewing.controls.signs("", "", director.game_keys).keys
    assert listed["space, up"] == "flap"
    assert listed["p"] == "pause, go on"
    assert "space, p" not in listed
    assert len(listed) == len(KEYS) + 1


def by_hand(seed: int, flaps: set[int], frames: int) -> list[NDArray[np.uint8]]:
    """A game's pictures when its frames numbered in `flaps` get a flap."""
    env = GameVectorEnv(FLAPPY_BIRD, 1, render_mode="rgb_array")
    env.reset(seed=[2**33 + seed * 1_000_003])
    pictures = []
    for frame in range(frames + 1):
        rendered = env.render()
        assert rendered is not None
        pictures.append(rendered[0])
        env.step(np.array([int(frame + 1 in flaps)]))
    return pictures


def test_taking_over_and_handing_back() -> None:
    visitor = Visitor(direct(agent(Flapper()), seed=5), {10: "t", 15: "space", 30: "t", 40: "close"})
    hands = [scene.seats[0].moment.by_hand for scene in visitor.scenes]
    assert hands == [False] * 10 + [True] * 20 + [False] * 10
    # By itself the agent flaps on frame 1 and every 16th after it, but frame 17 is a person's.
    assert same(visitor.pictures, by_hand(5, {1, 15, 33}, 39))
    # Meanwhile the agent goes on to see and to think.
    assert visitor.scenes[-1].seats[0].moment.steps == 20
    assert len(visitor.scenes[-1].seats[0].past) == 20


def test_space_pauses_again_after_handing_back() -> None:
    visitor = Visitor(direct(agent(Flapper())), {4: "t", 8: "t", 10: "space", 14: "close"})
    assert visitor.frames == [*range(10), 9, 9, 9, 9]


def test_playing_yourself(tmp_path: Path) -> None:
    # The first key begins the game and is the first flap. After three flaps the bird falls to its death.
    keys = {4: "space", 10: "up", 15: "x", 20: "space", 100: "space", 103: "q"}
    bests = Bests(tmp_path / "best.json")
    visitor = Visitor(direct(Contender("you"), seed=5), keys, bests=bests)
    assert all(signs.banner == "space to start" for signs in visitor.signs[:4])
    assert visitor.signs[4].banner == ""
    assert visitor.scenes[0].seats[0].hints[0] == ("space, up", "flap")
    first = by_hand(5, {1, 7, 17}, 90)
    over = next(i for i, signs in enumerate(visitor.signs) if signs.banner == "space to play again")
    assert 40 < over < 100
    assert same(visitor.pictures[:4], [first[0]] * 4)
    assert same(visitor.pictures[4 : over + 1], first[1 : over - 2])
    assert same(visitor.pictures[over:100], [visitor.pictures[over]] * (100 - over))
    assert same(visitor.pictures[100:103], [by_hand(6, set(), 0)[0]] * 3)
    assert visitor.signs[100].banner == "space to start"
    entries = bests.of("wingbeat/FlappyBird-v0 classic")
    assert [(entry["score"], entry["seed"]) for entry in entries] == [(0, 5)]
    assert visitor.signs[over + 1].note == "your best game"
    assert visitor.scenes[101].seats[0].scores[0][0] == "0"


def test_no_overlays_and_no_handing_over_without_an_agent() -> None:
    visitor = Visitor(direct(Contender("you")), {2: "i", 4: "t", 6: "close"})
    assert visitor.signs[2].note == "no agent plays here"
    assert "you play" in visitor.signs[4].note


def test_a_tap_at_the_moment_of_a_crash_starts_nothing() -> None:
    """The bird of nobody's taps is dead after some 31 frames; a second of the visit has 30."""
    first = Visitor(direct(Contender("you"), seed=6), {3: "space", 80: "close"})
    crash = next(i for i, scene in enumerate(first.scenes) if scene.seats[0].moment.over)
    keys = {3: "space", crash + 1: "space", crash + 3: "space", crash + 40: "space", crash + 44: "close"}
    visitor = Visitor(direct(Contender("you"), seed=6), keys)
    assert [scene.seed for scene in visitor.scenes[: crash + 40]] == [6] * (crash + 40)
    assert visitor.scenes[crash + 42].seed == 7


def test_keys_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another's environment they are counted in one that is made for it, which may take a tenth of a second."""
    made: list[str] = []
    make = GameConfig.make

    def noted(self: GameConfig, *args: Any, **more: Any) -> Any:
        made.append(self.env)
        return make(self, *args, **more)

    monkeypatch.setattr(GameConfig, "make", noted)
    director = Director(GameConfig(env="CartPole-v1"), [agent(Glider())], 0)
    before = len(made)
    for _ in range(3):
        director.advance(None)
        assert director.scene().seats[0].hints[:2] == (("0", "action 0"), ("1", "action 1"))
    assert len(made) == before
    director.close()
    pygame.quit()


def test_a_film_that_fails_at_its_end_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def film(frames: Any, path: Path, fps: int) -> None:
        assert len(list(frames)) == 2
        raise OSError("the disk is full")

    monkeypatch.setattr(recorder, "film", film)
    one = recorder.Recorder(tmp_path / "film.mp4", 30)
    for _ in range(2):
        one.add(np.zeros((8, 8, 3), np.uint8))
    closing = ThreadPoolExecutor(1).submit(one.close)
    assert closing.result(timeout=20) == "no film: the disk is full"
    assert one.failed


def test_against_an_agent(tmp_path: Path) -> None:
    bests = Bests(tmp_path / "best.json")
    director = direct(Contender("you"), agent(Glider()), seed=6)
    visitor = Visitor(director, {3: "space", 6: "space", 12: "space", 100: "space", 104: "q"}, 1.0, bests)
    assert visitor.screens[0].shape == (512, 2 * 576, 3)
    # Both wait for the person, and then play the same episode at once.
    both = [[seat.moment.frame for seat in scene.seats] for scene in visitor.scenes]
    assert both[:5] == [[0, 0]] * 3 + [[1, 1], [2, 2]]
    assert both[50][1] == 31  # the glider lies on the ground
    assert visitor.scenes[0].seats[0].moment.picture.tobytes() == visitor.scenes[0].seats[1].moment.picture.tobytes()
    assert not visitor.scenes[30].seats[0].moment.over
    assert visitor.signs[90].banner == "a draw, 0 : 0"
    assert [scene.seed for scene in visitor.scenes[99:102]] == [6, 7, 7]
    (entry,) = bests.of("wingbeat/FlappyBird-v0 classic")
    assert (entry["score"], entry["against"], entry["their_score"]) == (0, "glider", 0)


def test_a_race_of_two_agents() -> None:
    visitor = Visitor(direct(agent(Glider(), "one"), agent(Flapper(), "two"), seed=6), {50: "n", 55: "close"}, 1.0)
    ends = [len([1 for scene in visitor.scenes if not scene.seats[i].moment.over and scene.seed == 6]) for i in (0, 1)]
    assert ends[0] == 31
    assert ends[1] > 35
    assert [seat.name for seat in visitor.scenes[0].seats] == ["one", "two"]
    again = direct(agent(Glider(), "one"), agent(Flapper(), "two"), seed=6)
    expected = list(itertools.islice(film_frames(again, 1.0), 9))
    assert same([screen[:-FOOT] for screen in visitor.screens[:9]], [frame[:-FOOT] for frame in expected])


def test_a_newer_policy_plays_from_the_next_episode_on() -> None:
    newer = iter([(Flapper(), "a newer policy"), (None, "cannot read it")])
    visitor = Visitor(direct(agent(Glider(), renew=lambda: next(newer))), {3: "n", 6: "n", 9: "close"})
    assert [visitor.signs[i].note for i in (2, 4, 7)] == ["", "a newer policy", "cannot read it"]
    assert [visitor.scenes[i].seats[0].moment.action for i in (1, 4, 7)] == [0, 1, 0]


class Slow(Glider):
    """Thinks until so much has been seen of the window."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = threading.Event()

    def think(self, observations: torch.Tensor) -> Thought:
        assert self.seen.wait(20), "the picture waits for the network"
        return super().think(observations)


def test_a_slow_network_does_not_stall_the_picture() -> None:
    """Twenty pictures come while it thinks, in whose time ten frames are due; the game waits and makes up for three."""
    frames: list[int] = []
    slow = Slow()

    def wait() -> float:
        frames.append(viewing.scene.seats[0].moment.frame)
        assert len(frames) < 2000, "the game does not go on"
        if len(frames) == 20:
            slow.seen.set()
        if frames[-1] > 12:
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        time.sleep(0.01)
        return 1 / 60

    viewing = Viewing(direct(agent(slow)), 1.0, "test", wait=wait)
    viewing.run()
    assert frames[:20] == [0] * 20
    assert np.diff(frames).max() <= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("games")]


def test_what_goes_wrong_in_the_games_thread_ends_the_window() -> None:
    class Broken(Glider):
        def think(self, observations: torch.Tensor) -> Thought:
            raise UserError("the network has caught fire")

    with pytest.raises(UserError, match="caught fire"):
        Viewing(direct(agent(Broken())), 1.0, "test").run()


def test_sounds() -> None:
    visitor = Visitor(direct(agent(Flapper()), seed=5), {1: "close"})
    assert not visitor.viewing._sounds.silent
    pygame.mixer.init()
    sounds = Sounds()
    assert sounds._sounds.keys() == NOTES.keys()
    pygame.quit()


@pytest.mark.parametrize("driver", ["nowhere", "alsa"])
def test_without_a_sound_device_all_else_works(
    driver: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDL_AUDIODRIVER", driver)
    monkeypatch.setenv("AUDIODEV", "no such device")  # what ALSA opens
    visitor = Visitor(direct(seed=1), {12: "m", 40: "close"})
    assert visitor.viewing._sounds.silent
    assert visitor.signs[0].note == "no sound device"
    assert visitor.frames[:10] == list(range(10))
    assert capfd.readouterr().err == ""


def test_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "nowhere")
    with pytest.raises(UserError, match=r"no window can be opened .*; use --headless .* or --record"):
        Viewing(direct(), 1.0, "test")
    pygame.quit()


def test_a_window_of_another_shape_keeps_the_picture_whole() -> None:
    director = direct(seed=1)
    screens: list[NDArray[np.uint8]] = []

    def wait() -> float:
        if len(screens) == 3:
            pygame.display.set_mode((700, 300), pygame.RESIZABLE)
        screens.append(pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1).copy())
        if len(screens) == 6:
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        return 0.0

    viewing = Viewing(director, 1.0, "test", worker=AtOnce(), wait=wait)
    viewing.run()
    expected = picture(direct(seed=1).scene(), 300 / 512)
    height, width = expected.shape[:2]
    left, foot = (700 - width) // 2, height - 22
    assert height == 300
    assert (screens[-1][:foot, left : left + width] == expected[:foot]).all()
    assert (screens[-1][:, : left - 1] == screens[-1][0, 0]).all()


def test_the_best_is_that_of_a_whole_episode() -> None:
    """A film of one life ends with its fifth frame, at a score of -2 (1 + 2 + 3 + 4 + 5)."""
    director = direct(Contender("you"), game=GameConfig(env="tests.envs.screens:Film"))
    director.start(0)
    for t in range(1, 6):
        assert director.contenders[0].best is None
        director.advance(0)
        assert director.contenders[0].best == (-30 if t == 5 else None)


def test_other_environments_through_their_own_pictures() -> None:
    game = GameConfig(env="CartPole-v1")

    class Left(Glider):
        def think(self, observations: torch.Tensor) -> Thought:
            assert observations.shape == (1, 1, 1, 4)
            assert observations.dtype == torch.float32
            return super().think(observations)

    lefty = Contender("left", Left(), 1, {"maps": lambda policy, seen: None})
    director = Director(game, [lefty], 0, None, frozenset(OVERLAYS))
    visitor = Visitor(director, {40: "n", 41: "t", 42: "+1", 46: "-1", 49: "close"}, 1.0)
    moments = [scene.seats[0].moment for scene in visitor.scenes]
    assert moments[0].picture.shape == (400, 600, 3)
    assert moments[5].score == 5.0
    assert 6 < max(moment.frame for moment in moments[:40]) < 14  # the pole falls to one side
    assert [moment.action for moment in moments[41:48]] == [0, 1, 1, 1, 1, 0, 0]  # held as long as the key
    assert visitor.screens[0].shape[0] == 512


def test_every_key_of_the_list_does_something() -> None:
    """The list says what the code does: each sign in it is one that `press` knows."""
    for keys in KEYS:
        for key in re.split(r",? +", keys):
            viewing: Any = Viewing(direct(), 0.5, "test", worker=AtOnce(), wait=lambda: 0.0)
            before = vars(viewing.controls).copy()
            viewing.controls.press(key)
            assert vars(viewing.controls) != before, key
            viewing.controls.left = True
            viewing.run()
