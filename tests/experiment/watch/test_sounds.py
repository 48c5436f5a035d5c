"""Sounds: what is heard of a game, and that it sounds like something."""

from dataclasses import replace

import numpy as np
import pytest

from experiment.show import Moment
from experiment.watch.scene import Scene, Seat
from experiment.watch.sounds import LOUDNESS, NOTES, RATE, heard, wave

PICTURE = np.zeros((4, 4, 3), np.uint8)
START = Moment(PICTURE, 3, False, frame=10)


def scene(moment: Moment, episode: int = 1) -> Scene:
    return Scene((Seat("you", moment, ("glide", "flap")),), "Flappy", episode, 0)


@pytest.mark.parametrize(
    ("now", "sounds"),
    [
        (replace(START, frame=11), []),
        (replace(START, frame=11, action=1), ["act"]),
        (replace(START, action=1), []),  # the same frame once more
        (replace(START, frame=11, score=4), ["point"]),
        (replace(START, frame=11, score=3.5), []),
        (replace(START, frame=11, over=True), ["over"]),
        (replace(START, frame=11, action=1, score=4, over=True), ["act", "point", "over"]),
    ],
)
def test_what_is_heard(now: Moment, sounds: list[str]) -> None:
    assert heard(scene(START), scene(now)) == sounds
    assert heard(scene(START), scene(now, episode=2)) == []


def test_a_held_key_is_heard_once() -> None:
    held = replace(START, frame=11, action=1, by_hand=True)
    assert heard(scene(held), scene(replace(held, frame=12))) == []


@pytest.mark.parametrize("name", list(NOTES))
def test_waves_have_the_pitch_and_the_length_and_do_not_click(name: str) -> None:
    samples = wave(name)
    assert samples.dtype == np.int16
    assert samples.shape == (sum(round(RATE * seconds) for _, _, seconds in NOTES[name]), 2)
    left = samples[:, 0].astype(float) / 32767
    assert 0.5 * LOUDNESS < np.abs(left).max() <= LOUDNESS
    assert abs(left[0]) < 0.01
    assert abs(left[-1]) < 0.01
    start, end, seconds = NOTES[name][0]
    first = left[: round(RATE * seconds)]
    loudest = np.fft.rfftfreq(len(first), 1 / RATE)[np.abs(np.fft.rfft(first)).argmax()]
    assert min(start, end) - 1 / seconds <= loudest <= max(start, end) + 1 / seconds
