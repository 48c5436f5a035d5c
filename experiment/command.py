"""What all command lines share: flags from dataclasses, and errors of one line with exit code 2."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO, cast

from experiment.errors import UserError

TITLES = (  # of the frames that tyro draws round its complaints
    "Parsing error", "Unrecognized options", "Required options", "Invalid subcommand",
    "Missing argument", "Value error", "Invalid choice",
)  # fmt: skip


def parse(kind: Any, argv: Sequence[str], program: str, description: str = "") -> Any:
    """Read flags into a dataclass; nested ones give their flags without a prefix.

    Raises:
        UserError: for what is not understood.
        SystemExit: after --help.
    """
    import tyro

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                args=list(argv),
                prog=f"python {program}",
                description=description or None,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{_plain(complaint.getvalue())}; see python {program} --help") from None


def pairs(items: Sequence[str]) -> dict[str, str]:
    """Read what --env-arg takes, name=value; of one name the last counts.

    Raises:
        UserError: for what is not of that form.
    """
    for item in items:
        if not item.partition("=")[0] or "=" not in item:
            raise UserError(f"--env-arg takes name=value, not {item!r}")
    return {name: value for name, _, value in (item.partition("=") for item in items)}


def main_line(main: Callable[[list[str]], int]) -> None:
    """Run a command line: a UserError becomes one line on standard error and exit code 2.

    The same goes for a file that the system refuses, and for an environment of somebody else's that fails, with the
    traceback of its code before the line.
    """
    # Before torch is imported: its threads wait for each other by spinning, by default for so long that a
    # single other busy process can make training fifty times slower. Far fewer spins cost an idle machine
    # a third of its speed.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    sys.stderr = cast("TextIO", _Unread(sys.stderr or open(os.devnull, "w")))  # noqa: SIM115 until the process ends
    try:
        code = main(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except BrokenPipeError:
        code = 1
    except OSError as error:
        if error.errno is None:  # not the system's
            raise
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        print(f"error: {where}{error.strerror}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130
    except Exception as error:
        from envs.guest import EnvFailure  # only now: importing it takes a while

        if isinstance(error, EnvFailure):
            print(f"{error.traceback}error: {error}", file=sys.stderr)
        elif _is_memory(error):
            print(" ".join(f"error: there is not enough memory for this; {error}".split()), file=sys.stderr)
        else:
            raise
        code = 2
    sys.exit(code)


class _Unread:
    """Standard error, whose reader may be gone, as that of a pipe or a log: that must end no training."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _is_memory(error: Exception) -> bool:
    """Whether memory ran out: Python's, NumPy's, or torch's, which has no class of its own for a CPU's."""
    texts = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(t in str(error) for t in texts))


def _plain(text: str) -> str:
    """Take the frame, its title, colors and line breaks off a complaint and keep its first sentence or two."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = [re.sub(r"^[-─╭╮╰╯]+$", "", line.strip("│╭╮╰╯─ ")) for line in text.splitlines()]
    kept: list[str] = []
    for line in lines:
        if line.startswith(("For full helptext", "usage:")) or (kept and not line):
            break
        if line and line not in TITLES:
            kept.append(line)
    return " ".join(kept).rstrip(".") or "these flags make no sense"
