"""Playing beside learning: who computes where, and that nothing gets lost when one of them fails."""

import threading
from collections.abc import Iterator

import pytest
import torch

from agents.beside import beside


@pytest.fixture(params=[1, 2, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_both_are_done_and_the_cores_are_shared(threads: int) -> None:
    used: dict[str, int] = {}

    def play() -> str:
        assert threading.current_thread() is threading.main_thread()
        used["play"] = torch.get_num_threads()
        return "played"

    def learn(number: int) -> int:
        used["learn"] = torch.get_num_threads()
        return number

    assert beside(play, [lambda: learn(3), lambda: learn(4)]) == ("played", [3, 4])
    assert torch.get_num_threads() == threads
    assert used["play"] + used["learn"] == (threads if threads > 1 else 2)
    assert beside(play, []) == ("played", [])
    assert used["play"] == threads


def test_they_run_at_the_same_time() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    both = threading.Barrier(2, timeout=20)
    beside(both.wait, [both.wait])
    torch.set_num_threads(before)


def test_the_other_comes_to_its_end_when_one_fails(threads: int) -> None:
    done: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        beside(fail, [lambda: done.append("learned")])
    assert done == ([] if threads == 1 else ["learned"])
    with pytest.raises(ZeroDivisionError):
        beside(lambda: done.append("played"), [fail])
    assert done[-1] == "played"
    assert torch.get_num_threads() == threads
