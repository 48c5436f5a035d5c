"""Playing and learning at the same time, each on half of the cores."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from perception.sharing import crew, help_until

Played = TypeVar("Played")
Noted = TypeVar("Noted")

# A thread takes over the number of threads when it first asks for it, which might be after it had set one.
_learner = ThreadPoolExecutor(1, "learner", initializer=torch.get_num_threads)


def beside(play: Callable[[], Played], steps: Sequence[Callable[[], Noted]]) -> tuple[Played, list[Noted]]:
    """Play while gradient steps are taken.

    The networks are small, and much of what torch does for them is too short to be shared by two cores. Two threads
    that do something different get more done; figures are in docs/limits.md. Who is done first helps the other. With a
    single thread one comes after the other. Games are played in the calling thread: some environments can't be stepped
    from another one.

    Args:
        play: must neither change nor draw from what the steps use, and the other way round.
        steps: taken in this order.

    Returns:
        (what `play` returned, what each step returned).

    Raises:
        Exception: what a step raised, or else what `play` did; then all steps have been taken nevertheless.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not steps:
        noted = [step() for step in steps]  # first, so that these have been taken in any case if playing fails
        return play(), noted

    playing: Future[Played] = Future()

    def learn() -> list[Noted]:
        torch.set_num_threads(threads - threads // 2)
        try:
            return [step() for step in steps]
        finally:
            help_until(playing)

    with crew(threads):
        learning = _learner.submit(learn)
        try:
            torch.set_num_threads(threads // 2)
            playing.set_result(play())
        except BaseException as error:
            playing.set_exception(error)
        try:
            help_until(learning)
        finally:
            torch.set_num_threads(threads)
    noted = learning.result()
    return playing.result(), noted
