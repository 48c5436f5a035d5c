"""What tests of perception share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.perception.recording import Chance, record_flappy


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Chance]:
    path = tmp_path_factory.mktemp("data") / "flappy"
    return path, record_flappy(path, max_frames=50)


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compute with as many threads as the parameter says."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)
