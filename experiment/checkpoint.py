"""Checkpoints: a folder with the tensors (safetensors) and the rest (JSON). Checked on load, never pickle.

    runs/x/checkpoints/000123456/
        state.safetensors
        state.json          format, version, meta, and the SHA-256 of the tensors' file and of meta

A run's checkpoints are named by their steps. A crash at any moment leaves the old or the new checkpoint.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from experiment import files
from experiment.errors import UserError, explain
from experiment.series import CHECKPOINTS, Series

TENSORS, HEAD = "state.safetensors", "state.json"
FORMAT, VERSION = "wingbeat checkpoint", 1


def save(folder: Path, tensors: Mapping[str, torch.Tensor], meta: dict[str, Any]) -> None:
    """Write a checkpoint; one of that name is replaced, and is there until the new one is.

    Args:
        folder: the checkpoint's own folder; the folders above are made.
        tensors: any strides, dtypes and devices; shared memory is saved as often as it is named.
        meta: what JSON can hold. Tuples come back as lists, keys as strings, NaN and infinity as they are.

    Raises:
        UserError: if the disk refuses, or if the folder holds anything but a checkpoint.
        TypeError: if meta holds something that JSON can't.
    """
    text = json.dumps(meta)  # fails before anything is written
    with explain(f"save the checkpoint {folder}"):
        if folder.exists() and (not folder.is_dir() or _foreign(folder)):
            raise UserError(f"{folder} is not a checkpoint, and saving would delete it; choose another folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing_folder(folder) as temporary:
            path = temporary / TENSORS
            try:
                safetensors.torch.save_file(_separate(tensors), path)
            except safetensors.SafetensorError as error:  # how it reports a full disk
                raise OSError(str(error)) from error
            files.sync(path)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            head = {"format": FORMAT, "version": VERSION, "tensors_sha256": digest, "meta_sha256": _sha256(text)}
            files.write(temporary / HEAD, json.dumps({**head, "meta": json.loads(text)}, indent=2) + "\n")


def exists(folder: Path) -> bool:
    """Whether there is a checkpoint, be it where a crash left it while it was being replaced."""
    return folder.exists() or files.aside(folder).exists()


def load(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a checkpoint and check every byte.

    Returns:
        (tensors on the CPU, meta).

    Raises:
        UserError: if it is missing, damaged, not a checkpoint or of a newer format.
    """
    data, meta = _read(folder)
    try:
        return safetensors.torch.load(data), meta
    except safetensors.SafetensorError as error:
        raise _damaged(folder, f"{TENSORS}: {error}") from error


def latest(run_folder: Path) -> Path:
    """Find a run's newest sound checkpoint; a damaged one is passed over with a warning on standard error.

    Raises:
        UserError: if there is none.
    """
    folders = _of(run_folder).all()
    if not folders:
        raise UserError(
            f"there is no sound checkpoint in {run_folder / CHECKPOINTS}, for none was saved yet; if nothing trains "
            f"there, delete {run_folder} and train anew"
        )
    for folder in reversed(folders):
        try:
            _read(folder)
        except UserError as error:
            print(f"warning: {error}; going back to the one before it", file=sys.stderr)
        else:
            return folder
    raise UserError(f"there is no sound checkpoint in {run_folder / CHECKPOINTS}; train this run anew")


