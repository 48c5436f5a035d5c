"""Who plays environments that are not ours: this process, or several that share memory with it.

Both carry out the same orders with the same `Guest`s, so where environments run changes nothing that they do.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs.guest import Guest
from envs.registry import FAULTS, words
from envs.worker import RESET, REST, Plan, work

MAKING_SECONDS = 60.0  # to start a process, import what it needs and make its environments: at least so long
CLOSING_SECONDS = 2.0  # for processes to close their environments


@dataclass(frozen=True)
class Failure:
    """What went wrong.

    Attributes:
        lost: the environments that are lost with it.
        env: which of them it was.
        what: in a few words.
        traceback: where, as far as is known.
    """

    lost: range
    env: int
    what: str
    traceback: str


@dataclass
class Results:
    """What came of a step: rewards float64 [n], terminated and truncated bool [n]."""

    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class Host(Protocol):
    """Plays n environments.

    `play` carries out an order for each of the chosen ones: RESET, REST or an action from 0 on. Seeds are for resets;
    None goes on with the environment's own generator. It writes what they show into `out` and the rest into `results`,
    and returns what failed. What failed has to be made again by `renew` before it plays on.
    """

    def play(
        self, orders: Sequence[int], seeds: Sequence[int | None], out: NDArray[Any], results: Results, only: range
    ) -> list[Failure]:
        """Carry out the orders of the environments `only`."""

    def renew(self, failure: Failure) -> Failure | None:
        """Make the environments that were lost anew; returns what failed again."""

    def close(self) -> None:
        """Close all environments."""


class Here:
    """Environments in this process, one after the other. Nothing can stop one that hangs."""

    def __init__(self, make: Callable[[], Guest], count: int, first: Guest) -> None:
        self._make, self.guests = make, [first, *(make() for _ in range(count - 1))]

    def play(
        self, orders: Sequence[int], seeds: Sequence[int | None], out: NDArray[Any], results: Results, only: range
    ) -> list[Failure]:
        """See `Host`."""
        failures = []
        rewards, terminated, truncated = results.rewards, results.terminated, results.truncated
        for i in only:
            try:
                if orders[i] == RESET:
                    self.guests[i].reset(seeds[i], out[i])
                elif orders[i] != REST:
                    rewards[i], terminated[i], truncated[i] = self.guests[i].step(orders[i], out[i])
            except FAULTS as error:
                failures.append(Failure(range(i, i + 1), i, words(error), traceback.format_exc()))
        return failures

    def renew(self, failure: Failure) -> Failure | None:
        """See `Host`."""
        self.guests[failure.env].close()
        try:
            self.guests[failure.env] = self._make()
        except FAULTS as error:
            return Failure(failure.lost, failure.env, words(error), traceback.format_exc())
        return None

    def close(self) -> None:
        """See `Host`."""
        for guest in self.guests:
            guest.close()


class _Worker:
    """One process, as it is seen from here."""

    def __init__(self, plan: Plan, memory: Any, context: Any) -> None:
        self.plan = plan
        self.connection: Connection
        self.traces: Connection
        self.connection, theirs = context.Pipe()
        self.traces, their_traces = context.Pipe(duplex=False)
        # The system kills a worker when the *thread* ends that started it, so only the main one may ask for that.
        parent = os.getpid() if threading.current_thread() is threading.main_thread() else None
        arguments = (plan, memory, theirs, their_traces, parent)
        self.process = context.Process(target=work, args=arguments, daemon=True, name=f"environments {plan.mine}")
        with _plain_start():
            self.process.start()
        theirs.close()
        their_traces.close()

    def order(self) -> bool:
        """Tell it to begin; whether it could be told."""
        try:
            self.connection.send_bytes(b"")
        except OSError:
            return False
        return True

    def answer(self) -> tuple[int, str, str] | None:
        """Read its answer: nothing if all is well, else (env, what, traceback); env is -1 if it did not say."""
        try:
            answer = self.connection.recv_bytes()
        except (EOFError, OSError):
            return -1, self.ended(), self.trace(0.0)
        if not answer:
            return None
        env, what, trace = json.loads(answer)
        return env, what, trace

    def ended(self) -> str:
        """How it ended, in words."""
        self.process.join(4.0)
        code = self.process.exitcode
        if code is None:
            return "its process closed its connection"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"its process was killed by {signal.Signals(-code).name}"
        return f"its process ended with exit code {code}"

    def ask_where(self) -> str:
        """Ask a process that hangs where it is; returns the traceback, if it can still tell."""
        if hasattr(signal, "SIGUSR1") and self.process.pid:
            os.kill(self.process.pid, signal.SIGUSR1)
            return self.trace(1.0)
        return ""

    def trace(self, seconds: float) -> str:
        """Read what a process has written of its traceback."""
        pieces = []
        with contextlib.suppress(EOFError, OSError):
            while self.traces.poll(seconds):
                piece = os.read(self.traces.fileno(), 65536)
                if not piece:
                    break
                pieces.append(piece)
                seconds = 0.5  # it is written piece by piece, by a process that may have to wait for its turn
        return b"".join(pieces).decode(errors="replace")

    def dismiss(self) -> None:
        """Let it close its environments and end."""
        self.connection.close()

    def end(self, until: float) -> None:
        """End it, at the latest at this moment of the monotonic clock."""
        try:
            self.process.join(max(0.0, until - time.monotonic()))
        finally:
            self.process.kill()
            self.process.join()
            self.traces.close()


class Workers:
    """Environments in processes of their own, each with about as many, which end with this one, however it ends.

    Observations come back through shared memory; a byte each way says whose turn it is.

    Args:
        plan: what to make.
        count: environments.
        workers: processes.
        shape: of an observation.
        dtype: of an observation.
        seconds: that a step of one environment, or its reset, may last.

    Raises:
        ValueError: if an environment can't be made.
    """

    def __init__(
        self, plan: Plan, count: int, workers: int, shape: tuple[int, ...], dtype: np.dtype[Any], seconds: float
    ) -> None:
        # Not forked: other threads of this process may hold locks right now, and a fork would keep them locked.
        self._context = get_context("spawn")
        self._seconds = seconds
        plan = replace(plan, total=count, workers=workers, shape=shape, dtype=dtype.str)
        self._memory = self._context.RawArray("B", plan.size)
        self._desks, self._pictures, self._turns = plan.share(self._memory)
        ends = [count * k // workers for k in range(workers + 1)]
        self._plans = [replace(plan, index=k, mine=range(ends[k], ends[k + 1])) for k in range(workers)]
        self._workers = [_Worker(each, self._memory, self._context) for each in self._plans]
        # At the latest when nobody knows these environments any more, or Python ends.
        self._end = weakref.finalize(self, _end, self._workers)
        failures = self._wait(self._workers, max(seconds, MAKING_SECONDS))
        if failures:
            self.close()
            what = f"an environment can't be made in a process of its own: {failures[0].what}"
            raise ValueError(f"{what}; --workers 0 makes it in this one")

    @property
    def processes(self) -> list[int]:
        """The numbers of the processes, as the system knows them."""
        return [worker.process.pid or 0 for worker in self._workers]

    def play(
        self, orders: Sequence[int], seeds: Sequence[int | None], out: NDArray[Any], results: Results, only: range
    ) -> list[Failure]:
        """See `Host`; `only` must hold all environments of a process or none."""
        chosen = slice(only.start, only.stop)
        self._desks["order"][chosen] = orders[chosen]
        if RESET in orders[chosen]:
            self._desks["seed"][chosen] = [-1 if seed is None else seed for seed in seeds[chosen]]
        busy = [worker for worker in self._workers if worker.plan.mine.start in only]
        failures = self._wait([worker for worker in busy if worker.order() or True], self._seconds)
        out[chosen] = self._pictures[chosen]
        results.rewards[chosen] = self._desks["reward"][chosen]
        results.terminated[chosen] = self._desks["terminated"][chosen]
        results.truncated[chosen] = self._desks["truncated"][chosen]
        return failures

    def _wait(self, workers: list[_Worker], seconds: float) -> list[Failure]:
        """Wait until all have answered, each environment within so many seconds."""
        failures, waiting = [], {worker.connection: worker for worker in workers}
        seen = {worker: (-1, time.monotonic()) for worker in workers}
        while waiting:
            for answered in connection.wait(list(waiting), min(seconds, 0.5)):
                worker = waiting.pop(answered)  # type: ignore[call-overload]
                problem = worker.answer()
                if problem:
                    failures.append(self._failure(worker, *problem))
            for worker in list(waiting.values()):
                at, since = seen[worker]
                now = int(self._turns[worker.plan.index])
                if now != at:
                    seen[worker] = now, time.monotonic()
                elif time.monotonic() - since > seconds and not worker.connection.poll():
                    del waiting[worker.connection]
                    where = worker.ask_where()
                    worker.process.kill()
                    failures.append(self._failure(worker, -1, f"it did not answer within {seconds:g} seconds", where))
        return failures

    def _failure(self, worker: _Worker, env: int, what: str, trace: str) -> Failure:
        plan = worker.plan
        if env < 0:
            env = int(self._turns[plan.index]) % plan.total
        return Failure(plan.mine, env, what, trace)

    def renew(self, failure: Failure) -> Failure | None:
        """See `Host`."""
        k = next(k for k, plan in enumerate(self._plans) if plan.mine == failure.lost)
        _end([self._workers[k]])
        self._workers[k] = _Worker(self._plans[k], self._memory, self._context)
        failures = self._wait([self._workers[k]], max(self._seconds, MAKING_SECONDS))
        return failures[0] if failures else None

    def close(self) -> None:
        """See `Host`."""
        self._end()


def _end(workers: list[_Worker]) -> None:
    until = time.monotonic() + CLOSING_SECONDS
    with contextlib.ExitStack() as stack:  # whoever does not want to wait, by Ctrl-C, leaves none behind
        for worker in workers:
            worker.dismiss()
            stack.callback(worker.end, until)


@contextlib.contextmanager
def _plain_start() -> Iterator[None]:
    """Processes that start within this context compute with one thread each, and do not import the main script.

    A script may import what takes long, and without a guard it would start processes of its own.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before, main = {name: os.environ.get(name) for name in names}, sys.modules["__main__"]
    os.environ.update(dict.fromkeys(names, "1"))
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
