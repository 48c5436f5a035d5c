"""The checks: each looks at what was seen for one kind of fault. None touches the environment."""

from collections.abc import Callable, Iterator

from envs.doctor.checks.actions import action_changed, action_scale, action_start, action_twins, actions_ignored
from envs.doctor.checks.ends import end_sticks, end_type, ends_both, limit_terminates, never_ends, step_after_end
from envs.doctor.checks.evidence import Evidence
from envs.doctor.checks.interface import info_type, reset_signature, space_missing
from envs.doctor.checks.observations import (
    aliased,
    channel_order,
    frozen,
    observation_dtype,
    observation_finite,
    observation_form,
    observation_numbers,
    observation_range,
    observation_scale,
    observation_unbounded,
    picture_blank,
    picture_floats,
    picture_scale,
)
from envs.doctor.checks.pictures import render_blank, render_form, render_missing, render_moves, render_raises
from envs.doctor.checks.rewards import reward_finite, reward_scale, reward_type, reward_zero
from envs.doctor.checks.running import gymnasium_checker, prints
from envs.doctor.checks.seeds import global_random, one_start, repeatable, reseeding, seed_default, sharing
from envs.doctor.checks.speed import memory_grows, reset_slow, step_slow
from envs.doctor.finding import Finding

Check = Callable[[Evidence], Iterator[Finding]]

BY_STAGE: dict[str, tuple[Check, ...]] = {
    "making": (space_missing, reset_signature, seed_default, render_missing),
    "playing": (
        info_type, observation_form, observation_dtype, observation_range, observation_finite, aliased, frozen,
        observation_scale, observation_unbounded, observation_numbers, picture_blank, picture_scale, picture_floats,
        channel_order, action_changed, action_start, action_scale, reward_type, reward_finite, reward_scale,
        reward_zero, end_type, end_sticks, limit_terminates, ends_both, prints,
    ),
    "repeating": (repeatable, global_random),
    "starting": (reseeding, one_start),
    "two side by side": (sharing,),
    "other actions": (actions_ignored, action_twins),
    "ending": (never_ends, step_after_end),
    "rendering": (render_raises, render_form, render_blank, render_moves),
    "timing": (reset_slow, step_slow, memory_grows),
    "Gymnasium's checker": (gymnasium_checker,),
}  # fmt: skip
