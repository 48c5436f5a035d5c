"""How an agent sees: an encoder of its own, or one that was trained beforehand."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from commands.game import GameConfig
from experiment.errors import UserError
from perception import ENCODERS, STATES, Encoder, load_encoder


@dataclass
class EyesConfig:
    """How the agent sees."""

    encoder: str = "auto"
    """what turns observations into features: small, nature, impala, lstm or sigmoid for pixels, mlp for states;
    auto: small or mlp. Or the folder of a trained one, see docs/encoders.md"""
    encoder_mode: Literal["auto", "scratch", "finetune", "frozen"] = "auto"
    """of a trained encoder: frozen, or finetune (auto) to train it further; of others: scratch (auto)"""
    encoder_lr: float | None = None
    """step size at the start of an encoder that is trained further: Muon's, or of agents without Muon their own; half
    of the usual one if not given"""
    frames: int | None = None
    """the last frames seen, stacked in one observation; 2, or as a trained encoder has it"""
    feature_dim: int | None = None
    """length of the feature vector; 256, or as a trained encoder has it"""
    trained: Annotated[str, tyro.conf.Suppress] = ""
    """the folder that a trained encoder came from"""


def take_encoder(eyes: EyesConfig, game: GameConfig) -> tuple[EyesConfig, Encoder | None]:
    """Load the trained encoder that the settings name, if they do, and settle what it settles.

    Args:
        eyes: the settings.
        game: what the agent will play.

    Returns:
        settings that name the encoder's network, its frames, its features and how it goes on, so that the run needs
        its folder no more, but for the window; and the encoder, None if there is nothing to load.

    Raises:
        UserError: if it is damaged, or does not fit the game or the flags.
    """
    path = Path(eyes.encoder)
    if eyes.encoder in (*ENCODERS, "auto"):
        if eyes.encoder_mode not in ("auto", "scratch"):
            raise UserError(
                f"--encoder-mode {eyes.encoder_mode} needs a trained encoder: --encoder FOLDER, such as runs/<name>"
            )
        if eyes.encoder_lr is not None:
            raise UserError("--encoder-lr needs a trained encoder: --encoder FOLDER, such as runs/<name>")
        return eyes, None
    if not path.exists():
        raise UserError(
            f"there is no encoder {eyes.encoder!r}; choose from {', '.join(ENCODERS)}, or name a trained one's folder"
        )
    if eyes.encoder_mode == "scratch":
        raise UserError(f"--encoder-mode scratch takes a network's name, such as small, not the folder {path}")
    if eyes.encoder_mode == "frozen" and eyes.encoder_lr is not None:
        raise UserError("--encoder-lr is for an encoder that is trained further, not for a frozen one; leave it away")
    encoder = load_encoder(path)
    spec = encoder.spec
    for flag, given, has in (("frames", eyes.frames, spec.frames), ("feature-dim", eyes.feature_dim, spec.feature_dim)):
        if given is not None and given != has:
            raise UserError(
                f"--{flag} {given} does not fit the encoder in {path}, which has {has}; leave the flag away"
            )
    shape = game.spaces.observations.shape
    if shape[1:] != (spec.height, spec.width) or spec.network in STATES:
        raise UserError(
            f"the encoder in {path} takes pictures of {spec.height} x {spec.width}; "
            f"{game.env} shows {' x '.join(map(str, shape[1:]))}"
        )
    settled = replace(
        eyes,
        encoder=spec.network,
        encoder_mode="frozen" if eyes.encoder_mode == "frozen" else "finetune",
        frames=spec.frames,
        feature_dim=spec.feature_dim,
        trained=str(path),
    )
    return settled, encoder
