"""A map over a picture."""

import numpy as np

from experiment.heat import heat


def test_the_brightest_place_is_the_most_salient_one() -> None:
    picture = np.full((40, 60, 3), 90, np.uint8)
    saliency = np.zeros((4, 6), np.float32)
    saliency[1, 4], saliency[3, 0] = 0.9, 0.1
    hot = heat(picture, saliency)
    assert hot.shape == picture.shape
    assert hot.dtype == np.uint8
    light = hot.astype(int).sum(2)
    row, column = np.unravel_index(light.argmax(), light.shape)
    assert 10 <= row < 20
    assert 40 <= column < 50
    assert light[15, 45] > light[35, 5] > light[5, 25]
    assert (hot[:10, :20] == hot[0, 0]).all()


def test_an_empty_map_leaves_the_picture_dimmed() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    hot = heat(picture, np.zeros((2, 2), np.float32))
    assert (hot.astype(int).sum(2) < picture.astype(int).sum(2)).all()
