"""The replay against counting games that know what should be drawn."""

import re
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.replay import Batch, Drawn, Replay
from agents.sum_tree import SumTree
from envs import FLAPPY_BIRD, GameVectorEnv
from tests.agents.counters import Counters
from tests.agents.games import CATCH
from tests.agents.making import sample

GAMMA = 0.9


def transition(envs: Counters, time: int, game: int, n_step: int) -> tuple[float, float, int]:
    """By hand: (discounted rewards, what the next value counts, when it is seen)."""
    total, k, end = 0.0, 0, ""
    while k < n_step and not end:
        total += GAMMA**k * envs.rewards[time + k][game]
        end = envs.ends[time + k][game]
        k += 1
    return total, 0.0 if end == "terminated" else GAMMA**k, time + k


def check(replay: Replay, envs: Counters, chosen: Drawn, batch: Batch) -> set[tuple[int, int]]:
    """Compare a batch with what the games noted; returns the (time, game) that it holds."""
    drawn = set()
    for row, at in enumerate(chosen.slots.tolist()):
        slot, game = divmod(at, envs.num_envs)
        time = replay.now - (replay.now - slot) % replay.slots
        drawn.add((time, game))
        assert envs.real[time][game], "drawn where a game was only reset"
        total, discount, after = transition(envs, time, game, replay.n_step)
        assert after <= replay.now
        assert batch.observations[row].tolist() == envs.stack(time, game, replay.frames).tolist()
        assert batch.next_observations[row].tolist() == envs.stack(after, game, replay.frames).tolist()
        assert batch.actions[row] == envs.actions[time][game]
        assert batch.returns[row].item() == pytest.approx(total, abs=1e-5)
        assert batch.discounts[row].item() == pytest.approx(discount, abs=1e-6)
    return drawn


def play(replay: Replay, steps: int, rng: np.random.Generator) -> None:
    for _ in range(steps):
        replay.add(rng.integers(4, size=replay.games))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    games=st.integers(1, 3),
    frames=st.integers(1, 4),
    n_step=st.integers(1, 5),
    spare=st.integers(2, 14),
    longest=st.integers(1, 9),
    steps=st.integers(0, 60),
    alpha=st.sampled_from([0.0, 0.6]),
    lost=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 1000),
)
def test_every_draw_is_what_happened(
    games: int, frames: int, n_step: int, spare: int, longest: int, steps: int, alpha: float, lost: float, seed: int
) -> None:
    envs, rng = Counters(games, seed, longest, lost=lost), np.random.default_rng(seed)
    capacity = games * (frames + n_step + spare) + int(rng.integers(games))
    replay = Replay(envs, capacity, frames, n_step, GAMMA, alpha)
    replay.start(0)
    play(replay, n_step + 1, rng)
    while True:
        while not replay.drawable():
            play(replay, 1, rng)
        drawn, batch = sample(replay, 24, rng)
        assert batch.observations.shape == batch.next_observations.shape == (24, frames, 2, 2)
        assert batch.returns.shape == batch.discounts.shape == batch.weights.shape == batch.actions.shape == (24,)
        check(replay, envs, drawn, batch)
        replay.update_priorities(drawn.slots, rng.normal(size=24).astype(np.float32))
        if steps <= 0:
            break
        play(replay, min(steps, 11), rng)
        steps -= 11
    newest = [envs.stack(replay.now, game, frames).tolist() for game in range(games)]
    assert replay.newest().tolist() == newest


