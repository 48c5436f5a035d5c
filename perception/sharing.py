"""Work cut into parts that whoever has nothing to do takes over.

How it is cut does not depend on who happens to be free, so sums come out the same to the last bit.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

import torch

Done = TypeVar("Done")

SHARE = 16  # pictures that are worth a part of their own, if a network looks at them
_helpers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="helper")
_offers: deque["_Part"] = deque()
_changed = threading.Condition()
_crew = 1  # threads that may come to help


@dataclass(eq=False)
class _Part:
    work: Callable[[int, int], Any]
    first: int
    last: int
    done: "Future[Any]" = field(default_factory=Future)

    def withdraw(self) -> bool:
        """Offer it no longer; returns whether nobody had begun."""
        with _changed:
            if self not in _offers:
                return False
            _offers.remove(self)
            return True

    def take(self) -> None:
        """Do it, unless someone else has begun."""
        if not self.withdraw():
            return
        try:
            self.done.set_result(self.work(self.first, self.last))
        except BaseException as error:
            self.done.set_exception(error)


def share(pictures: int, work: Callable[[int, int], Done], least: int = SHARE) -> list[Done]:
    """Do something with pictures in as many parts as torch or `crew` has threads.

    Args:
        pictures: how many there are.
        work: called with the first of a part, and that after its last.
        least: pictures of a part.

    Returns:
        what the parts returned, in order.
    """
    threads = torch.get_num_threads()
    parts = max(1, min(max(threads, _crew), pictures // least))
    mine, *others = pairwise(i * pictures // parts for i in range(parts + 1))
    offered = [_Part(work, *part) for part in others]
    with _changed:
        _offers.extend(offered)
        _changed.notify_all()
    for part in offered[: threads - 1]:
        _helpers.submit(part.take)
    try:
        results = [work(*mine)]
        for part in offered:
            part.take()
            results.append(part.done.result())
    finally:
        for part in offered:
            part.withdraw()  # after a failure nobody waits for the others
    return results


@contextmanager
def crew(threads: int) -> Iterator[None]:
    """Within this context work is cut into so many parts, for whoever calls `help_until` to take over."""
    global _crew
    _crew, before = threads, _crew
    try:
        yield
    finally:
        _crew = before


def help_until(done: "Future[Any]") -> None:
    """Take over parts of what others do until this is done."""

    def tell(_: "Future[Any]") -> None:
        with _changed:
            _changed.notify_all()

    done.add_done_callback(tell)
    while True:
        with _changed:
            _changed.wait_for(lambda: _offers or done.done())
            if not _offers:
                return
            part = _offers[-1]
        part.take()
