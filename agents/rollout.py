"""What happened in the last few steps of N games, each frame stored once; and the scores of their episodes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.state import games_state, load_games_state
from perception import Stacks


class Rollout:
    """A fixed number of steps of N games.

    Frames lie once, [history + steps + 1, games, height, width]: a stack is an index. Of each is known how many frames
    of its own episode lie before it, as far as a stack reaches, so that no stack reaches into the episode before;
    missing frames are the episode's first, repeated.

    With next-step autoreset the step after an episode's end is no transition. `valid` is False there; the
    frame in that slot is the last of the old episode, from which a truncated episode bootstraps. An environment that
    failed and was made anew (info's `interrupted`) is taken likewise: its episode was truncated by the step before.

    Attributes:
        actions: int64 [steps, games], where the frames are.
        rewards: float32 [steps, games], as all that follows on the CPU.
        terminated, truncated: bool [steps, games].
        valid: bool [steps, games].

    Args:
        envs: a `gymnasium.vector.VectorEnv` with next-step autoreset and uint8 observations
            [1, height, width], or float32 ones; its `step` and `reset` draw into `out`, and `over` marks the games
            that the next step only resets.
        steps: length of the rollout.
        frames: frames in a stack.
        device: where frames and actions are kept.
    """

    def __init__(self, envs: Any, steps: int, frames: int, device: torch.device) -> None:
        n, (_, height, width) = envs.num_envs, envs.single_observation_space.shape
        self.envs, self.steps, self.frames, self.device = envs, steps, frames, device
        self._history = frames - 1
        slots = self._history + steps + 1
        dtype = torch.uint8 if envs.single_observation_space.dtype == np.uint8 else torch.float32
        self._frames = torch.zeros(slots, n, height, width, dtype=dtype, device=device)
        self._age = torch.zeros(slots, n, dtype=torch.int64)
        self._host = torch.zeros(n, 1, height, width, dtype=dtype, pin_memory=device.type == "cuda")
        self.actions = torch.zeros(steps, n, dtype=torch.int64, device=device)
        self.rewards = torch.zeros(steps, n)
        self.terminated = torch.zeros(steps, n, dtype=torch.bool)
        self.truncated = torch.zeros(steps, n, dtype=torch.bool)
        self.valid = torch.zeros(steps, n, dtype=torch.bool)
        self._pictures, self._back = self._frames.flatten(0, 1), np.arange(frames - 1, -1, -1)
        # What is noted at every step is soonest noted by NumPy, in the same memory.
        self._notes = [x.numpy() for x in (self.rewards, self.terminated, self.truncated, self.valid, self._age)]
        self._room = self._frames.unsqueeze(2).numpy() if device.type == "cpu" else None

    def start(self, seed: int) -> None:
        """Reset all games; their first frames are where the next rollout begins."""
        self.envs.reset(seed=seed, out=self._slot(self.steps))
        self._store(self.steps)
        self._age[-1] = 0

    def explore(self, generator: torch.Generator) -> Tensor:
        """Play one rollout at random; returns its frames [steps * games, height, width]."""
        self.begin(self)
        actions = int(self.envs.single_action_space.n)
        for t in range(self.steps):
            self.add(t, torch.randint(actions, self.actions.shape[1:], generator=generator))
        return self._frames[-self.steps :].flatten(0, 1)

    def begin(self, last: "Rollout") -> None:
        """Begin where the last rollout of these games ended, which may be this one."""
        kept = self._history + 1
        self._frames[:kept] = last._frames[-kept:].clone()
        self._age[:kept] = last._age[-kept:].clone()

    def add(self, t: int, actions: Tensor) -> dict[str, Any]:
        """Step all games with int64 actions [games] and store what came of it as step t; returns info."""
        self.actions[t] = actions
        rewards, terminated, truncated, valid, age = self._notes
        new = self.envs.over.copy()
        out = self._slot(t + 1)
        _, rewards[t], terminated[t], truncated[t], info = self.envs.step(actions.cpu().numpy(), out=out)
        self._store(t + 1)
        if "interrupted" in info:
            lost = info["interrupted"]
            if t:
                truncated[t - 1] |= lost & ~new
            new |= lost
        valid[t] = ~new
        at = self._history + t
        age[at + 1] = np.where(new, 0, np.minimum(age[at] + 1, max(1, self._history)))
        return dict(info)

    def observations(self, index: Tensor) -> Tensor:
        """Gather stacks [len(index), frames, height, width], for flat indices t * games + game.

        t = steps is the observation after the last step.
        """
        return self.stacks(index).gathered()

    def stacks(self, index: Tensor) -> Stacks:
        """Tell which frames these are, for whoever need not have them gathered."""
        return self._stacks(index.numpy() + self._history * self._frames.shape[1])

    @property
    def first(self) -> Tensor:
        """Which observations are an episode's first, bool [steps + 1, games]."""
        return self._age[self._history :] == 0

    def at(self, t: int) -> Stacks:
        """Tell the stacks of all games at step t."""
        n = self._frames.shape[1]
        return self._stacks(np.arange(n) + (self._history + t) * n)

    def over(self, t: int) -> NDArray[np.bool_]:
        """Tell whose episode ended at step t, bool [games]."""
        _, terminated, truncated, *_ = self._notes
        ended: NDArray[np.bool_] = terminated[t] | truncated[t]
        return ended

    def state_dict(self) -> dict[str, Tensor]:
        """Return what the next rollout begins with."""
        kept = self._history + 1
        return {
            "frames": self._frames[-kept:].clone(),
            "age": self._age[-kept:].clone(),
            **games_state(self.envs),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` returned."""
        kept = self._history + 1
        self._frames[-kept:] = state["frames"]
        self._age[-kept:] = state["age"]
        load_games_state(self.envs, state)

    def record(self) -> dict[str, Tensor]:
        """Return all that happened, and what was seen."""
        return {name: tensor.clone() for name, tensor in self._everything().items()}

    def load_record(self, record: dict[str, Tensor]) -> None:
        """Take what `record` returned for what happened here."""
        for name, tensor in self._everything().items():
            tensor.copy_(record[name])

    def _everything(self) -> dict[str, Tensor]:
        names = ("actions", "rewards", "terminated", "truncated", "valid")
        return {"frames": self._frames, "age": self._age, **{name: getattr(self, name) for name in names}}

    def _stacks(self, newest: NDArray[np.int64]) -> Stacks:
        """Tell the stacks that these flat slots are the newest frames of."""
        n, age = self._frames.shape[1], self._notes[-1]
        back = np.minimum(self._back, age.reshape(-1)[newest][:, None])  # [batch, frames]
        return Stacks(self._pictures, newest[:, None] - back * n)

    def _slot(self, t: int) -> NDArray[np.uint8]:
        """Where the games draw: the slot itself, or pinned memory on its way to the GPU."""
        return self._host.numpy() if self._room is None else self._room[self._history + t]

    def _store(self, t: int) -> None:
        if self.device.type != "cpu":
            # The games draw here again only after their next actions came from the GPU, behind this copy.
            self._frames[self._history + t].copy_(self._host.squeeze(1), non_blocking=True)


class Episodes:
    """Scores of the last finished training episodes."""

    def __init__(self, window: int = 100) -> None:
        self._scores = np.full(window, np.nan)

    def add(self, info: dict[str, Any], over: NDArray[np.bool_]) -> None:
        """Note the scores of the games that have just ended; over: bool [games]."""
        if not over.any():
            return
        ended = np.asarray(info["score"])[over]
        self._scores = np.concatenate([self._scores, ended])[len(ended) :]

    @property
    def mean(self) -> float:
        """The mean score, NaN before the first episode has ended."""
        known = self._scores[~np.isnan(self._scores)]
        return float(known.mean()) if len(known) else float("nan")

    def state_dict(self) -> dict[str, Tensor]:
        """Return the scores."""
        return {"scores": torch.from_numpy(self._scores.copy())}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` returned."""
        self._scores = state["scores"].numpy().copy()
