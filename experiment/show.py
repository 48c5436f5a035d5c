"""One game played frame by frame, for eyes: every frame is drawn, the agent decides at its own rate."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.stack import FrameStack
from experiment.evaluate import fresh_seeds
from experiment.policy import Policy

Look = Callable[[Any, Tensor], NDArray[Any] | None]
"""Shows something of an agent's inside: (policy, observations [1, frames, height, width]) to an array, or None."""


@dataclass(frozen=True, eq=False)
class Decision:
    """One decision of an agent: the observation, and its answers.

    Attributes:
        observation: uint8 or float32 [frames, height, width], the whole stack, oldest frame first.
        action: what it would do.
        preferences: float32 [actions]; None if it does not tell.
        probable: the preferences are probabilities; otherwise values of the actions.
        value: discounted rewards to come; None if it does not tell.
        looks: results of the looks that were asked for, by name; see `Look`.
    """

    observation: NDArray[Any]
    action: int
    preferences: NDArray[np.float32] | None
    probable: bool
    value: float | None
    looks: Mapping[str, NDArray[Any] | None] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Moment:
    """What a person sees at one moment.

    Attributes:
        picture: uint8 [screen height, screen width, 3].
        score: of this episode.
        over: the episode ends with this frame.
        frame: frames since the start.
        steps: decisions so far; frames, if only a person plays.
        decision: the agent's newest; None before the first and without an agent.
        decided: the agent decided at this very moment; otherwise `decision` is an earlier one.
        action: the one taken in this frame.
        by_hand: a person took it.
    """

    picture: NDArray[np.uint8]
    score: int | float
    over: bool
    frame: int = 0
    steps: int = 0
    decision: Decision | None = None
    decided: bool = False
    action: int = 0
    by_hand: bool = False


class Episode:
    """One episode, a frame at a time.

    The agent sees exactly what it sees in training: a new observation once a decision. The
    episode of a seed is the one that `evaluate` plays first with that seed.

    Attributes:
        moment: the newest.

    Args:
        game: what is played, a `commands.game.GameConfig`.
        policy: the agent; None if only a person plays.
        frames: frames in a stack.
        seed: which episode.
        score_cap: where the episode ends; None for no cap.
    """

    def __init__(self, game: Any, policy: Policy | None, frames: int, seed: int, score_cap: int | None = None) -> None:
        self._envs = game.make(1, score_cap=score_cap, frame_skip=1, render_mode="rgb_array")
        self._frames, self._decision_frames = frames, game.decision_frames
        self._same = np.zeros(1, np.bool_)
        self.begin(policy, seed)

    def begin(self, policy: Policy | None, seed: int) -> None:
        """Begin another episode, perhaps with another policy."""
        self._observations, info = self._envs.reset(seed=fresh_seeds(seed, 1))
        self._stack = FrameStack(self._frames, self._observations)
        self._policy = policy.begin(1) if policy else None
        self.moment = Moment(self._envs.render()[0], info["score"][0].item(), False)

    def step(self, hand: int | None = None, looks: Mapping[str, Look] | None = None) -> Moment:
        """Go on by a frame.

        Args:
            hand: a person's action; None leaves it to the agent, which decides in any case.
            looks: called at a decision; their results come with it.

        Raises:
            ValueError: without either.
        """
        before = self.moment
        decision, decided, action = before.decision, False, 0
        if self._policy is not None and before.frame % self._decision_frames == 0:
            if before.frame:
                self._stack.push(self._observations, self._same)
            decision, decided = self._decide(self._policy, looks or {}), True
        if hand is not None:
            action = hand
        elif decision is None:
            raise ValueError("without an agent a person must play")
        elif decided or not self._envs.taps:
            action = decision.action
        self._observations, _, terminated, truncated, info = self._envs.step(np.array([action]))
        self.moment = Moment(
            picture=self._envs.render()[0],
            score=info["score"][0].item(),
            over=bool(terminated[0] or truncated[0]),
            frame=before.frame + 1,
            steps=before.steps + (decided or self._policy is None),
            decision=decision,
            decided=decided,
            action=action,
            by_hand=hand is not None,
        )
        return self.moment

    def _decide(self, policy: Policy, looks: Mapping[str, Look]) -> Decision:
        thought = policy.think(torch.from_numpy(self._stack.stacks))
        decision = Decision(
            observation=self._stack.stacks[0].copy(),
            action=int(thought.actions[0]),
            preferences=None if thought.preferences is None else thought.preferences[0].numpy(),
            probable=thought.probable,
            value=None if thought.values is None else float(thought.values[0]),
        )
        return self.look(decision, looks) if looks else decision

    def look(self, decision: Decision, looks: Mapping[str, Look]) -> Decision:
        """Return a decision, the newest, with the results of these looks in place of its own."""
        seen = torch.from_numpy(decision.observation[None])
        return replace(decision, looks={name: look(self._policy, seen) for name, look in looks.items()})

    def close(self) -> None:
        """Close the game."""
        self._envs.close()


def show(game: Any, policy: Policy, frames: int, seed: int = 0, score_cap: int | None = None) -> Iterator[Moment]:
    """Play one episode; arguments as of `Episode`."""
    episode = Episode(game, policy, frames, seed, score_cap)
    yield episode.moment
    while not episode.moment.over:
        yield episode.step()
    episode.close()
