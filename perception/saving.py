"""Encoders on the disk: a checkpoint of the weights, normalisation included, with the spec they were made for."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiment import checkpoint
from experiment.errors import UserError
from experiment.settings import read
from perception.encoder import Encoder, EncoderSpec, make_encoder

FOLDER = "encoder"  # in a run's folder
KIND = "encoder"


def save_encoder(folder: Path, encoder: Encoder, about: dict[str, Any] | None = None) -> None:
    """Write an encoder; one that is there is replaced at once.

    Args:
        folder: the encoder's own folder, as runs/enc/encoder.
        encoder: with a spec that says what it was trained for.
        about: further notes, which JSON can hold.

    Raises:
        UserError: if the disk refuses, or the folder holds something else.
    """
    meta = {"kind": KIND, "spec": asdict(encoder.spec), "about": about or {}}
    checkpoint.save(folder, encoder.state_dict(), meta)


def load_encoder(path: Path) -> Encoder:
    """Read an encoder; its normalisation is settled.

    Args:
        path: a run's folder or the encoder's own.

    Raises:
        UserError: if it is missing, damaged, something else, or does not fit its own spec.
    """
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    if not (folder / checkpoint.HEAD).is_file():
        raise UserError(
            f"{path} holds no encoder; name a folder such as runs/<name>, made by python train.py encoder-..."
        )
    tensors, meta = checkpoint.load(folder)
    if meta.get("kind") != KIND or not isinstance(meta.get("spec"), dict):
        raise UserError(
            f"the checkpoint {folder} is not an encoder's; name a folder made by python train.py encoder-..."
        )
    try:
        encoder = make_encoder(read(EncoderSpec, meta["spec"]))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"the encoder in {folder} is not one that this version can build: {error}") from error
    checkpoint.fit(encoder.state_dict(), tensors, f"the encoder in {folder}")
    encoder.load_state_dict(tensors)
    encoder.settled = True
    return encoder
