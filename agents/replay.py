"""The past of N games, each frame kept once, and n-step transitions drawn from it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.frames import Frames, kind
from agents.state import games_state, load_games_state
from agents.sum_tree import SumTree


class Batch(NamedTuple):
    """Transitions over up to n steps.

    Attributes:
        observations: uint8, or float32 of numbers, [batch, frames, height, width]; or features, float32 [batch, width].
        actions: int64 [batch].
        returns: float32 [batch], discounted rewards until the next observation.
        next_observations: likewise.
        discounts: float32 [batch], what the next observation's value counts: gamma^k, or 0 after termination.
        weights: float32 [batch], importance weights, 1 without priorities.
    """

    observations: Tensor
    actions: Tensor
    returns: Tensor
    next_observations: Tensor
    discounts: Tensor
    weights: Tensor


def check_memory(need: int, capacity: int, flag: str) -> None:
    """Refuse a replay of so many bytes and transitions if they can't be had; the flag is what to change.

    Raises:
        MemoryError: with a capacity that would do.
    """
    free = psutil.virtual_memory().available
    if need > 0.9 * free:
        raise MemoryError(
            f"a replay of {capacity:,} transitions takes {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are "
            f"free; try {flag} {int(capacity * 0.8 * free / need):d}"
        )


class Drawn(NamedTuple):
    """Which transitions were drawn.

    Attributes:
        slots: int64 [batch], flat (slot * games + game), also for `update_priorities`.
        weights: float32 [batch], importance weights, 1 without priorities.
    """

    slots: NDArray[np.int64]
    weights: NDArray[np.float32]


class Replay:
    """A ring of time slots of N games, [slots, games].

    Slot t holds the frame seen at t, the action then chosen, and what came of it; the frame that followed
    lies in slot t + 1. With next-step autoreset the slot of an episode's last frame is no transition: it is
    stored, for others to bootstrap from, and never drawn. An environment that failed and was made anew (info's
    `interrupted`) is taken likewise: its episode was truncated by the step before.

    Attributes:
        memory: bytes taken, as `memory_for` foretold.

    Args:
        envs: see `Rollout`.
        capacity: transitions to keep, rounded down to whole slots.
        frames: frames in a stack.
        n_step: rewards summed before bootstrapping.
        gamma: discount.
        alpha: exponent of the priorities (Schaul et al. 2016); 0 draws uniformly.
        redraw: keep the numbers of games that can be drawn again (`GameVectorEnv`) instead of their frames.
        ahead: steps that may be added between `draw` and `gather`, or while a thread of its own gathers.
        encode: maps stacks [games, frames, height, width] to features, float32 [games, feature_dim]. If it is given,
            these are kept as well and stand for the observations. It is asked about each when it is seen, and once
            more by `load_state_dict`.
        feature_dim: length of these features.

    Raises:
        ValueError: if the capacity is too small for one stack and one transition of every game.
        MemoryError: if this machine has not enough memory free.
    """

    def __init__(
        self,
        envs: Any,
        capacity: int,
        frames: int,
        n_step: int,
        gamma: float,
        alpha: float = 0.0,
        redraw: bool = True,
        ahead: int = 0,
        encode: Callable[[Tensor], Tensor] | None = None,
        feature_dim: int = 0,
    ) -> None:
        n = envs.num_envs
        self.slots: int = capacity // n
        # Two steps are left to draw from: of two in a row, one at least is a transition, if no environment fails.
        needed = frames + n_step + 2 + ahead
        if self.slots < needed:
            raise ValueError(
                f"a replay of {capacity} transitions is too small for {n} games; give at least {needed * n}"
            )
        self.memory = self.memory_for(envs, capacity, alpha, redraw, feature_dim)
        check_memory(self.memory, capacity, "--capacity")
        self.frames, self.n_step, self.gamma, self.alpha, self.ahead = frames, n_step, gamma, alpha, ahead
        self._frames: Frames = kind(envs, redraw)(envs, self.slots)
        self._steps = np.zeros((self.slots, n), _step_dtype(envs))
        self._encode = encode
        self._features = np.zeros((self.slots * n, feature_dim), np.float32)
        self._tree = SumTree(self.slots * n) if alpha else None
        self._top = 1.0  # the largest priority so far: what is new is drawn soon
        self.envs = envs
        self.games: int = n
        self.now = 0  # steps so far; slot now % slots holds the newest frame
        self._over = np.zeros(n, np.bool_)

    @staticmethod
    def memory_for(envs: Any, capacity: int, alpha: float = 0.0, redraw: bool = True, feature_dim: int = 0) -> int:
        """Bytes that a replay of this capacity takes."""
        size: int = capacity // envs.num_envs * envs.num_envs
        each = kind(envs, redraw).frame_bytes(envs) + _step_dtype(envs).itemsize + 4 * feature_dim
        return size * each + (SumTree.memory_for(size) if alpha else 0)

    def __len__(self) -> int:
        """Transitions that can be drawn, with the steps that only reset a game."""
        return max(0, self.now - self.n_step - self._oldest) * self.games

    def start(self, seed: int) -> None:
        """Reset all games; their first frames go into the newest slot."""
        slot = self.now % self.slots
        self._frames.reset(slot, seed)
        self._steps["age"][slot], self._over[:] = 0, False
        self._remember(slot)

    def add(self, actions: NDArray[np.int64]) -> tuple[dict[str, Any], NDArray[np.bool_]]:
        """Step all games and store what came of it; returns (info, which games have just ended)."""
        slot, after = self.now % self.slots, (self.now + 1) % self.slots
        now, then, new = self._steps[slot], self._steps[after], self._over
        now["action"], now["valid"], then["valid"] = actions, ~self._over, False
        now["reward"], now["terminated"], now["truncated"], info = self._frames.step(after, actions)
        if "interrupted" in info:
            lost = info["interrupted"]
            if self.now:
                self._steps["truncated"][(self.now - 1) % self.slots] |= lost & ~new
            new = new | lost
            now["valid"] = ~new
        then["age"] = np.where(new, 0, np.minimum(now["age"] + 1, self.frames - 1))
        self._over = now["terminated"] | now["truncated"]
        self.now += 1
        self._remember(after)
        if self._tree is not None:
            self._tree.set(self._of_all(after), np.zeros(self.games))
            self._tree.set(self._of_all(slot), now["valid"] * self._top)
        return info, self._over

    @property
    def _oldest(self) -> int:
        """The first step whose whole stack is still there when `ahead` more have been added."""
        return max(0, self.now + self.ahead - self.slots + self.frames)

    def newest(self) -> Tensor:
        """Gather the observations of all games now, as in `Batch`."""
        return self.observations(self._of_all(self.now % self.slots))

    def drawable(self) -> bool:
        """Whether there is a transition to draw. An environment that fails at every step leaves none."""
        times = range(self.now - self.n_step - 1, self._oldest - 1, -1)
        return any(self._steps["valid"][time % self.slots].any() for time in times)

    def draw(self, batch: int, rng: np.random.Generator, beta: float = 1.0) -> Drawn:
        """Draw transitions, uniformly or by priority; beta is how far importance weights correct for that.

        There must be one, see `drawable`.
        """
        oldest, steps = self._oldest, len(self) // self.games  # the last ones wait until their n steps are complete
        index = np.empty(0, np.int64)
        while len(index) < batch:
            if self._tree is None:
                time = oldest + rng.integers(steps, size=batch)
                drawn = (time % self.slots) * self.games + rng.integers(self.games, size=batch)
            else:
                drawn = self._tree.sample(rng.random(batch))
                back = (self.now - drawn // self.games) % self.slots
                drawn = drawn[(back >= self.n_step) & (back <= self.now - oldest)]
            index = np.concatenate([index, drawn[self._steps["valid"].reshape(-1)[drawn]]])
        index = index[:batch]
        weights = np.ones(batch)
        if self._tree is not None:
            weights = (self._tree.get(index) / self._tree.total) ** -beta
            weights /= weights.max()
        return Drawn(index, weights.astype(np.float32))

    def observations(self, slots: NDArray[np.int64]) -> Tensor:
        """Gather the observations in these flat slots, as in `Batch`."""
        return self._stacks(slots) if self._encode is None else torch.from_numpy(self._features[slots])

    def gather(self, drawn: Drawn) -> Batch:
        """Gather the transitions that were drawn before."""
        index = drawn.slots
        returns, discounts, following = self._n_step(index)
        return Batch(
            self.observations(index),
            torch.from_numpy(self._steps["action"].reshape(-1)[index].astype(np.int64)),
            torch.from_numpy(returns),
            self.observations(following),
            torch.from_numpy(discounts),
            torch.from_numpy(drawn.weights),
        )

    def update_priorities(self, index: NDArray[np.int64], errors: NDArray[np.float32]) -> None:
        """Set the priorities of drawn transitions to (|error| + 0.001)^alpha; errors: float [batch]."""
        if self._tree is not None:
            priorities = (np.abs(errors) + 1e-3) ** self.alpha
            self._top = max(self._top, float(priorities.max()))
            self._tree.set(index, priorities)

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything, the games included, in views where it can; nothing if that would be too much."""
        if self._frames.small is None:
            return {}
        state = {
            "frames": self._frames.small,
            **games_state(self.envs),
            "steps": torch.from_numpy(self._steps.view(np.uint8)),
            "now": torch.tensor(self.now),
            "over": torch.from_numpy(self._over),
        }
        if self._tree is not None:
            priorities = self._tree.get(np.arange(self.slots * self.games))
            state |= {"priorities": torch.from_numpy(priorities), "top": torch.tensor(self._top, dtype=torch.float64)}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned; it must be something."""
        assert self._frames.small is not None
        self._frames.small.copy_(state["frames"])
        load_games_state(self.envs, state)
        self._steps.view(np.uint8)[:] = state["steps"].numpy()
        self.now, self._over = int(state["now"]), state["over"].numpy().copy()
        if self._tree is not None:
            self._tree.set(np.arange(self.slots * self.games), state["priorities"].numpy())
            self._top = float(state["top"])
        for slot in range(min(self.now + 1, self.slots)):
            self._remember(slot)

    def _n_step(self, index: NDArray[np.int64]) -> tuple[Any, Any, NDArray[np.int64]]:
        """Sum rewards up to n steps or the episode's end.

        R = sum over j < k of gamma^j r_{t+j}; the discount is gamma^k, 0 if step t + k - 1 terminated.
        """
        size, steps = self.slots * self.games, self._steps.reshape(-1)
        returns, discounts = np.zeros(len(index), np.float32), np.ones(len(index), np.float32)
        at, going = index.copy(), np.ones(len(index), np.bool_)
        for _ in range(self.n_step):
            step = steps[at]
            returns += going * discounts * step["reward"]
            discounts = np.where(going, np.float32(self.gamma) * discounts * ~step["terminated"], discounts)
            at = np.where(going, (at + self.games) % size, at)
            going &= ~(step["terminated"] | step["truncated"])
        return returns, discounts, at

    def _of_all(self, slot: int) -> NDArray[np.int64]:
        return np.arange(self.games) + slot * self.games

    def _remember(self, slot: int) -> None:
        """Keep the features of what all games show in this slot. It is always one batch, so rounding is the same."""
        if self._encode is not None:
            index = self._of_all(slot)
            self._features[index] = self._encode(self._stacks(index)).float().cpu()

    def _stacks(self, index: NDArray[np.int64]) -> Tensor:
        """Gather observations [len(index), frames, height, width] whose newest frames lie in these flat slots."""
        age = self._steps["age"].reshape(-1)[index]
        back = np.minimum(np.arange(self.frames - 1, -1, -1), age[:, None])
        rows = (index[:, None] - back.astype(np.int64) * self.games) % (self.slots * self.games)
        frames = self._frames.gather(rows.ravel())
        return frames.view(len(index), self.frames, *frames.shape[1:])


def _step_dtype(envs: Any) -> np.dtype[Any]:
    """What is kept of a step besides its frame: how old its episode is (up to a stack), and what came of it."""
    action = np.min_scalar_type(int(envs.single_action_space.n) - 1)
    flags = [(name, np.bool_) for name in ("terminated", "truncated", "valid")]
    return np.dtype([("age", np.uint8), ("action", action), ("reward", np.float32), *flags])
