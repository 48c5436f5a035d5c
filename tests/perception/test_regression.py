"""Linear regression by hand, by NumPy's least squares, and in its limits."""

import numpy as np
import pytest

from perception.regression import r2, ridge


def test_r2_by_hand() -> None:
    true = np.array([[1.0, 5.0], [2.0, 5.0], [np.nan, 5.0], [3.0, 5.0]])
    told = np.array([[1.0, 5.0], [2.0, 6.0], [99.0, 5.0], [2.0, 5.0]])
    values = r2(told, true)
    assert values[0] == pytest.approx(1 - 1 / 2)
    assert np.isnan(values[1])
    assert r2(true[[0, 1, 3]], true[[0, 1, 3]])[0] == 1
    assert r2(np.full((3, 1), 2.0), true[[0, 1, 3], :1])[0] == 0


def test_ridge_is_least_squares_without_strength_and_the_mean_with_much() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 5))
    numbers = features @ [1, -2, 0, 3, 0.5] + 7 + 0.01 * rng.normal(size=200)
    expected, *_ = np.linalg.lstsq(np.c_[features, np.ones(200)], numbers, rcond=None)
    np.testing.assert_allclose(ridge(features, numbers, 1e-12), expected, atol=1e-6)
    heavy = ridge(features, numbers, 1e9)
    np.testing.assert_allclose(heavy, [0, 0, 0, 0, 0, numbers.mean()], atol=1e-6)
