"""Small sounds, made of sine waves. Without a sound device there is silence, and nothing else changes."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pygame
from numpy.typing import NDArray

from experiment.watch.scene import Scene

RATE = 22050  # samples a second
LOUDNESS = 0.25
NOTES = {  # (hertz at the start, hertz at the end, seconds)
    "act": ((420.0, 640.0, 0.05),),
    "point": ((880.0, 880.0, 0.06), (1318.5, 1318.5, 0.11)),
    "over": ((330.0, 110.0, 0.28),),
}


def wave(name: str) -> NDArray[np.int16]:
    """Return a sound, int16 [samples, 2], left and right alike; it starts and ends softly."""
    parts = []
    for start, end, seconds in NOTES[name]:
        n = round(RATE * seconds)
        phase = 2 * np.pi * np.cumsum(np.linspace(start, end, n)) / RATE
        fade = np.minimum(1, np.arange(n) / (0.004 * RATE)) * np.linspace(1, 0, n) ** 1.5
        parts.append((np.sin(phase) + 0.3 * np.sin(2 * phase)) / 1.3 * fade)
    samples = (32767 * LOUDNESS * np.concatenate(parts)).astype(np.int16)
    return np.stack([samples, samples], -1)


def heard(before: Scene, now: Scene) -> list[str]:
    """Name the sounds of what has happened in the first game from one scene to a later one."""
    was, now_is = before.seats[0].moment, now.seats[0].moment
    if before.episode != now.episode:
        return []
    sounds = []
    if now_is.action and now_is.frame != was.frame and not (was.action == now_is.action and was.by_hand):
        sounds.append("act")
    if now_is.score > was.score and isinstance(now_is.score, int):  # returns of other environments rise all the time
        sounds.append("point")
    if now_is.over and not was.over:
        sounds.append("over")
    return sounds


class Sounds:
    """Plays sounds, if it can.

    Attributes:
        silent: there is no sound device.
    """

    def __init__(self) -> None:
        self.silent = False
        self._sounds: dict[str, Any] = {}
        try:
            with _hushed():
                pygame.mixer.init(RATE, -16, 2, 512)
            self._sounds = {name: pygame.mixer.Sound(buffer=wave(name).tobytes()) for name in NOTES}
        except pygame.error:
            self.silent = True

    def play(self, names: list[str]) -> None:
        """Play sounds by name."""
        if not self.silent:
            for name in names:
                self._sounds[name].play()


class NoSounds(Sounds):
    """Plays nothing: the person watches from another machine, so a missing sound device is not worth a note either."""

    def __init__(self) -> None:
        self.silent = False

    def play(self, names: list[str]) -> None:
        """Do nothing."""


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Drop what is written to standard error: a system without a sound device complains there in many lines."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
