"""The rasteriser against a brute-force compositor in float64."""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs.scene import Sprite, draw_sprite, labels, make_sheet, paint, parse_color, sprite_box

GRAY = np.array([0.299, 0.587, 0.114])


@lru_cache(64)
def shares(start: int, length: int, full: int, small: int) -> NDArray[np.float64]:
    """[small, length]: the share of each small pixel that each of the sprite's pixels covers, exactly."""
    weights = np.zeros((small, length))
    for cell in range(small):
        low, high = Fraction(cell * full, small), Fraction((cell + 1) * full, small)
        for pixel in range(length):
            overlap = min(high, start + pixel + 1) - max(low, start + pixel)
            weights[cell, pixel] = max(overlap, 0) * Fraction(small, full)
    return weights


def brute_force(
    scene: list[tuple[Sprite, float, float]], screen: tuple[int, int], size: tuple[int, int], channels: int
) -> NDArray[np.float64]:
    """Lay sprites over black: each averaged by area where it lies, then color + what it leaves of the ground."""
    picture = np.zeros((size[1], size[0], channels))
    for sprite, x, y in scene:
        rgb, cover = sprite.image[..., :3] / 1.0, sprite.image[..., 3:] / 255
        color = (rgb if channels == 3 else rgb @ GRAY[:, None]) * cover
        start = math.floor(x + 0.5) - sprite.origin[0], math.floor(y + 0.5) - sprite.origin[1]
        across = shares(start[0], rgb.shape[1], screen[0], size[0])
        down = shares(start[1], rgb.shape[0], screen[1], size[1])
        color, cover = (np.einsum("rh,hwk,cw->rck", down, plane, across) for plane in (color, cover))
        picture = color + picture * (1 - cover)
    return picture


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Any, ...]:
    """Sprites with their places, the screen's size, the picture's and the number of channels."""
    lengths = st.integers(1, 24)  # up to 24 phases an axis are exact
    screen = draw(lengths), draw(lengths)
    size = tuple(draw(st.integers(1, full)) for full in screen)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scene = []
    for _ in range(draw(st.integers(1, 4))):
        width, height = draw(st.integers(1, 30)), draw(st.integers(1, 30))
        image = rng.integers(0, 256, (height, width, 4)).astype(np.uint8)
        look = draw(st.sampled_from(["opaque", "holes", "soft"]))
        if look == "opaque":
            image[..., 3] = 255
        elif look == "holes":  # all or nothing, in stretches, as painted things are
            image[..., 3] = np.where(rng.random((height, width)).cumsum(1) % 6 < 4, 255, 0)
        origin = draw(st.integers(-3, 9)), draw(st.integers(-3, 9))
        places = st.one_of(st.integers(-40, 40).map(float), st.floats(-40, 40), st.sampled_from([-0.5, 0.5, 1.5]))
        scene.append((Sprite("thing", image, origin), draw(places), draw(places)))
    return scene, screen, size, draw(st.sampled_from([1, 3]))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(scenes())
def test_every_picture_is_the_brute_force_one(drawn: tuple[Any, ...]) -> None:
    scene, screen, size, channels = drawn
    sheet = make_sheet([sprite for sprite, _, _ in scene], screen, size, channels)
    length, guard = size[0] * size[1] * channels, 64
    pictures = np.full(length + 2 * guard, 77, np.uint8)
    pictures[guard:-guard] = 0
    for index, (_, x, y) in enumerate(scene):
        draw_sprite(sheet, index, x, y, pictures, guard)
    assert (pictures[:guard] == 77).all()
    assert (pictures[-guard:] == 77).all()  # nothing is written beside the picture
    got = pictures[guard:-guard].reshape(size[1], size[0], channels)
    # A layer rounds its color, its coverage and the blend: half a step each, at most.
    assert np.abs(got - brute_force(scene, screen, size, channels)).max() <= 1.5 * len(scene) + 1e-6