@pytest.mark.parametrize("lost", [0.0, 0.1])
@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize("steps", [10, 23, 100])
def test_everything_that_is_kept_can_be_drawn(steps: int, alpha: float, lost: float) -> None:
    envs, rng = Counters(3, longest=5, lost=lost), np.random.default_rng(0)
    frames, n_step, slots = 2, 3, 20
    replay = Replay(envs, 3 * slots, frames, n_step, GAMMA, alpha)
    replay.start(0)
    play(replay, steps, rng)
    drawn = check(replay, envs, *sample(replay, 3000, rng))
    # The oldest need their stack, the newest their n steps; the ring holds `slots` frames.
    oldest = max(0, steps - slots + frames)
    kept = {(time, game) for time in range(oldest, steps - n_step) for game in range(3) if envs.real[time][game]}
    assert len(kept) >= 15
    assert drawn >= kept
    assert 0 < len(replay) <= 3 * slots


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_one_game_of_the_shortest_episodes_in_the_smallest_ring(alpha: float) -> None:
    """Every second step is none, and yet there is always something to be drawn."""
    envs, rng = Counters(1, longest=1), np.random.default_rng(0)
    with pytest.raises(ValueError, match="too small"):
        Replay(envs, 2 + 3 + 1, 2, 3, GAMMA, alpha)
    replay = Replay(envs, 2 + 3 + 2, 2, 3, GAMMA, alpha)
    replay.start(0)
    play(replay, 3, rng)
    assert not replay.drawable()
    play(replay, 1, rng)
    for _ in range(20):
        check(replay, envs, *sample(replay, 4, rng))
        play(replay, 1, rng)


class Blank:
    """Games of which only their number and size matter."""

    num_envs = 8
    single_observation_space = spaces.Box(0, 255, (1, 84, 84), np.uint8)
    single_action_space = spaces.Discrete(2)


def array_bytes(thing: Any) -> int:
    """Bytes of all arrays in a thing and its parts, but for the games."""
    if isinstance(thing, np.ndarray):
        return thing.nbytes
    parts = vars(thing).values() if type(thing).__module__.startswith("agents.") else []
    return sum(array_bytes(part) for part in parts)


@pytest.mark.parametrize("width", [0, 16])
@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize("envs", [Blank(), GameVectorEnv(FLAPPY_BIRD, 8)], ids=["stored", "redrawn"])
def test_the_memory_foretold_is_the_memory_taken(envs: Any, alpha: float, width: int) -> None:
    replay = Replay(envs, 4003, 2, 3, GAMMA, alpha, encode=checksums if width else None, feature_dim=width)
    taken = array_bytes(replay) - 8  # which of the games are over
    assert taken > 4000 * ((84 * 84 if isinstance(envs, Blank) else 80) + 4 * width)
    assert Replay.memory_for(envs, 4003, alpha, feature_dim=width) == replay.memory == taken


def test_a_million_transitions_of_flappy_bird_in_a_hundred_megabytes() -> None:
    envs = GameVectorEnv(FLAPPY_BIRD, 32)
    replay = Replay(envs, 1_000_000, 2, 5, GAMMA)
    assert replay.slots * replay.games == 1_000_000
    assert 80_000_000 < array_bytes(replay) <= 100_000_000
    assert array_bytes(replay) - replay.games == Replay.memory_for(envs, 1_000_000)
    priorities = array_bytes(SumTree(1_000_000))
    assert array_bytes(Replay(envs, 1_000_000, 2, 5, GAMMA, 0.6)) - priorities <= 100_000_000
    assert Replay.memory_for(envs, 1_000_000, redraw=False) > 7_056_000_000


class Twins:
    """Two replays of equal games in equal hands: one stores frames, the other draws them again."""

    def __init__(self, make: Callable[[], GameVectorEnv], seed: int, *arguments: Any) -> None:
        self.both = [Replay(make(), *arguments, redraw=redraw) for redraw in (False, True)]
        self.seed, self.rng = seed, np.random.default_rng(seed)
        for replay in self.both:
            replay.start(seed)

    def play(self, steps: int) -> int:
        """Play at random; returns how many episodes have ended."""
        ended = 0
        for _ in range(steps):
            leaning = self.rng.random(3) ** 4  # from game to game and from step to step: some live long
            odds = leaning[: self.both[0].envs.single_action_space.n]
            actions = self.rng.choice(len(odds), self.both[0].games, p=odds / odds.sum())
            (info, over), (other_info, other_over) = (replay.add(actions) for replay in self.both)
            assert info["score"].tolist() == other_info["score"].tolist()
            assert over.tolist() == other_over.tolist()
            ended += int(over.sum())
        return ended

    def compare(self, batch: int) -> None:
        """Draw the same batch from both; all of it must be equal, bit for bit, and so must what is shown now."""
        seed = int(self.rng.integers(2**32))
        twins = [sample(replay, batch, np.random.default_rng(seed), 0.5) for replay in self.both]
        (drawn, stored), (again, redrawn) = twins
        assert np.array_equal(drawn.slots, again.slots)
        for name, one, other in zip(Batch._fields, stored, redrawn, strict=True):
            assert one.dtype == other.dtype, name
            assert np.array_equal(np.asarray(one), np.asarray(other)), name
        errors = np.random.default_rng(seed).normal(size=batch).astype(np.float32)
        for replay in self.both:
            replay.update_priorities(drawn.slots, errors)
        assert np.array_equal(self.both[0].newest(), self.both[1].newest())


