"""Others' pictures, actions and names: what an agent gets of them."""

import importlib.util
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from PIL import Image

from envs.adapter import AdaptedVectorEnv
from envs.guest import FAMILIES, EnvFailure, Guest, bins, setting
from envs.screen import Screen, Squares, gray, picture_size, shrink
from perception import EncoderSpec, make_encoder

FILM, BARE = "tests.envs.screens:Film", "tests.envs.screens:Bare"
WIDE = spaces.Box(np.finfo(np.float32).min, np.finfo(np.float32).max, (2,), np.float32)


def film(screen: Screen | None = None, **settings: Any) -> tuple[Guest, Any, Any]:
    """Return a guest, what it shows (filled by reset and step), and the environment inside."""
    guest = Guest(FILM, settings, screen or Screen())
    out = np.zeros(guest.observation_space.shape, np.uint8)
    guest.reset(0, out)
    return guest, out, guest.env.unwrapped


@pytest.mark.parametrize("size", [(210, 160), (84, 100), (400, 600), (90, 85), (96, 96)])
def test_pictures_are_reduced_by_area_averaging(size: tuple[int, int]) -> None:
    """Known from elsewhere: enlarge each pixel so often that the new ones cover whole numbers of them, and average."""
    picture = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    small = np.zeros((84, 84), np.uint8)
    shrink(picture, small)
    wanted = picture.astype(np.float64)
    for axis in (0, 1):
        old = wanted.shape[axis]
        copies = np.lcm(old, 84) // old
        wanted = np.repeat(wanted, copies, axis)
        shape = [*wanted.shape]
        shape[axis : axis + 1] = [84, shape[axis] // 84]
        wanted = wanted.reshape(shape).mean(axis + 1)
    assert np.abs(small - wanted).max() < 0.51


def test_gray_is_pillows_luma_whatever_the_channels() -> None:
    color = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    wanted = np.asarray(Image.fromarray(color).convert("L"))
    assert np.array_equal(gray(color), wanted)
    assert np.array_equal(gray(np.ascontiguousarray(color.transpose(2, 0, 1))), wanted)
    for plain in (wanted, wanted[..., None], wanted[None]):
        assert np.array_equal(gray(plain), wanted)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((210, 160, 3), (84, 84)),
        ((3, 96, 64), (84, 64)),
        ((1, 20, 30), (20, 30)),
        ((20, 30, 1), (20, 30)),
        ((20, 90), (20, 84)),
        ((7, 7, 3), None),
        ((128,), None),
        ((20, 30, 4), None),
    ],
)
def test_pictures_and_boards_are_told_apart(shape: tuple[int, ...], size: tuple[int, int] | None) -> None:
    guest, out, env = film(shape=shape)
    assert (picture_size(env.observation_space) is None) == (size is None)
    if size is None:
        assert out.shape == (1, 1, np.prod(shape))
        assert guest.observation_space.dtype == np.float32
        return
    assert out.shape == (1, *size)
    for t in (1, 2, 3):
        assert guest.step(1, out) == (-2.0 * t, False, False)
        assert (out == 10 * t).all()
        assert env.actions[-1] == 4  # the space starts at 3


def test_frames_are_skipped_rewards_added_and_the_last_two_pooled() -> None:
    for pool in (False, True):
        guest, out, env = film(Screen(frame_skip=4, pool=pool), flicker=True, lives=5)
        reward, terminated, _ = guest.step(2, out)
        assert reward == -2 * (1 + 2 + 3 + 4)
        assert env.actions == [5] * 4
        assert not terminated
        assert (out[0, :, 15:] == 40).all()
        assert (out[0, :, :15] == (255 if pool else 40)).all()  # frame 3 flickered
        assert guest.step(2, out)[0] == -2 * (5 + 6 + 7 + 8)


def test_the_action_before_sticks_for_single_frames() -> None:
    """Of a decision of three frames the first k repeat it with probability p^k: here 1/2, 1/4 and 1/8."""
    guest, out, env = film(Screen(frame_skip=3, sticky=0.5), lives=10_000)
    repeated = []
    for t in range(4000):
        guest.step(t % 2, out)
        before, *frames = [action - 3 for action in env.actions[-4:]]  # of the first decision there is none before
        assert frames == sorted(frames, key=lambda action: action == t % 2)  # once left, it does not come back
        if before != t % 2:
            repeated.append(frames.count(before))
    for k in (1, 2, 3):
        assert np.mean(np.array(repeated) >= k) == pytest.approx(0.5**k, abs=0.04)


