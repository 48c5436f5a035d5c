"""Checkpoints come back exactly, every damage is noticed, and a crash at any moment leaves a sound one."""

import hashlib
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from experiment import checkpoint
from experiment.errors import UserError

META = {"steps": 7, "best": 1.5, "notes": ["a", None, True], "nested": {"lr": 3e-4}}


def tensors(fill: float = 1.0) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((3, 4), fill), "count": torch.tensor(5)}


def fails(action: Callable[[], Any], *words: str) -> None:
    """The action must raise a UserError of one line that holds the words."""
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_everything_comes_back(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    saved = {
        "half": torch.tensor([1.5, float("nan"), -float("inf")], dtype=torch.bfloat16),
        "bytes": torch.arange(256).to(torch.uint8),
        "flags": torch.tensor([True, False]),
        "number": torch.tensor(2**40),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "transposed": base.T,
        "expanded": torch.tensor([3.0]).expand(5),
        "strided": base[:, ::2],
        "shared": base,
        "shared again": base,
        "overlapping": base[1:],
    }
    meta = {**META, "worst": -float("inf"), "tuple": (1, 2), 3: "three"}
    checkpoint.save(tmp_path / "a" / "b", saved, meta)
    loaded, back = checkpoint.load(tmp_path / "a" / "b")
    assert loaded.keys() == saved.keys()
    for key, tensor in saved.items():
        assert loaded[key].dtype == tensor.dtype
        torch.testing.assert_close(loaded[key], tensor.detach(), rtol=0, atol=0, equal_nan=True)
    assert back == {**META, "worst": -float("inf"), "tuple": [1, 2], "3": "three"}
    loaded["shared"][0, 0] = 99  # what was shared is not any more
    assert loaded["shared again"][0, 0] == 0


def test_files_are_what_they_claim(tmp_path: Path) -> None:
    """Read back by hand, by the definition of safetensors: an 8-byte length, a JSON header, raw numbers."""
    checkpoint.save(tmp_path / "a", {"x": torch.tensor([1.0, 2.0])}, META)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"state.safetensors", "state.json"}
    data = (tmp_path / "a" / "state.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    start, end = header["x"]["data_offsets"]
    assert struct.unpack("<2f", data[8 + length :][start:end]) == (1.0, 2.0)
    head = json.loads((tmp_path / "a" / "state.json").read_text())
    assert head["tensors_sha256"] == hashlib.sha256(data).hexdigest()
    assert head["meta"] == META
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
def test_a_truncated_file_is_noticed(tmp_path: Path, name: str) -> None:
    checkpoint.save(tmp_path / "a", tensors(), META)
    whole = (tmp_path / "a" / name).read_bytes()
    for length in [0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 2]:
        (tmp_path / "a" / name).write_bytes(whole[:length])
        fails(lambda: checkpoint.load(tmp_path / "a"), str(tmp_path / "a"), "damaged", "use another one")
    (tmp_path / "a" / name).unlink()
    fails(lambda: checkpoint.load(tmp_path / "a"), str(tmp_path / "a"), name, "use another one")


def test_a_flipped_byte_of_the_tensors_is_noticed(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a", tensors(), META)
    path = tmp_path / "a" / "state.safetensors"
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        fails(lambda: checkpoint.load(tmp_path / "a"), "SHA-256")


def test_a_flipped_byte_of_the_json_changes_nothing_unnoticed(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a", tensors(), META)
    path = tmp_path / "a" / "state.json"
    whole = path.read_bytes()
    noticed = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            loaded, meta = checkpoint.load(tmp_path / "a")
        except UserError:
            noticed += 1
        else:  # white space between two entries
            assert meta == META
            assert torch.equal(loaded["weight"], tensors()["weight"])
    assert noticed > 0.5 * len(whole)


def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path: Path) -> None:
    fails(lambda: checkpoint.load(tmp_path / "none"), str(tmp_path / "none"), "there is no checkpoint")
    (tmp_path / "folder").mkdir()
    fails(lambda: checkpoint.load(tmp_path / "folder"), "is not a checkpoint")
    (tmp_path / "file").write_text("x")
    fails(lambda: checkpoint.load(tmp_path / "file"), "there is no checkpoint")
    for text in ("[]", "3", "{}", '{"format": "other", "version": 1}', "[" * 100_000):
        (tmp_path / "folder" / "state.json").write_text(text)
        fails(lambda: checkpoint.load(tmp_path / "folder"), "damaged")


def test_a_newer_format_asks_for_an_update(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a", tensors(), META)
    path = tmp_path / "a" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    fails(lambda: checkpoint.load(tmp_path / "a"), "format 2", "update Wingbeat")


def test_saving_never_deletes_what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("x")
    fails(lambda: checkpoint.save(tmp_path / "thesis", tensors(), META), "not a checkpoint")
    (tmp_path / "file").write_text("x")
    fails(lambda: checkpoint.save(tmp_path / "file", tensors(), META), "not a checkpoint")
    assert (tmp_path / "thesis" / "thesis.tex").read_text() == (tmp_path / "file").read_text() == "x"


def test_meta_that_json_cannot_hold_fails_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        checkpoint.save(tmp_path / "a", tensors(), {"x": object()})
    assert not list(tmp_path.iterdir())


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write more than so many bytes into a file, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "a", tensors(1), META)
    with largest_file(1000):
        fails(lambda: checkpoint.save(tmp_path / "a", {"x": torch.zeros(10_000)}, META), "cannot save")
    assert checkpoint.load(tmp_path / "a")[0]["weight"][0, 0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


class Crash(BaseException):
    pass


class CrashAfter:
    """From the n-th change of the disk on, nothing happens any more: not even what would clean up."""

    def __init__(self, changes: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = changes
        for owner, name in [
            (os, "rename"), (os, "replace"), (os, "fsync"), (os, "rmdir"), (os, "unlink"), (os, "mkdir"),
            (shutil, "rmtree"), (checkpoint.safetensors.torch, "save_file"), (checkpoint.files, "write"),
        ]:  # fmt: skip
            monkeypatch.setattr(owner, name, self.wrap(getattr(owner, name)))

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise Crash
            return function(*args, **kwargs)

        return wrapped


def test_a_crash_at_any_step_of_a_replacement_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    run, found = tmp_path / "run", []
    folder = run / "checkpoints" / "000000009"
    for changes in range(100):
        shutil.rmtree(run, ignore_errors=True)
        checkpoint.save(folder, tensors(1), META)
        with pytest.MonkeyPatch.context() as patch:
            CrashAfter(changes, patch)
            try:
                checkpoint.save(folder, tensors(2), META)
                crashed = False
            except Crash:
                crashed = True
        assert checkpoint.latest(run) == folder
        found.append(int(checkpoint.load(folder)[0]["weight"][0, 0]))
        checkpoint.save(folder, tensors(3), META)  # and the next save works, and tidies up
        checkpoint.prune(run, 1)
        assert checkpoint.load(folder)[0]["weight"][0, 0] == 3
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]
        if not crashed:
            break
    assert not crashed
    assert found == sorted(found)
    assert set(found) == {1, 2}
    assert len(found) > 10  # so many moments were tried


def test_a_crash_at_any_step_of_pruning_leaves_the_newest(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for changes in range(100):
        shutil.rmtree(run, ignore_errors=True)
        for steps in (1, 2, 3):
            checkpoint.save(run / "checkpoints" / f"{steps:09d}", tensors(steps), META)
        with pytest.MonkeyPatch.context() as patch:
            CrashAfter(changes, patch)
            try:
                checkpoint.prune(run, 1)
                crashed = False
            except Crash:
                crashed = True
        assert checkpoint.latest(run).name == "000000003"
        for folder in (run / "checkpoints").glob("0*"):  # whatever still has its name is whole
            checkpoint.load(folder)
        if not crashed:
            break
    assert not crashed
    assert changes > 3


KILLED = """
import os, pathlib, random, signal, sys, time, torch
from experiment import checkpoint
run, randomness, cost = pathlib.Path(sys.argv[1]), random.Random(0), 0.0

def save(steps, value):
    folder = run / "checkpoints" / f"{steps:09d}"
    checkpoint.save(folder, {"x": torch.full((10_000,), float(value))}, {"value": value})

for round in range(12):
    for _ in range(2):  # the first is slower than those to come
        begin = time.perf_counter()
        save(round * 10**6, -1)
        cost = time.perf_counter() - begin
    child = os.fork()
    if child == 0:
        parent = os.getppid()
        for i in range(10**6):  # the same name again and again, and a new one every third time
            save(round * 10**6 + i // 3, i)
            checkpoint.prune(run, 1)
            if os.getppid() != parent:
                os._exit(1)
    time.sleep(min(randomness.uniform(0, 10 * cost), 2.0))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    found = checkpoint.latest(run)
    assert int(found.name) // 10**6 == round
    tensors, meta = checkpoint.load(found)
    assert bool((tensors["x"] == meta["value"]).all()), meta
    print(sum(not path.name.isdecimal() for path in found.parent.iterdir()), meta["value"])
"""


def test_killed_in_the_middle_of_saves(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run")]
    root = Path(__file__).parents[2]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    rounds = [tuple(map(int, line.split())) for line in result.stdout.splitlines()]
    assert len(rounds) == 12
    assert any(leftovers for leftovers, _ in rounds), "no kill fell into a save: the test tried nothing"
    assert any(value >= 0 for _, value in rounds), "no child ever saved: the test tried nothing"


def test_latest_goes_back_past_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for steps in (999_999_999, 1_000_000_000, 5):  # by number, not by letter
        checkpoint.save(tmp_path / "checkpoints" / f"{steps:09d}", tensors(), META)
    (tmp_path / "checkpoints" / "best").mkdir()
    (tmp_path / "checkpoints" / ".tmp-1-9999999999").mkdir()
    newest = tmp_path / "checkpoints" / "1000000000"
    assert checkpoint.latest(tmp_path) == newest
    assert capsys.readouterr().err == ""
    data = bytearray((newest / "state.safetensors").read_bytes())
    data[-1] ^= 4
    (newest / "state.safetensors").write_bytes(data)
    assert checkpoint.latest(tmp_path).name == "999999999"
    warning = capsys.readouterr().err
    assert warning.startswith("warning: ")
    assert str(newest) in warning
    assert warning.count("\n") == 1


def test_latest_without_any(tmp_path: Path) -> None:
    fails(lambda: checkpoint.latest(tmp_path / "none"), str(tmp_path / "none"), "train")
    (tmp_path / "checkpoints" / "000000001").mkdir(parents=True)
    fails(lambda: checkpoint.latest(tmp_path), "no sound checkpoint")


def test_prune_keeps_the_newest(tmp_path: Path) -> None:
    for steps in random.Random(0).sample(range(1, 9), 8):
        checkpoint.save(tmp_path / "checkpoints" / f"{steps:09d}", tensors(), META)
    (tmp_path / "checkpoints" / ".tmp-1-000000009").mkdir()  # what crashes leave
    for name in ("000000002", "000000007"):
        shutil.copytree(tmp_path / "checkpoints" / name, tmp_path / "checkpoints" / f".old-{name}")
    checkpoint.prune(tmp_path, 3)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["000000006", "000000007", "000000008"]
    with pytest.raises(ValueError, match="at least 1"):
        checkpoint.prune(tmp_path, 0)


def test_rewind_deletes_what_came_after(tmp_path: Path) -> None:
    """Or pruning would keep a later, damaged checkpoint and delete the ones that a resumed training saves."""
    for steps in (10, 20, 30):
        checkpoint.save(tmp_path / "checkpoints" / f"{steps:09d}", tensors(), META)
    (tmp_path / "checkpoints" / "000000030").rename(tmp_path / "checkpoints" / ".old-000000030")
    checkpoint.rewind(tmp_path, 10)
    checkpoint.save(tmp_path / "checkpoints" / "000000015", tensors(), META)
    checkpoint.prune(tmp_path, 1)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["000000015"]
    checkpoint.rewind(tmp_path / "none", 10)


def test_fit_names_what_differs() -> None:
    net = {"a": torch.zeros(2, 3), "b": torch.zeros(4), "c": torch.zeros(1), "d": torch.zeros(1)}
    checkpoint.fit(net, {key: tensor.clone() for key, tensor in net.items()}, "the policy")
    other = {"a": torch.zeros(2, 5), "b": torch.zeros(4, dtype=torch.float64), "d": torch.zeros(1), "e": torch.zeros(1)}
    fails(
        lambda: checkpoint.fit(net, other, "the policy"),
        "the policy does not fit",
        "another network or other settings",
        "a is float32 [2, 3] here, float32 [2, 5] in the checkpoint",
        "b is float32 [4] here, float64 [4] in the checkpoint",
        "c is float32 [1] here, absent in the checkpoint",
        "and 1 more",
    )
    fails(lambda: checkpoint.fit({}, {"e": torch.zeros(1)}, "x"), "e is absent here, float32 [1] in the checkpoint")


def test_tensors_come_out_of_a_dictionary_as_they_were_put_in() -> None:
    """Of two prefixes one may begin with the other, and a name may hold a prefix once more."""
    one, other = {"a.weight": torch.ones(2), "way.b": torch.zeros(1)}, {"c": torch.ones(3)}
    both = {**checkpoint.nest("way", one), **checkpoint.nest("ways", other)}
    assert list(both) == ["way.a.weight", "way.way.b", "ways.c"]
    assert checkpoint.part("way", both) == one
    assert checkpoint.part("ways", both) == other
    assert checkpoint.part("w", both) == {}


def test_what_file_managers_leave_in_a_checkpoint_ends_no_training(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "best", {"x": torch.zeros(1)}, {})
    (tmp_path / "best" / ".DS_Store").write_text("icons")
    checkpoint.save(tmp_path / "best", {"x": torch.ones(1)}, {})
    assert checkpoint.load(tmp_path / "best")[0]["x"].item() == 1


def test_a_folder_of_hidden_files_is_nobody_s_to_replace(tmp_path: Path) -> None:
    (tmp_path / "mine" / ".git").mkdir(parents=True)
    fails(lambda: checkpoint.save(tmp_path / "mine", {"x": torch.zeros(1)}, {}), "not a checkpoint")
    assert (tmp_path / "mine" / ".git").is_dir()


def test_one_that_a_crash_left_aside_is_there(tmp_path: Path) -> None:
    assert not checkpoint.exists(tmp_path / "best")
    checkpoint.save(tmp_path / "best", {"x": torch.zeros(1)}, {})
    assert checkpoint.exists(tmp_path / "best")
    (tmp_path / "best").rename(tmp_path / ".old-best")
    assert checkpoint.exists(tmp_path / "best")
