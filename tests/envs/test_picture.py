"""The agent's picture is the person's picture, and the boxes are where the pixels are."""

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from envs import GAMES, GameVectorEnv
from envs.scene import Sheet, draw_sprite, make_sheet
from tests.envs.pilot import fly, pilot

GAME = GAMES["wingbeat/FlappyBird-v0"]
SCREEN = (GAME.width, GAME.height)


def averaged(values: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    """Average the first axis over `cells` equal stretches, whole and fractional pixels alike.

    The integral up to an edge within a pixel is linear in it, so interpolating the running sum is exact.
    """
    length = len(values)
    sums = np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(0), np.zeros((1, values.shape[1]))])
    edges = np.arange(cells + 1) * length / cells
    whole = edges.astype(int)
    integral = sums[whole] + (edges - whole)[:, None] * (sums[whole + 1] - sums[whole])
    return np.diff(integral, axis=0) * (cells / length)


def reduced(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    """Gray and area-averaged in float64, from the full-size picture."""
    gray = 0.299 * frame[..., 0] + 0.587 * frame[..., 1] + 0.114 * frame[..., 2]
    return averaged(averaged(gray, height).T, width).T


def test_the_reference_itself() -> None:
    """Four pixels into three: 4/3 pixels each, by hand."""
    got = averaged(np.array([[8.0], [4.0], [0.0], [16.0]]), 3)[:, 0]
    np.testing.assert_allclose(got, [(8 + 4 / 3) * 0.75, (4 * 2 / 3) * 0.75, 16 * 0.75])


OTHERS = [env_id for env_id in GAMES if GAMES[env_id] is not GAME]


@pytest.mark.parametrize("env_id", OTHERS)
@pytest.mark.parametrize("theme", ["day", "night"])
def test_the_agent_sees_what_the_person_sees_in_every_game(env_id: str, theme: str) -> None:
    game, rng = GAMES[env_id], np.random.default_rng(0)
    env = GameVectorEnv(game, 1, render_mode="rgb_array", theme=theme)
    observations, info = env.reset(seed=1)
    for t in range(400):
        if t % 8 == 0:
            frames = env.render()
            assert frames is not None
            off = np.abs(reduced(frames[0], 84, 84) - observations[0, 0])
            assert off.mean() < 1.5
            assert off.max() <= 40
        observations, *_, info = env.step(fly(game, info["state"], game.rules(env.preset), rng, noise=0.1))


@pytest.mark.parametrize("env_id", OTHERS)
def test_boxes_enclose_the_pixels_of_every_games_sprites(env_id: str) -> None:
    game, rng = GAMES[env_id], np.random.default_rng(0)
    env, rules = GameVectorEnv(game, 1), game.rules(next(iter(game.presets)))
    screen = game.width, game.height
    sprites = make_sheet(game.sprites(), screen, screen, channels=3)
    _, info = env.reset(seed=4)
    seen = set()
    for frame in range(241):
        if frame % 60 == 0:
            things = list(game.scene(game.visible(info["state"])[0], rules))
            boxes = info["boxes"][0]
            assert (boxes[len(things) :] == [-1, 0, 0, 0, 0]).all()
            for (sprite, x, y), (label, *box) in zip(things, boxes, strict=False):
                cover = coverage(sprite, x, y, sprites)
                if label == -1:
                    assert not (cover >= 0.5).any()
                    continue
                seen.add(env.labels[label])
                left, top, width, height = box
                inside = np.zeros_like(cover)
                inside[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1] = 1
                assert not (cover * (1 - inside)).any()
                if left > 0 and left + width < game.width:  # of what is cut off there, another part may be widest
                    assert box == box_of(cover >= 128 / 255)
        info = env.step(fly(game, info["state"], rules, rng))[4]
    assert seen == {sprite.label for sprite in game.sprites() if sprite.box[2]}  # a shadow is too faint for a box


@pytest.mark.parametrize(
    "settings",
    [
        {"theme": "day"},
        {"theme": "night"},
        {"theme": "day", "pipe_color": "red", "preset": "head2023"},
        {"theme": "night", "pipe_color": "#ffd0ff", "preset": "head2023", "size": (64, 96)},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_the_agent_sees_what_the_person_sees(settings: dict[str, Any]) -> None:
    env, rng = GameVectorEnv(GAME, 1, render_mode="rgb_array", **settings), np.random.default_rng(0)
    height, width = settings.get("size", (84, 84))
    observations, info = env.reset(seed=1)
    means, largest = [], 0.0
    for _ in range(250):
        frames = env.render()
        assert frames is not None
        off = np.abs(reduced(frames[0], height, width) - observations[0, 0])
        means.append(off.mean())
        largest = max(largest, off.max())
        observations, _, _, _, info = env.step(pilot(info["state"], env.game.rules(env.preset).gap, rng, noise=0.03))
    print(f"{settings}: mean difference {np.mean(means):.3f} (largest of a frame {max(means):.3f}), max {largest:.1f}")
    assert np.max(means) < 1.5
    assert largest <= 40
    assert np.ptp(observations) > 100  # there is something to see


def test_at_full_size_the_gray_picture_is_the_color_picture() -> None:
    env = GameVectorEnv(GAME, 1, render_mode="rgb_array", size=(512, 288))
    env.reset(seed=1)
    for _ in range(70):
        observations = env.step(np.array([0 if env.get_state()["elapsed"][0] % 14 else 1]))[0]
    frames = env.render()
    assert frames is not None
    assert np.abs(reduced(frames[0], 512, 288) - observations[0, 0]).max() < 3


def test_moving_frames_differ_and_only_where_something_moves() -> None:
    env = GameVectorEnv(GAME, 1)
    pictures = [env.reset(seed=0)[0][0, 0].astype(int)]
    pictures += [env.step(np.array([0]))[0][0, 0].astype(int) for _ in range(20)]
    for before, after in pairwise(pictures):
        changed = before != after
        assert changed.any()
        # The bird is within columns 54 .. 94 of the screen, the first pipe right of 288 - 80; below is the ground.
        assert not changed[:66, 29:59].any()


@cache
def sheet() -> Sheet:
    return make_sheet(GAME.sprites(), SCREEN, SCREEN, channels=3)


def drawn(things: list[tuple[int, float, float]], ground: int = 0, sprites: Sheet | None = None) -> NDArray[np.int64]:
    """Draw a list of sprites, of Flappy Bird if not told, over plain gray, full size: [height, width, 3]."""
    sprites = sprites or sheet()
    width, height = sprites.screen
    picture = np.full(width * height * 3, ground, np.uint8)
    for sprite, x, y in things:
        draw_sprite(sprites, sprite, x, y, picture, 0)
    return picture.reshape(height, width, 3).astype(np.int64)


def coverage(sprite: int, x: float, y: float, sprites: Sheet | None = None) -> NDArray[np.float64]:
    """How opaque the sprite is at each pixel, from what it leaves of a white and of a black ground."""
    black, white = (drawn([(sprite, x, y)], ground, sprites)[..., 0] for ground in (0, 255))
    return 1 - (white - black) / 255


def box_of(mask: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]


def test_boxes_enclose_the_pixels_of_every_sprite() -> None:
    """A box is tight around what is at least half opaque; soft edges reach one pixel further at most."""
    env, rng = GameVectorEnv(GAME, 1), np.random.default_rng(0)
    _, info = env.reset(seed=4)
    scene, rules = GAME.scene, GAME.rules("classic")
    seen = set()
    for frame in range(120):
        if frame % 8 == 0:
            things = list(scene(env.get_state()["states"].reshape(-1).view(GAME.state_dtype)[0], rules))
            boxes = info["boxes"][0]
            assert (boxes[len(things) :] == [-1, 0, 0, 0, 0]).all()
            for (sprite, x, y), (label, *box) in zip(things, boxes, strict=False):
                cover = coverage(sprite, x, y)
                if label == -1:
                    assert not (cover >= 0.5).any()
                    continue
                seen.add(env.labels[label])
                assert box == box_of(cover >= 128 / 255)
                left, top, width, height = box
                cover[max(top - 1, 0) : top + height + 1, max(left - 1, 0) : left + width + 1] = 0
                assert not cover.any()
        info = env.step(pilot(info["state"], rules.gap, rng))[4]
    assert seen == {"background", "pipe", "ground", "bird"}


def test_without_the_bird_only_its_box_changes() -> None:
    env, rng = GameVectorEnv(GAME, 1), np.random.default_rng(0)
    _, info = env.reset(seed=4)
    for frame in range(120):
        if frame % 10 == 0:
            state = env.get_state()["states"].reshape(-1).view(GAME.state_dtype)[0]
            things = list(GAME.scene(state, GAME.rules("classic")))
            changed = (drawn(things) != drawn(things[:-1])).any(-1)
            label, left, top, width, height = info["boxes"][0, len(things) - 1]
            assert env.labels[label] == "bird"
            box = np.zeros_like(changed)
            box[max(top - 1, 0) : top + height + 1, left - 1 : left + width + 1] = True
            assert not (changed & ~box).any()
            assert (changed & box).sum() > 0.5 * width * height
            # Its middle is the middle of the body that collides, 34 x 24 at (57, y), give or take a turn.
            assert abs(left + width / 2 - 74) <= 3
            assert abs(top + height / 2 - (state["y"] + 12)) <= 4
        info = env.step(pilot(info["state"], 100, rng))[4]