def test_an_episode_that_ends_within_a_skip_ends_there() -> None:
    guest, out, env = film(Screen(frame_skip=4, pool=True))
    guest.step(0, out)
    assert guest.step(0, out) == (-10.0, True, False)
    assert len(env.actions) == 5
    assert (out == 50).all()


def test_a_lost_life_ends_an_episode_but_not_the_game() -> None:
    guest, out, env = film(Screen(life_loss=True), lives=2)
    ends = [guest.step(0, out)[1] for _ in range(5)]
    assert ends == [False] * 4 + [True]
    guest.reset(None, out)
    assert len(env.actions) == 6
    assert (out == 60).all()
    assert [guest.step(0, out)[1] for _ in range(4)] == [False] * 3 + [True]
    guest.reset(None, out)  # no life is left
    assert env.actions == []
    guest.step(0, out)
    guest.reset(5, out)  # a seed is for a new game, always
    assert env.actions == []


def test_actions_stick_as_often_as_they_should() -> None:
    guest, out, env = film(Screen(sticky=0.25), lives=1000)
    rng = np.random.default_rng(1)
    wanted = rng.integers(0, 5, 4000)
    for action in wanted:
        guest.step(int(action), out)
    done = np.array(env.actions) - 3
    stuck = done != wanted
    assert all(done[i] == done[i - 1] for i in np.flatnonzero(stuck) if i)
    assert abs(stuck.mean() - 0.25 * 0.8) < 0.03  # a fifth of what sticks was wanted anyway


def test_episodes_begin_with_a_number_of_no_ops() -> None:
    guest, out, env = film(Screen(no_ops=3), lives=10)
    begun = []
    for _ in range(200):
        guest.reset(None, out)
        assert set(env.actions) <= {3}
        begun.append(len(env.actions))
    assert set(begun) == {0, 1, 2, 3}


def test_rewards_are_clipped_for_the_agent_and_not_for_the_score() -> None:
    envs = AdaptedVectorEnv(FILM, 2, screen=Screen(clip_rewards=True))
    envs.reset(seed=0)
    for t in (1, 2, 3):
        _, rewards, *_, info = envs.step(np.zeros(2, np.int64))
        assert rewards.tolist() == [-1, -1]
        assert info["score"].tolist() == [-t * (t + 1)] * 2


def test_pixels_are_what_a_person_sees() -> None:
    envs = AdaptedVectorEnv("CartPole-v1", 1, render_mode="rgb_array", screen=Screen(pixels=True))
    before, _ = envs.reset(seed=0)
    for _ in range(8):
        after, *_ = envs.step(np.array([1]))
    (picture,) = envs.render() or ()
    wanted = np.asarray(Image.fromarray(picture).convert("L"), np.float64)
    columns = np.repeat(wanted, 7, 1).reshape(400, 84, -1).mean(2)  # 600 x 7 = 84 x 50, 400 x 21 = 84 x 100
    assert np.abs(after[0, 0] - np.repeat(columns, 21, 0).reshape(84, -1, 84).mean(1)).max() < 0.51
    assert (before != after).any()


def test_a_tiny_picture_of_shares_is_seen_in_colors_and_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    """As MinAtar renders, 10 x 10 numbers from 0 to 1."""
    guest, _, env = film()
    picture = np.random.default_rng(0).random((10, 8, 3))
    picture[0, 0] = 1.0
    monkeypatch.setattr(env, "render", lambda: picture)
    shown = guest.render()
    assert (shown.shape, shown.dtype) == ((200, 160, 3), np.uint8)
    assert np.abs(shown[::20, ::20] - 255 * picture).max() <= 0.5
    assert (shown[:20, :20] == 255).all()
    for wrong in (picture + 0.1, np.zeros((10, 8), np.uint8), None):
        monkeypatch.setattr(env, "render", lambda wrong=wrong: wrong)
        with pytest.raises(EnvFailure, match=r"can't be shown: ValueError: .* renders"):
            guest.render()


def test_parts_become_numbers_and_combinations_actions() -> None:
    envs = AdaptedVectorEnv("tests.envs.screens:Parts", 6)
    assert envs.single_action_space.n == 6  # type: ignore[attr-defined]
    first, _ = envs.reset(seed=0)
    assert first.shape == (6, 1, 1, 6)
    assert first[0].ravel().tolist() == [-1, -1, 0, 0, 1, 0]
    shown, *_ = envs.step(np.arange(6))
    assert shown[:, 0, 0, :2].tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert shown[:, 0, 0, 2:].tolist() == [[0, 0, 0, 1]] * 6


