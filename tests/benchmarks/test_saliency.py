"""The shipped agent's maps show what its decisions hang on, those of shuffled weights don't; and the questions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.saliency import (
    DECISIONS,
    WARM_UP,
    Judge,
    Moments,
    Settings,
    _inside,
    better,
    examine,
    main,
    shuffled,
    take_moments,
)
from commands.player import Player, load_player
from envs import FLAPPY_BIRD, GameVectorEnv
from experiment.errors import UserError
from play import SHIPPED

SETTINGS = Settings(games=16, moments=1, shuffles=2)


@pytest.fixture(scope="module")
def player() -> Player:
    return load_player(SHIPPED, "cpu")


@pytest.fixture(scope="module")
def moments(player: Player) -> Moments:
    return take_moments(player, SETTINGS)


def test_the_shipped_agent_passes_and_shuffled_weights_do_not(player: Player, moments: Moments) -> None:
    """With room for the noise of few moments; docs/saliency.md has more of them."""
    answer, _ = examine(player, moments, SETTINGS.shuffles, seed=0)
    assert 0.15 < answer["uniform"]["inside"] < 0.25
    assert answer["uniform"]["kept"] > 0.9
    for name, low in (("gradient", 0.6), ("occlusion", 0.45)):
        found = answer["methods"][name]
        assert found["passes"], name
        assert found["shuffled_pass"] == 0, name
        assert found["agent"]["inside"] > low
        assert found["agent"]["kept"] < 0.4
        assert all(other["kept"] > 0.7 for other in found["shuffled"])


def test_moments_are_half_flaps_and_of_all_games(player: Player, moments: Moments) -> None:
    assert moments.observations.shape == (32, 2, 84, 84)
    assert moments.inside.shape == (32, 84, 84)
    assert np.bincount(moments.games).tolist() == [2] * 16
    flaps = player.policy(moments.observations).view(16, 2)
    assert (flaps[:, 0] == 0).all()
    assert (flaps[:, 1] == 1).all()
    again = take_moments(player, SETTINGS)
    assert torch.equal(again.observations, moments.observations)
    assert 100 < WARM_UP + DECISIONS < 400


@pytest.mark.parametrize(
    ("pipes", "columns"),
    [
        ([(100, 60)], (29, 45)),  # 100 x 84 / 288 = 29.2 and 152 x 84 / 288 = 44.3
        ([(6, 60), (150, 90)], (1, 17)),  # its last column, 58, is still beside the bird at 57
        ([(5, 60), (150, 90)], (43, 59)),  # passed: 43.75 to 58.9
    ],
)
def test_the_boxes_of_the_bird_and_the_next_pipes(pipes: list[tuple[int, int]], columns: tuple[int, int]) -> None:
    """The bird at (57, 155), 34 x 26 large, touches columns 16 to 26 and rows 25 to 29 of 84 of 288 and of 512."""
    envs = GameVectorEnv(FLAPPY_BIRD)
    rows = [(envs.labels.index("bird"), 57, 155, 34, 26), (envs.labels.index("background"), 0, 0, 288, 512)]
    rows += [(envs.labels.index("pipe"), x, -40, 52, gap + 40) for x, gap in pipes]
    boxes = np.array([*rows, (-1, 0, 0, 0, 0)], np.int16)
    expected = np.zeros((84, 84), np.bool_)
    expected[25:30, 16:27] = True
    gap = next(gap for x, gap in pipes if x + 52 > 57)
    expected[: -(-gap * 84 // 512), columns[0] : columns[1]] = True
    assert np.array_equal(_inside(envs, [boxes]), expected)


def test_shuffling_keeps_the_numbers_and_leaves_the_agent_alone(player: Player) -> None:
    before = {name: value.clone() for name, value in player.policy.network.state_dict().items()}
    other = dict(shuffled(player.policy.network, 1).named_parameters())
    for name, weight in player.policy.network.named_parameters():
        assert torch.equal(weight, before[name])
        assert torch.equal(weight.flatten().sort().values, other[name].flatten().sort().values)
    assert not torch.equal(other["policy.weight"], before["policy.weight"])
    again = dict(shuffled(player.policy.network, 1).named_parameters())
    assert all(torch.equal(again[name], weight) for name, weight in other.items())


def test_what_a_judge_says_of_maps_that_are_known(player: Player, moments: Moments) -> None:
    judge = Judge(player.policy.network, moments)
    inside = judge.ask(moments.inside.float())
    assert inside["inside"] == pytest.approx(np.ones(16))
    even = judge.ask(torch.ones(32, 84, 84))
    assert even["inside"].mean() == pytest.approx(moments.inside.float().mean().item())
    assert even["inside"].shape == (16,)
    outside = judge.ask((~moments.inside).float())
    assert outside["inside"] == pytest.approx(np.zeros(16))
    assert outside["kept"].mean() > inside["kept"].mean()
    assert better(inside, even)
    assert not better(even, inside)
    assert not better(inside, inside)


def answers(inside: float, kept: float) -> dict[str, Any]:
    return {"inside": np.full(9, inside), "kept": np.full(9, kept)}


@pytest.mark.parametrize(("inside", "kept", "passes"), [(0.6, 0.1, True), (0.4, 0.1, False), (0.6, 0.3, False)])
def test_better_means_both_times(inside: float, kept: float, passes: bool) -> None:
    assert better(answers(inside, kept), answers(0.5, 0.2)) == passes


def test_the_command_draws_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--games", "3", "--moments", "1", "--shuffles", "1"]
    assert main([*few, "--picture", str(tmp_path / "new" / "maps.png")]) == 0
    assert "6 moments of 3 games" in capsys.readouterr().out
    assert (tmp_path / "new" / "maps.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UserError, match=r"--picture writes .png files, not maps.svg"):
        main([*few, "--picture", "maps.svg"])
