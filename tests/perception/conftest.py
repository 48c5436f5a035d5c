"""What tests of datasets share."""

from pathlib import Path

import pytest

from tests.perception.recording import Chance, record_flappy


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Chance]:
    path = tmp_path_factory.mktemp("data") / "flappy"
    return path, record_flappy(path, max_frames=50)