@pytest.mark.parametrize(
    ("most", "first", "then"), [(3.0, (0, 0), (64, 128)), (np.inf, (64, 64), (128, 191)), (1e30, (64, 64), (128, 191))]
)
def test_numbers_beside_a_picture_are_drawn_above_it(
    most: float, first: tuple[int, int], then: tuple[int, int]
) -> None:
    """From -1 to 3 in even steps, or squashed: x / (1 + |x|) from -1 to 1. The place is one of four."""
    envs = AdaptedVectorEnv("tests.envs.screens:Parts", 1, screen=Screen(), eyes=1, most=most)
    shown, _ = envs.reset(seed=0)
    assert shown.shape == (1, 1, 16 + 24, 40)  # three squares a row, so two rows of them
    for places, numbers in (((0, 0, 255, 0), first), ((0, 0, 0, 255), then)):
        squares = np.array([*numbers, *places], np.uint8).reshape(2, 3)
        assert np.array_equal(shown[0, 0, :16, :24], np.kron(squares, np.ones((8, 8), np.uint8)))
        assert not shown[0, 0, :16, 24:].any()
        assert (shown[0, 0, 16:, ::2] == 200).all()
        assert (shown[0, 0, 16:, 1::2] == 100).all()
        shown, *_ = envs.step(np.array([1]))  # the levers 0 and 1


@pytest.mark.parametrize("width", range(28, 85))
def test_the_default_encoder_sees_every_square(width: int) -> None:
    """Each number changes some feature, whatever the picture's width."""
    squares = Squares(np.zeros(45), np.ones(45), width)
    pictures = np.zeros((46, 1, squares.height + 40, width), np.uint8)
    for i in range(46):
        squares.draw(np.eye(46, 45)[i], pictures[i, 0, : squares.height])
    torch.manual_seed(0)
    encoder = make_encoder(EncoderSpec("small", 1, *pictures.shape[2:]))
    with torch.no_grad():
        features = encoder.body[2](encoder.body[0](torch.from_numpy(pictures).float())).flatten(1)
    assert (features[:45] != features[45]).any(1).all()


def test_a_number_with_a_single_value_is_black() -> None:
    out = np.ones((8, 40), np.uint8)
    Squares(np.ones(2), np.array([1, 2]), 40).draw(np.array([1, 2]), out)
    assert out[0, ::8].tolist() == [0, 255, 0, 0, 0]


def test_parts_of_a_tuple_are_pooled_but_for_its_numbers() -> None:
    """Film flickers on odd frames, and tells the frame beside it."""
    guest = Guest("tests.envs.screens:Told", {"flicker": True, "lives": 5}, Screen(frame_skip=4, pool=True))
    out = np.zeros(guest.observation_space.shape, np.uint8)
    guest.reset(0, out)
    guest.step(2, out)
    assert (out[0, 8:, :15] == 255).all()
    assert (out[0, 8:, 15:] == 40).all()
    assert (out[0, :8, :8] == 102).all()  # 4 of 10


def test_a_large_picture_makes_room_for_the_numbers() -> None:
    envs = AdaptedVectorEnv("tests.envs.screens:Parts", 1, screen=Screen(size=36), eyes=1, most=3.0)
    shown, _ = envs.reset(seed=0)
    assert shown.shape == (1, 1, 36, 36)
    assert abs(shown[0, 0, 16:].astype(float).mean() - 150) < 1


def test_a_picture_with_numbers_that_are_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest("tests.envs.screens:Parts", {"eyes": 1}, Screen())
    wrong = {**guest.env.reset()[0], "last": np.array([np.nan, 0.0])}
    monkeypatch.setattr(guest.env, "step", lambda action: (wrong, 0.0, False, False, {}))
    with pytest.raises(ValueError, match="beside the picture are not finite"):
        guest.step(0, np.zeros(guest.observation_space.shape, np.uint8))


def test_positions_of_a_boxs_numbers_are_combined() -> None:
    envs = AdaptedVectorEnv("tests.envs.screens:Parts", 9, screen=Screen(bins=3), pushes=2, most=2.0)
    assert envs.single_action_space.n == 9  # type: ignore[attr-defined]
    envs.reset(seed=0)
    shown, *_ = envs.step(np.arange(9))
    assert shown[:, 0, 0, :2].tolist() == [[x, y] for x in (-2, 0, 2) for y in (-2, 0, 2)]


