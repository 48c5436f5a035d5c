"""What every test needs before anything else is imported."""

import os
from collections.abc import Iterator

import pytest

os.environ["SDL_VIDEODRIVER"] = "dummy"  # pygame draws without a display
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as for the commands; read when torch is imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is: its threads would wait for a core that is busy

import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    """Learning may begin from other seeds than the usual one; see tests/agents/test_learning.py."""
    parser.addoption("--seed", type=int, default=0, help="where tests marked learning begin")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks are fastest on one thread, and their sums are then always made in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
