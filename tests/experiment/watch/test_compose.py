"""Composed pictures hold what they are told: pixels of the game, bars of known heights, curves, maps and a glow."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experiment.show import Decision, Moment
from experiment.watch.compose import SIDE, compose, picture, put_signs, score_text, size_of
from experiment.watch.paint import CARD, GOLD, INK, NIGHT, TEAL, Canvas
from experiment.watch.panels import SLOTS, draw_actions, draw_input, draw_maps, draw_value
from experiment.watch.scene import OVERLAYS, PAST, USUAL, Scene, Seat, Signs

RANDOM = np.random.default_rng(0)


def decision(likes: tuple[float, ...] = (0.25, 0.75), value: float | None = 1.0, **more: Any) -> Decision:
    settings: dict[str, Any] = {
        "observation": RANDOM.integers(0, 256, (2, 84, 84), np.uint8),
        "action": int(np.argmax(likes)),
        "preferences": np.array(likes, np.float32),
        "probable": True,
        "value": value,
    }
    return Decision(**settings | more)


def seat(past: list[Decision], height: int = 512, width: int = 288, **more: Any) -> Seat:
    moment = Moment(RANDOM.integers(0, 256, (height, width, 3), np.uint8), 7, False, 20, 10)
    return Seat("a run", moment, ("glide", "flap"), tuple(past), **more)


def scene(*seats: Seat, overlays: frozenset[str] = USUAL) -> Scene:
    return Scene(seats or (seat([decision()]),), "Flappy", 1, 2, overlays)


def is_color(pixels: NDArray[np.uint8], color: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Where pixels have a color, but for what rounds when sizes change."""
    found: NDArray[np.bool_] = (np.abs(pixels.astype(int) - np.array(color)) <= 6).all(-1)
    return found


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_games_pixels_stay_as_they_are_at_whole_scales(scale: int) -> None:
    one = scene()
    painted = picture(one, scale)
    assert painted.shape == (512 * scale, (288 + SIDE) * scale, 3)
    game = one.seats[0].moment.picture
    assert (painted[:, : 288 * scale] == game.repeat(scale, 0).repeat(scale, 1)).all()


def test_two_games_stand_side_by_side_in_the_middle() -> None:
    one, other = seat([decision()]), seat([decision()])
    painted = picture(scene(one, other), 1)
    side = int(SIDE)
    assert painted.shape == (512, 2 * (288 + side), 3)
    seam = side + 288
    assert (painted[:, side : seam - 1] == one.moment.picture[:, :-1]).all()
    assert (painted[:, seam + 1 : seam + 288] == other.moment.picture[:, 1:]).all()
    assert is_color(painted[:, seam - 1 : seam + 1], NIGHT).all()


@pytest.mark.parametrize(("height", "width", "shown"), [(100, 100, (512, 512)), (400, 600, (427, 640))])
def test_games_of_other_shapes_keep_theirs(height: int, width: int, shown: tuple[int, int]) -> None:
    bright = seat([], height, width)
    bright = replace(bright, moment=replace(bright.moment, picture=np.full((height, width, 3), 255, np.uint8)))
    assert size_of(scene(bright)) == (shown[1] + SIDE, 512)
    game = picture(scene(bright), 1)[:, : shown[1]]
    assert is_color(game, (255, 255, 255)).sum() == pytest.approx(shown[0] * shown[1], rel=0.01)


def test_a_picture_is_the_same_every_time_and_not_changed_by_signs() -> None:
    one = scene(overlays=frozenset(OVERLAYS))
    canvas = compose(one, 1.5)
    before = canvas.array().copy()
    assert (picture(one, 1.5) == before).all()
    signed = canvas.copy()
    put_signs(signed, Signs("space to start", ("paused",), "", {"a": "b"}))
    assert (canvas.array() == before).all()
    assert (signed.array() != before).any()


def test_bars_are_as_high_as_the_probabilities() -> None:
    canvas = Canvas(256, 217, 1)  # two rows of 100 units beneath a title of 17
    draw_actions(canvas, (0, 0, 256, 217), seat([decision((0.25, 0.75))] * SLOTS).told, TEAL)
    painted = canvas.array()
    column = painted[:, 100]
    chosen = is_color(column, TEAL)
    assert not chosen[:117].any()  # "glide" is never chosen, so its bars are dim
    assert chosen[117:].sum() == pytest.approx(0.75 * 96, abs=1)
    assert is_color(column[:117], CARD).sum() == pytest.approx(0.75 * 96, abs=1)
    assert is_color(column[117:], CARD).sum() == pytest.approx(0.25 * 96, abs=1)


def test_the_newest_bar_is_at_the_right() -> None:
    canvas = Canvas(256, 217, 1)
    draw_actions(canvas, (0, 0, 256, 217), seat([decision((1.0, 0.0))] * 3 + [decision((0.0, 1.0))]).told, TEAL)
    glide, flap = is_color(canvas.array(), TEAL)[67], is_color(canvas.array(), TEAL)[167]
    width = 160 / SLOTS
    right = 256 - 40
    assert np.flatnonzero(flap)[[0, -1]] == pytest.approx([right - width, right - 1], abs=1)
    assert np.flatnonzero(glide)[[0, -1]] == pytest.approx([right - 4 * width, right - width - 1], abs=1)