@pytest.mark.parametrize(("numbers", "count"), [(1, 11), (2, 11), (3, 9), (4, 5), (5, 3), (6, 3), (7, 3)])
def test_bins_are_as_many_as_fit_and_have_a_middle(numbers: int, count: int) -> None:
    low, high = np.full(numbers, -3, np.float32), np.full(numbers, 1, np.float32)
    found = bins(spaces.Box(low, high))
    assert [len(positions) for positions in found] == [count] * numbers
    for positions in found:
        assert (positions[0], positions[count // 2], positions[-1]) == (-3, -1, 1)


class Mission(spaces.Space[str]):
    """A text of its own kind, as MiniGrid's."""

    def __init__(self) -> None:
        super().__init__(dtype=str)


@pytest.mark.parametrize(
    ("space", "positions"),
    [
        (spaces.Box(0, 3, (1,), np.int64), [0, 1, 2, 3]),
        (spaces.Box(-2, 2, (1,), np.int8), [-2, -1, 0, 1, 2]),
        (spaces.Box(0, 100, (1,), np.int32), list(range(0, 101, 10))),
        (spaces.Box(0, 1, (1,), np.bool_), [0, 1]),
    ],
)
def test_positions_of_whole_numbers_are_whole_and_come_once(space: spaces.Box, positions: list[int]) -> None:
    assert bins(space)[0].tolist() == positions


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3, start=-1),
        spaces.MultiDiscrete([3, 2], dtype=np.int32, start=[1, 0]),
        spaces.MultiDiscrete([3, 2], dtype=np.uint8),
        spaces.Box(-1, 1, (1, 2), np.float32),
        spaces.Box(0, 3, (2,), np.uint8),
        spaces.Box(0, 1, (2,), np.bool_),
    ],
)
def test_an_action_is_of_the_kind_that_its_space_draws(space: spaces.Space[Any]) -> None:
    guest = Guest(BARE, {"shows": spaces.Box(0, 1, (2,), np.float32), "takes": space}, Screen())
    out = np.empty(guest.observation_space.shape, np.float32)
    guest.reset(0, out)
    taken = set()
    for action in range(guest.actions):
        guest.step(action, out)  # `Bare` finds it in its space
        done, drawn = guest.env.action, space.sample()  # type: ignore[attr-defined]
        assert (type(done), done.dtype, done.shape) == (type(drawn), drawn.dtype, drawn.shape)
        taken.add(done.tobytes())
    assert len(taken) == guest.actions


def test_numbers_are_not_pooled() -> None:
    spaces_of = {"shows": spaces.Box(0, 1, (2,), np.float32), "takes": spaces.Discrete(2)}
    guest = Guest(BARE, spaces_of, Screen(frame_skip=4, pool=True))
    out = np.empty(guest.observation_space.shape, np.float32)
    guest.reset(0, out)
    assert guest.step(1, out) == (4.0, False, False)


def test_two_that_are_seen_as_pixels_begin_alike_only_if_told_to() -> None:
    seeds = {Guest("CartPole-v1", {}, Screen(pixels=True)).env.unwrapped.np_random_seed for _ in range(3)}
    assert len(seeds) == 3