@pytest.mark.parametrize("theme", ["day", "night"])
def test_frames_drawn_again_are_those_stored_over_many_samples(theme: str) -> None:
    """50,000 samples a theme, from a ring that the games go round seven times."""
    twins = Twins(lambda: GameVectorEnv(FLAPPY_BIRD, 16, frame_skip=2, theme=theme), 1, 16 * 60, 2, 5, GAMMA)
    ended = 0
    for _ in range(100):
        ended += twins.play(5)
        if twins.both[0].now > 10:
            twins.compare(512)
    assert twins.both[0].now > 7 * twins.both[0].slots
    assert ended > 100


LOOKS: dict[str, Callable[[int, int | None], GameVectorEnv]] = {
    "day": lambda n, longest: GameVectorEnv(FLAPPY_BIRD, n, frame_skip=2, max_frames=longest),
    "night": lambda n, longest: GameVectorEnv(FLAPPY_BIRD, n, frame_skip=3, max_frames=longest, theme="night"),
    "head2023": lambda n, longest: GameVectorEnv(FLAPPY_BIRD, n, "head2023", max_frames=longest, size=(60, 30)),
    "catch": lambda n, longest: GameVectorEnv(CATCH, n, size=(36, 36), max_frames=longest),
}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    look=st.sampled_from(sorted(LOOKS)),
    games=st.integers(1, 5),
    frames=st.integers(1, 4),
    n_step=st.integers(1, 5),
    spare=st.integers(2, 30),
    longest=st.sampled_from([None, 3, 20]),
    alpha=st.sampled_from([0.0, 0.6]),
    steps=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_frames_drawn_again_are_those_stored(
    look: str,
    games: int,
    frames: int,
    n_step: int,
    spare: int,
    longest: int | None,
    alpha: float,
    steps: list[int],
    seed: int,
) -> None:
    capacity = games * (frames + n_step + spare)
    twins = Twins(lambda: LOOKS[look](games, longest), seed, capacity, frames, n_step, GAMMA, alpha)
    twins.play(n_step + 1)
    for more in steps:
        twins.compare(16)
        twins.play(more)
    twins.compare(16)


def test_games_that_can_not_be_drawn_are_stored() -> None:
    replay = Replay(Counters(2), 40, 1, 1, GAMMA, redraw=True)
    assert replay.memory == 40 * (2 * 2 + 9)
    assert replay.state_dict() == {}


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_a_replay_taken_up_by_another_goes_on_exactly(alpha: float) -> None:
    begun, other = (Replay(GameVectorEnv(FLAPPY_BIRD, 4), 4 * 30, 2, 3, GAMMA, alpha) for _ in range(2))
    rng = np.random.default_rng(0)
    begun.start(0)
    while not begun.add(rng.integers(2, size=4))[1].any() or begun.now < 100:
        pass  # until a game is over: that must not be forgotten
    begun.update_priorities(begun.draw(50, rng).slots, rng.normal(size=50).astype(np.float32))
    other.start(9)
    other.load_state_dict({key: value.clone() for key, value in begun.state_dict().items()})
    for _ in range(40):  # longer than the ring
        (drawn, batch), (again, same) = (sample(replay, 8, np.random.default_rng(5)) for replay in (begun, other))
        assert np.array_equal(drawn.slots, again.slots)
        for one, two in zip(batch, same, strict=True):
            assert np.array_equal(np.asarray(one), np.asarray(two))
        assert np.array_equal(begun.newest(), other.newest())
        actions = rng.integers(2, size=4)
        assert begun.add(actions)[1].tolist() == other.add(actions)[1].tolist()