def prune(run_folder: Path, keep: int) -> None:
    """Delete all but a run's newest checkpoints, and the leftovers of crashes. For the process that trains the run.

    Args:
        run_folder: as runs/x.
        keep: how many checkpoints stay, at least 1.

    Raises:
        ValueError: if keep is less than 1.
        UserError: if the disk refuses.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, not {keep}")
    with explain(f"delete old checkpoints in {run_folder}"):
        series = _of(run_folder)
        series.leave(series.all()[-keep:])


def rewind(run_folder: Path, steps: int) -> None:
    """Delete a run's checkpoints after `steps`, before training goes on from there.

    They are damaged, or training will take another course than the one that led to them. If they stayed, `latest` and
    `prune` would take them for the newest.

    Raises:
        UserError: if the disk refuses.
    """
    with explain(f"delete later checkpoints in {run_folder}"):
        series = _of(run_folder)
        series.leave([folder for folder in series.all() if int(folder.name) <= steps])


def fit(expected: Mapping[str, torch.Tensor], loaded: Mapping[str, torch.Tensor], what: str) -> None:
    """Check that loaded tensors have the keys, shapes and dtypes that are expected.

    Args:
        expected: a fresh network's state, for instance.
        loaded: from a checkpoint.
        what: the message's first words, which say whose tensors they are, as "the policy".

    Raises:
        UserError: naming the first three that differ, both ways.
    """

    def describe(tensors: Mapping[str, torch.Tensor], key: str) -> str:
        return f"{tensors[key].dtype} {list(tensors[key].shape)}".removeprefix("torch.") if key in tensors else "absent"

    differences = [
        f"{key} is {here} here, {there} in the checkpoint"
        for key in dict.fromkeys([*expected, *loaded])
        if (here := describe(expected, key)) != (there := describe(loaded, key))
    ]
    if differences:
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise UserError(
            f"{what} does not fit: the checkpoint belongs to another network or other settings "
            f"({'; '.join(differences[:3])}{more})"
        )


def nest(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put `prefix.` before every key."""
    return {f"{prefix}.{key}": value for key, value in tensors.items()}


def part(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take what `nest` put under a prefix."""
    start = f"{prefix}."
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}


def _separate(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Bring all to the CPU, contiguous, no two in the same memory, as safetensors demands."""
    result, seen = {}, set()
    for key, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        if plain.untyped_storage().data_ptr() in seen:
            plain = plain.clone()
        seen.add(plain.untyped_storage().data_ptr())
        result[key] = plain
    return result


def _foreign(folder: Path) -> set[str]:
    """Names in a folder that no checkpoint has. Hidden ones, as file managers leave, don't count in a checkpoint."""
    names = {path.name for path in folder.iterdir()}
    return {name for name in names if HEAD not in names or not name.startswith(".")} - {TENSORS, HEAD}


def _of(run_folder: Path) -> Series:
    return Series(run_folder / CHECKPOINTS)


def _read(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """Return (the tensors' file, meta), both checked; UserError as in `load`."""
    # A crash between the two renames of a replacement leaves the old one aside.
    found = folder if folder.exists() or not files.aside(folder).exists() else files.aside(folder)
    if not found.is_dir():
        raise UserError(f"there is no checkpoint {folder}; name a folder such as runs/<name>/checkpoints/<steps>")
    if not (found / HEAD).is_file():
        raise UserError(f"{folder} is not a checkpoint, or is damaged: it has no {HEAD}; use another one")
    with explain(f"read the checkpoint {folder}"):
        text = (found / HEAD).read_bytes()
        data = (found / TENSORS).read_bytes() if (found / TENSORS).is_file() else None
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, f"{HEAD} is not JSON") from error
    if not isinstance(head, dict) or head.get("format") != FORMAT or not isinstance(head.get("version"), int):
        raise _damaged(folder, f"{HEAD} does not describe a checkpoint")
    if head["version"] > VERSION:
        raise UserError(
            f"the checkpoint {folder} has format {head['version']} and this Wingbeat reads up to {VERSION}; "
            "update Wingbeat"
        )
    meta = head.get("meta")
    if not isinstance(meta, dict) or head["version"] != VERSION or head.get("meta_sha256") != _sha256(json.dumps(meta)):
        raise _damaged(folder, f"the SHA-256 of {HEAD} does not match")
    if data is None:
        raise _damaged(folder, f"it has no {TENSORS}")
    if head.get("tensors_sha256") != hashlib.sha256(data).hexdigest():
        raise _damaged(folder, f"the SHA-256 of {TENSORS} does not match")
    return data, meta


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(folder: Path, why: str) -> UserError:
    return UserError(f"the checkpoint {folder} is damaged ({why}); use another one")
