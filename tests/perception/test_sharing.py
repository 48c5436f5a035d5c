"""Work in parts: how it is cut, who does it, and what becomes of failures."""

import threading
from concurrent.futures import Future

import pytest

from perception.sharing import crew, help_until, share

three = pytest.mark.parametrize("threads", [3], indirect=True)


@three
@pytest.mark.usefixtures("threads")
def test_every_thread_gets_its_part() -> None:
    assert share(50, lambda first, last: (first, last)) == [(0, 16), (16, 33), (33, 50)]
    assert share(50, lambda first, last: (first, last), least=25) == [(0, 25), (25, 50)]
    assert share(31, lambda first, last: (first, last)) == [(0, 31)]
    assert share(0, lambda first, last: (first, last)) == [(0, 0)]


@three
@pytest.mark.usefixtures("threads")
def test_every_part_is_done_once() -> None:
    for _ in range(200):
        done: list[int] = []
        share(300, lambda first, last, done=done: done.append(first))
        assert sorted(done) == [0, 100, 200]


@three
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("failing", [0, 16, 33])
def test_a_failure_comes_back(failing: int) -> None:
    def work(first: int, last: int) -> None:
        if first == failing:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        share(50, work)
    assert share(50, lambda first, last: first) == [0, 16, 33]  # and nothing is left of it


def test_who_has_nothing_to_do_takes_a_part() -> None:
    """Of work that has one thread of its own; it is cut likewise where nobody comes."""
    both, done = threading.Barrier(2, timeout=20), Future[None]()
    who: list[threading.Thread] = []

    def meet(first: int, last: int) -> tuple[int, int]:
        both.wait()  # nobody gets by alone
        who.append(threading.current_thread())
        return first, last

    with crew(2):
        helper = threading.Thread(target=help_until, args=[done])
        helper.start()
        assert share(40, meet) == [(0, 20), (20, 40)]
        done.set_result(None)
        helper.join(20)
        assert not helper.is_alive()
        assert set(who) == {threading.current_thread(), helper}
        assert share(40, lambda first, last: (first, last)) == [(0, 20), (20, 40)]
    assert share(40, lambda first, last: (first, last)) == [(0, 40)]
