"""Games that can't be won: a picture says which game, episode and step it shows, and everything is noted."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


def picture(game: int, episode: int, step: int) -> NDArray[np.uint8]:
    """What a game shows, uint8 [2, 2]."""
    return np.array([[game, episode], [step, 255 - step]], np.uint8)


class Counters:
    """N counting games with next-step autoreset.

    Lengths of episodes, how they end, and rewards follow from the seed, game, episode and step.

    Attributes:
        seen: at every time, (episode, step) that each game showed.
        actions, rewards, ends, real: of every step, one entry a game. `ends` is "", "terminated" or "truncated";
            `real` is False where the step only reset the game, or where the game was lost and began anew. The step
            before one that was lost is "truncated", once this is known.

    Args:
        games: how many.
        seed: of lengths, ends and rewards.
        longest: longest episode in steps.
        hot: if given, the reward is 1 for the step from this one, else 0.
        lost: share of steps at which a game is lost, as info's `interrupted` says.
    """

    def __init__(self, games: int, seed: int = 0, longest: int = 6, hot: int | None = None, lost: float = 0.0) -> None:
        self.num_envs, self.seed, self.longest, self.hot, self.lost = games, seed, longest, hot, lost
        self.single_observation_space = spaces.Box(0, 255, (1, 2, 2), np.uint8)
        self.single_action_space = spaces.Discrete(4)
        self.now = np.zeros((games, 3), np.int64)  # episode, step, whether it is over
        self.lost_now = np.zeros(games, np.bool_)  # at the last step
        self.seen: list[list[tuple[int, int]]] = []
        self.actions: list[list[int]] = []
        self.rewards: list[list[float]] = []
        self.ends: list[list[str]] = []
        self.real: list[list[bool]] = []

    def reset(self, *, seed: int, out: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        self.now[:] = 0
        self.seen = []
        return self._show(out)

    def step(self, actions: NDArray[np.int64], out: NDArray[np.uint8]) -> tuple[Any, ...]:
        rewards, ends, real = np.zeros(self.num_envs), [""] * self.num_envs, []
        lost = self.lost_now = np.random.default_rng([self.seed, len(self.ends)]).random(self.num_envs) < self.lost
        for game in range(self.num_envs):
            episode, step, over = self.now[game].tolist()
            real.append(not (over or lost[game]))
            if lost[game] and not over and self.ends:
                self.ends[-1][game] = "truncated"
            if over or lost[game]:
                self.now[game] = episode + 1, 0, 0
                continue
            length, end = self.plan(game, episode)
            rewards[game] = self.reward(game, episode, step)
            ends[game] = end if step + 1 == length else ""
            self.now[game] = episode, step + 1, ends[game] != ""
        self.actions.append(actions.tolist())
        self.rewards.append(rewards.tolist())
        self.ends.append(ends)
        self.real.append(real)
        observations, info = self._show(out)
        terminated, truncated = (np.array([end == kind for end in ends]) for kind in ("terminated", "truncated"))
        return observations, rewards, terminated, truncated, info | ({"interrupted": lost} if lost.any() else {})

    def plan(self, game: int, episode: int) -> tuple[int, str]:
        """An episode's length and how it ends."""
        rng = np.random.default_rng([self.seed, game, episode])
        return int(rng.integers(1, self.longest + 1)), str(rng.choice(["terminated", "truncated"]))

    def reward(self, game: int, episode: int, step: int) -> float:
        """What the step from this one brings."""
        if self.hot is not None:
            return float(step == self.hot)
        return float((7 * game + 5 * episode + 3 * step + self.seed) % 11 - 4)

    def stack(self, time: int, game: int, frames: int) -> NDArray[np.uint8]:
        """The stack at a time by walking back: an episode's first picture is repeated where it began later."""
        times = [time]
        while len(times) < frames:
            before = times[0] - 1
            same = before >= 0 and self.seen[before][game][0] == self.seen[time][game][0]
            times.insert(0, before if same else times[0])
        return np.stack([picture(game, *self.seen[at][game]) for at in times])

    @property
    def over(self) -> NDArray[np.bool_]:
        return self.now[:, 2] > 0

    def get_state(self) -> dict[str, NDArray[Any]]:
        return {"now": self.now.copy()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        self.now[:] = state["now"]

    def _show(self, out: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        self.seen.append([(episode, step) for episode, step, _ in self.now.tolist()])
        for game, (episode, step) in enumerate(self.seen[-1]):
            out[game, 0] = picture(game, episode, step)
        return out, {"score": self.now[:, 1].copy()}