def checksums(stacks: torch.Tensor) -> torch.Tensor:
    """Features of stacks, [batch, 3], summed exactly."""
    pixels = stacks.flatten(2).double()
    places = torch.arange(1, pixels.shape[-1] + 1) % 97
    return torch.stack([pixels.sum((1, 2)), pixels[:, -1].sum(-1), (pixels[:, 0] * places).sum(-1)], -1).float()


@pytest.mark.parametrize(
    "make", [partial(Counters, 3), partial(GameVectorEnv, FLAPPY_BIRD, 3)], ids=["stored", "redrawn"]
)
def test_features_are_those_of_what_was_seen(make: Callable[[], Any]) -> None:
    """Round the ring's end and across resets, and none of them is asked for twice."""
    asked: list[int] = []

    def look(stacks: torch.Tensor) -> torch.Tensor:
        asked.append(len(stacks))
        return checksums(stacks)

    pixels, features = Replay(make(), 75, 2, 3, GAMMA), Replay(make(), 75, 2, 3, GAMMA, encode=look, feature_dim=3)
    rngs = [np.random.default_rng(0) for _ in range(2)]
    seen = set()
    for replay in (pixels, features):
        replay.start(0)
    for step in range(80):
        assert torch.equal(checksums(pixels.newest()), features.newest())
        for replay, rng in zip((pixels, features), rngs, strict=True):
            replay.add(rng.integers(2, size=3))
        if step > 10:
            twins = [sample(replay, 30, np.random.default_rng(step)) for replay in (pixels, features)]
            (drawn, wanted), (again, found) = twins
            assert np.array_equal(drawn.slots, again.slots)
            assert torch.equal(checksums(wanted.observations), found.observations)
            assert torch.equal(checksums(wanted.next_observations), found.next_observations)
            seen |= set(map(tuple, found.observations.tolist()))
    assert len(seen) > 60
    assert asked == [3] * 81


def test_features_are_there_again_in_a_replay_taken_up_by_another() -> None:
    begun, other = (
        Replay(GameVectorEnv(FLAPPY_BIRD, 4), 4 * 30, 2, 3, GAMMA, encode=checksums, feature_dim=3) for _ in range(2)
    )
    begun.start(0)
    other.start(9)
    rng = np.random.default_rng(0)
    for steps in (17, 40):  # a ring with room, and a full one
        for _ in range(steps):
            begun.add(rng.integers(2, size=4))
        other.load_state_dict({key: value.clone() for key, value in begun.state_dict().items()})
        assert torch.equal(begun.newest(), other.newest())
        for seed in range(10):
            one, two = (sample(replay, 50, np.random.default_rng(seed))[1] for replay in (begun, other))
            assert torch.equal(one.observations, two.observations)
            assert torch.equal(one.next_observations, two.next_observations)


def test_what_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=100 * 2**20))
    with pytest.raises(MemoryError, match=r"200,000 transitions takes 1\.\d GiB and 0\.1 GiB are free") as caught:
        Replay(Blank(), 200_000, 2, 3, GAMMA)
    (advised,) = re.findall(r"--capacity (\d+)", str(caught.value))
    assert 1_000 < int(advised) < 100 * 2**20 / 84 / 84
    Replay(Blank(), int(advised), 2, 3, GAMMA)


@pytest.mark.parametrize("capacity", [0, 1, 8 * 6])
def test_what_is_too_small_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match=r"too small for 8 games; give at least \d+$") as caught:
        Replay(Blank(), capacity, 2, 3, GAMMA)
    assert str(capacity) in str(caught.value)
    Replay(Blank(), int(str(caught.value).rpartition(" ")[2]), 2, 3, GAMMA)


