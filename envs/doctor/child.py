"""The process in which the environment lives: makes it, plays it, and tells what was found, a line of JSON at a time.

Run as `python -m envs.doctor.child JOB`, a JSON object. Lines go to the standard output as it was at the start; what
the environment prints goes to standard error. Lines are one of

    {"stage": name}             a stage begins
    {"beat": true}              the environment still answers
    {"finding": {...}}          something was found
    {"facts": {...}}            figures for the report's head
    {"events": [...], "labels": [...]}    digests of what was played, to be compared across processes
    {"unknown": text}           there is no such environment
    {"over": true}              all stages are through
"""

import contextlib
import faulthandler
import gc
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from envs.doctor.checks import BY_STAGE, Check
from envs.doctor.checks.evidence import Evidence
from envs.doctor.finding import ERROR, Finding
from envs.doctor.making import NoSuchEnvironment, check_settings, find
from envs.doctor.probe import EnvRaised, Malformed, Player, brief, digest, number, truth

PLAY_SECONDS = 10.0  # a slow environment is played for so long, even if that is fewer steps than wished
STARTS = 32  # seeds tried
COVERED = (  # by checks of our own, which see more
    "infinity", "symmetric", "not within the observation space", "dtype", "numpy array", "np.int64", "seed", "random",
    "deterministic", "equivalent", "not equal although similar", "share an object", "truncates after 1 step",
    "NaN", "inf value", "must be a float", "to be a boolean", "options", "dictionary", "shape", "tuple",
    "minimum values are equal", "not have a spec", "RandomNumberGenerator", "np_random", "keys",
)  # fmt: skip


