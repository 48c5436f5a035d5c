"""How episodes end: by themselves, by the clock, or never."""

import collections
from collections.abc import Iterator
from typing import Any

import numpy as np

from envs.doctor.checks.evidence import Evidence, steps
from envs.doctor.finding import ERROR, NOTE, WARNING, Finding
from envs.doctor.probe import describe, number


def end_type(seen: Evidence) -> Iterator[Finding]:
    """Both flags are bools."""
    for ends, label in steps(seen, seen.play.ends):
        for word, flag in zip(("terminated", "truncated"), ends, strict=True):
            if not isinstance(flag, (bool, np.bool_)):
                harmless = isinstance(flag, (int, np.integer))
                severity = WARNING if harmless else ERROR
                yield Finding("end-type", severity, f"{word} is {describe(flag)}, not a bool, in {label}")
                return


def end_sticks(seen: Evidence) -> Iterator[Finding]:
    """A reset begins a whole episode."""
    lengths = seen.lengths
    if len(lengths) > 30 and lengths[0] > 1 and set(lengths[1:]) == {1}:
        text = f"the first episode had {lengths[0]} steps, all {len(lengths) - 1} others ended at their first step"
        yield Finding("end-sticks", ERROR, text)


def limit_terminates(seen: Evidence) -> Iterator[Finding]:
    """A time limit truncates.

    Terminations that come again and again at one length, and never later, look like a time limit. Three of them
    are asked for, at least a third of all that were even half as long, and twice as many as at any other length. An
    obstacle that always comes at the same step looks alike; then the last reward is usually one of its own.
    """
    if seen.play.limits_told:
        text = f"{seen.play.limits_told} ends that info calls time limits came as terminated"
        yield Finding("limit-terminates", ERROR, text)
        return
    lengths = [episode.length for episode in seen.play.episodes if episode.terminated and not episode.truncated]
    if not lengths or max(seen.lengths) > max(lengths):
        return
    longest, counts = max(lengths), collections.Counter(lengths)
    name = _attribute(seen.env, longest)
    rivals = [count for length, count in counts.items() if longest / 2 <= length < longest]
    clear = counts[longest] >= max(2 * max(rivals, default=0), sum(rivals) / 2)
    if longest < 10 or counts[longest] < (2 if name else 3) or not clear:
        return
    text = f"{counts[longest]} of {len(lengths)} episodes terminated at exactly {longest} steps, none later"
    if name:
        yield Finding("limit-terminates", ERROR, f"{text}: the environment's {name}")
    elif not _ends_with_its_own_reward(seen, longest) and (longest >= 100 or longest % 10 == 0):
        yield Finding("limit-terminates", WARNING, f"{text}, whatever the actions were")
    else:
        yield Finding("limit-terminates", NOTE, f"{text}; fine if the rules say so")


def _ends_with_its_own_reward(seen: Evidence, length: int) -> bool:
    """Whether episodes of this length end with rewards that are given at no other time."""
    starts = np.cumsum([0, *seen.lengths])
    final = set((starts[1:] - 1).tolist())
    usual = [number(reward) for i, reward in enumerate(seen.play.rewards) if i not in final]
    last = [episode.last for episode in seen.play.episodes if episode.length == length]
    return bool(usual) and not any(min(usual) <= reward <= max(usual) for reward in last)


def _attribute(env: Any, length: int) -> str:
    """Return the name of a setting of the environment that has this number and sounds like a time limit."""
    inner = env.unwrapped
    for name, value in {**vars(type(inner)), **vars(inner)}.items():
        words = name.lower()
        sounds = any(word in words for word in ("max", "limit", "horizon", "length", "budget"))
        if (
            sounds
            and isinstance(value, int)
            and not isinstance(value, bool)
            and value in (length, length - 1, length + 1)
        ):
            return f"{name} = {value}"
    return ""


def ends_both(seen: Evidence) -> Iterator[Finding]:
    """Terminated and truncated are two things."""
    both = [episode for episode in seen.play.episodes if episode.terminated and episode.truncated]
    single = [episode for episode in seen.play.episodes if episode.truncated and not episode.terminated]
    at_limit = seen.limit is not None and all(episode.length == seen.limit for episode in both)
    if len(both) >= 2 and not single and not (at_limit and len(both) < 3):
        text = f"all {len(both)} truncated episodes were terminated, too: nothing will be bootstrapped"
        yield Finding("ends-both", ERROR, text)


def never_ends(seen: Evidence) -> Iterator[Finding]:
    """Episodes end, or there is a time limit."""
    if not seen.play.episodes and seen.limit is None and seen.searched:
        severity = WARNING if seen.searched >= 5000 else NOTE
        yield Finding(
            "never-ends", severity, f"no end in {seen.searched:,} steps of random play, and no time limit is known"
        )


def step_after_end(seen: Evidence) -> Iterator[Finding]:
    """A step after the end does not go unnoticed."""
    if seen.after_end:
        yield Finding("step-after-end", NOTE, seen.after_end)