@pytest.mark.parametrize("slots", [22, 30])
@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_what_was_drawn_can_be_gathered_later(alpha: float, slots: int) -> None:
    """So many steps ahead, the same comes out: nothing of it has been written over."""
    ahead, rng = 9, np.random.default_rng(0)
    replay = Replay(Counters(3), 3 * slots, 3, 4, GAMMA, alpha, ahead=ahead)
    replay.start(0)
    for _ in range(12):
        play(replay, 7, rng)
        drawn = replay.draw(200, rng)
        at_once = replay.gather(drawn)
        play(replay, ahead, rng)
        later = replay.gather(drawn)
        for one, other in zip(at_once, later, strict=True):
            assert np.array_equal(one, other)
    with pytest.raises(ValueError, match="too small"):
        Replay(Counters(3), 3 * (3 + 4 + 2 + ahead) - 1, 3, 4, GAMMA, alpha, ahead=ahead)


def uninterrupted(alpha: float) -> tuple[Replay, list[int]]:
    """A full ring in which no episode ends, and the slots of it that can be drawn whatever the rule."""
    replay = Replay(Counters(2, longest=10**6), 40, 1, 1, GAMMA, alpha)
    replay.start(0)
    play(replay, 50, np.random.default_rng(0))
    return replay, [(time % 20) * 2 + game for time in range(32, 49) for game in range(2)]


def test_draws_are_uniform() -> None:
    replay, slots = uninterrupted(0.0)
    rng, counts = np.random.default_rng(1), np.zeros(40)
    for _ in range(40):
        drawn = replay.draw(1000, rng)
        counts += np.bincount(drawn.slots, minlength=40)
        assert (drawn.weights == 1).all()
    assert counts[slots].sum() > 0.9 * 40_000
    expected = counts.sum() / (counts > 0).sum()
    assert np.abs(counts[slots] - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_draws_are_in_proportion_to_priorities(alpha: float) -> None:
    replay, slots = uninterrupted(alpha)
    rng = np.random.default_rng(1)
    errors = np.zeros(40, np.float32)
    errors[slots] = np.random.default_rng(2).normal(size=len(slots)) * np.logspace(-2, 1, len(slots))
    replay.update_priorities(np.arange(40), errors)
    counts = np.zeros(40)
    for _ in range(40):
        drawn, batch = sample(replay, 1000, rng, beta=0.7)
        counts += np.bincount(drawn.slots, minlength=40)
        # w = (N P)^-beta, divided by the largest of the batch (Schaul et al. 2016, 3.4)
        large = np.abs(errors[drawn.slots])
        known = large > 0.3  # beside which the small constant added to errors is nothing
        ratio = batch.weights.numpy()[known] / large[known] ** (-alpha * 0.7)
        assert ratio.max() / ratio.min() < 1.01
        assert batch.weights.max() == 1
    share = np.abs(errors) ** alpha / (np.abs(errors[slots]) ** alpha).sum()
    got = counts / counts[slots].sum()
    often = [slot for slot in slots if share[slot] > 0.02]
    assert len(often) >= 5
    tolerance = 5 * np.sqrt(share / 40_000) + 0.01 * share
    assert (np.abs(got - share)[often] < tolerance[often]).all()
    assert (got[[slot for slot in slots if share[slot] < 0.002]] < 0.005).all()


def test_what_is_new_is_drawn_as_often_as_what_surprised_most() -> None:
    replay, _ = uninterrupted(1.0)
    errors = np.full(40, 0.01, np.float32)
    errors[replay.draw(1, np.random.default_rng(0)).slots] = 5.0
    replay.update_priorities(np.arange(40), errors)
    play(replay, 2, np.random.default_rng(0))
    drawn = np.bincount(replay.draw(4000, np.random.default_rng(0)).slots, minlength=40)
    new = ((replay.now - 1) % 20) * 2, ((replay.now - 2) % 20) * 2
    assert max(drawn[slot] for slot in new) > 0.15 * 4000
