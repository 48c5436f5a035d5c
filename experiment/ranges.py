"""Bounds of the numbers that the command line takes: which may be zero, and which are at most one."""

from typing import Any

from experiment.errors import UserError

MAY_BE_ZERO = {
    "seed", "threads", "keep", "evaluate_seconds", "max_seconds", "learning_starts", "exploration",
    "exploration_steps", "epsilon", "gamma", "final_gamma", "gae_lambda", "final_gae_lambda", "q_lambda",
    "entropy_coef", "value_coef", "averaging", "muon_rate", "prioritized", "importance", "ent_coef", "vf_coef",
    "exploration_final_eps", "sticky", "no_ops", "bins", "workers", "noise", "beta1", "slope", "latent_coef",
    "detection_coef", "numbers_coef", "beta", "moving", "shift", "shift_share", "momentum",
}  # fmt: skip
AT_MOST_ONE = {
    "gamma", "final_gamma", "gae_lambda", "final_gae_lambda", "q_lambda", "averaging", "epsilon", "importance",
    "tau", "beta1", "exploration_fraction", "exploration_final_eps", "noise", "shift_share", "momentum",
}  # fmt: skip
MAY_BE_ENDLESS = {"max_grad_norm", "max_seconds", "checkpoint_seconds", "evaluate_seconds", "env_seconds"}


def check(*groups: Any) -> None:
    """Refuse settings that are out of bounds, before anything is made.

    Raises:
        UserError: naming the flag.
    """
    for group in groups:
        for name, value in vars(group).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            flag = f"--{name.replace('_', '-')}"
            if name == "seed" and value >= 2**32:
                raise UserError(f"--seed must be less than 2^32, not {value}; larger ones are for evaluation")
            if value < 0 or (value == 0 and name not in MAY_BE_ZERO) or value != value:
                raise UserError(f"{flag} must be {'at least' if name in MAY_BE_ZERO else 'more than'} 0, not {value}")
            if value == float("inf") and name not in MAY_BE_ENDLESS:
                raise UserError(f"{flag} must be less than infinity")
            if isinstance(value, int) and value >= 2**63:
                raise UserError(f"{flag} must be less than 2^63, not {value}")
            if name in AT_MOST_ONE and value > 1:
                raise UserError(f"{flag} must be at most 1, not {value}")