def test_values_of_actions_reach_from_the_least_to_the_most() -> None:
    canvas = Canvas(256, 217, 1)
    past = [decision((-4.0, -3.0), probable=False), decision((-5.0, -1.0), probable=False)]
    draw_actions(canvas, (0, 0, 256, 217), seat(past).told, TEAL)
    newest = is_color(canvas.array(), TEAL)[117:, 214]
    older = is_color(canvas.array(), TEAL)[117:, 212]
    assert newest.sum() == pytest.approx(96, abs=1)
    assert older.sum() == pytest.approx(96 * (0.06 + 0.94 * 0.5), abs=2)


def test_many_actions_show_those_liked_best() -> None:
    names = tuple(f"a{i}" for i in range(18))
    likes = np.zeros(18)
    likes[[3, 17]] = 0.4, 0.6
    many = replace(seat([decision(tuple(likes))]), actions=names)
    canvas = Canvas(256, 137, 1)
    draw_actions(canvas, (0, 0, 256, 137), many.told, TEAL)
    assert is_color(canvas.array(), TEAL)[117:, 214].any()  # the last row is the last action
    few = Canvas(256, 137, 1)
    draw_actions(few, (0, 0, 256, 137), replace(many, past=(decision(tuple(likes[::-1])),)).told, TEAL)
    assert not is_color(few.array(), TEAL)[117:, 214].any()


def test_the_value_rises_from_left_to_right() -> None:
    canvas = Canvas(256, 117, 1)
    draw_value(canvas, (0, 0, 256, 117), seat([decision(value=float(i)) for i in range(PAST)]).told, GOLD)
    line = canvas.array()[17:, :, 0] > 200  # red: of the line, not of the light beneath
    tops = [np.flatnonzero(line[:, x])[0] for x in range(10, 200, 10)]
    assert all(a > b for a, b in itertools.pairwise(tops))
    # The line is straight: the middle's height is the mean of two at equal distances.
    assert tops[9] == pytest.approx((tops[4] + tops[14]) / 2, abs=1.5)
    silent = Canvas(256, 117, 1)
    draw_value(silent, (0, 0, 256, 117), seat([decision(value=None)]).told, GOLD)
    assert not is_color(silent.array(), GOLD).any()


def test_the_networks_input_is_shown_as_it_is_oldest_first() -> None:
    past = [decision(), decision()]
    canvas = Canvas(84 * 2 + 6, 17 + 84, 1)
    draw_input(canvas, (0, 0, 84 * 2 + 6, 17 + 84), seat(past).told, TEAL)
    painted, (old, new) = canvas.array(), past[-1].observation
    assert (painted[17:, :84] == old[..., None]).all()
    assert (painted[17:, 90:] == new[..., None]).all()


def test_a_state_of_numbers_is_shown_as_bars() -> None:
    state = np.array([[[2.0, -1.0, 0.0]]], np.float32)
    canvas = Canvas(288, 77, 1)
    draw_input(canvas, (0, 0, 288, 77), seat([decision(observation=state)]).told, TEAL)
    bars = is_color(canvas.array(), TEAL)
    rows = [bars[17 + 10 + 20 * i] for i in range(3)]
    assert [row.sum() for row in rows] == pytest.approx([100, 50, 1], abs=1)  # 288 / 2 - 44 for the largest
    assert np.flatnonzero(rows[0])[0] == 144
    assert np.flatnonzero(rows[1])[-1] == 143


def test_maps_are_on_one_scale() -> None:
    maps = np.zeros((4, 2, 2), np.float32)
    maps[0, 0, 0], maps[3, 1, 1] = 4.0, 1.0
    canvas = Canvas(163, 57, 1)  # four in a row, 37 units each with gaps of 3
    draw_maps(canvas, (0, 0, 163, 57), seat([decision(looks={"maps": maps})]).told, TEAL)
    bright = canvas.array()[17:].astype(int).sum(-1)
    assert (bright == 3 * 255).sum() == pytest.approx(18.5**2, rel=0.15)
    first, last = bright[:, :38].max(), bright[:, 125:].max()
    assert first == 3 * 255
    assert 200 < last < 600


def test_saliency_glows_where_it_is_and_darkens_the_rest() -> None:
    glow = np.zeros((84, 84), np.float32)
    glow[:42] = 1.0
    gray = seat([decision(looks={"saliency": glow})], saliency="gradient")
    gray = replace(gray, moment=replace(gray.moment, picture=np.full((512, 288, 3), 128, np.uint8)))
    painted = picture(scene(gray, overlays=frozenset({"saliency"})), 1)[:, :288].astype(int)
    above, below = painted[40:230].mean((0, 1)), painted[290:].mean((0, 1))
    assert above[0] > 128 + 40
    assert above[0] > above[2] + 40  # gold, not white
    assert (below < 100).all()
    hidden = picture(scene(gray, overlays=frozenset()), 1)[:, :288]
    assert (hidden == 128).all()


def test_a_person_has_no_overlays_but_keys_and_best_games() -> None:
    you = seat([], agent=False)
    keys = replace(you, hints=(("space", "flap"),), scores=(("12", "today"),))
    assert (picture(scene(you), 1)[130:480, 288:] != picture(scene(keys), 1)[130:480, 288:]).any()


def test_long_names_stay_in_their_panel() -> None:
    named = replace(seat([decision()]), name="a very long name of a run " * 5)
    painted = picture(scene(named), 1)
    letters = is_color(painted[16:32, 288:], INK)
    assert letters.any()
    assert not letters[:, -16:].any()


def test_scores_in_words() -> None:
    assert [score_text(score) for score in (0, 7, 1234, 9.96, -3.25, 123.4)] == [
        "0",
        "7",
        "1234",
        "10.0",
        "-3.2",
        "123",
    ]