class Examination:
    """All stages of one environment, in order; each gathers and then checks."""

    def __init__(self, job: dict[str, Any], tell: Callable[..., None]) -> None:
        self.job, self.tell = job, tell
        self.steps: int = job["steps"]
        self._last_beat = 0.0
        self.player = Player(self._find, job["seed"], self.beat)
        self.seen: Evidence

    def _find(self, **more: Any) -> Any:
        return find(self.job["env"], self.job["settings"])(**more)

    def beat(self) -> None:
        """Tell that the environment came back, now and then."""
        if time.monotonic() - self._last_beat > 0.2:
            self._last_beat = time.monotonic()
            self.tell(beat=True)

    def run(self) -> None:
        """Go through the stages. What is raised while making or playing ends them all, elsewhere only the stage."""
        if not self._stage("making", self._make) or not self._spaces_are_there():
            return
        played = self._stage("playing", self._play)
        self.tell(facts=self._facts())
        self.tell(events=self.seen.play.digests, labels=self.seen.play.labels)
        if not played:
            return
        self._stage("repeating", self._repeat)
        if self.job["only"] == "playing":
            return
        self._stage("starting", self._starts)
        self._stage("two side by side", self._side_by_side)
        self._stage("other actions", self._other_actions)
        self._stage("ending", self._ending)
        self._stage("rendering", self._render)
        self._stage("timing", self._time)
        self.tell(facts=self._facts())
        self._stage("Gymnasium's checker", self._checker)

    def _stage(self, name: str, gather: Callable[[], None]) -> bool:
        self.tell(stage=name)
        found: list[Finding] = []
        try:
            gather()
        except EnvRaised as error:
            found.append(Finding("make-raises" if name == "making" else "env-raises", ERROR, str(error)))
        except Malformed as error:
            found.append(Finding(error.name, ERROR, error.seen))
        except NoSuchEnvironment:
            raise
        except Exception as error:  # its attributes and spaces are the environment's code, too
            found.append(Finding("env-raises", ERROR, str(EnvRaised(f"looking at it while {name}", error))))
        if hasattr(self, "seen"):
            for check in self._checks(name, bool(found)):
                try:
                    found += check(self.seen)
                except Exception as error:
                    found.append(Finding("env-raises", ERROR, str(EnvRaised(f"the check {check.__name__}", error))))
        for finding in found:
            self.tell(finding={"name": finding.name, "severity": finding.severity, "seen": finding.seen})
        return not any(finding.name in ("make-raises", "env-raises", *MALFORMED) for finding in found)

    def _checks(self, name: str, broken: bool) -> tuple[Check, ...]:
        """Return the stage's checks; what was played until it broke off is checked, too."""
        return BY_STAGE[name] if not broken or name == "playing" else ()

    def _spaces_are_there(self) -> bool:
        env = self.seen.env
        return all(isinstance(getattr(env, n, None), spaces.Space) for n in ("observation_space", "action_space"))

    def _new(self, **more: Any) -> Any:
        return self.player.call("making it", self.player.make, **more)

    def _make(self) -> None:
        try:
            env = self._new()
        except EnvRaised as error:
            if isinstance(error.error, NoSuchEnvironment):
                raise error.error from error
            if isinstance(error.error, TypeError):
                check_settings(error.error, self.job["settings"], self.job["env"])
            raise
        if not all(callable(getattr(env, name, None)) for name in ("reset", "step")):
            raise NoSuchEnvironment(f"{self.job['env']!r} makes no environment but {type(env).__name__}: {brief(env)}")
        if not hasattr(env, "unwrapped"):
            raise EnvRaised("making it", TypeError("the class must inherit from gymnasium.Env"))
        spec = getattr(env, "spec", None)
        self.seen = Evidence(env, spec.max_episode_steps if spec is not None else None)

    def _play(self) -> None:
        before = self._printed()
        seen = self.seen
        self.player.play(seen.env, self.steps, seen.play, PLAY_SECONDS)
        seen.printed = self._printed() - before

    def _printed(self) -> int:
        sys.stdout.flush()
        return os.fstat(2).st_size

    def _repeat(self) -> None:
        self.player.play(self.seen.env, self.seen.play.steps, self.seen.again)

    def _starts(self) -> None:
        """Begin with many seeds, and without any; a start is a reset and up to 5 steps of always the same actions."""
        seen, player = self.seen, self.player
        begun = time.perf_counter()
        for i in range(STARTS):
            seen.seeded.append(self._start(player.seed + i))
            if time.perf_counter() - begun > PLAY_SECONDS / 2:
                break
        for _ in range(2 * STARTS):
            seen.unseeded.append(self._start(None))
            if time.perf_counter() - begun > PLAY_SECONDS:
                break

    def _start(self, seed: int | None) -> str:
        actions = self.player.actions(self.seen.env, 0)
        shown = [self.player.reset(self.seen.env, seed)[0]]
        begin = [digest(shown[0])]
        for _ in range(5):
            observation, reward, terminated, truncated, _ = self.player.step(self.seen.env, next(actions))
            begin.append(digest((observation, reward, terminated, truncated)))
            if truth(terminated) or truth(truncated):
                break
        return " ".join(begin)

    def _side_by_side(self) -> None:
        """Play again while another one is played on between every two calls."""
        other, player = self._new(), Player(self.player.make, self.player.seed + 1, self.beat)
        actions, over = player.actions(other, player.seed), [True]

        def between() -> None:
            if over[0]:
                player.reset(other, player.seed)
                over[0] = False
            else:
                _, _, terminated, truncated, _ = player.step(other, next(actions))
                over[0] = truth(terminated) or truth(truncated)

        self.player.play(self.seen.env, min(self.seen.play.steps, 300), self.seen.apart, between=between)
        other.close()

    def _other_actions(self) -> None:
        seen = self.seen
        self.player.play(seen.env, min(seen.play.steps, 500), seen.other, action_seed=self.player.seed + 1)
        space = seen.env.action_space
        quick = seen.play.step_seconds / max(1, seen.play.steps) < 1e-3
        if (
            isinstance(space, spaces.Discrete)
            and 1 < space.n <= 18
            and quick
            and seen.play.digests == seen.again.digests
        ):
            seen.twins = self._twins(int(space.start), int(space.n))

    def _twins(self, start: int, n: int) -> list[tuple[int, int]]:
        """Return pairs of actions after which the same came: tried for three steps, in states along random play."""
        effects: list[list[str]] = [[] for _ in range(n)]
        for state in range(8):
            for k in range(n):
                actions = self.player.actions(self.seen.env, state)
                self.player.reset(self.seen.env, self.player.seed + state)
                over, effect = False, []
                for action in [next(actions) for _ in range(2 * state)] + [np.int64(start + k)] * 3:
                    if not over:
                        *outcome, _ = self.player.step(self.seen.env, action)
                        over = truth(outcome[2]) or truth(outcome[3])
                        effect.append(digest(outcome))
                effects[k].append(" ".join(effect[2 * state :]))
        self.seen.twin_states = sum(any(row[state] for row in effects) for state in range(8))
        if self.seen.twin_states < 4:
            return []
        return [(start + a, start + b) for a in range(n) for b in range(a + 1, n) if effects[a] == effects[b]]

    def _ending(self) -> None:
        """Look for an end if there was none, and step once after it."""
        seen, player = self.seen, self.player
        limit = 10 * self.steps if not seen.play.episodes and seen.limit is None else 1000
        actions, over, begun = player.actions(seen.env, player.seed), False, time.perf_counter()
        player.reset(seen.env, player.seed)
        while not over and seen.searched < limit and time.perf_counter() - begun < PLAY_SECONDS:
            _, _, terminated, truncated, _ = player.step(seen.env, next(actions))
            over = truth(terminated) or truth(truncated)
            seen.searched += 1
        if not over or truth(truncated):
            seen.searched = 0 if over else seen.searched
            return
        seen.searched = 0
        try:
            _, _, terminated, truncated, _ = player.step(seen.env.unwrapped, next(actions))
        except EnvRaised:
            return  # as it should be
        if not (truth(terminated) or truth(truncated)):
            seen.after_end = "a step after the end goes on as if nothing had happened"

    def _render(self) -> None:
        seen = self.seen
        if "rgb_array" not in (seen.env.metadata or {}).get("render_modes", []):
            return

        def frame() -> None:
            if len(seen.rendered.digests):  # not before the first reset
                picture = self.player.call("render", env.render)
                if len(seen.frames) < 20:
                    seen.frames.append(np.array(picture) if isinstance(picture, np.ndarray) else picture)

        try:
            env = self._new(render_mode="rgb_array")
            self.player.play(env, min(seen.play.steps, 100), seen.rendered, PLAY_SECONDS, between=frame)
            env.close()
        except EnvRaised as error:
            seen.render_error = str(error)

    def _time(self) -> None:
        """Play on without writing anything down."""
        seen, player, process = self.seen, self.player, psutil.Process()
        seconds = self.job["timing_seconds"]
        steps, over, resets, stepping = 0, True, [], 0.0
        actions = player.actions(seen.env, player.seed)
        sizes: list[int] = []
        quarter = seconds / 4
        gc.collect()
        marks: list[int] = []
        begun = time.perf_counter()
        while len(sizes) < 5:
            now = time.perf_counter()
            if now - begun >= quarter * len(sizes):
                sizes.append(process.memory_info().rss)
                marks.append(steps)
                now = time.perf_counter()
            if over:
                player.reset(seen.env)
                resets.append(time.perf_counter() - now)
                over = False
            else:
                action = next(actions)
                now = time.perf_counter()
                _, _, terminated, truncated, _ = player.step(seen.env, action)
                stepping += time.perf_counter() - now
                steps += 1
                over = truth(terminated) or truth(truncated)
        seen.steps_per_second = steps / stepping if stepping else 0.0
        seen.reset_seconds = float(np.median(resets[1:] or resets))
        seen.grown, seen.grown_steps = np.diff(sizes).tolist(), marks[-1] - marks[0]

    def _checker(self) -> None:
        """Run Gymnasium's checker and keep what no check of ours covers."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                check_env(self.seen.env.unwrapped, skip_render_check=True, skip_close_check=True)
            except Exception as error:  # it raises whatever it likes, and so may the environment
                warnings.warn(f"{type(error).__name__}: {error}", stacklevel=1)
        for warning in caught:
            text = str(warning.message)
            plain = text.replace("\x1b[33m", "").replace("\x1b[0m", "").removeprefix("WARN: ").strip().split("\n")[0]
            mine = issubclass(warning.category, (UserWarning, DeprecationWarning)) and "gymnasium" in warning.filename
            raised = warning.filename == __file__
            if plain and (mine or raised) and not any(word in plain for word in COVERED):
                self.seen.complaints.append(plain)

    def _facts(self) -> dict[str, Any]:
        seen = self.seen
        lengths = seen.lengths
        totals = [episode.total for episode in seen.play.episodes if np.isfinite(episode.total)]
        rewards = [reward for reward in map(number, seen.play.rewards) if np.isfinite(reward)]
        return {
            "observation_space": str(seen.env.observation_space),
            "action_space": str(seen.env.action_space),
            "time_limit": seen.limit,
            "steps": seen.play.steps,
            "episodes": len(lengths),
            "episode_steps": [min(lengths), float(np.median(lengths)), max(lengths)] if lengths else None,
            "returns": [min(totals), float(np.median(totals)), max(totals)] if totals else None,
            "rewards": [min(rewards), max(rewards)] if rewards else None,
            "steps_per_second": seen.steps_per_second or None,
            "reset_milliseconds": seen.reset_seconds * 1000 if seen.steps_per_second else None,
        }


MALFORMED = ("reset-returns", "step-returns")


@contextlib.contextmanager
def telling() -> Iterator[Callable[..., None]]:
    """Keep the standard output for our lines, and send the environment's prints to standard error."""
    faulthandler.enable()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines:
        os.dup2(2, 1)

        def tell(**message: Any) -> None:
            lines.write(json.dumps(message) + "\n")
            lines.flush()

        yield tell


def main() -> None:
    """Run the job given as the only argument."""
    with telling() as tell:
        try:
            Examination(json.loads(sys.argv[1]), tell).run()
        except NoSuchEnvironment as error:
            tell(unknown=str(error))
        tell(over=True)
        sys.stdout.flush()
        os._exit(0)  # what the environment left running must not keep us


if __name__ == "__main__":
    main()
