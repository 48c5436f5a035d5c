"""Anyone's Gymnasium environment, many at once, with the face of our own games."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.atari import Atari, wishes
from envs.guest import EnvFailure, Guest
from envs.hosts import Failure, Here, Host, Results, Workers
from envs.registry import FAULTS
from envs.screen import Screen
from envs.vector import check_actions
from envs.worker import RESET, REST, Plan

PATIENCE = 3  # failures in a row, with no step between them, after each of which it may begin again
SYNC_SECONDS = 250e-6  # what it costs to hand a step to other processes and take the results back


@dataclass(frozen=True)
class Hosting:
    """Where environments run, and what happens when one fails.

    Attributes:
        workers: processes; 0 for this one, None for whatever a short measurement finds faster.
        seconds: that one step or reset of an environment in another process may last.
        on_error: "stop" raises `EnvFailure`; "restart" makes what failed anew.
        vector: where nothing is said of workers, take an environment's own vector version, if it has one that is known
            here: see `envs.atari`.
    """

    workers: int | None = 0
    seconds: float = 60.0
    on_error: Literal["stop", "restart"] = "stop"
    vector: bool = False


class AdaptedVectorEnv(VectorEnv[Any, Any, Any]):
    """N environments of one kind, in this process or in others.

    Observations: pictures as uint8 [n, 1, height, width], gray and reduced by area averaging, with numbers beside them
    drawn above, see `envs.screen.Squares`; all else that is of one size as a state of d numbers, float32 [n, 1, 1, d]:
    a picture one pixel high.
    Actions: Discrete; of MultiDiscrete ones every combination is an action, and of a Box every combination of some
    positions of its numbers, see `envs.guest.bins`. Autoreset is next-step, as in
    `GameVectorEnv`.

    What an environment in another process does is bit for bit what it does in this one.

    Attributes:
        over: bool [n], whose episode has ended, so that the next step only resets them.
        resting: bool [n], which environments `step` leaves as they are; none after a reset. See `rest`.

    info:
        score: float64 [n], the sum of the episode's rewards so far.
        interrupted: bool [n], there only if some environment failed and was made anew. The step of these is no
            transition: the observation is the first of a new episode, and the one before was the last of its own,
            which neither terminated nor came to a limit. Rewards and scores are 0 there.

    Args:
        env_id: as for `gymnasium.make`, so `package:Name-v0` works, too; or `package.module:name` of a class or a
            function that makes an environment.
        num_envs: number of environments.
        score_cap: truncate an episode at this score; None for no cap.
        render_mode: None or "rgb_array", which needs environments in this process.
        screen: what lies between an environment and the agent.
        hosting: where environments run.
        **settings: for the environment itself.

    Raises:
        ValueError: if there is no such environment, it does not take the settings, or its spaces are others.
        EnvFailure: from `reset` and `step`, if an environment fails and is not to be made anew, or can't.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.NEXT_STEP}
    taps = False  # an action lasts for as long as a decision

    def __init__(
        self,
        env_id: str,
        num_envs: int = 1,
        score_cap: float | None = None,
        render_mode: str | None = None,
        screen: Screen | None = None,
        hosting: Hosting | None = None,
        **settings: Any,
    ) -> None:
        self.num_envs, self.render_mode, self._cap = num_envs, render_mode, score_cap
        self.screen, self.hosting = screen, hosting = screen or Screen(), hosting or Hosting()
        make = partial(Guest, env_id, settings, screen, render_mode)
        first = make()
        self.single_observation_space = first.observation_space
        self._actions = first.actions
        self.single_action_space = spaces.Discrete(first.actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        rate = first.metadata.get("render_fps") or 30
        self.metadata = {**type(self).metadata, "render_fps": rate}
        self._shape, self._dtype = first.observation_space.shape, np.dtype(first.observation_space.dtype)
        workers = 0 if render_mode else hosting.workers
        asked = wishes(env_id, settings, screen) if workers is None and hosting.vector else None
        if workers is None and asked is None:
            workers = useful_workers(first, num_envs)
            first = make()  # nothing is left of the measurement
        self.workers = min(workers or 0, num_envs)
        self.host: Host
        if asked is not None:
            first.close()
            self.host = Atari(asked, num_envs, self._shape, min(cores(), num_envs))
        elif self.workers:
            first.close()
            plan = Plan(env_id, settings, screen)
            self.host = Workers(plan, num_envs, self.workers, self._shape, self._dtype, hosting.seconds)
        else:
            self.host = Here(make, num_envs, first)
        self.over = np.ones(num_envs, np.bool_)
        self.resting = np.zeros(num_envs, np.bool_)
        self._scores = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, np.int64)  # steps of the episodes so far
        self._failures = np.zeros(num_envs, np.int64)  # since the last step that went well, or `reset`
        self._seeds: list[int | None] = [None] * num_envs
        # The seed, and episodes begun since: what new seeds are made of after a resume or a failure.
        self._begun = np.zeros(2, np.int64)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
        out: NDArray[Any] | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start every environment anew; arguments and results as in `GameVectorEnv.reset`, but none is left out.

        Raises:
            ValueError: if options ask for that, or seeds are not as many as environments.
        """
        if options and "reset_mask" in options:
            raise ValueError("environments of others begin anew all together; reset_mask is for Wingbeat's own games")
        if not isinstance(seed, int | np.integer | None) and len(seed) != self.num_envs:
            raise ValueError(f"{len(seed)} seeds are not one for each of {self.num_envs} environments")
        if isinstance(seed, (int, np.integer)):
            self._begun[:] = seed, 0
            self._seeds = [int(seed) + i for i in range(self.num_envs)]
        elif seed is not None:
            self._seeds = list(seed)
        self.over[:], self.resting[:], self._failures[:] = True, False, 0
        observations, _, _, _, info = self.step(np.zeros(self.num_envs, np.int64), out)
        return observations, info

    def step(
        self, actions: Any, out: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step every environment; arguments and results as in `GameVectorEnv.step`.

        Raises:
            ValueError: if actions are not as many integers as environments, or no such actions.
        """
        actions = check_actions(actions, self.num_envs, self._actions)
        n, resting, over = self.num_envs, self.resting, self.over & ~self.resting
        if out is None:
            out = np.empty((n, *self._shape), self._dtype)
        results = Results(np.zeros(n), np.zeros(n, np.bool_), np.zeros(n, np.bool_))
        # Next-step autoreset: the action of who is over is ignored.
        orders = np.where(resting, REST, np.where(over, RESET, actions)).tolist()
        failures = self.host.play(orders, self._seeds, out, results, range(n))
        if over.any():
            self._begun[1] += int(over.sum())
            for i in np.flatnonzero(over):
                self._seeds[i], self._scores[i], self._lengths[i] = None, 0.0, 0
        interrupted = np.zeros(n, np.bool_)
        for failure in failures:
            interrupted |= self._begin_again(failure, out, results)
        info = {"interrupted": interrupted} if failures else {}
        stepped = ~(over | resting | interrupted)
        self._lengths += stepped
        self._failures[stepped] = 0
        self._scores += results.rewards
        rewards, terminated, truncated = results.rewards, results.terminated, results.truncated
        if self._cap is not None:
            truncated |= (self._scores >= self._cap) & ~over & ~resting
        self.over = terminated | truncated | (self.over & resting)
        if self.screen.clip_rewards:
            rewards = np.sign(rewards)
        return out, rewards, terminated, truncated, {"score": self._scores.copy(), **info}

    def rest(self, which: NDArray[np.bool_]) -> None:
        """Leave these environments, bool [n], as they are from now on until a reset or another call.

        They are not stepped, whatever their actions, and what is returned of them means nothing.
        """
        self.resting = which.copy()

    def _begin_again(self, failure: Failure, out: NDArray[Any], results: Results) -> NDArray[np.bool_]:
        """Make what is lost anew and begin new episodes with it; returns which environments these are, bool [n].

        Raises:
            EnvFailure: if that is not wanted, or fails again and again.
        """
        lost, last = failure.lost, failure
        self._failures[last.env] += 1
        while self.hosting.on_error == "restart" and self._failures[last.env] <= PATIENCE:
            log.warning("%s%s; it is made anew and begins again", last.traceback, self._words(last))
            problem = self.host.renew(last)
            if problem is None:
                for i in lost:
                    self._begun[1] += 1
                    self._seeds[i] = int(np.random.SeedSequence([*self._begun.tolist(), i]).generate_state(1)[0])
                    self._scores[i], self._lengths[i] = 0.0, 0
                problem = next(iter(self.host.play([RESET] * self.num_envs, self._seeds, out, results, lost)), None)
            if problem is None:
                for i in lost:
                    self._seeds[i] = None
                    results.rewards[i], results.terminated[i], results.truncated[i] = 0.0, False, False
                return np.isin(np.arange(self.num_envs), lost)
            last = problem
            self._failures[last.env] += 1
        self.close()
        times = self._failures[last.env]
        again = "" if times == 1 else f" It failed {times} times in a row."
        raise EnvFailure(self._words(last) + again, last.traceback)

    def _words(self, failure: Failure) -> str:
        """Say which environment failed, when, and how."""
        i = failure.env
        where = f", in a process with {failure.lost[0]} to {failure.lost[-1]}," if len(failure.lost) > 1 else ""
        when = f"at step {self._lengths[i] + 1} of its episode" if self._lengths[i] else "at an episode's first step"
        return f"environment {i} (of 0 to {self.num_envs - 1}){where} failed {when}: {failure.what}"

    def render(self) -> tuple[Any, ...] | None:
        """Return what a person sees of each environment, uint8 [height, width, 3], or None."""
        if self.render_mode is None:
            return None
        assert isinstance(self.host, Here)
        return tuple(guest.render() for guest in self.host.guests)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return what `set_state` needs. Nobody knows how to keep another's environment: all will begin anew."""
        return {"begun": self._begun.copy()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Begin new episodes at the next step, with seeds that follow from the state and were not used before."""
        self._begun[:] = state["begun"]
        self._seeds = np.random.SeedSequence(self._begun.tolist()).generate_state(self.num_envs).tolist()
        self.over[:] = True

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment, and end the processes."""
        if hasattr(self, "host"):
            self.host.close()


log = logging.getLogger(__name__)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def useful_workers(guest: Guest, count: int, clock: Callable[[], float] = time.perf_counter) -> int:
    """Measure a few steps; returns how many processes so many environments are worth, 0 if none.

    One that fails is worth processes: there it is noticed and named, or made anew, if it fails again.
    """
    workers = min(cores(), count)
    out = np.empty(guest.observation_space.shape, guest.observation_space.dtype)
    rng = np.random.default_rng(0)
    times: list[float] = []
    try:
        guest.reset(0, out)
        begun = clock()
        while len(times) < 50 and (clock() < begun + 0.2 or len(times) < 3):
            before = clock()
            if any(guest.step(int(rng.integers(guest.actions)), out)[1:]):
                guest.reset(None, out)
            times.append(clock() - before)
    except FAULTS:
        return workers
    finally:
        guest.close()
    step = float(np.median(times))
    return workers if count * step * (1 - 1 / workers) > SYNC_SECONDS else 0
