"""The stack of the last frames, against hand-written ones."""

import numpy as np

from envs.stack import FrameStack


def pictures(*values: int) -> np.ndarray:
    return np.array(values, np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 1, 2, 3), np.uint8)


def test_the_oldest_frame_is_first_and_an_episode_starts_afresh() -> None:
    stack = FrameStack(3, pictures(1, 10))
    assert stack.stacks.shape == (2, 3, 2, 3)
    assert stack.stacks[..., 0, 0].tolist() == [[1, 1, 1], [10, 10, 10]]
    stack.push(pictures(2, 20), np.array([False, False]))
    stack.push(pictures(3, 30), np.array([False, False]))
    assert stack.stacks[..., 1, 2].tolist() == [[1, 2, 3], [10, 20, 30]]
    stack.push(pictures(4, 40), np.array([False, True]))  # game 1 begins anew: nothing of the old one is left
    assert stack.stacks[..., 0, 0].tolist() == [[2, 3, 4], [40, 40, 40]]
    stack.push(pictures(5, 50), np.array([False, False]))
    assert stack.stacks[..., 0, 0].tolist() == [[3, 4, 5], [40, 40, 50]]


def test_frames_of_several_channels_stay_together() -> None:
    stack = FrameStack(2, np.array([1, 2], np.uint8).reshape(1, 2, 1, 1))
    stack.push(np.array([3, 4], np.uint8).reshape(1, 2, 1, 1), np.array([False]))
    assert stack.stacks.ravel().tolist() == [1, 2, 3, 4]