@settings(max_examples=50, deadline=None, derandomize=True)
@given(scenes())
def test_every_box_is_tight(drawn: tuple[Any, ...]) -> None:
    scene, screen, size, channels = drawn
    sheet = make_sheet([sprite for sprite, _, _ in scene], screen, size, channels)
    boxes = np.zeros((1, len(scene), 5), np.int16)
    for index, (sprite, x, y) in enumerate(scene):
        sprite_box(sheet, index, x, y, boxes, 0, index)
        left, top = math.floor(x + 0.5) - sprite.origin[0], math.floor(y + 0.5) - sprite.origin[1]
        solid = [(left + column, top + row) for row, column in np.argwhere(sprite.image[..., 3] >= 128).tolist()]
        expected = [-1, 0, 0, 0, 0]
        if solid:
            columns, rows = zip(*solid, strict=True)
            low = max(min(columns), 0), max(min(rows), 0)
            high = min(max(columns) + 1, screen[0]), min(max(rows) + 1, screen[1])
            if low[0] < high[0] and low[1] < high[1]:
                expected = [0, *low, high[0] - low[0], high[1] - low[1]]
        assert boxes[0, index].tolist() == expected


def test_more_phases_than_the_limit_are_off_by_a_48th_of_a_pixel_at_most() -> None:
    """101 and 84 have no common divisor: 101 phases are wanted, 24 are kept."""
    sprite = Sprite("edge", np.full((101, 40, 4), 255, np.uint8))
    sheet = make_sheet([sprite], (101, 101), (84, 84), 1)
    for x in range(-44, 105, 5):
        picture = np.zeros(84 * 84, np.uint8)
        draw_sprite(sheet, 0, float(x), 0.0, picture, 0)
        off = picture.reshape(84, 84) - brute_force([(sprite, x, 0)], (101, 101), (84, 84), 1)[..., 0]
        assert np.abs(off).max() <= 255 / 48 + 0.5


def test_a_still_background_is_copied_and_hides_what_was_there() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 50, 4)).astype(np.uint8)
    image[..., 3] = 255
    background = Sprite("background", image, still=True)
    sheet = make_sheet([background], (50, 60), (21, 35), 3)
    picture = rng.integers(0, 256, 35 * 21 * 3).astype(np.uint8)
    draw_sprite(sheet, 0, 0.0, 0.0, picture, 0)
    expected = brute_force([(background, 0, 0)], (50, 60), (21, 35), 3)
    assert np.abs(picture.reshape(35, 21, 3) - expected).max() <= 0.5 + 1e-6


def test_labels_are_numbered_by_first_appearance() -> None:
    image = np.zeros((2, 2, 4), np.uint8)
    assert labels([Sprite(name, image) for name in ("sky", "pipe", "pipe", "bird", "sky")]) == ["sky", "pipe", "bird"]
    assert Sprite("nothing", image).box == (0, 0, 0, 0)


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (51, 10), (10, 61), (-1, 5)])
def test_a_size_beyond_the_screen_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="of the picture must be within 1 and"):
        make_sheet([Sprite("thing", np.zeros((2, 2, 4), np.uint8))], (50, 60), size, 1)


def test_paint_averages_color_by_coverage() -> None:
    """A half-covered pixel keeps its color and gets half the opacity: it is not darkened."""
    picture = paint(3, 2, lambda draw, s: draw.rectangle([0, 0, s + s // 2 - 1, 2 * s - 1], fill="#c86432"))
    assert picture.shape == (2, 3, 4)
    assert (picture[:, 0] == [200, 100, 50, 255]).all()
    assert np.abs(picture[:, 1].astype(int) - [200, 100, 50, 128]).max() <= 2
    assert (picture[:, 2, 3] == 0).all()


def test_colors() -> None:
    assert parse_color("#102030", "sky") == (16, 32, 48)
    assert parse_color("red", "sky") == (255, 0, 0)
    with pytest.raises(ValueError, match="sky must be a color such as '#6ab936', not 'mud'"):
        parse_color("mud", "sky")
