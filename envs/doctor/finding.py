"""What the doctor can find, and how each is mended. docs/doctor.md prints this table."""

from dataclasses import asdict, dataclass
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"
GROUPS = ("running", "interface", "seeds", "observations", "actions", "rewards", "ends", "pictures", "speed")


@dataclass(frozen=True)
class Kind:
    """One kind of finding: the subject it belongs to, how bad it can be, and how it is mended."""

    group: str
    severities: tuple[str, ...]
    mend: str


KINDS: dict[str, Kind] = {
    # running
    "make-raises": Kind(
        "running", (ERROR,), "make it by hand in Python, with the same settings, and mend what is raised"
    ),
    "env-raises": Kind(
        "running", (ERROR,), "mend the line named; every action within the space must be accepted in every state"
    ),
    "env-hangs": Kind("running", (ERROR,), "give the loop or the wait at the line named an end"),
    "env-dies": Kind(
        "running", (ERROR,), "raise an exception instead of ending the process; a signal means a fault in native code"
    ),
    "prints": Kind("running", (WARNING,), "take the print out of reset and step, or use logging"),
    "gymnasium-checker": Kind("running", (WARNING,), "follow what gymnasium.utils.env_checker says"),
    # interface
    "space-missing": Kind(
        "interface", (ERROR,), "set observation_space and action_space in __init__ to spaces of gymnasium.spaces"
    ),
    "reset-signature": Kind("interface", (ERROR, WARNING), "write def reset(self, *, seed=None, options=None)"),
    "reset-returns": Kind("interface", (ERROR,), "return observation, info from reset"),
    "step-returns": Kind("interface", (ERROR,), "return observation, reward, terminated, truncated, info from step"),
    "info-type": Kind("interface", (ERROR,), "return a dict as info, an empty one if there is nothing to say"),
    # seeds
    "seed-ignored": Kind("seeds", (ERROR,), "call super().reset(seed=seed) and draw all chance from self.np_random"),
    "not-repeatable": Kind(
        "seeds", (ERROR,), "draw all chance from self.np_random, set the whole state in reset, read no clock"
    ),
    "process-differs": Kind(
        "seeds", (ERROR,), "sort what comes from a set; use no hash(), id(), clock or process number"
    ),
    "reset-reseeds": Kind("seeds", (ERROR,), "seed only when a seed is given: super().reset(seed=seed) does that"),
    "global-random": Kind(
        "seeds", (ERROR, WARNING), "use self.np_random, never the np.random or random module's own generator"
    ),
    "instances-share": Kind(
        "seeds", (ERROR,), "keep state in self, set in __init__ or reset; not in the class, a module or a default"
    ),
    "one-start": Kind("seeds", (NOTE,), "fine if meant; an agent may learn the one episode by heart"),
    # observations
    "observation-form": Kind(
        "observations", (ERROR,), "return what observation_space says: the same type, keys and shape"
    ),
    "observation-dtype": Kind(
        "observations",
        (ERROR, WARNING),
        "end with .astype(self.observation_space.dtype), or declare the other type",
    ),
    "observation-range": Kind("observations", (ERROR,), "widen the space's low and high, or clip what is returned"),
    "observation-not-finite": Kind(
        "observations", (ERROR,), "look for a division by zero, a log or root of a negative number, or overflow"
    ),
    "observation-aliased": Kind("observations", (ERROR,), "return a copy: return self.buffer.copy()"),
    "observation-frozen": Kind(
        "observations", (ERROR, WARNING), "make the observation after the state has changed, from the present state"
    ),
    "observation-scale": Kind(
        "observations", (WARNING,), "divide by the largest value, or use gymnasium.wrappers.NormalizeObservation"
    ),
    "observation-unbounded": Kind(
        "observations", (NOTE,), "set low and high if they are known; else normalise by what is seen"
    ),
    "observation-numbers": Kind(
        "observations", (NOTE,), "networks need one-hot vectors: gymnasium.wrappers.FlattenObservation"
    ),
    "picture-blank": Kind(
        "observations", (ERROR,), "draw before reading the pixels; a renderer may need a display or a mode"
    ),
    "picture-scale": Kind("observations", (ERROR, WARNING), "use one scale: 0 to 255 as uint8"),
    "picture-floats": Kind(
        "observations", (WARNING,), "return uint8 from 0 to 255: a quarter of the memory; networks scale by themselves"
    ),
    "channel-order": Kind(
        "observations", (WARNING, NOTE), "np.moveaxis(frame, -1, 0) gives (channels, height, width) where it is wanted"
    ),
    # actions
    "action-changed": Kind(
        "actions", (ERROR,), "copy before changing: action = np.clip(action, low, high), without out="
    ),
    "actions-ignored": Kind("actions", (ERROR, WARNING), "let step use its action"),
    "action-twins": Kind("actions", (NOTE,), "leave out actions that do the same, if they do so in every state"),
    "action-start": Kind("actions", (NOTE,), "use Discrete(n) from 0 on, and add the offset in step"),
    "action-scale": Kind(
        "actions", (WARNING, NOTE), "use Box(-1, 1) and scale in step, or gymnasium.wrappers.RescaleAction"
    ),
    # rewards
    "reward-type": Kind("rewards", (ERROR, WARNING), "return float(reward)"),
    "reward-not-finite": Kind(
        "rewards", (ERROR,), "look for a division by zero, a log or root of a negative number, or overflow"
    ),
    "reward-scale": Kind(
        "rewards", (WARNING,), "divide it, so that single rewards are near 1: gymnasium.wrappers.TransformReward"
    ),
    "reward-zero": Kind(
        "rewards", (NOTE,), "check that step returns it; if rewards are that rare, reward progress on the way"
    ),
    # ends
    "end-type": Kind("ends", (ERROR, WARNING), "return bool(terminated), bool(truncated)"),
    "end-sticks": Kind("ends", (ERROR,), "set back in reset whatever ended the episode"),
    "limit-terminates": Kind(
        "ends",
        (ERROR, WARNING, NOTE),
        "at a limit return truncated=True only; gymnasium.wrappers.TimeLimit does",
    ),
    "ends-both": Kind(
        "ends",
        (ERROR,),
        "set terminated for an end within the rules, truncated for a time limit, not one from the other",
    ),
    "never-ends": Kind(
        "ends", (WARNING, NOTE), "give max_episode_steps when registering, or wrap in gymnasium.wrappers.TimeLimit"
    ),
    "step-after-end": Kind(
        "ends", (NOTE,), "raise in step when the episode is over, so that a missing reset is noticed"
    ),
    # pictures for people
    "render-missing": Kind(
        "pictures", (NOTE,), 'declare "rgb_array" in metadata["render_modes"] and return uint8 [height, width, 3]'
    ),
    "render-raises": Kind("pictures", (WARNING,), "mend the line named, or install what it needs"),
    "render-form": Kind("pictures", (WARNING,), "return uint8 [height, width, 3] from render in the mode rgb_array"),
    "render-blank": Kind("pictures", (WARNING,), "draw before reading the pixels; copy the frame after drawing"),
    "render-moves": Kind(
        "pictures", (ERROR,), "let render only read the state; draw its chance from a generator of its own"
    ),
    # speed
    "reset-slow": Kind("speed", (WARNING,), "load files and compile once, in __init__, not in every reset"),
    "step-slow": Kind(
        "speed", (WARNING, NOTE), "profile step; leave out drawing that nobody sees; step many in processes"
    ),
    "memory-grows": Kind(
        "speed", (WARNING,), "find the list or dict that every step adds to; empty it in reset or do without"
    ),
}


@dataclass(frozen=True)
class Finding:
    """Something that was seen: the kind's name, error, warning or note, and the figures."""

    name: str
    severity: str
    seen: str

    def __post_init__(self) -> None:
        if self.severity not in KINDS[self.name].severities:
            raise ValueError(f"{self.name} is never {self.severity!r}")

    @property
    def kind(self) -> Kind:
        """The group and the mend."""
        return KINDS[self.name]

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        return {**asdict(self), "group": self.kind.group, "mend": self.kind.mend}
