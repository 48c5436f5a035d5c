"""What a process does that plays environments for another one."""

import contextlib
import ctypes
import faulthandler
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.guest import Guest
from envs.registry import words
from envs.screen import Screen

RESET, REST = -1, -2  # orders besides the actions
DESK = np.dtype(
    [("order", "i8"), ("seed", "i8"), ("reward", "f8"), ("terminated", "?"), ("truncated", "?")], align=True
)  # what passes between the processes for each environment, besides its observation
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl


@dataclass(frozen=True)
class Plan:
    """What a process has to do.

    Attributes:
        env_id: see `Guest`.
        settings: see `Guest`.
        screen: see `Guest`.
        total: environments of all processes.
        workers: processes.
        shape: of an observation.
        dtype: of an observation.
        index: which process this is.
        mine: which environments are its own.
    """

    env_id: str
    settings: Mapping[str, Any]
    screen: Screen
    total: int = 0
    workers: int = 0
    shape: tuple[int, ...] = ()
    dtype: str = ""
    index: int = 0
    mine: range = range(0)

    @property
    def size(self) -> int:
        """Bytes of shared memory."""
        each = DESK.itemsize + int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize
        return self.total * each + self.workers * 8

    def share(self, memory: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
        """Lay out the shared memory: desks [total], observations [total, *shape], and turns int64 [workers].

        A turn is what environment its process is at, plus `total` for each order since the start.
        """
        raw = np.frombuffer(memory, np.uint8)
        turns, rest = raw[: 8 * self.workers].view(np.int64), raw[8 * self.workers :]
        split = self.total * DESK.itemsize
        return rest[:split].view(DESK), rest[split:].view(self.dtype).reshape(self.total, *self.shape), turns


def work(plan: Plan, memory: Any, orders: Connection, traces: Connection, parent: int | None) -> None:
    """Make environments, then carry out orders until one fails or nobody gives any.

    Args:
        plan: what to do.
        memory: see `Plan.share`.
        orders: an empty message for each order; answered by an empty one, or by (env, what, traceback) as JSON.
        traces: where the interpreter writes its traceback when it crashes, or is asked by SIGUSR1.
        parent: the process to die with; None if the system can't be asked for that.
    """
    _end_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all of a group: it is for the first process to stop
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable(traces.fileno(), all_threads=False)
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1, traces.fileno(), all_threads=False)
    with contextlib.suppress(OSError):
        os.dup2(2, 1)  # what an environment prints must not mix with the command's own answer
    os.environ["SDL_VIDEODRIVER"] = "dummy"  # nobody looks here
    desks, pictures, turns = plan.share(memory)
    at, guests = plan.mine.start, list[Guest]()
    try:
        for at in plan.mine:
            turns[plan.index] = at
            guests.append(Guest(plan.env_id, plan.settings, plan.screen))
        turn = 0
        while _answer_and_wait(orders):
            turn += plan.total
            for at, guest in zip(plan.mine, guests, strict=True):
                turns[plan.index] = turn + at
                desk = desks[at]
                action, seed = int(desk["order"]), int(desk["seed"])
                if action == RESET:
                    guest.reset(None if seed < 0 else seed, pictures[at])
                if action in (RESET, REST):
                    desk["reward"], desk["terminated"], desk["truncated"] = 0.0, False, False
                else:
                    desk["reward"], desk["terminated"], desk["truncated"] = guest.step(action, pictures[at])
    except BaseException as error:
        with contextlib.suppress(OSError):
            orders.send_bytes(json.dumps([at, words(error), traceback.format_exc()]).encode())
    for guest in guests:
        guest.close()


def _answer_and_wait(orders: Connection) -> bool:
    """Say that all is done and wait for the next order; False if nobody is there any more."""
    try:
        orders.send_bytes(b"")
        orders.recv_bytes()
    except (EOFError, OSError):
        return False
    return True


def _end_with(parent: int | None) -> None:
    """End as soon as the process ends that started this one, whatever an environment is doing then."""
    if sys.platform == "linux" and parent is not None:
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the system was asked
            os._exit(1)
    starter = multiprocessing.parent_process()
    assert starter is not None

    def wait() -> None:
        starter.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