@pytest.mark.parametrize(
    ("env_id", "screen", "settings", "why"),
    [
        ("tests.envs.screens:Parts", Screen(), {"eyes": 2}, "more than one picture, .*--pixels"),
        ("tests.envs.screens:Parts", Screen(), {"eyes": 1, "text": True}, "not of one size; try --pixels"),
        ("tests.envs.screens:Parts", Screen(), {"eyes": 1, "places": 14}, "too many numbers beside a picture, 16"),
        ("tests.envs.screens:Parts", Screen(), {"text": True}, "not of one size; try --pixels"),
        ("tests.envs.screens:Parts", Screen(), {"levers": 5000}, "at most 4096 combinations"),
        ("tests.envs.screens:Parts", Screen(), {"levers": 2**63 - 1}, "at most 4096 combinations"),  # -2 in 64 bits
        ("tests.envs.screens:Parts", Screen(), {"pushes": 8}, "at most 4096 combinations"),
        ("tests.envs.screens:Parts", Screen(), {"pushes": 2, "most": np.inf}, "a Box with bounds"),
        ("tests.envs.screens:Parts", Screen(bins=65), {"pushes": 2}, "at most 4096 combinations"),
        (BARE, Screen(), {"takes": spaces.Discrete(2)}, "has no observation_space"),
        (BARE, Screen(), {"shows": spaces.Discrete(2)}, "has no action_space"),
        (BARE, Screen(), {"shows": spaces.Text(5), "takes": spaces.Discrete(2)}, "not of one size; try --pixels"),
        (BARE, Screen(), {"shows": Mission(), "takes": spaces.Discrete(2)}, "not of one size; try --pixels"),
        (BARE, Screen(), {"shows": spaces.Discrete(2), "takes": WIDE}, "too far apart"),
        ("tests.envs.screens:Blind", Screen(pixels=True), {}, "can't be seen as pixels: NotImplementedError"),
        ("tests.envs.screens:Flim", Screen(), {}, "has no Flim; it has Film, Once, Old, Told, Parts, Bare, Blind"),
        ("tests.envs.faulty:make_nothing", Screen(), {}, "NoneType, which is no gymnasium.Env"),
        (
            "tests.envs.nowhere:Film",
            Screen(),
            {},
            "can't be made: ModuleNotFoundError: No module named 'tests.envs.nowhere'",
        ),
        (FILM, Screen(), {"color": "red"}, "unexpected keyword argument 'color'"),
    ],
)
def test_what_does_not_fit_is_refused(env_id: str, screen: Screen, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        AdaptedVectorEnv(env_id, 1, screen=screen, **settings)


def test_seeds_of_evaluations_reach_environments_that_take_short_ones_only() -> None:
    """They are 2^33 and more, one apart; what is shorter is handed on as it is."""
    guest = Guest("tests.envs.screens:Old", {}, Screen())
    out = np.zeros(guest.observation_space.shape, np.uint8)
    lengths = []
    for seed in [7, 2**32 - 1, *range(2**33, 2**33 + 20)]:
        guest.reset(seed, out)
        lengths.append(guest.env.unwrapped.lives)  # type: ignore[attr-defined]
    assert lengths[:2] == [np.random.RandomState(seed).randint(1, 10**6) for seed in (7, 2**32 - 1)]
    assert len(set(lengths)) == len(lengths)


def test_a_function_makes_environments_too_and_a_module_registers_them() -> None:
    assert Guest("tests.envs.faulty:make_faulty", {"length": 5}, Screen()).actions == 2
    assert Guest("flappy_bird_gymnasium:FlappyBird-v0", {"use_lidar": False}, Screen()).actions == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("-12.0", -12.0), ("1e3", 1000.0), ("False", False), ("true", True), ("night", "night"), ("", "")],
)
def test_settings_are_numbers_and_truths_where_they_look_like_such(text: str, value: Any) -> None:
    """As "False" a setting would be true."""
    assert setting(text) == value
    assert type(setting(text)) is type(value)


OTHERS = [
    ("LunarLander-v3", Screen(), "Box2D"),
    ("CarRacing-v3", Screen(), "Box2D"),
    ("ALE/Pong-v5", Screen(frame_skip=4, pool=True), "ale_py"),
    ("MiniGrid-Empty-5x5-v0", Screen(pixels=True), "minigrid"),
    ("MinAtar/Breakout-v1", Screen(), "minatar"),
    ("FlappyBird-v0", Screen(pixels=True), "flappy_bird_gymnasium"),
]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("env_id", "screen", "package"), OTHERS)
def test_well_known_environments_play(env_id: str, screen: Screen, package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{env_id} needs {package}, which is not installed")
    settings = {"continuous": False} if env_id.startswith("CarRacing") else {}
    envs = AdaptedVectorEnv(env_id, 2, screen=screen, **settings)
    shown = [envs.reset(seed=3)[0]]
    actions = int(envs.single_action_space.n)  # type: ignore[attr-defined]
    for t in range(40):
        shown.append(envs.step(np.array([t % actions, (t // 2) % actions]))[0])
    assert sum((before != after).any() for before, after in pairwise(shown)) > 10
    envs.close()


@pytest.mark.parametrize("start", FAMILIES)
def test_a_package_that_is_missing_is_named(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, package = FAMILIES[start]
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("gymnasium.registry", {})
    with pytest.raises(ValueError, match=f"pip install {package}"):
        Guest(start + "Nothing-v0" if start[-1] in "/-" else start, {}, Screen())
